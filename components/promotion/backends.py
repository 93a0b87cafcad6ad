"""Where a model store keeps its files: a local folder or a prefix of an object store, behind one small protocol.

Names are relative paths with `/`. What the store relies on, and all it relies on:

* `write(…, expected=generation)` changes a file only where nobody changed it since `read` returned that generation
  ("": the file is absent); exactly one of several racing writers gets through.
* `add_folder` makes a folder appear with everything in it, or fails because the name is taken. On a bucket, which has
  no folders, the file named `last` is written after all others and says that the folder is whole.
"""

from __future__ import annotations

import datetime
import os
import shutil
import time
import uuid
from abc import ABC, abstractmethod
from pathlib import Path

from headstart.components import storage
from headstart.components.errors import HeadstartError
from headstart.components.promotion.integrity import RESERVED
from headstart.components.storage.local_folder import LocalFolder
from headstart.components.storage.places import Place

ABANDONED_AFTER_SECONDS = 86400.0


class Conflict(Exception):  # noqa: N818 - it is the expected answer to a lost race, not an error of a user
    """Somebody else changed the file first, or the name is taken."""


class DamagedError(HeadstartError):
    """A file of the store cannot be read, or is not what it should be; the rest of the store can be used."""


class Backend(ABC):
    """What a store needs of the place it lies in."""

    def __init__(self, place: Place) -> None:
        """Use `place`."""
        self._place = place
        self.uri = place.uri

    def read(self, name: str) -> tuple[bytes | None, str]:
        """Return a file's content and its generation; (None, "") where it is absent."""
        return self._place.read(name)

    def write(self, name: str, data: bytes, expected: str | None = None) -> None:
        """Write a whole file; with `expected` raise Conflict unless its generation still is that one."""
        try:
            self._place.write(name, data, expected)
        except storage.PreconditionError as error:
            raise Conflict(name) from error

    def folders(self, name: str) -> list[str]:
        """Return the names of the folders in a folder."""
        return [*self._place.folders(name)]

    @abstractmethod
    def files(self, name: str) -> list[str]:
        """Return the relative paths of all files below a folder."""

    @abstractmethod
    def add_folder(self, source: Path, name: str, last: str) -> None:
        """Copy the folder `source` to `name`; raise Conflict where `name` exists. The file `last` is written last."""

    @abstractmethod
    def download(self, name: str, target: Path) -> None:
        """Copy every file below `name` into the existing folder `target`."""

    @abstractmethod
    def remove(self, name: str, first: str = "") -> None:
        """Remove a file or folder, the file `first` of it before the others; absent is fine."""

    @abstractmethod
    def remove_abandoned(self, name: str, last: str) -> None:
        """Remove what writers that were killed left in a folder more than a day ago: folders without `last`."""

    @abstractmethod
    def publish(self, link: str, name: str) -> None:
        """Make `link` lead to the folder `name`, where the place knows links."""


