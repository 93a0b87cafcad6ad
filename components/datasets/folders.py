"""Finds images in folders: trees of splits and classes, and trees of classes alone."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from headstart.components.datasets.collection import SPLIT_NAMES, TEST, TRAIN, UNASSIGNED, Collection
from headstart.components.datasets.images import SUFFIXES
from headstart.components.datasets.settings import ImportSettings
from headstart.components.errors import HeadstartError

_LITTER = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
# Fruits-360 numbers the frames of a film: 110_100.jpg, r_110_100.jpg, r2_7.jpg; the part before the number is the film.
_FRAME = re.compile(r"^(?:([^\W\d]\w*?)_)?(\d+)(?:_\d+)?$")


class FoundFile(NamedTuple):
    """One file below a split or class folder; `parts` are its folders, outermost first, in composed Unicode."""

    path: str
    parts: tuple[str, ...]

    @property
    def film(self) -> str:
        """Name of the film this frame is from: its folders and the part of its name before the number."""
        name = self.path[self.path.rfind("/") + 1 :]
        stem = name[: name.rfind(".")] if "." in name else name
        frame = _FRAME.match(stem)
        return "/".join((*self.parts, (frame[1] or "") if frame else stem))


def composed(name: str) -> str:
    """Return a name in composed Unicode, since file systems differ in how they store an accent."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LITTER


def find_files(root: Path) -> list[FoundFile]:
    """List all files below `root`, without hidden ones, in the order of their paths; links to folders are followed."""
    found: list[FoundFile] = []
    seen: set[tuple[int, int]] = set()

    def visit(folder: str, parts: tuple[str, ...], prefix: str) -> None:
        status = os.stat(folder)  # noqa: PTH116 (a Path a folder is half of the time of a listing)
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: composed(entry.name)):
                if _is_litter(entry.name):
                    continue
                if entry.is_dir():
                    visit(entry.path, (*parts, composed(entry.name)), f"{prefix}{entry.name}/")
                else:
                    found.append(FoundFile(prefix + entry.name, parts))

    visit(str(root), (), "")
    return found


def split_folders(root: Path) -> dict[int, list[Path]]:
    """Return the folders directly in `root` that are named as splits, by split."""
    named: dict[int, list[Path]] = {}
    for child in sorted(root.iterdir()):
        if child.is_dir() and child.name.lower() in SPLIT_NAMES:
            named.setdefault(SPLIT_NAMES[child.name.lower()], []).append(child)
    return named


def find_split_root(root: Path, depth: int = 5) -> Path | None:
    """Return the folder at or below `root` that has a training folder in it, or None.

    HeadstartError if there are several, as in an archive that holds more than one release.
    """
    level = [root]
    for _ in range(depth + 1):
        holders = [folder for folder in level if TRAIN in split_folders(folder)]
        if len(holders) > 1:
            names = ", ".join(str(folder.relative_to(root)) for folder in holders[:5])
            raise HeadstartError(
                f"{root}: {len(holders)} data sets lie below it: {names}.", "Name the folder of one of them."
            )
        if holders:
            return holders[0]
        level = [
            child
            for folder in level
            for child in sorted(folder.iterdir())
            if child.is_dir() and not _is_litter(child.name)
        ][:2000]
    return None


def read_split_tree(root: Path, name: str, settings: ImportSettings) -> Collection:
    """Collect `<split>/<class>/*` or `<split>/<class>/<variety>/*` below `root`, a folder with split folders in it."""
    named = split_folders(root)
    for split, folders in named.items():
        if len(folders) > 1:
            raise HeadstartError(f"{root}: {folders[0].name} and {folders[1].name} name the same split ({split}).")
    expected = {TRAIN: "Training (or train)", TEST: "Test (or Testing, test)"}
    for split, what in expected.items():
        if split not in named:
            found = ", ".join(sorted(child.name for child in root.iterdir())[:10]) or "nothing"
            raise HeadstartError(f"{root}: no split folder {what}; found {found}.", "Name the folder that has both.")
    files: list[tuple[int, FoundFile]] = []
    for split, folders in sorted(named.items()):
        prefix = folders[0].name
        for file in find_files(folders[0]):
            if not file.parts:
                raise HeadstartError(
                    f"{folders[0]}: {file.path} lies in no class folder.", f"Expected {prefix}/<class>/{file.path}."
                )
            files.append((split, FoundFile(f"{prefix}/{file.path}", file.parts)))
        _refuse_empty_classes(folders[0])
    return _collection(root, name, files, settings)


def find_class_root(root: Path) -> Path:
    """Return the folder whose folders are classes: `root`, or the one below it where it holds nothing but that one."""
    for _ in range(5):
        children = [child for child in root.iterdir() if not _is_litter(child.name)]
        if len(children) != 1 or not children[0].is_dir():
            return root
        root = children[0]
    return root


def read_class_tree(root: Path, name: str, settings: ImportSettings) -> Collection:
    """Collect `<class>/*` below `root`; the split is drawn later."""
    files = [(UNASSIGNED, file) for file in find_files(root) if file.parts]
    _refuse_empty_classes(root)
    return _collection(root, name, files, settings)


def _refuse_empty_classes(root: Path) -> None:
    for child in sorted(root.iterdir()):
        if child.is_dir() and not _is_litter(child.name) and not any(_has_files(child)):
            raise HeadstartError(f"{child}: the class has no files.", "Add images or remove the folder.")


def _has_files(folder: Path) -> list[bool]:
    return [True for _, _, files in os.walk(folder) for file in files if not _is_litter(file)][:1]


def _collection(root: Path, name: str, files: list[tuple[int, FoundFile]], settings: ImportSettings) -> Collection:
    level = 0 if settings.class_level == "first" else -1
    class_of = [file.parts[level] for _, file in files]
    classes = sorted(set(class_of))
    position = {label: index for index, label in enumerate(classes)}
    order = sorted(
        range(len(files)), key=lambda row: (files[row][0], position[class_of[row]], composed(files[row][1].path))
    )
    labels = np.array([position[class_of[row]] for row in order], np.int32)
    splits = np.array([files[row][0] for row in order], np.int8)
    by_variety = settings.split_by == "variety"
    collection = Collection(
        name=name,
        classes=classes,
        labels=labels,
        splits=splits,
        root=root,
        paths=[files[row][1].path for row in order],
        groups=["/".join(files[row][1].parts) if by_variety else files[row][1].film for row in order],
    )
    if not any(Path(path).suffix.lower() in SUFFIXES for path in collection.paths):
        kinds = Counter(Path(path).suffix.lower() or "no suffix" for path in collection.paths)
        found = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5)) or "no files"
        raise HeadstartError(f"{root}: no images in it; found {found}.", f"Expected {', '.join(sorted(SUFFIXES))}.")
    return collection
