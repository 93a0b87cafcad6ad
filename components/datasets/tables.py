"""Collects images that a table lists with their labels: CSV with any common separator, or Parquet."""

from __future__ import annotations

import csv
import io
import os
import re
from collections import defaultdict
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from headstart.components.datasets.collection import SPLIT_NAMES, UNASSIGNED, Collection, counted
from headstart.components.datasets.folders import composed, is_image
from headstart.components.datasets.images import SUFFIXES
from headstart.components.datasets.settings import ImportSettings
from headstart.components.datasets.split_names import split_of
from headstart.components.datasets.splitting import check_class_names
from headstart.components.errors import PIP_INSTALL, HeadstartError
from headstart.components.regular_files import LARGEST_TEXT, read_regular

_SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}
_LINE = "line of the file"
"""Name of the column that says where a row begins; no table has one of that name."""


def read_table(path: Path, settings: ImportSettings) -> Collection:
    """Read a table with a header; image paths are relative to its folder and must not lead out of it.

    The separator is the one that gives the columns that were asked for: comma, semicolon, tab or bar; spaces around
    values do not count. UTF-8, or UTF-16 with a byte order mark as Excel writes it. A split column is used if there is
    one; its values are the names that folders may have. HeadstartError names the line of what is wrong.
    """
    table = _parquet(path) if path.suffix.lower() == ".parquet" else _text(path, settings)
    for column in (settings.path_column, settings.label_column):
        if column not in table.columns:
            found = ", ".join(repr(str(name)) for name in table.columns if name != _LINE) or "no header"
            separator = table.attrs.get("separator")
            raise HeadstartError(
                f"{path}: no column {column!r}; found {found}"
                + (f" (separated by {_SEPARATORS[separator]})." if separator else "."),
                "The first line has to name the columns: path,label."
                if any(is_image(str(name)) for name in table.columns)
                else "Name the columns with the settings path_column and label_column.",
            )
    twice = {str(name) for name in table.columns[table.columns.duplicated()]}
    for column in (settings.path_column, settings.label_column, settings.split_column, settings.group_column):
        if column in twice:
            raise HeadstartError(f"{path}: column {column!r} is there twice.", "Rename or remove one of them.")
    blank = pd.Series([""] * len(table))
    columns = [
        table[settings.path_column],
        table[settings.label_column],
        table.get(settings.split_column, blank),
        table.get(settings.group_column, blank),
        table[_LINE],
    ]
    rows: list[tuple[int, str, str, str]] = []
    for name, label, split, group, line in zip(*columns, strict=True):
        rows.append((*_row(f"{path}: line {line}", str(name), str(label), str(split)), str(group).strip()))
    if not rows:
        raise HeadstartError(f"{path}: a header, but no rows.", "List images below it.")
    _refuse_missing_files(path, rows, table[_LINE].tolist())
    classes = sorted({label for _, label, _, _ in rows})
    position = {label: index for index, label in enumerate(classes)}
    rows.sort(key=lambda row: row[:3])
    groups = [group for _, _, _, group in rows]
    notes = _repeated(rows)
    grouped = any(groups) and settings.split_by != "variety"
    if grouped and not all(groups):
        notes.append(f"{groups.count('')} rows have no {settings.group_column}; each is a group of its own.")
    return Collection(
        name=path.stem,
        classes=classes,
        labels=np.array([position[label] for _, label, _, _ in rows], np.int32),
        splits=np.array([split for split, _, _, _ in rows], np.int8),
        root=path.parent,
        paths=[name for _, _, name, _ in rows],
        groups=[group or f"row {name}" for _, _, name, group in rows] if grouped else [],
        grouped=grouped,
        groups_given=grouped and settings.split_by != "image",
        notes=notes,
    )


def _row(where: str, name: str, label: str, split: str) -> tuple[int, str, str]:
    """Return split, label and path of one row, checked."""
    name, label, split = name.strip().replace("\\", "/"), composed(label.strip()), split.strip()
    check_class_names([label], where)
    if not name or not label:
        raise HeadstartError(f"{where}: path or label is empty.", "Give both, or remove the row.")
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or re.match(r"[A-Za-z]:", name):
        raise HeadstartError(f"{where}: {name} leads out of the table's folder.", "Use relative paths.")
    number = split_of(split) if split else UNASSIGNED
    if number is None:
        raise HeadstartError(f"{where}: split {split!r}; expected {', '.join(SPLIT_NAMES)}.")
    return number, label, str(pure)


def _decoded(path: Path) -> str:
    content = read_regular(path, LARGEST_TEXT)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16")
    if b"\0" in content[:1000]:
        raise HeadstartError(f"{path}: line 1: not a table in UTF-8: it has zero bytes.", 'Save it as "CSV UTF-8".')
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise HeadstartError(
            f"{path}: line {line}: cannot be read as a table in UTF-8: {error.reason} "
            f"({error.object[error.start]:#04x}).",
            'Save it as "CSV UTF-8".',
        ) from error


