"""Files and objects by URI: local paths, file:// and gs://.

Google Cloud Storage is reached with Application Default Credentials where there are some, else anonymously, which
public buckets allow. `STORAGE_EMULATOR_HOST` leads to an emulator instead. What a broken connection interrupts is taken
up again where it broke, and checksums are compared; nothing partial is ever left under its final name.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from headstart.components.atomic_files import whole_file
from headstart.components.errors import HeadstartError, SettingError
from headstart.components.progress import emit

_TIMEOUT = 60
_TRANSFERS = 16
"""Transfers at once; small objects are bound by the time to the first byte, not by bandwidth."""
_BATCH = 512
_LARGE = 64 << 20
"""Objects of this many bytes are fetched in several pieces at once."""
_PIECE = 16 << 20


class PreconditionError(HeadstartError):
    """An object was changed by someone else since its generation was read."""


def is_remote(uri: str) -> bool:
    """Say whether `uri` names a place in Google Cloud Storage."""
    return uri.startswith("gs://")


def local_path(uri: str) -> Path:
    """Return the path that a local URI names: `file:///a/b`, `/a/b` or `a/b`; SettingError for any other scheme."""
    if uri.startswith("file://"):
        parts = urlsplit(uri)
        if parts.netloc not in ("", "localhost"):
            raise SettingError(f"{uri}: file:// on another host ({parts.netloc}).", "Write file:///path.")
        return Path(unquote(parts.path))
    if "://" in uri:
        raise SettingError(f"{uri}: the scheme is not known here.", "Known: a path, file:// and gs://.")
    return Path(uri).expanduser()


def split_uri(uri: str) -> tuple[str, str]:
    """Split `gs://bucket/name` into bucket and object name or prefix, which may be empty."""
    bucket, _, name = uri.removeprefix("gs://").partition("/")
    if not is_remote(uri) or not bucket:
        raise SettingError(f"{uri}: expected gs://BUCKET/OBJECT or gs://BUCKET/PREFIX.")
    return bucket, name


@lru_cache(maxsize=4)
def _client(emulator: str) -> Any:
    """Make a client; one is made for each emulator address, so that tests can start several."""
    from google.auth.exceptions import DefaultCredentialsError
    from google.cloud import storage
    from requests.adapters import HTTPAdapter

    try:
        client = storage.Client()
    except (DefaultCredentialsError, OSError):  # OSError: credentials, but no project named anywhere
        client = storage.Client.create_anonymous_client()
    for scheme in ("https://", "http://"):
        client._http.mount(scheme, HTTPAdapter(pool_connections=4, pool_maxsize=2 * _TRANSFERS))
    return client


def open_bucket(uri: str) -> tuple[Any, str]:
    """Return the google-cloud-storage bucket that `uri` lies in, and the object name or prefix."""
    bucket, name = split_uri(uri)
    return _client(os.environ.get("STORAGE_EMULATOR_HOST", "")).bucket(bucket), name


@contextmanager
def _explained(uri: str) -> Iterator[None]:
    """Turn what the service answers into a message that says what to do."""
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError
    from requests.exceptions import RequestException

    try:
        yield
    except exceptions.NotFound as error:
        raise HeadstartError(f"{uri}: there is no such bucket or object.", "Check the name.") from error
    except exceptions.PreconditionFailed as error:
        raise PreconditionError(f"{uri}: was changed by someone else meanwhile.") from error
    except (exceptions.Forbidden, exceptions.Unauthorized) as error:
        raise HeadstartError(
            f"{uri}: access was refused ({error.code}).",
            "Sign in with `gcloud auth application-default login`, or give the pod's service account a role on the "
            "bucket: roles/storage.objectViewer to read, roles/storage.objectUser to write.",
        ) from error
    except (exceptions.GoogleAPIError, GoogleAuthError, RequestException) as error:
        raise HeadstartError(f"{uri}: Google Cloud Storage failed: {error}.", "Try again later.") from error


def exists(uri: str) -> bool:
    """Say whether there is an object or file of exactly that name."""
    if not is_remote(uri):
        return local_path(uri).exists()
    bucket, name = open_bucket(uri)
    with _explained(uri):
        return bool(name) and bool(bucket.blob(name).exists(timeout=_TIMEOUT))


def read_bytes(uri: str, largest: int | None = None) -> bytes:
    """Return the content of one object or file; of one with more than `largest` bytes no more is read than that."""
    if not is_remote(uri):
        try:
            with local_path(uri).open("rb") as file:
                return _no_more_than(largest, file.read(-1 if largest is None else largest + 1), uri)
        except OSError as error:
            raise HeadstartError(f"{uri}: cannot be read: {error.strerror}.") from error
    bucket, name = open_bucket(uri)
    with _explained(uri):
        if largest is None:
            return bytes(bucket.blob(name).download_as_bytes(timeout=_TIMEOUT))
        content = bucket.blob(name).download_as_bytes(end=largest, checksum=None, timeout=_TIMEOUT)
    return _no_more_than(largest, bytes(content), uri)


def _no_more_than(largest: int | None, content: bytes, uri: str) -> bytes:
    if largest is not None and len(content) > largest:
        raise HeadstartError(f"{uri}: is larger than {largest:,} bytes.")
    return content


def write_bytes(uri: str, data: bytes, if_generation_match: int | None = None) -> int:
    """Write one object or file, whole or not at all; return the object's new generation, 0 for a file.

    With `if_generation_match` an object is only replaced if it still has that generation (0: if it does not exist),
    else PreconditionError is raised; files know no generations, so there it is a SettingError.
    """
    if not is_remote(uri):
        if if_generation_match is not None:
            raise SettingError(f"{uri}: a local file has no generation to match.")
        with whole_file(local_path(uri)) as partial:
            partial.write_bytes(data)
        return 0
    from google.cloud.storage.retry import DEFAULT_RETRY

    bucket, name = open_bucket(uri)
    blob = bucket.blob(name)
    with _explained(uri):
        # Writing the same bytes twice does no harm, so the write is tried again also without a precondition.
        blob.upload_from_string(
            data,
            content_type="application/octet-stream",
            if_generation_match=if_generation_match,
            timeout=_TIMEOUT,
            retry=DEFAULT_RETRY,
        )
    return int(blob.generation or 0)


def delete(uri: str) -> None:
    """Remove one object or file; it is no error if it is not there."""
    if not is_remote(uri):
        local_path(uri).unlink(missing_ok=True)
        return
    from google.api_core.exceptions import NotFound

    bucket, name = open_bucket(uri)
    with _explained(uri):
        try:
            bucket.blob(name).delete(timeout=_TIMEOUT)
        except NotFound:
            return


def list(uri: str) -> Iterator[str]:
    """Yield the URIs of all objects whose names start with `uri`, or of all files below a local folder, in order."""
    if not is_remote(uri):
        root = local_path(uri)
        yield from (str(path) for path in sorted(root.rglob("*")) if path.is_file())
        return
    bucket, prefix = open_bucket(uri)
    with _explained(uri):
        for blob in bucket.client.list_blobs(bucket, prefix=prefix, fields="items(name),nextPageToken"):
            yield f"gs://{bucket.name}/{blob.name}"


def upload(path: str | Path, uri: str) -> None:
    """Write a local file as the object `uri`, or all files of a local folder below it."""
    path = Path(path)
    files = [(file, file.relative_to(path).as_posix()) for file in sorted(path.rglob("*")) if file.is_file()]
    if not path.is_dir():
        files = [(path, "")]
    for file, name in files:
        target = f"{uri.rstrip('/')}/{name}" if name else uri
        if not is_remote(target):
            with whole_file(local_path(target)) as partial:
                shutil.copyfile(file, partial)
            continue
        from google.cloud.storage.retry import DEFAULT_RETRY

        bucket, key = open_bucket(target)
        with _explained(target):
            bucket.blob(key).upload_from_filename(str(file), timeout=_TIMEOUT, retry=DEFAULT_RETRY)


def _inside(folder: Path, name: str, uri: str) -> Path:
    """Return where an object is stored; its name comes from outside and must not lead out of the folder."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name:
        raise HeadstartError(f"{uri}: object name {name!r} leads out of its folder; nothing was fetched.")
    return folder / pure


