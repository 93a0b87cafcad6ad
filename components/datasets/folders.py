"""Lists the files of a data set's folders, and tells which frames are of one film."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from headstart.components.datasets.images import SUFFIXES
from headstart.components.errors import HeadstartError
from headstart.components.regular_files import is_litter

# Known for certain to be no images; a file without a suffix, or with an unknown one, may be one.
_NO_IMAGES = frozenset(
    {
        *(".json", ".jsonl", ".xml", ".txt", ".csv", ".tsv", ".md", ".rst", ".html", ".htm", ".pdf", ".yaml", ".yml"),
        *(".toml", ".ini", ".cfg", ".log", ".names", ".py", ".ipynb", ".sh", ".npy", ".npz", ".mat", ".h5", ".pkl"),
        *(".parquet", ".db", ".sqlite", ".doc", ".docx", ".xls", ".xlsx", ".ods", ".odt", ".url", ".lnk", ".md5"),
        *(".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".sha256"),
        *(".mp4", ".avi", ".mov", ".mkv", ".mp3", ".wav"),
    }
)
_TO_CONVERT = frozenset(
    {".heic", ".heif", ".jxl", ".jp2", ".j2k", ".psd", ".svg", ".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf"}
)
"""Images in formats that are not read."""
_FOLDER_LIMIT = 1_000_000
"""Folders that a data set may have; links that lead to each other can make endlessly many of a few."""
# Fruits-360 numbers the frames of a film: 110_100.jpg, r_110_100.jpg, r2_7.jpg; the part before the number is the film.
_FRUITS_FRAME = re.compile(r"^(?:([^\W\d]\w*?)_)?(\d+)(?:_\d+)?$")
# Its own frames, and nothing else's: 110_100.jpg is frame 110 at 100 pixels, r2_7.jpg a frame of the third film.
_FRUITS_FILM = re.compile(r"^(?:(?:r\d*_)?\d+_100|r\d+_\d+)$")
# Others number them at the end: frame0001, clip0-frame001, video 3 (17), cam1.mp4_000012.
_FRAME = re.compile(r"^(.*?)[\W_]*\d+\)?$")


class FoundFile(NamedTuple):
    """One file below a split or class folder; `parts` are its folders, outermost first, in composed Unicode."""

    path: str
    parts: tuple[str, ...]

    @property
    def film(self) -> str:
        """Name of the film this frame is from: its folders and the part of its name before the number."""
        name = self.path[self.path.rfind("/") + 1 :]
        stem = name[: name.rfind(".")] if "." in name else name
        fruits = _FRUITS_FRAME.match(stem)
        frame = fruits or _FRAME.match(stem)
        return "/".join((*self.parts, (frame[1] or "") if frame else stem))


def is_fruits_frame(path: str) -> bool:
    """Say whether a file is named as the frames of Fruits-360 are, of which the film is known."""
    return bool(_FRUITS_FILM.match(path.rpartition("/")[2].rpartition(".")[0]))


def composed(name: str) -> str:
    """Return a name in composed Unicode, since file systems differ in how they store an accent.

    Bytes that are not UTF-8 are written as an escape, `caf\\xe9`.
    """
    if name.isascii():
        return name
    readable = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return unicodedata.normalize("NFC", readable)


def suffix(path: str) -> str:
    """Return the suffix of a path in lower case, with its dot, or ''."""
    stem, dot, ending = path.rpartition(".")
    # The dots that a hidden file begins with begin no suffix.
    return dot + ending.lower() if "/" not in ending and stem[stem.rfind("/") + 1 :].strip(".") else ""


def is_image(path: str) -> bool:
    """Say whether a file is an image by its suffix."""
    return suffix(path) in SUFFIXES


def may_be_image(path: str) -> bool:
    """Say whether a file may be an image: by its suffix it is one, or nothing is known of it."""
    return suffix(path) not in _NO_IMAGES


def kinds(paths: Iterable[str]) -> str:
    """Count paths by suffix, for a message: `10 .json, 2 .xml`."""
    counts = Counter(suffix(path) or "without a suffix" for path in paths)
    return ", ".join(f"{count} {kind}" for kind, count in counts.most_common(5)) or "no files"


def to_convert(paths: Iterable[str]) -> str:
    """Say what to do where none of `paths` is read as an image."""
    unread = sorted({suffix(path) for path in paths} & _TO_CONVERT)
    if unread:
        return f"{', '.join(unread)}: not read; convert the images to JPEG or PNG."
    return f"Expected {', '.join(sorted(SUFFIXES))}."


def subfolders(folder: Path) -> list[Path]:
    """Return the folders directly in `folder` that are no litter, by name; links to folders are among them."""
    with os.scandir(folder) as entries:
        return sorted(Path(entry.path) for entry in entries if not is_litter(entry.name) and entry.is_dir())


def find_files(root: Path) -> list[FoundFile]:
    """List the files below `root`, without litter, in the order of their paths; links to folders are followed.

    A folder that two links lead to comes in twice, once under each name; one that lies within itself does not. What is
    neither a file nor a link (a pipe, a socket, a device) is left out, since reading it might never end.
    """
    found: list[FoundFile] = []
    folders = 0

    def visit(folder: str, parts: tuple[str, ...], prefix: str, above: frozenset[tuple[int, int]]) -> None:
        nonlocal folders
        status = os.stat(folder)  # noqa: PTH116 (a Path a folder is half of the time of a listing)
        here = (status.st_dev, status.st_ino)
        if here in above:
            return
        folders += 1
        if folders > _FOLDER_LIMIT:
            raise HeadstartError(
                f"{root}: more than {_FOLDER_LIMIT:,} folders, links counted as often as they lead to one.",
                "Name a folder that holds the data set alone.",
            )
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: composed(entry.name)):
                if is_litter(entry.name):
                    continue
                if entry.is_dir():
                    visit(entry.path, (*parts, composed(entry.name)), f"{prefix}{entry.name}/", above | {here})
                elif entry.is_file() or not os.path.exists(entry.path):  # noqa: PTH110 (a dangling link is unreadable)
                    found.append(FoundFile(prefix + entry.name, parts))

    visit(str(root), (), "", frozenset())
    return found


def holds_files(folder: Path) -> bool:
    """Say whether there is a file below `folder` that is no litter."""
    return any(
        not is_litter(file) for _, _, files in os.walk(folder, followlinks=folder.is_symlink()) for file in files
    )
