"""Collects images from trees of folders: splits that hold classes, classes that hold splits, and classes alone."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from headstart.components.datasets.collection import TEST, TRAIN, UNASSIGNED, VALIDATION, Collection, counted
from headstart.components.datasets.folders import (
    FoundFile,
    composed,
    find_files,
    holds_files,
    is_fruits_frame,
    is_image,
    kinds,
    may_be_image,
    subfolders,
    to_convert,
)
from headstart.components.datasets.settings import ImportSettings
from headstart.components.datasets.split_names import split_names, split_of
from headstart.components.errors import HeadstartError
from headstart.components.regular_files import is_litter

_LEVELS = {"first": 0, "second": 1, "third": 2}
_GENERIC = frozenset({"images", "image", "imgs", "img", "unlabeled", "unlabelled", "unknown"})
_DETECTION = frozenset({"labels", "annotations", "masks", "bboxes"})
_WHAT = {TRAIN: "training", VALIDATION: "validation", TEST: "test"}


def split_folders(root: Path) -> dict[int, list[Path]]:
    """Return the folders directly in `root` that are named as splits and hold folders, by split.

    A folder called Train that holds images directly, beside others that are no splits, is a class.
    """
    children = {child.name: child for child in subfolders(root)}
    named = split_names(children)
    if TRAIN not in named or not any(subfolders(children[name]) for name in named[TRAIN]):
        return {}
    if set(named) == {TRAIN}:
        own = {child.name for name in named[TRAIN] for child in subfolders(children[name])}
        beside = [child for name, child in children.items() if name not in named[TRAIN] and _holds_images(child)]
        # Bus, Car, Train, Truck with their varieties are classes; Training and Tset are splits, one of them misspelt.
        if beside and not any(own & {child.name for child in subfolders(folder)} for folder in beside):
            return {}
    return {split: [children[name] for name in names] for split, names in named.items()}


def _holds_images(folder: Path) -> bool:
    return any(is_image(file.path) for file in find_files(folder))


def find_split_root(root: Path, depth: int = 5) -> Path | None:
    """Return the folder at or below `root` that has a training folder in it, or None.

    HeadstartError if there are several, at whatever depth, as in an archive that holds more than one release.
    """
    level, holders = [root], []
    for _ in range(depth + 1):
        below: list[Path] = []
        for folder in level:
            if split_folders(folder):
                holders.append(folder)
            else:
                below += subfolders(folder)
        level = below[:2000]
    if len(holders) > 1:
        names = ", ".join(str(folder.relative_to(root)) for folder in holders[:5])
        raise HeadstartError(
            f"{root}: {len(holders)} data sets lie below it: {names}.", "Name the folder of one of them."
        )
    return holders[0] if holders else None


def read_split_tree(root: Path, name: str, settings: ImportSettings, within: Path | None = None) -> Collection:
    """Collect `<split>/<class>/*` or `<split>/<class>/<variety>/*` below `root`, a folder with split folders in it.

    Images that lie below `within`, the folder that the user named, but in no split are left out and counted.
    """
    named = split_folders(root)
    for split, folders in named.items():
        if len(folders) > 1:
            raise HeadstartError(
                f"{root}: {folders[0].name} and {folders[1].name} name the same split ({_WHAT[split]}).",
                "Name a folder that holds one of them.",
            )
    pooled = settings.split_by != "official"
    published = name in ("cifar100", "fruits360")
    children = [child for child in root.iterdir() if not is_litter(child.name)]
    misspelt = set(named) == {TRAIN} and any(
        child.is_dir() and child != named[TRAIN][0] and _holds_images(child) for child in children
    )
    if TEST not in named and not pooled and (published or misspelt):
        found = ", ".join(sorted(child.name for child in children)[:10]) or "nothing"
        raise HeadstartError(
            f"{root}: no split folder Test (or Testing, test); found {found}.",
            "Name the folder that has both, or draw the split from all images with split_by=image.",
        )
    notes: list[str] = []
    files: list[tuple[int, FoundFile]] = []
    classes = {child.name for child in subfolders(_content(named[TRAIN][0], TRAIN))}
    bare: dict[int, list[FoundFile]] = {}
    for split, (folder, *_) in sorted(named.items()):
        content = _content(folder, split)
        prefix = content.relative_to(root).as_posix()
        found_files = [FoundFile(f"{prefix}/{file.path}", file.parts) for file in find_files(content)]
        bare[split] = [file for file in found_files if _is_unlabelled(file, classes) and is_image(file.path)]
        files += [(split, file) for file in found_files if not _is_unlabelled(file, classes)]
        _refuse_empty_classes(content)
    labelled = {split for split, file in files if may_be_image(file.path)}
    for split, own in bare.items():
        if not own:
            continue
        if split not in labelled:
            _refuse_unlabelled(named[split][0], split, own, labelled, pooled)
        place = named[split][0].name
        lie = counted(len(own), f"image in {place} lies", f"images in {place} lie")
        notes.append(f"{lie} in no class folder, such as {own[0].path}; left out, having no label.")
    _refuse_detection({file.parts[0] for _, file in files}, root)
    _refuse_splits_within_splits(root, files)
    notes += _beside(within or root, [folder for folders in named.values() for folder in folders])
    return _collection(root, name, files, settings, notes)


def _content(folder: Path, split: int) -> Path:
    """Return the folder whose folders are classes: `folder`, or one below it, as in train/train/cats."""
    for _ in range(3):
        inner = _only_folder(folder)
        if inner is None or (split_of(inner.name) != split and inner.name.lower() not in _GENERIC):
            break
        folder = inner
    return folder


def _only_folder(folder: Path) -> Path | None:
    """Return the folder that is all there is in `folder`, where there are folders in it in turn; else None."""
    children = [child for child in folder.iterdir() if not is_litter(child.name)]
    return children[0] if len(children) == 1 and children[0].is_dir() and subfolders(children[0]) else None


def _is_unlabelled(file: FoundFile, classes: set[str]) -> bool:
    return not file.parts or (file.parts[0].lower() in _GENERIC and file.parts[0] not in classes)


def _refuse_unlabelled(folder: Path, split: int, bare: list[FoundFile], labelled: set[int], pooled: bool) -> None:
    """A split of unlabelled images is left out if another can do its work, and refused if none can."""
    if split != TRAIN and (pooled or {VALIDATION, TEST} & labelled):
        return
    raise HeadstartError(
        f"{folder}: {counted(len(bare), 'image lies', 'images lie')} in no class folder, such as {bare[0].path}: "
        "nothing says to which class it belongs.",
        f"Expected {folder.name}/<class>/{Path(bare[0].path).name}."
        + (
            ""
            if split == TRAIN
            else " To leave them out and test on some of the labelled ones, use split_by=image (--split-by image)."
        ),
    )


def _refuse_splits_within_splits(root: Path, files: list[tuple[int, FoundFile]]) -> None:
    below: dict[str, set[str]] = defaultdict(set)
    for _, file in files:
        below[file.parts[0]].update(file.parts[1:2])
    for name, own in below.items():
        if split_of(name) is not None and own & set(below):
            raise HeadstartError(
                f"{root}: {name} lies beside classes and holds folders of the same names "
                f"({', '.join(sorted(own)[:5])}).",
                "If it is a split, move it beside the training folder; if it is a class, rename it.",
            )


def _refuse_detection(classes: set[str], root: Path) -> None:
    names = {name.lower() for name in classes}
    if names & _DETECTION and names <= _DETECTION | _GENERIC:
        raise HeadstartError(
            f"{root}: it holds {', '.join(sorted(classes))}: a data set of boxes or masks, not of classes.",
            "Export it for classification, one folder per class.",
        )


def _beside(within: Path, used: list[Path]) -> list[str]:
    """Note the images below `within` that lie in no split."""
    places = [folder.relative_to(within).parts for folder in used]
    counts: dict[str, int] = defaultdict(int)
    for file in _files_outside(within, set(places)):
        counts["/".join(file.parts) or "no folder"] += 1
    if not counts:
        return []
    some = ", ".join(f"{place} ({count})" for place, count in sorted(counts.items())[:5])
    return [
        f"{counted(sum(counts.values()), 'image lies', 'images lie')} beside the split folders; left out: {some}"
        f"{', …' if len(counts) > 5 else ''}. layout=class_folders takes every folder as a class instead."
    ]


def _files_outside(root: Path, used: set[tuple[str, ...]], parts: tuple[str, ...] = ()) -> list[FoundFile]:
    """List the images below `root` that are not in one of the folders `used`."""
    if not any(place[: len(parts)] == parts for place in used):
        return [FoundFile(file.path, (*parts, *file.parts)) for file in find_files(root) if is_image(file.path)]
    found = [
        FoundFile(child.name, parts)
        for child in sorted(root.iterdir())
        if child.is_file() and not is_litter(child.name) and is_image(child.name)
    ]
    for child in subfolders(root):
        if (*parts, child.name) not in used:
            found += _files_outside(child, used, (*parts, child.name))
    return found


def find_class_root(root: Path) -> Path:
    """Return the folder whose folders are classes: `root`, or the one below it where it holds nothing but that one."""
    for _ in range(5):
        root = _only_folder(root) or root
    return root


def read_class_tree(root: Path, name: str, settings: ImportSettings) -> Collection:
    """Collect `<class>/*`, or `<class>/<split>/*`, below `root`; without splits they are drawn later."""
    _refuse_empty_classes(root)
    found = find_files(root)
    loose = [file.path for file in found if not file.parts and is_image(file.path)]
    files = [(UNASSIGNED, file) for file in found if file.parts]
    classes = {file.parts[0] for _, file in files if may_be_image(file.path)}
    notes: list[str] = []
    _refuse_detection({file.parts[0] for _, file in files}, root)
    if settings.layout != "class_folders":
        inner = _splits_within(files)
        if inner:
            notes.append("The splits lie inside the class folders (<class>/<split>/*); they were kept.")
            files = inner
        else:
            _refuse_splits_as_classes(root, classes, settings)
            if settings.class_level == "first" and not settings.class_below:
                _refuse_same_subfolders(root, files)
    if len(classes) == 1:
        count = counted(sum(may_be_image(file.path) for _, file in files), "image", "images")
        raise HeadstartError(
            f"{root}: one class folder only ({min(classes)}, {count}); a classifier needs two or more.",
            "Name the folder above the class folders, or add another class.",
        )
    if loose and classes:
        notes.append(
            f"{counted(len(loose), 'image lies', 'images lie')} beside the class folders, such as {loose[0]}; left "
            "out, having no label."
        )
    return _collection(root, name, files, settings, notes)


def _splits_within(files: list[tuple[int, FoundFile]]) -> list[tuple[int, FoundFile]]:
    """Return the files with the splits that their second folders name, or [] unless that holds in every class."""
    inner: list[tuple[int, FoundFile]] = []
    splits: dict[str, set[int]] = defaultdict(set)
    for _, file in files:
        split = split_of(file.parts[1]) if len(file.parts) > 1 else None
        if split is None:
            if may_be_image(file.path):
                return []
            continue
        splits[file.parts[0]].add(split)
        inner.append((split, FoundFile(file.path, (file.parts[0], *file.parts[2:]))))
    whole = all(TRAIN in own and len(own) > 1 for own in splits.values())
    return inner if whole and len(splits) > 1 else []


def _refuse_splits_as_classes(root: Path, classes: set[str], settings: ImportSettings) -> None:
    named = split_names(classes)
    if len(named) < 2 or settings.layout == "image_folder":
        return
    names = ", ".join(sorted(name for own in named.values() for name in own))
    raise HeadstartError(
        f"{root}: {names} are named like splits, but hold no class folders that training and test share.",
        "Expected <split>/<class>/*, such as train/apple/1.jpg and test/apple/2.jpg. If they are classes, "
        "use layout=class_folders.",
    )


def _refuse_same_subfolders(root: Path, files: list[tuple[int, FoundFile]]) -> None:
    below: dict[str, set[str]] = defaultdict(set)
    for _, file in files:
        if len(file.parts) > 1 and may_be_image(file.path):
            below[file.parts[0]].add(file.parts[1])
    folders = sorted(below)
    for number, one in enumerate(folders):
        for other in folders[number + 1 :]:
            shared = below[one] & below[other]
            if len(shared) > 1 and 2 * len(shared) >= max(len(below[one]), len(below[other])):
                names = ", ".join(sorted(shared)[:5])
                raise HeadstartError(
                    f"{root}: {one} and {other} hold the same folders ({names}), so that either could be the classes.",
                    f"If {one} and {other} are splits, rename them train and test. If {names} are the classes, use "
                    f"class_level=second. If {one} and {other} are the classes, use layout=class_folders.",
                )


def _refuse_empty_classes(root: Path) -> None:
    for child in subfolders(root):
        if not holds_files(child):
            raise HeadstartError(f"{child}: the class has no files.", "Add images or remove the folder.")


def _level_notes(parts: list[tuple[str, ...]], level: int) -> list[str]:
    """Note what other folder levels would give, and classes that folders of one name were merged into."""
    notes: list[str] = []
    deepest = max(map(len, parts), default=1)
    chosen = len({own[_place(own, level)] for own in parts})
    if level == 0 and deepest > 1:
        counts = {name: len({own[_place(own, place)] for own in parts}) for name, place in _LEVELS.items()}
        counts["last"] = len({own[-1] for own in parts})
        others = {name: count for name, count in counts.items() if count > chosen and name != "first"}
        distinct = {count: name for name, count in others.items()}
        if distinct:
            what = ", ".join(f"class_level={name} gives {count}" for count, name in sorted(distinct.items()))
            notes.append(f"The first folder level names the {chosen} classes; {what}.")
    merged: dict[str, set[str]] = defaultdict(set)
    for own in parts:
        place = _place(own, level)
        merged[own[place]].add("/".join(own[: place + 1]))
    several = {name: sorted(paths) for name, paths in merged.items() if len(paths) > 1}
    if several:
        name = min(several)
        notes.append(
            f"{len(several)} classes take in folders of one name from several places, such as {name}: "
            f"{', '.join(several[name][:3])}."
        )
    return notes


def _place(parts: tuple[str, ...], level: int) -> int:
    return len(parts) - 1 if level < 0 else min(level, len(parts) - 1)


def _below(root: Path, parts: list[tuple[str, ...]], names: str) -> list[tuple[str, ...]]:
    """Return the folders of each image without the outer ones that `class_below` names as mere groups of classes."""
    groups = {name.strip() for name in names.split(",") if name.strip()}
    if not groups:
        return parts
    unknown = groups - {part for own in set(parts) for part in own}
    if unknown:
        raise HeadstartError(
            f"{root}: no folder is called {' or '.join(sorted(unknown))}, which class_below names.",
            f"Name folders that hold class folders, such as {', '.join(sorted({own[0] for own in parts})[:5])}.",
        )
    found = []
    for own in parts:
        first = next((place for place, part in enumerate(own) if part not in groups), len(own) - 1)
        found.append(own[first:])
    return found


def _collection(
    root: Path, name: str, files: list[tuple[int, FoundFile]], settings: ImportSettings, notes: list[str]
) -> Collection:
    others = [file.path for _, file in files if not may_be_image(file.path)]
    if others:
        files = [(split, file) for split, file in files if may_be_image(file.path)]
    if not any(is_image(file.path) for _, file in files):
        paths = [file.path for _, file in files] + others
        raise HeadstartError(f"{root}: no images in it; found {kinds(paths)}.", to_convert(paths))
    if others:
        notes.append(f"Left out, being no images: {counted(len(others), 'file', 'files')} ({kinds(others)}).")
    level = _LEVELS.get(settings.class_level, -1)
    below = _below(root, [file.parts for _, file in files], settings.class_below)
    class_of = [parts[_place(parts, level)] for parts in below]
    notes += _level_notes(sorted(set(below)), level)
    classes = sorted(set(class_of))
    position = {label: index for index, label in enumerate(classes)}
    order = sorted(
        range(len(files)), key=lambda row: (files[row][0], position[class_of[row]], composed(files[row][1].path))
    )
    labels = np.array([position[class_of[row]] for row in order], np.int32)
    splits = np.array([files[row][0] for row in order], np.int8)
    by_variety = settings.split_by == "variety"
    paths = [files[row][1].path for row in order]
    notes += _linked_classes(root, sorted({(class_of[row], *files[row][1].path.split("/")[:-1]) for row in order}))
    return Collection(
        name=name,
        classes=classes,
        labels=labels,
        splits=splits,
        root=root,
        paths=paths,
        # One text for all images of a film.
        groups=[sys.intern("/".join(files[row][1].parts) if by_variety else files[row][1].film) for row in order],
        grouped=settings.layout == "fruits360" or all(map(is_fruits_frame, paths)),
        notes=notes,
    )


def _linked_classes(root: Path, folders: list[tuple[str, ...]]) -> list[str]:
    """Note class folders that are one and the same folder, by links."""
    places: dict[tuple[int, int], set[str]] = defaultdict(set)
    for label, *parts in folders:
        status = root.joinpath(*parts).stat()
        places[status.st_dev, status.st_ino].add(label)
    shared = sorted(sorted(labels) for labels in places.values() if len(labels) > 1)
    return [
        f"The classes {' and '.join(labels)} are links to one folder: each of its images carries both labels."
        for labels in shared
    ]
