"""What every place that keeps files can do, and the errors that all of them answer with.

A place is a local folder, a prefix in a bucket of Google Cloud Storage, or one of a store that speaks S3. Names in it
are relative paths with `/`. A *generation* tells the states of one file apart: the object's generation, its ETag, or a
digest of the local file's content; it is `""` where the file is absent.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from headstart.components.errors import HeadstartError

TRANSFERS = 16
"""Transfers at once; small objects are bound by the time to the first byte, not by bandwidth."""


class PreconditionError(HeadstartError):
    """A file was changed by someone else since its generation was read."""


@dataclass(frozen=True)
class Entry:
    """A file of a place: its name there, its size in bytes and its generation."""

    name: str
    size: int
    generation: str


class Place(Protocol):
    """A folder or a prefix; every method raises HeadstartError, which names the URI, where the place fails for good."""

    uri: str

    def read(self, name: str, largest: int | None = None) -> tuple[bytes | None, str]:
        """Return a file's content and generation; (None, "") where it is absent.

        Of a file with more than `largest` bytes one byte more than that is returned.
        """

    def write(self, name: str, data: bytes, expected: str | None = None) -> str:
        """Write a file, whole or not at all, and return its generation.

        With `expected` it is only written while it still has that generation; exactly one of several racing writers
        gets through, the others meet PreconditionError.
        """

    def delete(self, name: str) -> None:
        """Remove a file; absent is fine."""

    def exists(self, name: str) -> bool:
        """Say whether there is a file of exactly that name."""

    def entry(self, name: str) -> Entry | None:
        """Describe one file; None where it is absent."""

    def entries(self, folder: str) -> Sequence[Entry]:
        """Describe all files below a folder, "" for the place itself, by name."""

    def folders(self, folder: str) -> Sequence[str]:
        """Return the names of the folders directly in a folder, sorted."""

    def fetch(self, pairs: Sequence[tuple[Entry, Path]]) -> None:
        """Copy files to local paths whose folders exist; each is of the generation that its entry has."""


class Bucket(ABC):
    """What the places in buckets have in common: how names here become names and URIs there, and answers that are lost.

    What is not described is as in `Place`.
    """

    def __init__(self, uri: str, prefix: str) -> None:
        """Use what lies below `prefix`, which is empty or ends in `/`."""
        self.uri, self._prefix = uri, prefix

    @abstractmethod
    def read(self, name: str, largest: int | None = None) -> tuple[bytes | None, str]:
        """See `Place`."""

    @abstractmethod
    def entry(self, name: str) -> Entry | None:
        """See `Place`."""

    @abstractmethod
    def _put(self, name: str, data: bytes, expected: str | None) -> str:
        """Write as `write` does, but for an answer that is lost."""

    def write(self, name: str, data: bytes, expected: str | None = None) -> str:
        """See `Place`."""
        try:
            return self._put(name, data, expected)
        except PreconditionError:
            # The client repeats a request whose answer was lost; its first try may have been the one that won.
            content, generation = self.read(name)
            if content != data:
                raise
            return generation

    def exists(self, name: str) -> bool:
        """See `Place`."""
        return self.entry(name) is not None

    def _below(self, folder: str) -> str:
        return f"{self._prefix}{folder}/" if folder else self._prefix

    def _named(self, name: str) -> str:
        return f"{self.uri}/{name}".rstrip("/")


def absent(uri: str) -> HeadstartError:
    """Say that nothing has this name."""
    return HeadstartError(f"{uri}: there is no such bucket or object.", "Check the name.")


def changed(uri: str) -> PreconditionError:
    """Say that somebody else was first."""
    return PreconditionError(f"{uri}: was changed by someone else meanwhile.")


def content_type(name: str) -> str:
    """Return the media type under which a store hands out a file; pages are shown by browsers."""
    if name.endswith(".html"):
        return "text/html; charset=utf-8"
    return "application/json" if name.endswith(".json") else "application/octet-stream"
