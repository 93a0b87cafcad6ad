"""A folder on a local or network file system as a place."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from headstart.components.atomic_files import whole_file
from headstart.components.errors import HeadstartError
from headstart.components.regular_files import open_regular
from headstart.components.storage.places import Entry, changed

LOCK = ".lock"
LARGEST = 4 << 30
"""Bytes of a file that is read whole where its reader names no limit."""


class LocalFolder:
    """See `headstart.components.storage.places.Place`; conditional writes hold a lock on `.lock` that dies with us."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`; it is made when something is written."""
        self.folder = folder
        self.uri = str(folder)

    def read(self, name: str, largest: int | None = None) -> tuple[bytes | None, str]:
        """See `Place`; only regular files are read."""
        path = self.folder / name
        try:
            with os.fdopen(open_regular(path), "rb") as file:
                if largest is None and os.fstat(file.fileno()).st_size > LARGEST:
                    raise HeadstartError(f"{path}: is larger than {LARGEST:,} bytes.")
                data = file.read(LARGEST if largest is None else largest + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None, ""
        except OSError as error:
            raise HeadstartError(f"{path}: cannot be read: {error.strerror}.") from error
        return data, _generation(data)

    def write(self, name: str, data: bytes, expected: str | None = None) -> str:
        """See `Place`."""
        path = self.folder / name
        if expected is None:
            _write(path, data)
        else:
            with self.locked():
                if self.read(name)[1] != expected:
                    raise changed(str(path))
                _write(path, data)
        return _generation(data)

    def delete(self, name: str) -> None:
        """See `Place`."""
        (self.folder / name).unlink(missing_ok=True)

    def exists(self, name: str) -> bool:
        """See `Place`; a folder counts as well."""
        return (self.folder / name).exists()

    def entry(self, name: str) -> Entry | None:
        """See `Place`."""
        path = self.folder / name
        return Entry(name, path.stat().st_size, "") if path.is_file() else None

    def entries(self, folder: str) -> Sequence[Entry]:
        """See `Place`; the generations are left out, since they would have every file read."""
        place = self.folder / folder
        paths = sorted(path for path in place.rglob("*") if path.is_file())
        return [Entry(path.relative_to(self.folder).as_posix(), path.stat().st_size, "") for path in paths]

    def folders(self, folder: str) -> Sequence[str]:
        """See `Place`; hidden ones are left out."""
        place = self.folder / folder
        if not place.is_dir():
            return []
        return sorted(entry.name for entry in place.iterdir() if entry.is_dir() and not entry.name.startswith("."))

    def fetch(self, pairs: Sequence[tuple[Entry, Path]]) -> None:
        """See `Place`."""
        for entry, path in pairs:
            shutil.copyfile(self.folder / entry.name, path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes of ours from changing the folder."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / LOCK).open("ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except PermissionError as error:
            raise HeadstartError(f"{self.folder}: cannot be written ({error.strerror}).") from error


def _write(path: Path, data: bytes) -> None:
    with whole_file(path) as partial:
        partial.write_bytes(data)


def _generation(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
