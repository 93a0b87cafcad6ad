"""The report as Markdown, for the Kubeflow Pipelines UI and for pull requests."""

from __future__ import annotations

import re
from collections.abc import Sequence

from headstart.components.foreign_text import printable
from headstart.components.reporting import beside_paper, conditions, first_screen, statistics_tables
from headstart.components.reporting.answer import verdict
from headstart.components.reporting.charts import depth
from headstart.components.reporting.charts.comparison import overview_table
from headstart.components.reporting.experiment import Report
from headstart.components.reporting.labels_text import curve_table, offer_sentence
from headstart.components.reporting.summary import Summary
from headstart.components.reporting.tables import Table, class_accuracy_table, preparation_table, runs_table


def escape(text: str) -> str:
    """Text that Markdown and the HTML in it leave as it is, on one line."""
    text = " ".join(printable(text).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]|#!~])", r"\\\1", text)


def table(content: Table) -> str:
    """A table in GitHub's form."""
    rule = ["---:" if index in content.numeric else "---" for index in range(len(content.columns))]
    lines = [f"**{escape(content.caption)}**", ""]
    lines += [f"| {' | '.join(escape(cell) for cell in content.columns)} |", f"| {' | '.join(rule)} |"]
    lines += [f"| {' | '.join(escape(cell) for cell in row)} |" for row in content.rows]
    if content.note:
        lines += ["", escape(content.note)]
    return "\n".join(lines) + "\n"


def findings(summary: Summary) -> str:
    """What verify found, as a list."""
    if not summary.findings:
        return "No rule of `verify` is broken.\n"
    return "".join(
        f"- **{finding.severity}** `{finding.rule}`: {escape(finding.message)}"
        + (f" ({escape(', '.join(finding.runs))})" if finding.runs else "")
        + "\n"
        for finding in first_screen.ordered(summary.findings)
    )


def code_block(text: str) -> str:
    """Text between fences longer than any run of backticks in it."""
    longest = max((len(found) for found in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{printable(text, lines=True)}\n{fence}\n"


def learning_curve(summary: Summary) -> list[str]:
    """The learning curves as a table; without one, what it would take and its command."""
    curves = curve_table(summary)
    if curves is not None:
        return ["## Labels\n", table(curves)]
    if summary.curve_offer is None:
        return []
    return ["## Labels\n", f"{escape(offer_sentence(summary))}\n", code_block(summary.curve_offer.command)]


def render(report: Report) -> str:
    """The whole report as Markdown; the pictures are in report.html."""
    experiment, summary = report.experiment, report.summary
    parts = [f"# {escape(summary.answer)}\n", f"Verdict: **{escape(verdict(summary))}**\n"]
    about = (
        first_screen.advice(summary),
        summary.negative_transfer,
        first_screen.images(experiment),
        first_screen.seen(summary),
    )
    parts += [f"{escape(text)}\n" for text in about if text]
    parts += [findings(summary)]
    by_depth = depth.table(experiment)
    parts += ["## How much to freeze\n", table(by_depth)] if by_depth else []
    parts += learning_curve(summary)
    parts += ["## Runs\n", *(table(runs_table(experiment, summary, arm)) for arm in experiment.arms)]
    parts += [table(preparation_table(experiment))]
    by_class = class_accuracy_table(experiment)
    parts += [table(by_class)] if by_class else []
    if summary.failures:
        parts += [
            "**Runs that did not succeed**\n",
            "".join(
                f"- {escape(failure.run)} {failure.status}: {escape(failure.reason)}\n"
                for failure in summary.failures[:50]
            ),
        ]
    parts += ["## How sure\n", *(table(content) for content in statistics_tables.tables(summary))]
    if beside_paper.applies(experiment):
        parts += ["## Beside the paper\n", *(table(each) for each in beside_paper.tables(experiment, summary))]
        parts += ["".join(f"- {escape(note)}\n" for note in beside_paper.notes(summary))]
    parts += ["## What it ran on\n", table(conditions.data_table(experiment))]
    parts += [table(conditions.recipe_table(experiment)), table(conditions.hardware_table(experiment))]
    parts += [table(conditions.runs_table(experiment, summary))]
    if summary.command:
        parts += ["**The command that repeats it**\n", code_block(summary.command)]
    return "\n".join(parts)


def side_by_side(named: Sequence[tuple[str, Summary]]) -> str:
    """Several experiments: the table over all, then each one's answer and findings."""
    parts = ["# Several runs side by side\n", table(overview_table(named))]
    for name, summary in named:
        parts += [f"## {escape(name)}\n", f"{escape(summary.answer)}\n", f"Verdict: **{escape(verdict(summary))}**\n"]
        parts += [findings(summary)]
    return "\n".join(parts)
