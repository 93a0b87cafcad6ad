"""Makes the report of a run here, from the records that are in its store, where its own pipeline could not.

On a cluster as it is installed a container that exits with an error is not tried again, and one task that fails keeps
the pipeline from its report: everything that was measured until then is in the store all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from headstart.components import storage
from headstart.components.atomic_files import whole_file
from headstart.components.console import Console
from headstart.components.design import cells_asked_for, read_cells
from headstart.components.errors import HeadstartError
from headstart.components.records import RunRecord, read_record, record_name
from headstart.components.reporting.settings import report_settings
from headstart.components.stages import STAGES
from headstart.components.storage import artifact_layout
from headstart.components.training.checkpoint import FINISHED, finished_record
from headstart.components.training.stages import place_of
from headstart.pipelines.submission.answers import Run
from headstart.pipelines.submission.connection import Connection
from headstart.pipelines.submission.results import read_artifact
from headstart.pipelines.submission.workflow import StoredArtifact, Workflow

RECORD_OUTPUT, FOLDER_OUTPUT = "record", "records"
_LARGEST_RECORD = 64 * 2**20
_LARGEST_KEPT = 512 * 2**20  # with the model of a stage that makes one


@dataclass
class Gathered:
    """The records that were read, those that could not be, and how many tasks had left none."""

    records: list[RunRecord] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    absent: int = 0


class Place(NamedTuple):
    """Where a record is or was to be, and where a task keeps what it has finished until it ends; empty: nowhere."""

    record: str
    kept: str = ""


def record_places(
    workflow: Workflow | None, run: Run, run_id: str, below: Callable[[str], Iterable[str]]
) -> list[Place]:
    """Return where the records of a run are or were to be.

    The workflow names them. Where it has been removed from the cluster, they are looked for below the pipeline root
    that the run was given; `below` lists the objects below a prefix of an object store.
    """
    runtime = run.get("runtime_config") or {}
    checkpoints = str((runtime.get("parameters") or {}).get("checkpoints") or "")
    named = [
        place for artifact in workflow.artifacts() for place in _records_of(artifact, checkpoints, run_id)
    ] if workflow else []  # fmt: skip
    root = str(runtime.get("pipeline_root") or "").rstrip("/")
    if named or not storage.is_remote(root):
        return list(dict.fromkeys(named))
    written = artifact_layout.output_of(run_id, rf"{RECORD_OUTPUT}|{FOLDER_OUTPUT}/[^/]+\.json")
    kept = artifact_layout.kept_by(run_id, FINISHED)
    found = list(below(f"{root}/"))
    return [Place(uri) for uri in found if written.search(uri)] + [Place("", uri) for uri in found if kept.search(uri)]


def _records_of(artifact: StoredArtifact, checkpoints: str, run_id: str) -> list[Place]:
    """Return the places of the records in an artifact: it is one, or the folder of those of the cells of a task."""
    if artifact.name == RECORD_OUTPUT:
        return [Place(artifact.uri)]
    if artifact.name != FOLDER_OUTPUT:
        return []
    try:
        cells = read_cells(artifact.cells)
    except HeadstartError:
        return []
    keeps = checkpoints.rstrip("/") or artifact_layout.checkpoint_folder(artifact.uri, run_id)
    keeps = f"{keeps}/{run_id}" if storage.is_remote(keeps) else ""
    return [
        Place(
            f"{artifact.uri.rstrip('/')}/{record_name(arm, cell.seed, cell.preparation, cell.draw, cell.size)}.json",
            f"{keeps}/{place_of(arm, cell.seed, cell.preparation, cell.draw, cell.size)}/{FINISHED}" if keeps else "",
        )
        for cell in cells
        for arm in cell.arms
    ]


def _content(place: Place, read: Callable[[str, int], bytes]) -> bytes:
    """Return a record's bytes from where it is, or from what its task had kept; raises anything where there is none."""
    try:
        if place.record:
            return read(place.record, _LARGEST_RECORD)
    except Exception:
        if not place.kept:
            raise
    return finished_record(read(place.kept, _LARGEST_KEPT))


def gather(places: Iterable[Place], read: Callable[[str, int], bytes], folder: Path, run_id: str) -> Gathered:
    """Fetch records into `folder`, under names of our own, and return those of the run.

    Of two that name one arm and seed of the run the one that ended well counts: a task that was tried again has left
    both.
    """
    found = Gathered()
    kept: dict[str, RunRecord] = {}
    for place in places:
        try:
            content = _content(place, read)
        except Exception:
            found.absent += 1  # the task never came to write it
            continue
        if not content:
            continue  # of a stage whose data were left out
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


def _sizes(workflow: Workflow | None, records: Iterable[RunRecord]) -> list[int]:
    """Return the sizes of the run's learning curve, [0] where it has none.

    A task trains all of them, so that what one was told says which there are. Where no workflow is there to ask, the
    records say it, of which a smaller size is written before a larger one.
    """
    told = [artifact.cells for artifact in workflow.artifacts() if artifact.name == FOLDER_OUTPUT] if workflow else []
    try:
        sizes = {cell.size for cells in told for cell in read_cells(cells)}
    except HeadstartError:
        sizes = set()
    measured = {record.subset.size_per_class if record.subset else 0 for record in records if STAGES[record.arm].is_arm}
    return sorted(sizes or measured or {0})


def report_here(
    console: Console,
    connection: Connection,
    workflow: Workflow | None,
    run: Run,
    output: Path,
    namespace: str,
) -> bool | None:
    """Write the report of a run whose pipeline made none into `output`, and say so.

    Returns:
        None: there is no record. True: every run that was asked for has succeeded, and the report finds the
        measurement sound. False: anything else.
    """
    from headstart.components.reporting.report import write_report

    run_id = run["run_id"]

    def read(uri: str, largest: int) -> bytes:
        return read_artifact(connection, uri, namespace, largest)

    found = gather(record_places(workflow, run, run_id, storage.list), read, output / "records", run_id)
    if not found.records:
        return None
    parameters = (run.get("runtime_config") or {}).get("parameters") or {}
    settings = parameters.get("report_settings") or {}
    try:
        report_settings(settings)
    except HeadstartError:
        settings = {}
    try:
        planned = cells_asked_for(parameters, (record.preparation for record in found.records))
    except HeadstartError:
        planned = []  # refused by the pipeline's first task
    summary = write_report(
        found.records, output, run_id=run_id, settings=settings, unreadable=found.unreadable, planned=planned
    )
    succeeded = {record.name for record in found.records if record.status == "succeeded"}
    wanted = {record_name(arm, cell.seed, cell.preparation, cell.draw, size)
              for size in _sizes(workflow, found.records) for cell in planned for arm in cell.arms}  # fmt: skip
    console.print(
        f"The pipeline made no report. It was made here, from the {len(found.records)} records in the store, "
        f"{len(succeeded)} of runs that succeeded: {output / 'report.html'}",
        style="yellow",
    )
    if found.absent:
        console.print(f"{found.absent} runs left no record: what they measured is lost.", style="yellow")
    if not wanted or not wanted <= succeeded:
        return False
    console.print(f"It is complete: all {len(wanted)} runs that are compared have succeeded.")
    return summary.sound
