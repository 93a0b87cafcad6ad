"""Files and folders that are either whole or absent: written beside their place, then renamed into it.

What is not finished lies under a hidden name and is locked by the process that writes it. One that no process holds was
left by a process that was killed; the next call for the same place removes it. A folder that we did not write is never
replaced: it must be absent, empty, or known to its writer by its content.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import json
import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from headstart.components.errors import HeadstartError, SettingError
from headstart.components.regular_files import is_of_a_system

_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM}
_NO_FOLDER = {errno.EEXIST, errno.ENOTDIR}
_NO_PLACE = {errno.ENOENT, errno.ELOOP, errno.ENAMETOOLONG}
# How numpy and TensorFlow say that a disk is full: without an error number.
_FULL_IN_WORDS = ("No space left on device", "Not enough free disk space", " requested and ", "Disk quota exceeded")


_PLACES = 8
"""Processes that may write to one place at a time before names are drawn at random, which are not cleaned up."""


def _beside(path: Path, number: int | str) -> Path:
    return path.with_name(f".{path.name}.headstart-{number}.partial")


def _lock(path: Path) -> int | None:
    """Return a descriptor that holds the lock of a file or folder; None where another process holds it.

    OSError where there is no such path, it is a link, or the file system has no locks.
    """
    # O_NONBLOCK: opening a FIFO that somebody put there would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        same = os.path.samestat(os.fstat(descriptor), path.lstat())
    except BlockingIOError:
        same = False
    except OSError:
        os.close(descriptor)
        raise
    if same:
        return descriptor
    os.close(descriptor)
    return None


def remove(path: Path) -> None:
    """Remove a file, a link, or a folder with all in it, as far as that can be done; what is not there stays so."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _remove_abandoned(path: Path) -> None:
    """Remove `path`, which bears one of our names, if the process that wrote it is gone."""
    try:
        lock = _lock(path)
    except OSError:
        return
    if lock is not None:
        remove(path)
        os.close(lock)


@contextmanager
def _partial(path: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """Yield something new, made by `make` beside `path` and locked; afterwards it is no longer there."""
    numbers: list[int | str] = [*range(_PLACES), uuid.uuid4().hex[:12]]
    for number in numbers:
        partial = _beside(path, number)
        _remove_abandoned(partial)
        try:
            make(partial)
        except FileExistsError:
            continue
        try:
            lock = _lock(partial)
        except FileNotFoundError:
            continue
        except OSError:  # a file system without locks: nobody else uses a name drawn at random
            remove(partial)
            partial, lock = _beside(path, numbers[-1]), -1
            make(partial)
        if lock is not None:
            break
    else:
        raise AssertionError("a name drawn at random was taken")
    try:
        yield partial
    finally:
        remove(partial)
        if lock >= 0:
            os.close(lock)


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
    if number in _NO_FOLDER | _NO_PLACE and isinstance(name, str | os.PathLike) and path.is_relative_to(name):
        why = "is no folder" if number in _NO_FOLDER else os.strerror(number)
        return SettingError(f"{path}: cannot be written: {name}: {why}.", "Name a place below a folder.")
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
    """Yield an empty file to write to; on success it replaces `path` at once, on any failure it is removed.

    The parent folder is made. The content reaches the disk before the rename, so that a crash cannot leave an empty
    file under the final name. HeadstartError where there is no space or no right to write, or where `path` is a folder,
    a device or a pipe.
    """
    path = Path(path)
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(path.stat().st_mode):
                raise SettingError(f"{path}: is no regular file and is not replaced by one.", "Name another file.")
        with _partial(path, lambda new: new.touch(exist_ok=False)) as partial:
            yield partial
            with partial.open("rb") as written:
                os.fsync(written.fileno())
            partial.replace(path)


def holds_only(folder: Path, names: Iterable[str]) -> bool:
    """Say whether every file below `folder` has one of these relative names; NAME/* is whatever lies below NAME.

    Files of desktops such as .DS_Store are not counted, nor is what a killed call of ours left.
    """
    names = list(names)
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not _is_partial(name)]
        for name in [*files, *(each for each in folders if Path(place, each).is_symlink())]:
            relative = Path(place, name).relative_to(folder)
            below = [f"{parent.as_posix()}/*" for parent in relative.parents]
            known = any(each in names for each in (relative.as_posix(), *below))
            if not (known or is_of_a_system(name) or _is_partial(name)):
                return False
    return True


