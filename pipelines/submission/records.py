"""Makes the report of a run here, from the records that are in its store, where its own pipeline could not.

On a cluster as it is installed a container that exits with an error is not tried again, and one task that fails keeps
the pipeline from its report: everything that was measured until then is in the store all the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from headstart.components.atomic_files import whole_file
from headstart.components.console import Console
from headstart.components.design import read_cells
from headstart.components.errors import HeadstartError
from headstart.components.records import RunRecord, read_record, record_name
from headstart.components.reporting.settings import report_settings
from headstart.pipelines.submission.answers import Run
from headstart.pipelines.submission.workflow import StoredArtifact, Workflow

RECORD_OUTPUT, FOLDER_OUTPUT = "record", "records"
_LARGEST_RECORD = 64 * 2**20


@dataclass
class Gathered:
    """The records that were read, those that could not be, and how many tasks had left none."""

    records: list[RunRecord] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    absent: int = 0


def record_uris(workflow: Workflow | None, run: Run, run_id: str, below: Callable[[str], Iterable[str]]) -> list[str]:
    """Return where the records of a run are or were to be.

    The workflow names them. Where it has been removed from the cluster, they are looked for below the pipeline root
    that the run was given; `below` lists the objects below a gs:// prefix.
    """
    named = [uri for artifact in workflow.artifacts() for uri in _records_of(artifact)] if workflow else []
    root = str((run.get("runtime_config") or {}).get("pipeline_root") or "").rstrip("/")
    if named or not root.startswith("gs://"):
        return list(dict.fromkeys(named))
    # PIPELINE ROOT/PIPELINE/RUN/TASK/EXECUTION/OUTPUT
    pattern = re.compile(rf"/{re.escape(run_id)}/[^/]+/[^/]+/({RECORD_OUTPUT}|{FOLDER_OUTPUT}/[^/]+\.json)$")
    return [uri for uri in below(f"{root}/") if pattern.search(uri)]


def _records_of(artifact: StoredArtifact) -> list[str]:
    """Return the URIs of the records in an artifact: it is one, or the folder of those of the cells of a task."""
    if artifact.name == RECORD_OUTPUT:
        return [artifact.uri]
    if artifact.name != FOLDER_OUTPUT:
        return []
    try:
        cells = read_cells(artifact.cells)
    except HeadstartError:
        return []
    names = [record_name(arm, cell.seed, cell.preparation, cell.draw, cell.size) for cell in cells for arm in cell.arms]
    return [f"{artifact.uri.rstrip('/')}/{name}.json" for name in names]


def gather(uris: Iterable[str], read: Callable[[str, int], bytes], folder: Path, run_id: str) -> Gathered:
    """Fetch records into `folder`, under names of our own, and return those of the run.

    Of two that name one arm and seed of the run the one that ended well counts: a task that was tried again has left
    both.
    """
    found = Gathered()
    kept: dict[str, RunRecord] = {}
    for uri in uris:
        try:
            content = read(uri, _LARGEST_RECORD)
        except Exception:
            found.absent += 1  # the task never came to write it
            continue
        file = folder / f"{len(kept) + len(found.unreadable) + 1:04d}.json"
        with whole_file(file) as partial:
            partial.write_bytes(content)
        try:
            record = read_record(file)
        except HeadstartError as error:
            found.unreadable.append(error.message)
            continue
        if record.run_id != run_id:
            file.unlink()
            continue
        key = record.name
        if key not in kept or kept[key].status != "succeeded":
            kept[key] = record
    found.records = list(kept.values())
    return found


def report_here(
    console: Console,
    workflow: Workflow | None,
    run: Run,
    run_id: str,
    output: Path,
    read: Callable[[str, int], bytes],
    below: Callable[[str], Iterable[str]],
) -> bool:
    """Write the report of a run whose pipeline made none into `output`, and say so; False where there is no record."""
    from headstart.components.reporting.report import write_report

    found = gather(record_uris(workflow, run, run_id, below), read, output / "records", run_id)
    if not found.records:
        return False
    parameters = (run.get("runtime_config") or {}).get("parameters") or {}
    settings = parameters.get("report_settings") or {}
    try:
        report_settings(settings)
    except HeadstartError:
        settings = {}
    write_report(found.records, output, run_id=run_id, settings=settings, unreadable=found.unreadable)
    ended_well = sum(record.status == "succeeded" for record in found.records)
    console.print(
        f"The pipeline made no report. It was made here, from the {len(found.records)} records in the store, "
        f"{ended_well} of runs that succeeded: {output / 'report.html'}",
        style="yellow",
    )
    if found.absent:
        console.print(f"{found.absent} runs left no record: what they measured is lost.", style="yellow")
    return True
