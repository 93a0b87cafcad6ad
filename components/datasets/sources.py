"""Brings what a URI names onto this machine: a local path, file://, gs://, s3://, https://, or demonstration data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headstart.components import storage
from headstart.components.atomic_files import scratch_folder
from headstart.components.credentials import reveal
from headstart.components.datasets import downloads
from headstart.components.datasets.archives import is_archive, unpack
from headstart.components.datasets.collection import Collection
from headstart.components.datasets.settings import ImportSettings
from headstart.components.errors import SettingError
from headstart.components.regular_files import check_regular


@contextmanager
def opened(uri: str, options: ImportSettings) -> Iterator[Path | Collection]:
    """Yield the local path of what `uri` names, or a collection in memory; what was fetched is removed afterwards.

    Fetched files lie below TMPDIR while they are needed.
    """
    if uri.startswith("demo:"):
        from headstart.components.datasets import demonstration

        yield demonstration.draw(uri, options.seed)
        return
    uri = reveal(uri)
    if storage.is_remote(uri) or uri.startswith(("https://", "http://")):
        with scratch_folder("import") as folder:
            yield storage.download(uri, folder) if storage.is_remote(uri) else downloads.fetch(uri, folder, kept=False)
        return
    path = storage.local_path(uri)
    if not path.exists():
        raise SettingError(f"{path}: there is no such file or folder.", "Name the data set's folder or archive.")
    if not path.is_dir():
        try:
            check_regular(path)
        except OSError as error:
            raise SettingError(
                f"{path}: cannot be read: {error.strerror}.", "Name the data set's folder or archive."
            ) from error
    yield path


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Yield the folder that an archive was unpacked to, or `path` itself where it is none."""
    if not is_archive(path):
        yield path
        return
    with scratch_folder("import") as folder:
        unpack(path, folder)
        yield folder
