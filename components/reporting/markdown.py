"""The report as Markdown, for the Kubeflow Pipelines UI and for pull requests."""

from __future__ import annotations

import re

from components.reporting.answer import verdict
from components.reporting.experiment import Experiment
from components.reporting.summary import Summary
from components.reporting.tables import Table, preparation_table, runs_table


def escape(text: str) -> str:
    """Text that Markdown and the HTML in it leave as it is, on one line."""
    text = " ".join(text.split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]|#!])", r"\\\1", text)


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
        for finding in summary.findings
    )


def render(experiment: Experiment, summary: Summary) -> str:
    """The whole report as Markdown."""
    parts = [f"# {escape(summary.answer)}\n", f"Verdict: **{escape(verdict(summary))}**\n", findings(summary)]
    parts += [table(runs_table(experiment, summary, arm)) for arm in ("baseline", "transfer")]
    parts += [table(preparation_table(experiment))]
    if summary.command:
        parts += [f"Repeat it with:\n\n```\n{summary.command.replace('```', '')}\n```\n"]
    return "\n".join(parts)