def _text(path: Path, settings: ImportSettings) -> pd.DataFrame:
    try:
        text = _decoded(path).replace("\r\n", "\n").replace("\r", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise HeadstartError(f"{path}: cannot be read as a table: {error}.") from error
    first = 1
    separator = ""
    if said := re.match(r"(?i)\s*\"?sep=(.)\"?\s*\n", text):  # Excel's own first line
        separator, text, first = said[1], text[said.end() :], 2
        if separator not in _SEPARATORS:
            raise HeadstartError(
                f"{path}: line 1: says that {separator!r} separates the columns.",
                f"Use {', '.join(_SEPARATORS.values())}.",
            )
    lead = re.match(r"(?:[ \t]*\n)*", text)
    skipped = lead[0].count("\n") if lead else 0
    text, first = text[lead.end() if lead else 0 :], first + skipped
    header = text.partition("\n")[0]
    separator = separator or _separator(header, settings)
    try:
        table = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            dtype=str,
            keep_default_na=False,
            skipinitialspace=separator != "\t",
            skip_blank_lines=False,
            index_col=False,
            header=None,
            names=None,
            engine="c",
            on_bad_lines="error",
        ).fillna("")
    except pd.errors.EmptyDataError:
        table = pd.DataFrame()
    except (pd.errors.ParserError, csv.Error, ValueError) as error:
        text_of = re.sub(r"line (\d+)", lambda found: f"line {int(found[1]) + first - 1}", str(error))
        text_of = re.sub(r"row (\d+)", lambda found: f"line {int(found[1]) + first}", text_of)
        text_of = text_of.replace("Error tokenizing data. C error: ", "").strip()
        raise HeadstartError(
            f"{path}: cannot be read with {_SEPARATORS.get(separator, repr(separator))} as the separator: {text_of}.",
            "Put values that hold the separator in double quotes.",
        ) from error
    if len(table):
        breaks = table.map(lambda value: value.count("\n")).sum(axis=1).cumsum().shift(fill_value=0)
        lines = [first + number + int(above) for number, above in enumerate(breaks)]
        table.columns = pd.Index([str(name).strip() for name in table.iloc[0]])
        table = table.assign(**{_LINE: lines}).iloc[1:]
        empty = (table.drop(columns=_LINE) == "").all(axis=1)
        table = table[~empty].reset_index(drop=True)
    else:
        table = pd.DataFrame({_LINE: []})
    table.attrs["separator"] = separator
    return table


def _separator(header: str, settings: ImportSettings) -> str:
    """Return the separator that gives the columns that were asked for, or else the most frequent one."""
    wanted = {settings.path_column, settings.label_column}
    for separator in _SEPARATORS:
        names = next(csv.reader([header], delimiter=separator, skipinitialspace=separator != "\t"), [])
        if wanted <= {name.strip() for name in names}:
            return separator
    return max(_SEPARATORS, key=header.count)


def _parquet(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
    except ImportError as error:
        raise HeadstartError(
            f"{path}: Parquet needs pyarrow, which is not installed.", f"{PIP_INSTALL} pyarrow, or save it as CSV."
        ) from error
    except Exception as error:  # its readers raise nearly anything on damaged input
        raise HeadstartError(f"{path}: cannot be read as Parquet: {error}.") from error
    table = table.where(table.notna(), "").astype(str).reset_index(drop=True)
    return table.assign(**{_LINE: range(1, len(table) + 1)})


def _refuse_missing_files(path: Path, rows: list[tuple[int, str, str, str]], lines: list[int]) -> None:
    """Refuse a table none of whose files is there: single ones are skipped and counted as unreadable later."""
    if any(os.path.isfile(path.parent / name) for _, _, name, _ in rows):  # noqa: PTH113 (once per row)
        return
    name = rows[0][2]
    ending = next((ending for ending in sorted(SUFFIXES) if (path.parent / f"{name}{ending}").is_file()), "")
    raise HeadstartError(
        f"{path}: line {lines[0]}: {name}: there is no such file in the table's folder, nor any other that it lists.",
        f"The paths lack the ending {ending}: write {name}{ending}."
        if ending
        else "Put the table where the paths that it lists begin.",
    )


def _repeated(rows: list[tuple[int, str, str, str]]) -> list[str]:
    """Note images that are listed more than once."""
    labels: dict[str, list[str]] = defaultdict(list)
    for _, label, name, _ in rows:
        labels[name].append(label)
    notes: list[str] = []
    several = {name: sorted(set(own)) for name, own in labels.items() if len(set(own)) > 1}
    again = [name for name, own in labels.items() if len(own) > len(set(own))]
    if several:
        name = min(several)
        notes.append(
            f"{counted(len(several), 'image is', 'images are')} listed with more than one label, such as {name}: "
            f"{' and '.join(several[name])}."
        )
    if again:
        listed = counted(len(again), "image is", "images are")
        notes.append(f"{listed} listed more than once with the same label, such as {min(again)}.")
    return notes