def _is_partial(name: str) -> bool:
    return name.startswith(".") and ".headstart-" in name and name.endswith(".partial")


def _is_nothing(folder: Path) -> bool:
    return holds_only(folder, ())


def check_replaceable(path: Path, ours: Callable[[Path], bool] = _is_nothing) -> None:
    """SettingError unless a new folder may take the place of `path`: none there, none with files, or `ours`."""
    if not path.exists():
        if path.is_symlink():
            raise SettingError(f"{path}: is a link to nothing.", "Name another folder, or remove the link.")
        return
    if not path.is_dir():
        raise SettingError(f"{path}: is a file and is not replaced by a folder.", "Name another folder.")
    if not (_is_nothing(path) or ours(path)):
        names = sorted(child.name for child in path.iterdir())
        raise SettingError(
            f"{path}: holds what Headstart did not write there ({', '.join(names[:3])}{', …' if names[3:] else ''}); "
            "it is not replaced.",
            "Name a new or an empty folder.",
        )


@contextmanager
def whole_folder(path: str | Path, ours: Callable[[Path], bool] = _is_nothing) -> Iterator[Path]:
    """Yield a new folder to fill; on success it takes the place of `path`, else it is removed.

    What is at `path` must be absent or without files, or `ours` must know it as written by us; SettingError otherwise.
    A link to a folder stays, and what it leads to is replaced. A folder that cannot be renamed, since it is where the
    process works or a mount point, is emptied and filled; the other entries come before `dataset.json` and its like,
    files being moved last.
    """
    path = Path(path).resolve() if Path(path).exists() else Path(path).absolute()
    with _explained(path):
        check_replaceable(path, ours)
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{glob.escape(path.name)}.headstart-old-*.partial"):
            _remove_abandoned(left)
        stays = path.is_dir() and (os.path.ismount(path) or Path.cwd().is_relative_to(path))
        with _partial(path / path.name if stays else path, Path.mkdir) as partial:
            yield partial
            check_replaceable(path, ours)
            if stays:
                _refill(path, partial)
            elif path.exists():
                old = _beside(path, f"old-{uuid.uuid4().hex[:12]}")
                path.rename(old)
                try:
                    partial.rename(path)
                except OSError:
                    old.rename(path)
                    raise
                shutil.rmtree(old, ignore_errors=True)
            else:
                partial.rename(path)


def _refill(path: Path, partial: Path) -> None:
    for child in path.iterdir():
        if not (_is_partial(child.name) or is_of_a_system(child.name)):
            remove(child)
    for child in sorted(partial.iterdir(), key=lambda child: (child.is_file(), child.name)):
        child.rename(path / child.name)


@contextmanager
def scratch_folder(kind: str) -> Iterator[Path]:
    """Yield an empty folder below TMPDIR, removed at the end; those that killed processes left are removed as well.

    `kind` is a word that says what it is for.
    """
    prefix = f"headstart-{kind}-"
    place = Path(tempfile.gettempdir())
    with suppress(OSError):
        for left in list(place.glob(f"{prefix}*.partial")):
            if left.is_dir() and not left.is_symlink():
                _remove_abandoned(left)
    lock = None
    while lock is None:  # another process that cleans up may take a folder that is not locked yet
        folder = place / f"{prefix}{uuid.uuid4().hex[:12]}.partial"
        folder.mkdir(mode=0o700)
        try:
            lock = _lock(folder)
        except FileNotFoundError:
            continue
        except OSError:  # a file system without locks
            break
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 so that `path` holds all of it or what it held before."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all; NaN and infinity are refused with ValueError."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
