"""A model store below a prefix of an object store: conditional writes take the place of locks and renames."""

from __future__ import annotations

import datetime
import uuid
from pathlib import Path

from headstart.components import storage
from headstart.components.promotion.backends import ABANDONED_AFTER_SECONDS, Conflict
from headstart.components.promotion.integrity import RESERVED


class BucketBackend:
    """Objects below `gs://bucket/prefix` or `s3://bucket/prefix`; see `backends.Backend`."""

    def __init__(self, uri: str) -> None:
        """Open `uri`, see `headstart.components.storage` for credentials and endpoints."""
        self._place = storage.open_place(uri)
        self.uri = self._place.uri

    def read(self, name: str) -> tuple[bytes | None, str]:
        """See `Backend`."""
        return self._place.read(name)

    def write(self, name: str, data: bytes, expected: str | None = None) -> None:
        """See `Backend`."""
        try:
            self._place.write(name, data, expected)
        except storage.PreconditionError as error:
            raise Conflict(name) from error

    def folders(self, name: str) -> list[str]:
        """See `Backend`."""
        return [*self._place.folders(name)]

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
