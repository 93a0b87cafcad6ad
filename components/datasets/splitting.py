"""Cuts a validation split from training, and a test split where the source names none: stratified and seeded."""

from __future__ import annotations

import unicodedata
import zlib

import numpy as np
import numpy.typing as npt

from headstart.components.datasets.collection import TEST, TRAIN, UNASSIGNED, VALIDATION, Collection
from headstart.components.datasets.settings import ImportSettings
from headstart.components.errors import HeadstartError

Rows = npt.NDArray[np.intp]
_DIRECTIONS = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


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


def draw_groups_jointly(
    labels: npt.NDArray[np.int32], rows: Rows, groups: list[str], share: float, rng: np.random.Generator
) -> Rows:
    """Draw whole groups whose rows are of several classes, so that every class comes near `share` of its rows.

    For groups such as persons or parts, which images of several classes may show: drawn class by class, one of them
    could be in test with one class and in training with another. Ascending rows. No class loses all of its rows, and a
    class gets none if that would take all of one.
    """
    count = int(labels.max()) + 1
    members: dict[str, list[int]] = {}
    for row in rows:
        members.setdefault(groups[row], []).append(int(row))
    names = sorted(members)
    counts = {name: np.bincount(labels[members[name]], minlength=count) for name in names}
    left = np.bincount(labels[rows], minlength=count)
    present, missing = left > 0, share * left
    order = [names[index] for index in rng.permutation(len(names))]
    drawn: list[str] = []

    def draw(name: str) -> bool:
        nonlocal left, missing
        if name in drawn or (left - counts[name] <= 0)[present].any():  # it would leave a class without images
            return False
        drawn.append(name)
        left, missing = left - counts[name], missing - counts[name]
        return True

    for name in order:
        if np.abs(missing - counts[name]).sum() < np.abs(missing).sum():
            draw(name)
    for index in np.flatnonzero(present):
        if not any(counts[name][index] for name in drawn):
            any(draw(name) for name in sorted(order, key=lambda name: int(counts[name].sum())) if counts[name][index])
    return np.array(sorted(row for name in drawn for row in members[name]), np.intp)


def _spans_classes(collection: Collection) -> bool:
    """Say whether a group has images of more than one class."""
    return len(set(zip(collection.groups, collection.labels.tolist(), strict=True))) > len(set(collection.groups))


def _drawn_jointly(collection: Collection) -> bool:
    return bool(collection.groups) and (collection.groups_given or _spans_classes(collection))


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
    if _drawn_jointly(collection):
        return
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


def _draw_split(collection: Collection, split: int, share: float, by: str, seed: int) -> None:
    """Move the share of every class's training images to `split`, in place; images without a split were made such."""
    splits, labels = collection.splits, collection.labels
    name = {TEST: "test", VALIDATION: "validation"}[split]
    if by != "image" and _drawn_jointly(collection):
        rows = np.flatnonzero(splits == TRAIN)
        drawn = (
            draw_groups_jointly(labels, rows, collection.groups, share, generator(seed, name)) if len(rows) else rows
        )
        if collection.groups_given and split == VALIDATION and len(rows) and not len(drawn):
            raise HeadstartError(
                f"{collection.name}: no whole group can go to validation that leaves training images of every class; "
                f"groups left: {len({collection.groups[row] for row in rows})}.",
                "Give the images of each class three or more groups, or use split_by=image, which divides groups.",
            )
        without = sorted(set(labels[rows].tolist()) - set(labels[drawn].tolist()))
        if without and split == TEST:
            names = ", ".join(collection.classes[index] for index in without[:5])
            raise HeadstartError(
                f"{collection.name}: no whole groups can be drawn that give test images of {names} and leave training "
                f"images of every class; groups in all: {len({collection.groups[row] for row in rows})}.",
                "Give the images of each class two or more groups, or use split_by=image.",
            )
        splits[drawn] = split
        return
    for index, label in enumerate(collection.classes):
        rows = np.flatnonzero((labels == index) & (splits == TRAIN))
        if len(rows):
            splits[_draw(collection, rows, share, by, generator(seed, name, label), label)] = split


def _note_films(collection: Collection) -> None:
    films, images = len(set(collection.groups)), len(collection)
    collection.notes.append(f"{films} films in {images} images.")
    if films == images > 0:
        collection.notes.append(
            "Every image is a film of its own, so that nothing is kept together: no two names share their folder and "
            "the part before a number. A table with a group column says which images belong together."
        )


