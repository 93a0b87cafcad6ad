"""Find run records on disk and report on them: one experiment, or several side by side."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.components.design import Cell
from headstart.components.errors import SettingError
from headstart.components.records import RunRecord, read_record
from headstart.components.reporting.report import write_report, write_side_by_side
from headstart.components.reporting.summary import Summary

# What else Headstart writes into folders that are named for their records by mistake.
_NO_RECORDS = ("summary.json", "run.json", "dataset.json")


def find_records(paths: Sequence[Path]) -> list[Path]:
    """Files as named, and from folders: `records/*.json` of a run's output, or the `*.json` of the folder itself.

    A folder that holds several outputs gives the records of all of them. SettingError names a path that is not there
    and a folder without records.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(path.glob("records/*.json")) or sorted(path.glob("*/records/*.json"))
            inside = inside or [file for file in sorted(path.glob("*.json")) if file.name not in _NO_RECORDS]
            if not inside:
                raise SettingError(
                    f"{path}: holds no run records.",
                    "They are in the folder records of a run's output, as soon as it has finished a stage.",
                )
            found.update(dict.fromkeys(inside))
        elif path.is_file():
            found[path] = None
        else:
            raise SettingError(f"{path}: there is no such file or folder.", "Name run records, or folders of them.")
    return list({path.resolve(): path for path in found}.values())


def group(files: Sequence[Path]) -> dict[str, list[RunRecord]]:
    """Records by experiment: those of one folder belong together, so that a foreign one among them shows.

    Where every file has a folder of its own, as tasks on a cluster write them, the pipeline run id decides.
    """
    read = list(zip(files, _read(files), strict=True))
    # Asking the file system once a folder, not once a file.
    folders = {parent: parent.resolve() for parent in {file.parent for file in files}}
    groups: dict[str, list[RunRecord]] = {}
    if len(set(folders.values())) == len(files) and len(files) > 1:
        for _, record in read:
            groups.setdefault(record.run_id or "run", []).append(record)
        return groups
    keys: dict[Path, str] = {}
    for file, record in read:
        folder = folders[file.parent]
        if folder not in keys:
            name = folder.parent.name if folder.name == "records" else folder.name
            keys[folder] = _unused(name or "run", set(keys.values()))
        groups.setdefault(keys[folder], []).append(record)
    return groups


def _read(files: Sequence[Path]) -> list[RunRecord]:
    """Read all records. Records hold no cycles, and looking for some in ever more of them would take a third longer."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        return [read_record(file) for file in files]
    finally:
        if collecting:
            gc.enable()


def _unused(name: str, taken: set[str]) -> str:
    number = 2
    candidate = name
    while candidate in taken:
        candidate, number = f"{name} ({number})", number + 1
    return candidate


def report_on(
    paths: Sequence[Path], output: Path, settings: Mapping[str, Any], planned: Sequence[Cell] = ()
) -> list[tuple[str, Summary]]:
    """Report on the records under `paths`; several experiments get one page, and a folder each for their own files.

    `planned` are the runs that were asked for, where the paths are those of one experiment and it is known.
    """
    groups = group(find_records(paths))
    if len(groups) == 1:
        ((name, records),) = groups.items()
        return [(name, write_report(records, output, settings=settings, planned=planned))]
    return write_side_by_side(groups, output, settings=settings)