class LocalBackend(Backend):
    """A folder on a local or network file system; changes are serialised by a lock on `.lock` that dies with us."""

    _place: LocalFolder

    def __init__(self, folder: str | Path) -> None:
        """Use `folder`; it is made when something is written."""
        self.folder = Path(folder).expanduser().absolute()
        super().__init__(LocalFolder(self.folder))
        if self.folder.exists() and not self.folder.is_dir():
            raise HeadstartError(f"{folder}: is a file, expected the folder of a model store.")

    def read(self, name: str) -> tuple[bytes | None, str]:
        """See `Backend`. The generation is taken from the content, which never returns to what it was before."""
        try:
            return super().read(name)
        except HeadstartError as error:
            raise DamagedError(error.message, error.remedy) from error

    def files(self, name: str) -> list[str]:
        """See `Backend`. What is no folder and no file, such as a pipe, is named too: reading it says so."""
        place = self.folder / name
        return sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if not path.is_dir())

    def add_folder(self, source: Path, name: str, last: str) -> None:
        """See `Backend`: a rename makes the whole folder appear at once."""
        place = self.folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = place.with_name(f".{place.name}.{uuid.uuid4().hex[:12]}.partial")
        try:
            shutil.copytree(source, partial)
            for path in partial.rglob("*"):
                if path.is_file():
                    with path.open("rb") as written:
                        os.fsync(written.fileno())
            with self._place.locked():
                if place.exists():
                    raise Conflict(name)
                partial.rename(place)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def download(self, name: str, target: Path) -> None:
        """See `Backend`."""
        shutil.copytree(self.folder / name, target, dirs_exist_ok=True)

    def remove(self, name: str, first: str = "") -> None:
        """See `Backend`: a folder leaves its name at once and is emptied afterwards."""
        place = self.folder / name
        if place.is_dir():
            gone = place.with_name(f".{place.name}.{uuid.uuid4().hex[:12]}.removed")
            try:
                place.rename(gone)
            except FileNotFoundError:
                return
            shutil.rmtree(gone, ignore_errors=True)
        else:
            place.unlink(missing_ok=True)

    def remove_abandoned(self, name: str, last: str) -> None:
        """See `Backend`: what a killed writer left has a name that begins with a point."""
        place = self.folder / name
        for entry in place.iterdir() if place.is_dir() else ():
            if entry.name.endswith((".partial", ".removed")) and _older(entry, ABANDONED_AFTER_SECONDS):
                shutil.rmtree(entry, ignore_errors=True)

    def publish(self, link: str, name: str) -> None:
        """See `Backend`: a relative link, so that the store can be mounted elsewhere; replaced by a rename."""
        place = self.folder / link
        if place.is_symlink() and str(place.readlink()) == name:
            return
        if place.exists() and not place.is_symlink():
            raise HeadstartError(f"{place}: is not a link, so it cannot be led to {name}.", "Move it away.")
        partial = place.with_name(f".{place.name}.{uuid.uuid4().hex[:12]}.partial")
        partial.symlink_to(name)
        partial.replace(place)


def _older(path: Path, seconds: float) -> bool:
    try:
        return time.time() - path.stat().st_mtime > seconds
    except FileNotFoundError:
        return False


class BucketBackend(Backend):
    """Objects below `gs://bucket/prefix` or `s3://bucket/prefix`; see `backends.Backend`."""

    def __init__(self, uri: str) -> None:
        """Open `uri`, see `headstart.components.storage` for credentials and endpoints."""
        super().__init__(storage.open_place(uri))

    def files(self, name: str) -> list[str]:
        """See `Backend`."""
        return sorted(entry.name.removeprefix(f"{name}/") for entry in self._place.entries(name))

    def add_folder(self, source: Path, name: str, last: str) -> None:
        """See `Backend`: an object that only one writer can make reserves the name."""
        moment = datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
        self.write(f"{name}/{RESERVED}", f"{moment} {uuid.uuid4().hex}".encode(), expected="")
        paths = sorted(path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file())
        for path in [path for path in paths if path != last] + [last]:
            self.write(f"{name}/{path}", (source / path).read_bytes(), expected="")

    def download(self, name: str, target: Path) -> None:
        """See `Backend`."""
        pairs = []
        for entry in self._place.entries(name):
            relative = entry.name.removeprefix(f"{name}/")
            if relative == RESERVED:
                continue
            path = storage.inside(target, relative, f"{self.uri}/{name}")
            path.parent.mkdir(parents=True, exist_ok=True)
            pairs.append((entry, path))
        if pairs:
            self._place.fetch(pairs)

    def remove(self, name: str, first: str = "") -> None:
        """See `Backend`."""
        if first:
            self._place.delete(f"{name}/{first}")
        for entry in self._place.entries(name):
            self._place.delete(entry.name)
        self._place.delete(name)

    def remove_abandoned(self, name: str, last: str) -> None:
        """See `Backend`: a folder that was reserved more than a day ago and never became whole."""
        for folder in self.folders(name):
            place = f"{name}/{folder}"
            reserved = self.read(f"{place}/{RESERVED}")[0]
            if reserved is None or self.read(f"{place}/{last}")[0] is not None:
                continue
            try:
                since = datetime.datetime.fromisoformat(reserved.decode().split(" ", maxsplit=1)[0])
            except ValueError:  # not ours, so it stays
                continue
            age = datetime.datetime.now(datetime.UTC) - since.replace(tzinfo=since.tzinfo or datetime.UTC)
            if age.total_seconds() > ABANDONED_AFTER_SECONDS:
                self.remove(place)

    def publish(self, link: str, name: str) -> None:
        """See `Backend`: buckets have no links; what serves from one is pointed at a version's own folder."""