def _take_missing_test(collection: Collection, settings: ImportSettings) -> None:
    """Settle where test images come from if the source has splits but no test split."""
    splits = collection.splits
    if (splits == TEST).any() or (splits == UNASSIGNED).any() or not (splits == TRAIN).any():
        return
    if (splits == VALIDATION).any() and settings.missing_test == "validation":
        splits[splits == VALIDATION] = TEST
        collection.notes.append(
            "There is no test split: the validation split is used for test, and validation is cut from training "
            "(missing_test=train cuts test from training instead)."
        )
        return
    splits[splits == TRAIN] = UNASSIGNED
    collection.notes.append(
        f"There is no test split: {settings.test_share:g} of each class's training images were cut off for test."
    )


def assign_splits(collection: Collection, settings: ImportSettings) -> None:
    """Give every image its split, in place, and put the rows in the order of split, class and path.

    Class names that would break a line or a text's direction are refused, since they go into files of one per line.
    """
    check_class_names(collection.classes, collection.name)
    splits, labels = collection.splits, collection.labels
    every = [np.flatnonzero(labels == index) for index in range(len(collection.classes))]
    redrawn = settings.split_by != "official"
    grouped = settings.split_by in ("film", "variety")
    if collection.groups and "film" in (settings.split_by, settings.validation_by):
        _note_films(collection)
    if not redrawn:
        _take_missing_test(collection, settings)
    if grouped and not any(_several_groups(collection, rows) for rows in every) and (splits != UNASSIGNED).all():
        collection.notes.append(f"No class has more than one {settings.split_by}; the split of the source was kept.")
        redrawn = grouped = False
        _take_missing_test(collection, settings)
    if redrawn:
        if (splits != UNASSIGNED).any():
            collection.notes.append(f"The split was drawn by {settings.split_by}; the one of the source was not used.")
        splits[:] = UNASSIGNED
        if grouped:
            _note_single_groups(collection, settings.split_by, TEST, every)
    by = settings.split_by if grouped else "film" if collection.groups_given else "image"
    unassigned = splits == UNASSIGNED
    if unassigned.any():
        named = splits.copy()
        splits[~unassigned] = UNASSIGNED  # what has a split is not drawn from
        splits[unassigned] = TRAIN
        _draw_split(collection, TEST, settings.test_share, by, settings.seed)
        splits[~unassigned] = named[~unassigned]
    if not (splits == VALIDATION).any():
        by = by if grouped or collection.groups_given else settings.validation_by
        if by == "film":
            train = [np.flatnonzero((labels == index) & (splits == TRAIN)) for index in range(len(collection.classes))]
            _note_single_groups(collection, by, VALIDATION, train)
        _draw_split(collection, VALIDATION, settings.validation_share, by, settings.seed)
    if collection.groups_given:
        _refuse_divided_groups(collection)
    reorder(collection, np.lexsort((np.arange(len(labels)), labels, splits)))


def _refuse_divided_groups(collection: Collection) -> None:
    splits: dict[str, set[int]] = {}
    for group, split in zip(collection.groups, collection.splits.tolist(), strict=True):
        splits.setdefault(group, set()).add(split)
    divided = sorted(group for group, own in splits.items() if len(own) > 1)
    if divided:
        raise HeadstartError(
            f"{collection.name}: {len(divided)} of {len(splits)} groups have images in several splits, such as "
            f"{', '.join(divided[:3])}.",
            "Correct the split column, or draw another split: split_by=film keeps groups together, split_by=image "
            "divides them.",
        )


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


def check_class_names(names: list[str], where: str) -> None:
    """Refuse class names with control characters, line or paragraph separators, or marks that turn the direction."""
    for name in names:
        for character in name:
            if unicodedata.category(character) in ("Cc", "Zl", "Zp", "Cs") or character in _DIRECTIONS:
                what = unicodedata.name(character, f"control character U+{ord(character):04X}")
                raise HeadstartError(
                    f"{where}: class name {name!a} has a {what.lower()} in it.", "Rename the class without it."
                )


def check_classes(collection: Collection, where: str, settings: ImportSettings) -> None:
    """Refuse or drop, as the setting `incomplete_classes` says, classes that lack training or test images."""
    by_case: dict[str, list[str]] = {}
    for label in collection.classes:
        by_case.setdefault(label.strip().casefold(), []).append(label)
    for alike in by_case.values():
        if len(alike) > 1:
            collection.notes.append(f"{' and '.join(map(repr, alike))} are different classes.")
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
            differing = [own for own in by_case.values() if len(own) > 1]
            remedy = (
                f"{' and '.join(differing[0])} differ in case only: give their folders one name"
                if differing
                else "Add the images that are missing (a published set that lacks them is an incomplete copy)"
            )
            raise HeadstartError(
                f"{where}: {what}.",
                f"{remedy}, or do without them by the setting incomplete_classes=drop, or draw the split from all "
                "images by split_by=image.",
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
