"""What the report and verify tasks of the pipeline do, as plain functions of paths."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.components.atomic_files import whole_file
from headstart.components.design import read_cells
from headstart.components.errors import HeadstartError
from headstart.components.progress import emit
from headstart.components.records import read_record
from headstart.components.reporting.answer import verdict
from headstart.components.reporting.report import write_report
from headstart.components.reporting.summary import read_summary


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
    metrics = {
        "speedup": found.speedup.train.estimate,
        "accuracy_gain_points": _times_100(found.accuracy_gain.estimate),
        "break_even_models": found.break_even_models,
        "preparation_seconds": found.preparation_seconds,
        "sound": float(found.sound),
    }
    return {name: value for name, value in metrics.items() if value is not None}


def _files(place: Path) -> list[Path]:
    if place.is_dir():
        return sorted(place.glob("*.json"))
    return [place] if place.stat().st_size else []  # a stage that was left out has an empty record


def _times_100(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction


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
