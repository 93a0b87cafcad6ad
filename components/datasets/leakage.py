"""Looks for test images that are also in training, whole or nearly."""

from __future__ import annotations

from collections.abc import Container, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.components.datasets.collection import counted
from headstart.components.datasets.packed import SPLITS, Digests, Labels, Pixels, digests_of, release
from headstart.components.machine import thread_count, usable_cores

THRESHOLD = 3.0
"""Mean absolute difference, of 255, below which two thumbnails are called near-twins."""
_PAIRS = 2_000_000
"""Pairs whose rough distance is held at once: 16 MB."""
_BLOCK_BYTES = 2 << 20
"""Bytes of the images that a thread scans at a time; it needs about six times as many for that."""
_SHARE_WORTH_SAYING = 0.05


@dataclass
class Leakage:
    """Test images that are in training or validation too, and the digest of every image."""

    duplicates: int = 0
    near_duplicates: int | None = None
    notes: list[str] = field(default_factory=list)
    digests: dict[str, Digests] = field(default_factory=dict)
    """uint8, N × 16, per split."""


_CELLS = 13


def thumbnails(block: Pixels, cells: int = _CELLS) -> Pixels:
    """Return uint8 N × (cells · cells · 3): the rounded means of `cells` × `cells` areas of each image, or fewer."""
    count, size = block.shape[:2]
    edges = np.linspace(0, size, min(cells, size) + 1).astype(int)
    places = np.arange(size)
    within = ((places >= edges[:-1, None]) & (places < edges[1:, None])).astype(np.float32)
    # Sums as products, which take a quarter of the time; float32 holds whole numbers exactly up to 2^24.
    down = within @ block.reshape(count, size, size * 3).astype(np.float32)
    sums = (within @ down.reshape(-1, size, 3)).astype(np.uint32).reshape(count, len(within), len(within), 3)
    areas = np.diff(edges)[:, None] * np.diff(edges)[None, :]
    small: Pixels = ((sums + areas[..., None] // 2) // areas[..., None]).astype(np.uint8).reshape(len(block), -1)
    return small


def _coarse(small: Pixels) -> npt.NDArray[np.float64]:
    """Return N × 12 of which the sum of absolute differences never exceeds the mean absolute difference of `small`.

    The mean over a quarter of the thumbnail, weighted by its share: by the triangle inequality |mean| ≤ mean of |…|.
    """
    side = round((small.shape[1] / 3) ** 0.5)
    halves = [slice(side // 2), slice(side // 2, side)] if side > 1 else [slice(side)]
    # Whole rows first: a few long additions.
    grid = small.reshape(len(small), side, 3 * side)
    rows = np.stack([np.add.reduce(grid[:, half], axis=1, dtype=np.uint32) for half in halves], axis=1)
    rows = rows.reshape(len(small), len(halves), side, 3)
    sums = np.stack([rows[:, :, half].sum(axis=2, dtype=np.uint32) for half in halves], axis=2)
    coarse: npt.NDArray[np.float64] = sums.reshape(len(small), -1) / small.shape[1]
    return coarse


def _nearly(
    near: npt.NDArray[np.float64], far: npt.NDArray[np.float64], most: float
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float64]]:
    """Return the pairs of rows of `near` (M × K) and `far` (N × K) whose sum of absolute differences is below `most`.

    Indices into both and that sum, each of one length.
    """
    try:
        from scipy.spatial.distance import cdist
    except ModuleNotFoundError:  # processes that train do without scipy, which takes long to import
        # The sums of two rows differ by no more than the rows do: few rows are near enough to look at.
        sums, order = far.sum(axis=1), np.argsort(far.sum(axis=1))
        first, last = (
            np.searchsorted(sums[order], near.sum(axis=1) + margin) for margin in (-most - 1e-6, most + 1e-6)
        )
        far, parts = far[order], []
        for row, (start, end) in enumerate(zip(first, last, strict=True)):
            distances = np.abs(far[start:end] - near[row]).sum(axis=1)
            below = np.flatnonzero(distances < most)
            parts.append((np.full(len(below), row), order[start + below], distances[below]))
        query, candidate, rough = (np.concatenate(part) for part in zip(*parts, strict=True))
        return query, candidate, rough
    distances = cdist(near, far, "cityblock")
    query, candidate = np.nonzero(distances < most)
    return query, candidate, distances[query, candidate]


def near_twins(queries: Pixels, known: Pixels, threshold: float = THRESHOLD) -> npt.NDArray[np.bool_]:
    """Say for each of the thumbnails `queries` whether one in `known` differs by less than `threshold` on average.

    A coarse distance that is never too large leaves few candidates, which are then compared in full, nearest first.
    """
    found = np.zeros(len(queries), bool)
    if not (len(known) and len(queries)):
        return found
    far, near = _coarse(known), _coarse(queries)
    step = max(1, _PAIRS // len(known))
    for start in range(0, len(queries), step):
        query, candidate, rough = _nearly(near[start : start + step], far, threshold)
        # A query's candidates in the order of their rough distance; rank 0 is its best.
        order = np.lexsort((rough, query))
        query, candidate = query[order], candidate[order]
        first = np.searchsorted(query, query)
        rank = np.arange(len(query)) - first
        lowest = 0
        for highest in (1, 4, 16, 64, 256, 1024, len(known)):
            chosen = np.flatnonzero((rank >= lowest) & (rank < highest) & ~found[start + query])
            for part in range(0, len(chosen), 4096):
                rows = chosen[part : part + 4096]
                difference = queries[start + query[rows]].astype(np.int16) - known[candidate[rows]]
                hits = np.abs(difference).mean(axis=1) < threshold
                found[start + query[rows[hits]]] = True
            lowest = highest
    return found


def _scan(pixels: Pixels) -> tuple[Digests, Pixels]:
    """Return a digest and a thumbnail of every image."""
    digests = np.empty((len(pixels), 16), np.uint8)
    small = np.empty((len(pixels), 3 * min(_CELLS, pixels.shape[1]) ** 2), np.uint8)
    step = max(1, _BLOCK_BYTES // max(1, pixels[:1].nbytes))

    def scan(start: int) -> None:
        block = np.asarray(pixels[start : start + step])
        digests[start : start + step], small[start : start + step] = digests_of(block), thumbnails(block)
        release(pixels)

    with ThreadPoolExecutor(thread_count(usable_cores())) as pool:
        list(pool.map(scan, range(0, len(pixels), step)))  # what a thread raises is raised here
    return digests, small


def strictly_split(*settings: Mapping[str, Any]) -> set[str]:
    """Return the splits that whole films or varieties are drawn for under the settings of an import or a selection."""
    strict: set[str] = set()
    for given in settings:
        if given.get("split_by") in ("film", "variety"):
            strict |= {"test", "validation"}
        if given.get("validation_by") == "film":
            strict.add("validation")
    return strict


def examine(splits: dict[str, tuple[Pixels, Labels]], near: bool = True, strict: Container[str] = ()) -> Leakage:
    """Count the test images with equal pixels in training or validation, of any class, and the near-twins.

    A near-twin is an image of the same class whose 13 × 13 thumbnail differs by less than 3 of 255 on average.
    The notes advise a stricter split, except for those in `strict`. `splits` are images and labels, by split.
    """
    found = Leakage()
    labels = {split: of_split for split, (_, of_split) in splits.items()}
    scans = {split: _scan(splits[split][0]) for split in SPLITS}
    found.digests = {split: scans[split][0] for split in SPLITS}
    known = {row.tobytes() for split in ("train", "validation") for row in found.digests[split]}
    found.duplicates = sum(row.tobytes() in known for row in found.digests["test"])
    if found.duplicates:
        found.notes.append(
            f"{counted(found.duplicates, 'test image is', 'test images are')} also in training, pixel for pixel."
        )
    if not near:
        return found
    twins = {"test": 0, "validation": 0}

    def compare(label: int) -> tuple[int, int]:
        own = {split: scans[split][1][labels[split] == label] for split in SPLITS}
        training = np.concatenate([own["train"], own["validation"]])
        in_test = int(near_twins(own["test"], training).sum())
        return in_test, int(near_twins(own["validation"], own["train"]).sum())

    with ThreadPoolExecutor(thread_count(usable_cores())) as pool:
        for in_test, in_validation in pool.map(
            compare, range(int(max(each.max(initial=-1) for each in labels.values())) + 1)
        ):
            twins["test"] += in_test
            twins["validation"] += in_validation
    found.near_duplicates = twins["test"]
    for split, meaning, stricter in (
        ("test", "the test accuracy says little about what was never seen", "split_by=film or variety"),
        ("validation", "early stopping sees images much like those trained on", "validation_by=film"),
    ):
        share = twins[split] / max(1, len(labels[split]))
        if share >= _SHARE_WORTH_SAYING:
            advice = "" if split in strict else f"; {stricter} is stricter"
            found.notes.append(f"{share:.0%} of the {split} images have a near-twin in training: {meaning}{advice}.")
    return found
