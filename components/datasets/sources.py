"""Brings what a URI names onto this machine: a local path, file://, gs://, https://, or the demonstration data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from components.datasets.collection import Collection
from components.datasets.settings import ImportSettings
from components.errors import SettingError


def without_credentials(uri: str) -> str:
    """Return `uri` without user, password and query, which may hold a signature."""
    if "://" not in uri:
        return uri
    parts = urlsplit(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


@contextmanager
def opened(uri: str, options: ImportSettings) -> Iterator[Path | Collection]:
    """Yield the local path of what `uri` names, or a collection in memory; what was fetched is removed afterwards."""
    if uri.startswith("demo:"):
        from components.datasets import demonstration

        yield demonstration.draw(uri, options.seed)
        return
    path = Path(unquote(urlsplit(uri).path)) if uri.startswith("file://") else Path(uri).expanduser()
    if not path.exists():
        raise SettingError(f"{path}: there is no such file or folder.", "Name the data set's folder or archive.")
    yield path
