"""The report as one self-contained HTML file: no script, nothing fetched, every text escaped.

The style sheet is named in the file's content security policy by its digest, and nothing else may run, load or style.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from headstart.components.foreign_text import printable
from headstart.components.records import RunRecord, Sample
from headstart.components.reporting import beside_paper, conditions, first_screen, statistics_tables
from headstart.components.reporting.answer import verdict
from headstart.components.reporting.break_even import ordinal
from headstart.components.reporting.charts import accuracy, classes, comparison, cost, depth, estimation, learning
from headstart.components.reporting.charts.svg import Figure
from headstart.components.reporting.experiment import Experiment, Report
from headstart.components.reporting.labels_text import curve_table, offer_sentence
from headstart.components.reporting.tables import Table, class_accuracy_table, preparation_table, runs_table
from headstart.components.reporting.verify import RULES

MOST_SAMPLES = 24
_PNG = b"\x89PNG\r\n\x1a\n"


def render(reports: Sequence[Report]) -> str:
    """The page of one experiment, or of several side by side."""
    made = Environment(
        loader=PackageLoader("headstart.components.reporting"),
        autoescape=True,
        finalize=lambda value: printable(value, lines=True) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["ordinal"] = ordinal
    package = resources.files("headstart.components.reporting")
    style = package.joinpath("templates/report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    template = made.get_template("report.html.jinja")
    sections = [_section(report, f"e{index}") for index, report in enumerate(reports)]
    named = [(report.experiment.name, report.summary) for report in reports]
    several = len(reports) > 1
    return template.render(
        style=Markup(style),  # our own file, and the digest above is of exactly this text
        style_digest=digest,
        sections=sections,
        title="Headstart: several runs side by side" if several else f"Headstart: {sections[0]['verdict']}",
        overview=comparison.overview_table(named) if several else None,
        overview_figure=comparison.draw(named) if several else None,
    )


def _section(report: Report, identity: str) -> dict[str, Any]:
    experiment, summary, settings = report.experiment, report.summary, report.settings
    main = depth.rest(report)
    return {
        "id": identity,
        "experiment": experiment,
        "summary": summary,
        "mark": "✓" if summary.sound and not summary.findings else "!" if summary.sound else "✕",
        "verdict": verdict(summary),
        "advice": first_screen.advice(summary),
        "about": [text for text in (first_screen.images(experiment), first_screen.seen(summary)) if text],
        "tiles": first_screen.tiles(summary),
        "findings": [
            (finding, RULES[finding.rule].why if finding.rule in RULES else "")
            for finding in first_screen.ordered(summary.findings)
        ],
        "estimation": estimation.draw(main.experiment, main.summary, f"{identity}-estimation"),
        "depth": depth.table(experiment),
        "depth_figure": depth.draw(experiment, summary.first.control, f"{identity}-depth"),
        "figures": figures(main, identity),
        "galleries": galleries(experiment),
        "mistakes": _mistakes(experiment),
        "runs": [runs_table(experiment, summary, arm) for arm in experiment.arms] + [preparation_table(experiment)],
        "curves": curve_table(summary),
        "curves_figure": learning.draw(summary, f"{identity}-curves"),
        "curve_offer": offer_sentence(summary),
        "by_class": class_accuracy_table(experiment),
        "statistics": statistics_tables.tables(summary),
        "paper": beside_paper.tables(experiment, summary) if beside_paper.applies(experiment) else [],
        "paper_notes": beside_paper.notes(summary) if beside_paper.applies(experiment) else [],
        "conditions": [
            conditions.data_table(experiment),
            conditions.recipe_table(experiment),
            conditions.hardware_table(experiment),
            conditions.runs_table(experiment, summary),
        ],
        "rules": conditions.rules_table(summary, settings),
    }


def figures(report: Report, identity: str) -> list[Figure]:
    """Every picture that can be drawn from what there is."""
    experiment, summary = report.experiment, report.summary
    drawn = [
        accuracy.draw(experiment, summary, f"{identity}-accuracy"),
        cost.break_even(summary, f"{identity}-break-even"),
        cost.epochs(experiment, summary, f"{identity}-epochs"),
        cost.phases(experiment, summary, f"{identity}-phases"),
        classes.gain_by_class(summary, f"{identity}-gain"),
    ]
    drawn += [classes.draw(record, f"{identity}-confusion") for record in experiment.final[:1]]
    return [figure for figure in drawn if figure is not None]


def galleries(experiment: Experiment) -> list[tuple[str, list[Sample]]]:
    """Test images with the final model's answers: the mistakes it was most certain of, then an ordinary choice."""
    shown = [sample for record in experiment.final for sample in pictures(record)]
    wrong = [sample for record in experiment.final for sample in pictures(record, mistakes=True)]
    wrong = wrong or [sample for sample in shown if sample.truth != sample.predicted]
    wrong.sort(key=lambda sample: -sample.probability)
    found = (("Most confidently wrong", wrong), ("Test images, chosen at random", shown))
    return [(title, samples[:MOST_SAMPLES]) for title, samples in found if samples]


def pictures(record: RunRecord, *, mistakes: bool = False) -> list[Sample]:
    """Samples whose picture truly is a PNG; anything else in a record is not shown."""
    return [sample for sample in (record.mistakes if mistakes else record.samples) if _is_png(sample.png)]


def _is_png(text: str) -> bool:
    try:
        return base64.b64decode(text, validate=True).startswith(_PNG)
    except (binascii.Error, ValueError):
        return False


def _mistakes(experiment: Experiment) -> Table | None:
    for record in experiment.final:
        if record.result.confusion and record.data:
            found = classes.mistakes(record.result.confusion, record.data.classes)
            if found and len(record.data.classes) > classes.MOST_NUMBERED:
                return Table(
                    caption="Most frequent mistakes of the final model",
                    columns=["shown", "called", "images", "of"],
                    rows=[[true, called, f"{count:,}", f"{total:,}"] for true, called, count, total in found],
                    numeric=frozenset({2, 3}),
                )
    return None
