"""Looks for test images that stand in training too, whole or nearly."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from components.datasets.packed import SPLITS, Labels, Pixels, streamed_digest


@dataclass
class Leakage:
    """Test images that stand in training or validation too."""

    duplicates: int = 0
    near_duplicates: int | None = None
    notes: list[str] = field(default_factory=list)


def blocks(folder: Path, split: str, count: int, size: int, step: int = 4096) -> Iterator[Pixels]:
    """Yield a split's pixels in blocks, read rather than mapped, so that memory stays at one block."""
    with (folder / split / "images.npy").open("rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        for start in range(0, count, step):
            rows = min(step, count - start)
            yield np.frombuffer(file.read(rows * size * size * 3), np.uint8).reshape(rows, size, size, 3)


def digest(folder: Path, classes: list[str], size: int, labels: dict[str, Labels]) -> str:
    """Return the digest of a packed data set that has no description yet."""
    return streamed_digest(
        classes, size, labels, {split: blocks(folder, split, len(labels[split]), size) for split in SPLITS}
    )


def _hashes(folder: Path, split: str, count: int, size: int) -> list[bytes]:
    return [
        hashlib.blake2b(image.data, digest_size=16).digest()
        for block in blocks(folder, split, count, size)
        for image in block
    ]


def examine(folder: Path, labels: dict[str, Labels], size: int, near: bool) -> Leakage:
    """Count the test images with equal pixels, and those with nearly equal ones, in training or validation."""
    found = Leakage()
    known = {value for split in ("train", "validation") for value in _hashes(folder, split, len(labels[split]), size)}
    found.duplicates = sum(value in known for value in _hashes(folder, "test", len(labels["test"]), size))
    if found.duplicates:
        found.notes.append(f"{found.duplicates} test images stand in training too, pixel for pixel.")
    return found