def download(uri: str, folder: str | Path) -> Path:
    """Fetch an object, or all objects below a prefix, into `folder`; return the file's path, or `folder`.

    The prefix is not repeated below `folder`. HeadstartError if there is nothing, if the disk has no room, or if the
    service fails for good; what was fetched until then is the caller's to remove, with the folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    bucket, name = open_bucket(uri)
    with _explained(uri):
        blob = bucket.get_blob(name, timeout=_TIMEOUT) if name and not name.endswith("/") else None
        if blob is not None:
            path = _inside(folder, PurePosixPath(name).name, uri)
            _check_room(folder, int(blob.size), uri)
            # Pinned to its generation, so that what is taken up again after a break belongs to what came before it.
            _fetch_one(bucket.blob(name, generation=int(blob.generation)), int(blob.size), path)
            return path
        prefix = f"{name.rstrip('/')}/" if name.strip("/") else ""
        blobs = [
            blob
            for blob in bucket.client.list_blobs(
                bucket, prefix=prefix, fields="items(name,size,generation,crc32c,md5Hash),nextPageToken"
            )
            if not blob.name.endswith("/")  # the folders that consoles draw
        ]
        if not blobs:
            raise HeadstartError(f"{uri}: there is no such object, and none below that prefix.", "Check the name.")
        _check_room(folder, sum(int(blob.size or 0) for blob in blobs), uri)
        pairs = [(blob, _inside(folder, blob.name[len(prefix) :], uri)) for blob in blobs]
        _fetch_many(pairs)
    return folder


def _check_room(folder: Path, needed: int, uri: str) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise HeadstartError(
            f"{uri}: {needed / 1e9:.1f} GB do not fit: {folder} has {free / 1e9:.1f} GB free.",
            "Free some, or set TMPDIR to a larger disk.",
        )


def _fetch_one(blob: Any, size: int, path: Path) -> None:
    from google.cloud.storage import transfer_manager

    if size < _LARGE:
        blob.download_to_filename(str(path), timeout=_TIMEOUT)
        return
    transfer_manager.download_chunks_concurrently(
        blob,
        str(path),
        chunk_size=_PIECE,
        worker_type=transfer_manager.THREAD,
        max_workers=4,
        download_kwargs={"timeout": _TIMEOUT},
    )


def _fetch_many(pairs: Sequence[tuple[Any, Path]]) -> None:
    from google.cloud.storage import transfer_manager

    for parent in sorted({path.parent for _, path in pairs}):
        parent.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(pairs), _BATCH):
        batch = pairs[start : start + _BATCH]
        transfer_manager.download_many(
            [(blob, str(path)) for blob, path in batch],
            worker_type=transfer_manager.THREAD,
            max_workers=_TRANSFERS,
            raise_exception=True,
            download_kwargs={"timeout": _TIMEOUT},
        )
        emit("import", done=start + len(batch), total=len(pairs), what="objects")
