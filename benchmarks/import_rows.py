"""Rows of the one table from `benchmarks.import_speed`, and of whole imports with every check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.image_folders import ImageFolders, photographs, split_folder
from benchmarks.results import Entry
from benchmarks.timing import answer

SECTION = "import"
TARGET = ">= 2"
"""Of PNG, and of JPEG with scaled decoding: exact decoding of JPEG costs both sides the same."""
HALF = 50
Figures = dict[str, Any]


def side(name: str, folder: Path, size: int = 52) -> Figures:
    """Measure one side once, in a process of its own."""
    return answer("benchmarks.import_speed", name, folder, "--size", size)


def measure(images: ImageFolders, work: Path, repeats: int) -> list[Entry]:
    """Read the training folders of both sets on both sides in turn, then import both sets whole; then photographs."""
    rows: list[Entry] = []
    for root in (images.source, images.intermediate):
        folder = split_folder(root, "train")
        files = [file for file in folder.rglob("*") if file.is_file()]
        for file in files:  # so that the files are in the page cache for both
            file.read_bytes()
        jpeg = files[0].suffix.lower() in (".jpg", ".jpeg")
        turns = [(side("exact", folder), side("keras", folder)) for _ in range(repeats)]
        whole = [side("import", root) for _ in range(repeats)] if not _has_gaps(root) else []
        rows += _rows(root.name, turns, whole, "" if jpeg else TARGET)
        if jpeg:
            rows.append(_scaled(root.name, folder, repeats))
    return rows + _photographs(photographs(work / "drawn"), repeats)


def _rate(figures: Figures) -> float:
    return float(figures["images"] / figures["seconds"])


def _others(turns: Sequence[Sequence[Figures]]) -> float:
    """Share of the machine that other processes used, over all sides of all turns."""
    shares = [figures["others"] or 0.0 for turn in turns for figures in turn]
    return sum(shares) / len(shares)


def _row(
    key: str,
    what: str,
    turns: Sequence[tuple[Figures, Figures]],
    on: str,
    target: str = "",
    value: Callable[[Figures], float] = _rate,
    unit: str = "images/s",
) -> Entry:
    """`value` of both sides, ours first in each turn."""
    mine, theirs = ([value(turn[place]) for turn in turns] for place in (0, 1))
    faster_is = "more" if unit == "images/s" else "less"
    more = {"faster_is": faster_is, "target": target, "on": on, "others": _others(turns)}
    return Entry(f"{SECTION}/{key}", SECTION, what, unit, mine, theirs, **more)


def _scaled(name: str, folder: Path, repeats: int) -> Entry:
    # 50 pixels: half of 100, so that nothing is left to resize, and the same network as with 52.
    turns = [(side("scaled", folder, HALF), side("keras", folder, HALF)) for _ in range(repeats)]
    what = f"reading, decoding, resizing to {HALF} pixels, decoding=scaled"
    return _row(f"{name}/scaled", what, turns, f"{name}, {int(turns[0][0]['images']):,} training images", TARGET)


def _photographs(folder: Path, repeats: int) -> list[Entry]:
    turns = [[side(name, folder) for name in ("exact", "scaled", "keras")] for _ in range(repeats)]
    on = f"{int(turns[0][0]['images'])} drawn photographs: 12 megapixels, a third with orientation marks, a third gray"
    return [
        _row(
            f"photographs/{what}",
            f"reading, decoding, resizing photographs, decoding={what}",
            [(turn[place], turn[2]) for turn in turns],
            on,
            TARGET if what == "scaled" else "",
        )
        for place, what in enumerate(("exact", "scaled"))
    ]


def _has_gaps(root: Path) -> bool:
    """Whether a class lacks training or test images, which an import refuses unless it is told otherwise."""
    names = [{child.name for child in split_folder(root, split).iterdir()} for split in ("train", "test")]
    return names[0] != names[1]


def _rows(name: str, turns: list[tuple[Figures, Figures]], whole: list[Figures], target: str) -> list[Entry]:
    on = f"{name}, {int(turns[0][0]['images']):,} training images"
    rows = [
        _row(f"{name}/rate", "reading, decoding, resizing", turns, on, target),
        _row(
            f"{name}/cpu", "the same, a processor second", turns, on, value=lambda one: one["images"] / one["processor"]
        ),
        _row(
            f"{name}/start",
            "the same, with the start of its process",
            turns,
            on,
            value=lambda one: one["seconds"] + one["startup"],
            unit="s",
        ),
        _row(f"{name}/memory", "the same, peak memory", turns, on, value=lambda one: one["peak_mib"], unit="MiB"),
    ]
    if whole:
        images = f"{name}, {int(whole[0]['images']):,} images"
        seconds, memory = [one["seconds"] for one in whole], [one["peak_mib"] for one in whole]
        more = {"on": images, "others": _others([whole])}
        what = "whole import: splits, leakage, digest"
        rows.append(Entry(f"{SECTION}/{name}/whole", SECTION, what, "s", seconds, **more))
        rows.append(Entry(f"{SECTION}/{name}/whole-memory", SECTION, f"{what}, peak memory", "MiB", memory, **more))
    return rows
