"""Write the report of an experiment from run records alone: page, Markdown, table, summary and a script."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from headstart.components.atomic_files import whole_file, write_text
from headstart.components.design import Cell, read_cells
from headstart.components.errors import HeadstartError
from headstart.components.progress import emit
from headstart.components.records import RunRecord, read_record
from headstart.components.reporting.answer import verdict
from headstart.components.reporting.experiment import Report
from headstart.components.reporting.experiment import experiment as sort_runs
from headstart.components.reporting.measurement import summarise
from headstart.components.reporting.settings import report_settings
from headstart.components.reporting.summary import Summary, read_summary
from headstart.components.reporting.tables import to_csv


def write_report(
    records: Sequence[RunRecord],
    output: Path,
    *,
    run_id: str = "",
    settings: Mapping[str, Any] | None = None,
    unreadable: Sequence[str] = (),
    planned: Sequence[Cell] = (),
) -> Summary:
    """Write report.html, report.md, runs.csv, reproduce.py and summary.json into `output` and return the summary.

    `run_id` is the pipeline run that the records must belong to; empty: the one most of them name. `unreadable` says of
    each record that could not be read what was wrong with it, `planned` which runs were asked for. It never raises for
    runs that failed, diverged or are missing: the report then says so. SettingError for a setting that is wrong.
    """
    report = measure(records, run_id=run_id, settings=settings, unreadable=unreadable, planned=planned)
    _write(report, Path(output))
    return report.summary


def measure(
    records: Sequence[RunRecord],
    *,
    run_id: str = "",
    name: str = "",
    settings: Mapping[str, Any] | None = None,
    unreadable: Sequence[str] = (),
    planned: Sequence[Cell] = (),
) -> Report:
    """Sort and measure the records of one experiment."""
    checked = report_settings(settings)
    runs = sort_runs(records, run_id, name, unreadable, planned)
    return Report(runs, summarise(runs, checked), checked)


def write_side_by_side(
    experiments: Mapping[str, Sequence[RunRecord]], output: Path, *, settings: Mapping[str, Any] | None = None
) -> list[tuple[str, Summary]]:
    """Report on several experiments: one page and one Markdown file over all, a folder with the files of each."""
    from headstart.components.reporting import html, markdown

    reports = [measure(records, name=name, settings=settings) for name, records in experiments.items()]
    for report in reports:
        _write(report, output / folder_name(report.experiment.name))
    named = [(report.experiment.name, report.summary) for report in reports]
    write_text(output / "report.md", markdown.side_by_side(named))
    write_text(output / "report.html", html.render(reports))
    return named


def _write(report: Report, output: Path) -> None:
    from headstart.components.reporting import html, markdown

    write_text(output / "runs.csv", to_csv(report.experiment, report.summary.target_accuracy))
    write_text(output / "report.md", markdown.render(report))
    write_text(output / "report.html", html.render([report]))
    script = resources.files("headstart.components.reporting").joinpath("reproduce.py")
    write_text(output / "reproduce.py", script.read_text(encoding="utf-8"))
    # Last, since it is what programs look for: when it is there, the others are.
    write_text(output / "summary.json", report.summary.model_dump_json(indent=2) + "\n")


def folder_name(name: str) -> str:
    """A name as a folder: letters, digits, dot, hyphen and underscore, never empty and never hidden."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "run"


def report_stage(
    *,
    records: Sequence[str],
    run_id: str,
    settings: Mapping[str, Any],
    html: str,
    markdown: str,
    summary: str,
    cells: Sequence[str] = (),
) -> dict[str, float]:
    """Write the report to its three places (`summary` is a folder) and return the numbers to log as metrics.

    `records` are record files and folders of them, `cells` the runs that were asked for as the training tasks got them.
    A record that cannot be read is left out of the report, which says so, and `verify` fails for it.
    """
    emit("stage", stage="report", state="start")
    read, unreadable = [], []
    for path in (file for place in map(Path, records) for file in _files(place)):
        try:
            read.append(read_record(path))
        except HeadstartError as error:
            emit("warning", what=f"record left out: {error}")
            unreadable.append(error.message)
    folder, planned = Path(summary), [cell for text in cells for cell in read_cells(text)]
    found = write_report(read, folder, run_id=run_id, settings=settings, unreadable=unreadable, planned=planned)
    for name, target in (("report.html", html), ("report.md", markdown)):
        with whole_file(target) as partial:
            shutil.copyfile(folder / name, partial)
    emit("stage", stage="report", state="done", answer=found.answer, verdict=verdict(found))
    gain = found.accuracy_gain.estimate
    metrics = {
        "speedup": found.speedup.train.estimate,
        "accuracy_gain_points": None if gain is None else 100 * gain,
        "break_even_models": found.break_even_models,
        "preparation_seconds": found.preparation_seconds,
        "sound": float(found.sound),
    }
    return {name: value for name, value in metrics.items() if value is not None}


def _files(place: Path) -> list[Path]:
    if place.is_dir():
        return sorted(place.glob("*.json"))
    return [place] if place.stat().st_size else []  # a stage that was left out has an empty record


def verify_stage(summary: str) -> None:
    """Print the findings; HeadstartError, naming the errors, if there are any."""
    found = read_summary(summary)
    for finding in found.findings:
        emit("finding", severity=finding.severity, rule=finding.rule, message=finding.message)
    if not found.sound:
        errors = [f"{finding.rule}: {finding.message}" for finding in found.findings if finding.severity == "error"]
        raise HeadstartError(
            "The measurement is not sound. " + " ".join(errors), "The report says more; it was written all the same."
        )
    emit("stage", stage="verify", state="done", verdict=verdict(found))
