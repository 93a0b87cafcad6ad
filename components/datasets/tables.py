"""Collects images that a CSV lists with their labels."""

from __future__ import annotations

import csv
from pathlib import Path, PurePosixPath

import numpy as np

from headstart.components.datasets.collection import SPLIT_NAMES, UNASSIGNED, Collection
from headstart.components.datasets.settings import ImportSettings
from headstart.components.errors import HeadstartError


def read_table(path: Path, settings: ImportSettings) -> Collection:
    """Read a CSV with a header; image paths are relative to its folder and must not lead out of it.

    HeadstartError names the line of what is missing. A split column is used where there is one; its values are those
    that folders may be named by.
    """
    rows: list[tuple[int, str, str]] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            for column in (settings.path_column, settings.label_column):
                if column not in columns:
                    raise HeadstartError(
                        f"{path}: no column {column!r}; found {', '.join(map(repr, columns)) or 'no header'}.",
                        "Name the columns with the settings path_column and label_column.",
                    )
            has_split = settings.split_column in columns
            for entry in reader:
                where = f"{path}: line {reader.line_num}"
                name = (entry[settings.path_column] or "").strip().replace("\\", "/")
                label = (entry[settings.label_column] or "").strip()
                if not name or not label:
                    raise HeadstartError(f"{where}: path or label is empty.")
                pure = PurePosixPath(name)
                if pure.is_absolute() or ".." in pure.parts:
                    raise HeadstartError(f"{where}: {name} leads out of the table's folder.", "Use relative paths.")
                split = (entry[settings.split_column] or "").strip().lower() if has_split else ""
                if split and split not in SPLIT_NAMES:
                    raise HeadstartError(f"{where}: split {split!r}; expected {', '.join(SPLIT_NAMES)}.")
                rows.append((SPLIT_NAMES[split] if split else UNASSIGNED, label, str(pure)))
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise HeadstartError(f"{path}: cannot be read as a CSV in UTF-8: {error}.") from error
    classes = sorted({label for _, label, _ in rows})
    rows.sort(key=lambda row: (row[0], row[1], row[2]))
    return Collection(
        name=path.stem,
        classes=classes,
        labels=np.array([classes.index(label) for _, label, _ in rows], np.int32),
        splits=np.array([split for split, _, _ in rows], np.int8),
        root=path.parent,
        paths=[name for _, _, name in rows],
    )
