"""A collection: labelled images as they were found, before they are resized and packed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from headstart.components.datasets.packed import SPLITS, Groups, Labels, Pixels

TRAIN, VALIDATION, TEST = range(len(SPLITS))
UNASSIGNED = -1
SPLIT_NAMES = {  # what folders and tables call the splits, in lower case
    "training": TRAIN,
    "train": TRAIN,
    "validation": VALIDATION,
    "valid": VALIDATION,
    "val": VALIDATION,
    "test": TEST,
    "testing": TEST,
}


def counted(count: int, one: str, many: str) -> str:
    """Return a count with the words that agree with it: `1 image lies`, `3 images lie`."""
    return f"{count:,} {one if count == 1 else many}"


@dataclass
class Collection:
    """N images with class and split; they lie in files (`paths`) or in memory (`pixels`), one of the two.

    Rows are in the order of split, class and path, so that the packed form is the same on every machine, whatever
    order a file system lists its files in.
    """

    name: str
    classes: list[str]
    labels: Labels
    """int32, N, index into `classes`."""
    splits: npt.NDArray[np.int8]
    """N, index into `packed.SPLITS`, or UNASSIGNED where the source names no split."""
    root: Path | None = None
    """Folder that the paths are relative to."""
    paths: list[str] = field(default_factory=list)
    """N relative paths with forward slashes, or empty."""
    pixels: Pixels | None = None
    """uint8, N × H × W × 3, or None."""
    groups: list[str] = field(default_factory=list)
    """N names of what was filmed together (the film of one fruit), empty where the source does not tell."""
    grouped: bool = False
    """Whether `groups` are known, and not only guessed from the names of files."""
    groups_given: bool = False
    """Whether the user gave the groups, so that none is divided between splits unless that is asked for."""
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.labels)

    def numbered_groups(self) -> Groups | None:
        """Return each row's group as a number (N); None where groups are not known, or all images are of their own."""
        numbers = {name: number for number, name in enumerate(sorted({*self.groups}))} if self.grouped else {}
        if len(numbers) in (0, len(self)):
            return None
        return np.fromiter(map(numbers.__getitem__, self.groups), np.int32, len(self))

    def title(self, row: int) -> str:
        """Return what a message calls one image; bytes of its path that are not UTF-8 are written as escapes."""
        if not self.paths:
            return f"image {row} of {self.name}"
        return self.paths[row].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
