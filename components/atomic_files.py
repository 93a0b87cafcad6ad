"""Files and folders that are either whole or absent: written beside their place, then renamed into it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from headstart.components.errors import HeadstartError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM}
# How numpy and TensorFlow say that a disk is full: without an error number.
_FULL_IN_WORDS = ("No space left on device", "Not enough free disk space", " requested and ", "Disk quota exceeded")


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.partial")


def refused_write(path: Path, error: Exception) -> HeadstartError | None:
    """Say in words that the place of `path` takes no more, or return None where `error` is about something else.

    A refusal for lack of rights counts only where it is about the folder of `path`: what is written may be read
    elsewhere first.
    """
    number = getattr(error, "errno", None)
    if number in _FULL or (number is None and any(words in str(error) for words in _FULL_IN_WORDS)):
        return HeadstartError(
            f"{path}: cannot be written: no space left on its disk.", "Free space there, or name another place."
        )
    name = getattr(error, "filename", None)
    if number in _REFUSED and isinstance(name, str | os.PathLike) and Path(name).is_relative_to(path.parent):
        return HeadstartError(f"{path}: cannot be written: {os.strerror(number)}.", "Name a place that can be written.")
    return None


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except HeadstartError:
        raise
    except Exception as error:
        refused = refused_write(path, error)
        if refused is None:
            raise
        raise refused from error


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a path to write to; on success it replaces `path` at once, on any failure it is removed.

    The parent folder is made. The content reaches the disk before the rename, so that a crash cannot leave an empty
    file under the final name. HeadstartError where there is no space or no right to write.
    """
    path = Path(path)
    partial = _beside(path)
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            with partial.open("rb") as written:
                os.fsync(written.fileno())
            partial.replace(path)
        finally:
            with suppress(OSError):
                partial.unlink()


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """Yield a new folder to fill; on success it takes the place of `path`, else it is removed."""
    path = Path(path)
    partial = _beside(path)
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
        try:
            yield partial
            if path.exists():
                old = _beside(path)
                path.rename(old)
                partial.rename(path)
                shutil.rmtree(old, ignore_errors=True)
            else:
                partial.rename(path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 so that `path` holds all of it or what it held before."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all; NaN and infinity are refused with ValueError."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
