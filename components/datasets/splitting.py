"""Cuts a validation split from training, and a test split where the source names none: stratified and seeded."""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

from headstart.components.datasets.collection import TEST, TRAIN, UNASSIGNED, VALIDATION, Collection
from headstart.components.datasets.settings import ImportSettings
from headstart.components.errors import HeadstartError

Rows = npt.NDArray[np.intp]


def generator(seed: int, *names: str) -> np.random.Generator:
    """Return a generator that depends on `seed` and what it is for, so that one choice does not move another."""
    return np.random.Generator(np.random.PCG64([seed, *(zlib.crc32(name.encode()) for name in names)]))


def draw_rows(rows: Rows, share: float, rng: np.random.Generator) -> Rows:
    """Draw the rounded `share` of `rows`, at least one and never all of them; in ascending order."""
    count = min(max(1, round(share * len(rows))), len(rows) - 1)
    return np.sort(rng.permutation(rows)[:count])


def draw_groups(rows: Rows, groups: list[str], share: float, rng: np.random.Generator) -> Rows:
    """Draw whole groups, in random order, that each bring their rows nearer to `share`; never none and never all."""
    members: dict[str, list[int]] = {}
    for row in rows:
        members.setdefault(groups[row], []).append(int(row))
    names = sorted(members)
    drawn: list[str] = []
    missing = share * len(rows)
    for name in [names[index] for index in rng.permutation(len(names))]:
        if len(drawn) < len(names) - 1 and abs(missing - len(members[name])) < missing:
            drawn.append(name)
            missing -= len(members[name])
    drawn = drawn or [min(names, key=lambda name: len(members[name]))]
    return np.array(sorted(row for name in drawn for row in members[name]), np.intp)


def _draw(collection: Collection, rows: Rows, share: float, by: str, rng: np.random.Generator, label: str) -> Rows:
    if len(rows) < 2:
        raise HeadstartError(
            f"Class {label} has {len(rows)} image to divide into two splits; two or more are needed.",
            "Add images or remove the class.",
        )
    if by != "image" and _several_groups(collection, rows):
        return draw_groups(rows, collection.groups, share, rng)
    return draw_rows(rows, share, rng)


def _several_groups(collection: Collection, rows: Rows) -> bool:
    return bool(collection.groups) and len({collection.groups[row] for row in rows}) > 1


def _note_single_groups(collection: Collection, by: str, split: int, rows_of: list[Rows]) -> None:
    single = [
        name for name, rows in zip(collection.classes, rows_of, strict=True) if not _several_groups(collection, rows)
    ]
    if single:
        names = ", ".join(single[:5]) + (", …" if len(single) > 5 else "")
        what = "test" if split == TEST else "validation"
        collection.notes.append(
            f"The {what} images of {len(single)} of {len(rows_of)} classes were drawn one by one, since all images "
            f"of such a class are of one {by}: {names}."
        )


def assign_splits(collection: Collection, settings: ImportSettings) -> None:
    """Give every image its split, in place, and put the rows in the order of split, class and path."""
    splits, labels = collection.splits, collection.labels
    every = [np.flatnonzero(labels == index) for index in range(len(collection.classes))]
    anew = settings.split_by != "official"
    grouped = settings.split_by in ("film", "variety")
    if grouped and not any(_several_groups(collection, rows) for rows in every) and (splits != UNASSIGNED).all():
        collection.notes.append(f"No class has more than one {settings.split_by}; the split of the source was kept.")
        anew = grouped = False
    if anew:
        if (splits != UNASSIGNED).any():
            collection.notes.append(f"The split was drawn by {settings.split_by}; the one of the source was not used.")
        splits[:] = UNASSIGNED
        if grouped:
            _note_single_groups(collection, settings.split_by, TEST, every)
    by = settings.split_by if grouped else "image"
    for index, label in enumerate(collection.classes):
        rows = np.flatnonzero((labels == index) & (splits == UNASSIGNED))
        if len(rows):
            splits[rows] = TRAIN
            splits[_draw(collection, rows, settings.test_share, by, generator(settings.seed, "test", label), label)] = (
                TEST
            )
    if not (splits == VALIDATION).any():
        by = by if grouped else settings.validation_by
        if by == "film":
            train = [np.flatnonzero((labels == index) & (splits == TRAIN)) for index in range(len(collection.classes))]
            _note_single_groups(collection, by, VALIDATION, train)
        for index, label in enumerate(collection.classes):
            rows = np.flatnonzero((labels == index) & (splits == TRAIN))
            if len(rows):
                rng = generator(settings.seed, "validation", label)
                splits[_draw(collection, rows, settings.validation_share, by, rng, label)] = VALIDATION
    reorder(collection, np.lexsort((np.arange(len(labels)), labels, splits)))


def reorder(collection: Collection, order: npt.NDArray[np.intp]) -> None:
    """Keep the rows `order` of a collection, in that order, in place."""
    collection.labels = collection.labels[order]
    collection.splits = collection.splits[order]
    if collection.paths:
        collection.paths = [collection.paths[row] for row in order]
    if collection.groups:
        collection.groups = [collection.groups[row] for row in order]
    if collection.pixels is not None:
        collection.pixels = collection.pixels[order]


def check_classes(collection: Collection, where: str, settings: ImportSettings) -> None:
    """Refuse or drop, as the setting `incomplete_classes` says, classes that lack training or test images."""
    for split, name in ((TRAIN, "training"), (TEST, "test")):
        if not (collection.splits == split).any():
            raise HeadstartError(f"{where}: the {name} split is empty.", "Images are expected in training and in test.")
    present = {split: set(collection.labels[collection.splits == split].tolist()) for split in (TRAIN, TEST)}
    for split, other, name, has in ((TRAIN, TEST, "training", "test"), (TEST, TRAIN, "test", "training")):
        lacking = sorted(present[other] - present[split])
        if not lacking:
            continue
        names = ", ".join(collection.classes[index] for index in lacking[:10])
        what = f"{len(lacking)} of {len(collection.classes)} classes have {has} images but no {name} images: {names}"
        if settings.incomplete_classes == "error":
            raise HeadstartError(
                f"{where}: {what}.",
                "The copy is not whole: fetch it again, or do without them by the setting incomplete_classes=drop.",
            )
        collection.notes.append(f"{what}; they were left out.")
    complete = present[TRAIN] & present[TEST]
    if len(complete) < len(collection.classes):
        keep = sorted(complete)
        reorder(collection, np.flatnonzero(np.isin(collection.labels, keep)))
        position = np.zeros(len(collection.classes), np.int32)
        position[keep] = np.arange(len(keep))
        collection.labels = position[collection.labels]
        collection.classes = [collection.classes[index] for index in keep]
    if len(collection.classes) < 2:
        raise HeadstartError(f"{where}: {len(collection.classes)} class is left; a classifier needs two or more.")
