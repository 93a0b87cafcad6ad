"""Write the report of an experiment: report.html, report.md, runs.csv and summary.json, from run records alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.atomic_files import write_text
from components.records import RunRecord
from components.reporting.experiment import experiment as sort_runs
from components.reporting.measurement import summarise
from components.reporting.settings import report_settings
from components.reporting.summary import Summary
from components.reporting.tables import to_csv


def write_report(
    records: Sequence[RunRecord], output: Path, *, run_id: str = "", settings: Mapping[str, Any] | None = None
) -> Summary:
    """Write report.html, report.md, runs.csv and summary.json into `output` and return the summary.

    `run_id` is the pipeline run that the records must belong to; empty: the one most of them name. It never raises for
    runs that failed, diverged or are missing: the report then says so. SettingError for a setting that is wrong.
    """
    from components.reporting import html, markdown

    checked = report_settings(settings)
    runs = sort_runs(records, run_id)
    summary = summarise(runs, checked)
    write_text(output / "runs.csv", to_csv(runs, summary.target_accuracy))
    write_text(output / "report.md", markdown.render(runs, summary))
    write_text(output / "report.html", html.render(runs, summary, checked))
    # Last, since it is what programs look for: when it is there, the others are.
    write_text(output / "summary.json", summary.model_dump_json(indent=2) + "\n")
    return summary
