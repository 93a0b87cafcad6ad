"""The files that a user names: what is no data among them, and reading regular files alone.

A pipe or a device would be waited for or read for ever.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

_READ_AT_ONCE = 32 * 1024
LARGEST_TEXT = 256 << 20
"""Bytes of a text that is read whole; the summary of 10,000 runs has a tenth of that."""


class UnsuitableFileError(OSError):
    """A file that is not read, though it could be; printed without the number of an error."""

    def __str__(self) -> str:
        """Return the reason alone."""
        return str(self.strerror)


def open_regular(path: str | Path) -> int:
    """Return a descriptor of a regular file, opened for reading; OSError, with no file name, for anything else."""
    # Without O_NONBLOCK opening a pipe waits for somebody to write to it.
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise UnsuitableFileError(errno.EINVAL, "not a regular file, but a folder, a pipe or a device")
    return file


def _too_large(limit: int) -> OSError:
    return UnsuitableFileError(errno.EFBIG, f"it has more than {limit:,} bytes")


def check_regular(path: str | Path) -> None:
    """Raise what `open_regular` raises, for a reader that opens the file itself."""
    os.close(open_regular(path))


def read_regular(path: str | Path, limit: int = 1 << 30) -> bytes:
    """Return the content of a regular file; OSError where it is none or has more than `limit` bytes."""
    # The system calls themselves: this is done for every image, and a file object costs as much as reading does.
    file = open_regular(path)
    try:
        content = os.read(file, _READ_AT_ONCE)
        if len(content) < _READ_AT_ONCE:
            return content
        if os.fstat(file).st_size > limit:
            raise _too_large(limit)
        parts, count = [content], len(content)
        while parts[-1]:
            parts.append(os.read(file, min(os.fstat(file).st_size or _READ_AT_ONCE, limit + 1)))
            count += len(parts[-1])
            if count > limit:
                raise _too_large(limit)
        return b"".join(parts)
    finally:
        os.close(file)


def read_text(path: str | Path, limit: int = LARGEST_TEXT) -> str:
    """Return a regular file as UTF-8; OSError as in `read_regular`, UnicodeDecodeError where it is none."""
    return read_regular(path, limit).decode("utf-8")


def read_json(path: str | Path, limit: int = LARGEST_TEXT) -> Any:
    """Return the value in a JSON file; OSError as in `read_regular`, ValueError where it is no JSON or too deep."""
    try:
        return json.loads(read_text(path, limit))
    except RecursionError:
        raise ValueError("it nests too deeply") from None


_OF_SYSTEMS = frozenset({".ds_store", "thumbs.db", "desktop.ini", "__macosx"})


def is_of_a_system(name: str) -> bool:
    """Say whether a system put a file or folder of this name there: nobody misses it."""
    return name.lower() in _OF_SYSTEMS


def is_litter(name: str) -> bool:
    """Say whether a file or folder is hidden or of a system: it is not read as data, and may still be somebody's."""
    return name.startswith(".") or is_of_a_system(name)
