"""A model store below a Google Cloud Storage prefix: generation preconditions take the place of locks and renames."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headstart.components import storage
from headstart.components.errors import HeadstartError
from headstart.components.promotion.backends import ABANDONED_AFTER_SECONDS, Conflict
from headstart.components.promotion.integrity import RESERVED

_TIMEOUT = 60.0


class BucketBackend:
    """Objects below `gs://bucket/prefix`; see `headstart.components.promotion.backends.Backend`."""

    def __init__(self, uri: str) -> None:
        """Open `uri`, see `headstart.components.storage` for credentials and emulators."""
        self._bucket, prefix = storage.open_bucket(uri)
        self.uri = uri.rstrip("/")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def read(self, name: str) -> tuple[bytes | None, int]:
        """See `Backend`: the generation is the object's own."""
        from google.api_core.exceptions import NotFound

        blob = self._bucket.blob(self._prefix + name)
        with self._explained(name):
            for _ in range(5):
                try:
                    blob.reload(timeout=_TIMEOUT)
                    # Content and generation must belong together, so exactly that generation is asked for.
                    generation = int(blob.generation)
                    return bytes(blob.download_as_bytes(if_generation_match=generation, timeout=_TIMEOUT)), generation
                except NotFound:
                    if not blob.exists(timeout=_TIMEOUT):
                        return None, 0
                except Exception as error:
                    if not _is_precondition_failure(error):
                        raise
            raise HeadstartError(f"{self.uri}/{name}: changes faster than it can be read.")

    def write(self, name: str, data: bytes, expected: int | None = None) -> None:
        """See `Backend`."""
        blob = self._bucket.blob(self._prefix + name)
        content_type = "application/json" if name.endswith(".json") else "application/octet-stream"
        if name.endswith(".html"):
            content_type = "text/html; charset=utf-8"
        from google.cloud.storage.retry import DEFAULT_RETRY

        with self._explained(name):
            try:
                # Tried again also without a precondition: writing the same bytes twice does no harm.
                blob.upload_from_string(
                    data,
                    content_type=content_type,
                    if_generation_match=expected,
                    timeout=_TIMEOUT,
                    checksum="auto",
                    retry=DEFAULT_RETRY,
                )
            except Exception as error:
                if not _is_precondition_failure(error):
                    raise
                # The client repeats a request whose answer was lost; its first try may have been the one that won.
                if self.read(name)[0] != data:
                    raise Conflict(name) from error

    def folders(self, name: str) -> list[str]:
        """See `Backend`."""
        prefix = f"{self._prefix}{name}/" if name else self._prefix
        with self._explained(name):
            listing = self._bucket.client.list_blobs(self._bucket, prefix=prefix, delimiter="/", timeout=_TIMEOUT)
            for _ in listing:  # prefixes are known only after the pages were read
                pass
            return sorted(found.removeprefix(prefix).rstrip("/") for found in listing.prefixes)

    def files(self, name: str) -> list[str]:
        """See `Backend`."""
        prefix = f"{self._prefix}{name}/"
        return sorted(blob.name.removeprefix(prefix) for blob in self._blobs(prefix) if not blob.name.endswith("/"))

    def add_folder(self, source: Path, name: str, last: str) -> None:
        """See `Backend`: an object that only one writer can make reserves the name."""
        moment = datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
        self.write(f"{name}/{RESERVED}", f"{moment} {uuid.uuid4().hex}".encode(), expected=0)
        paths = sorted(path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file())
        for path in [path for path in paths if path != last] + [last]:
            self.write(f"{name}/{path}", (source / path).read_bytes(), expected=0)

    def download(self, name: str, target: Path) -> None:
        """See `Backend`."""
        prefix = f"{self._prefix}{name}/"
        for blob in self._blobs(prefix):
            relative = blob.name.removeprefix(prefix)
            place = (target / relative).resolve()
            if not place.is_relative_to(target.resolve()):
                raise HeadstartError(f"{self.uri}/{name}/{relative}: its name leads out of the folder.")
            if relative in ("", RESERVED) or relative.endswith("/"):
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            with self._explained(f"{name}/{relative}"):
                blob.download_to_filename(str(place), timeout=_TIMEOUT)

    def remove(self, name: str, first: str = "") -> None:
        """See `Backend`."""
        if first:
            self._delete(f"{self._prefix}{name}/{first}")
        for blob in self._blobs(f"{self._prefix}{name}/"):
            self._delete(blob.name)
        self._delete(self._prefix + name)

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

    def _blobs(self, prefix: str) -> list[Any]:
        with self._explained(prefix):
            return list(self._bucket.client.list_blobs(self._bucket, prefix=prefix, timeout=_TIMEOUT))

    def _delete(self, name: str) -> None:
        from google.api_core.exceptions import NotFound

        with self._explained(name):
            try:
                self._bucket.blob(name).delete(timeout=_TIMEOUT)
            except NotFound:
                return

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        from google.api_core.exceptions import Forbidden, GoogleAPIError, NotFound, Unauthorized
        from google.auth.exceptions import GoogleAuthError

        try:
            yield
        except (Forbidden, Unauthorized, GoogleAuthError) as error:
            raise HeadstartError(
                f"{self.uri}/{name}: access refused: {error}.",
                "The store needs a role with storage.objects.{get,list,create,delete}, such as "
                "roles/storage.objectUser on the bucket.",
            ) from error
        except NotFound as error:
            raise HeadstartError(f"{self.uri}: no such bucket.", "Make it, or correct the URI.") from error
        except (GoogleAPIError, OSError) as error:
            if _is_precondition_failure(error):
                raise
            raise HeadstartError(
                f"{self.uri}/{name}: Google Cloud Storage did not answer as it should: {error}."
            ) from error


def _is_precondition_failure(error: Exception) -> bool:
    from google.api_core.exceptions import PreconditionFailed

    return isinstance(error, PreconditionFailed)
