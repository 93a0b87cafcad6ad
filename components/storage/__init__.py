"""Files and objects by URI: local paths, file://, gs://, and s3:// or minio:// for stores that speak S3.

All of them are one kind of place, see `places.py`. What a broken connection interrupts is taken up again where it
broke, and checksums are compared; nothing partial is ever left under its final name.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from headstart.components.credentials import has_credentials, masked_address
from headstart.components.errors import HeadstartError, SettingError
from headstart.components.progress import emit
from headstart.components.storage.places import Place, PreconditionError, absent

__all__ = ["PreconditionError"]
REMOTE = ("gs", "s3", "minio")
_BATCH = 512
_S3_SETTINGS = (
    *("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ROLE_ARN"),
    *("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
)


def is_remote(uri: str) -> bool:
    """Say whether `uri` names a place in an object store."""
    scheme, separator, _ = uri.partition("://")
    return bool(separator) and scheme in REMOTE


def is_configured(uri: str) -> bool:
    """Say whether this machine is set up to reach the object store of `uri` by itself.

    Google Cloud Storage always is; one that speaks S3 is where a variable of the environment says how.
    """
    return uri.startswith("gs://") or any(os.environ.get(name) for name in _S3_SETTINGS)


def local_path(uri: str) -> Path:
    """Return the path that a local URI names: `file:///a/b`, `/a/b` or `a/b`; SettingError for any other scheme."""
    if uri.startswith("file://"):
        parts = urlsplit(uri)
        if parts.netloc not in ("", "localhost"):
            raise SettingError(f"{uri}: file:// on another host ({parts.netloc}).", "Write file:///path.")
        return Path(unquote(parts.path))
    if "://" in uri:
        raise SettingError(
            f"{masked_address(uri)}: the scheme is not known here.",
            "Known: a path, file://, gs://, s3:// and minio://; for data sets https:// as well.",
        )
    return Path(uri).expanduser()


def split_uri(uri: str) -> tuple[str, str]:
    """Split `gs://bucket/name` into bucket and object name or prefix, which may be empty."""
    scheme, _, rest = uri.partition("://")
    bucket, _, name = rest.partition("/")
    if not is_remote(uri) or not bucket:
        scheme = scheme if scheme in REMOTE else "gs"
        raise SettingError(f"{masked_address(uri)}: expected {scheme}://BUCKET/OBJECT or {scheme}://BUCKET/PREFIX.")
    if "@" in bucket or has_credentials(f"{scheme}://{bucket}"):
        raise SettingError(
            f"{masked_address(uri)}: carries a user or a password.",
            f"Write {scheme}://BUCKET/NAME; keys come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY).",
        )
    return bucket, name


def open_place(uri: str) -> Place:
    """Return the folder, or the prefix of a bucket, that `uri` names; nothing is read or made."""
    if not is_remote(uri):
        from headstart.components.storage.local_folder import LocalFolder

        return LocalFolder(local_path(uri).absolute())
    bucket, name = split_uri(uri)
    prefix = f"{name.strip('/')}/" if name.strip("/") else ""
    if uri.startswith("gs://"):
        from headstart.components.storage.google_bucket import GoogleBucket

        return GoogleBucket(uri.rstrip("/"), bucket, prefix)
    from headstart.components.storage.s3_bucket import S3Bucket

    return S3Bucket(uri.rstrip("/"), bucket, prefix)


def _parted(uri: str) -> tuple[Place, str]:
    """Return the place that a file lies in, and its name there."""
    if not is_remote(uri):
        path = local_path(uri)
        return open_place(str(path.parent)), path.name
    bucket, name = split_uri(uri)
    return open_place(f"{uri.partition('://')[0]}://{bucket}"), name


def exists(uri: str) -> bool:
    """Say whether there is an object or file of exactly that name."""
    place, name = _parted(uri)
    return place.exists(name) if name or not is_remote(uri) else False


def read_bytes(uri: str, largest: int | None = None) -> bytes:
    """Return the content of one object or file; of one with more than `largest` bytes no more is read than that."""
    place, name = _parted(uri)
    content, _ = place.read(name, largest)
    if content is None:
        raise absent(uri) if is_remote(uri) else HeadstartError(f"{uri}: cannot be read: there is no such file.")
    if largest is not None and len(content) > largest:
        raise HeadstartError(f"{uri}: is larger than {largest:,} bytes.")
    return content


def write_bytes(uri: str, data: bytes, expected: str | None = None) -> str:
    """Write one object or file, whole or not at all; return its new generation.

    With `expected` it is only replaced while it still has that generation ("": while it does not exist), else
    PreconditionError is raised.
    """
    place, name = _parted(uri)
    return place.write(name, data, expected)


def delete(uri: str) -> None:
    """Remove one object or file; it is no error if it is not there."""
    place, name = _parted(uri)
    place.delete(name)


def list(uri: str) -> Iterator[str]:
    """Yield the URIs of all objects below a prefix, or of all files below a local folder, in order."""
    place = open_place(uri)
    for entry in place.entries(""):
        yield f"{place.uri}/{entry.name}"


def inside(folder: Path, name: str, uri: str) -> Path:
    """Return where an object is stored; its name comes from outside and must not lead out of the folder."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name or not pure.name:
        raise HeadstartError(f"{uri}: object name {name!r} leads out of its folder; nothing was fetched.")
    return folder / pure


def download(uri: str, folder: str | Path) -> Path:
    """Fetch an object, or all objects below a prefix, into `folder`; return the file's path, or `folder`.

    The prefix is not repeated below `folder`. HeadstartError if there is nothing, if the disk has no space, or if the
    service fails for good; what was fetched until then is the caller's to remove, with the folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    place, name = _parted(uri)
    entry = place.entry(name) if name and not name.endswith("/") else None
    if entry is not None:
        path = inside(folder, PurePosixPath(name).name, uri)
        _check_space(folder, entry.size, uri)
        place.fetch([(entry, path)])
        return path
    place = open_place(uri)
    entries = place.entries("")
    if not entries:
        raise HeadstartError(f"{uri}: there is no such object, and none below that prefix.", "Check the name.")
    _check_space(folder, sum(entry.size for entry in entries), uri)
    pairs = [(entry, inside(folder, entry.name, uri)) for entry in entries]
    for parent in sorted({path.parent for _, path in pairs}):
        parent.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(pairs), _BATCH):
        batch = pairs[start : start + _BATCH]
        place.fetch(batch)
        emit("import", done=start + len(batch), total=len(pairs), what="objects")
    return folder


def _check_space(folder: Path, needed: int, uri: str) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise HeadstartError(
            f"{uri}: {needed / 1e9:.1f} GB do not fit: {folder} has {free / 1e9:.1f} GB free.",
            "Free some, or set TMPDIR to a larger disk.",
        )
