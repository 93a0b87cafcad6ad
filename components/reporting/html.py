"""The report as one self-contained HTML file: no script, nothing fetched, every text escaped.

The style sheet is named in the file's content security policy by its digest, and nothing else may run, load or style.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from headstart.components.foreign_text import printable
from headstart.components.records import RunRecord, Sample
from headstart.components.reporting import beside_paper, conditions, statistics_tables, units
from headstart.components.reporting.answer import verdict
from headstart.components.reporting.break_even import ordinal
from headstart.components.reporting.charts import accuracy, break_even, comparison, confusion, dots, epochs, phases
from headstart.components.reporting.charts.svg import Figure
from headstart.components.reporting.experiment import Experiment
from headstart.components.reporting.measured import Report
from headstart.components.reporting.summary import Summary
from headstart.components.reporting.tables import Table, preparation_table, runs_table
from headstart.components.reporting.verify import RULES

MOST_SAMPLES = 24
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Tile:
    """A number at the top of the page."""

    label: str
    value: str
    detail: str


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
    style = (
        resources.files("headstart.components.reporting").joinpath("templates/report.css").read_text(encoding="utf-8")
    )
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    template = made.get_template("report.html.jinja")
    sections = [_section(report, f"e{index}") for index, report in enumerate(reports)]
    several = len(reports) > 1
    return template.render(
        style=Markup(style),  # our own file, and the digest above is of exactly this text
        style_digest=digest,
        sections=sections,
        title="Headstart: several runs side by side" if several else f"Headstart: {sections[0]['verdict']}",
        overview=comparison.overview_table([(r.experiment.name, r.summary) for r in reports]) if several else None,
        overview_figure=comparison.draw([(r.experiment.name, r.summary) for r in reports]) if several else None,
    )


def _section(report: Report, identity: str) -> dict[str, Any]:
    experiment, summary, settings = report.experiment, report.summary, report.settings
    return {
        "id": identity,
        "name": experiment.name,
        "run_id": experiment.run_id,
        "answer": summary.answer,
        "sound": summary.sound,
        "mark": "✓" if summary.sound and not summary.findings else "!" if summary.sound else "✕",
        "verdict": verdict(summary),
        "tiles": tiles(summary),
        "findings": [(finding, RULES[finding.rule].why) for finding in summary.findings],
        "figures": figures(report, identity),
        "samples": [sample for record in experiment.final for sample in pictures(record)][:MOST_SAMPLES],
        "mistakes": _mistakes(experiment),
        "runs": [runs_table(experiment, summary, arm) for arm in experiment.arms] + [preparation_table(experiment)],
        "failures": summary.failures[:50],
        "more_failures": max(0, len(summary.failures) - 50),
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
        "command": summary.command,
    }


def tiles(summary: Summary) -> list[Tile]:
    """The numbers of the answer, each with what it is made from."""
    control, treatment = summary.control, summary.treatment
    first, speedup = summary.first, summary.speedup
    made = [
        Tile(
            "training time",
            f"{units.factor(speedup.train.estimate)} ×",
            f"{units.duration(control.train_seconds.median)} → {units.duration(treatment.train_seconds.median)}, "
            "medians",
        ),
        Tile(
            "test accuracy",
            f"{units.signed_points(summary.accuracy_gain.estimate)} points",
            f"{units.percent(control.accuracy.mean)} → {units.percent(treatment.accuracy.mean)}, means",
        ),
        Tile(
            f"time to {units.percent(summary.target_accuracy)}",
            f"{units.factor(speedup.time_to_accuracy.estimate)} ×",
            f"reached by {control.reached_target} of {control.runs} and "
            f"{treatment.reached_target} of {treatment.runs} runs",
        ),
        Tile(
            "preparation",
            units.duration(summary.preparation_seconds),
            " + ".join(units.duration(seconds) for seconds in summary.preparation.stages.values()),
        ),
    ]
    pays = summary.break_even
    value = f"{ordinal(pays.first_model)} model" if pays.first_model else "never" if pays.never else units.MISSING
    span = ""
    if pays.first_model and pays.first_model_low:
        high = ordinal(pays.first_model_high) if pays.first_model_high else "perhaps never"
        low = ordinal(pays.first_model_low)
        span = "the whole interval" if low == high else f"{low} to {high}"
    made.append(Tile("breaks even from", value, span))
    if summary.cost is not None and summary.cost.preparation is not None:
        cost = summary.cost
        made.append(
            Tile(
                f"cost, {cost.currency}",
                units.money(cost.preparation),
                "preparation; a model "
                + " → ".join(units.money(cost.per_model.get(arm)) for arm in (first.control, first.treatment)),
            )
        )
    return made


def figures(report: Report, identity: str) -> list[Figure]:
    """Every picture that can be drawn from what there is."""
    experiment, summary = report.experiment, report.summary
    drawn = [
        accuracy.draw(experiment, summary, f"{identity}-accuracy"),
        dots.draw(experiment, summary, f"{identity}-dots"),
        break_even.draw(summary, f"{identity}-break-even"),
        epochs.draw(experiment, summary, f"{identity}-epochs"),
        phases.draw(experiment, f"{identity}-phases"),
    ]
    drawn += [confusion.draw(record, f"{identity}-confusion") for record in experiment.final[:1]]
    return [figure for figure in drawn if figure is not None]


def pictures(record: RunRecord) -> list[Sample]:
    """Samples whose picture truly is a PNG; anything else in a record is not shown."""
    return [sample for sample in record.samples if _is_png(sample.png)]


def _is_png(text: str) -> bool:
    try:
        return base64.b64decode(text, validate=True).startswith(_PNG)
    except (binascii.Error, ValueError):
        return False


def _mistakes(experiment: Experiment) -> Table | None:
    for record in experiment.final:
        if record.result.confusion and record.data:
            found = confusion.mistakes(record.result.confusion, record.data.classes)
            if found and len(record.data.classes) > confusion.MOST_NUMBERED:
                return Table(
                    caption="Most frequent mistakes of the final model",
                    columns=["shown", "called", "images", "of"],
                    rows=[[true, said, f"{count:,}", f"{total:,}"] for true, said, count, total in found],
                    numeric=frozenset({2, 3}),
                )
    return None
