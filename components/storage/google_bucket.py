"""A prefix in a bucket of Google Cloud Storage as a place.

Application Default Credentials are used where there are some, else none, which public buckets allow.
`STORAGE_EMULATOR_HOST` leads to an emulator.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from headstart.components.errors import HeadstartError, TemporaryError
from headstart.components.storage.places import TRANSFERS, Bucket, Entry, absent, changed, content_type

_TIMEOUT = 60
_LARGE = 64 << 20
"""Objects of this many bytes are fetched in several pieces at once."""
_PIECE = 16 << 20


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
        client._http.mount(scheme, HTTPAdapter(pool_connections=4, pool_maxsize=2 * TRANSFERS))
    return client


class GoogleBucket(Bucket):
    """See `headstart.components.storage.places.Place`."""

    def __init__(self, uri: str, bucket: str, prefix: str) -> None:
        """See `Bucket`."""
        super().__init__(uri, prefix)
        self._bucket = _client(os.environ.get("STORAGE_EMULATOR_HOST", "")).bucket(bucket)

    def read(self, name: str, largest: int | None = None) -> tuple[bytes | None, str]:
        """See `Place`."""
        from google.api_core.exceptions import NotFound, PreconditionFailed

        blob = self._blob(name)
        part: dict[str, Any] = {} if largest is None else {"end": largest, "checksum": None}
        with self._explained(name):
            for _ in range(5):
                try:
                    blob.reload(timeout=_TIMEOUT)
                    # Content and generation must belong together, so exactly that generation is asked for.
                    generation = int(blob.generation)
                    if not blob.size:
                        return b"", str(generation)
                    data = blob.download_as_bytes(if_generation_match=generation, timeout=_TIMEOUT, **part)
                    return bytes(data), str(generation)
                except NotFound:
                    if not blob.exists(timeout=_TIMEOUT):
                        return None, ""
                except PreconditionFailed:
                    continue
        raise TemporaryError(f"{self._named(name)}: changes faster than it can be read.")

    def _put(self, name: str, data: bytes, expected: str | None) -> str:
        from google.cloud.storage.retry import DEFAULT_RETRY

        blob = self._blob(name)
        with self._explained(name):
            # Writing the same bytes twice does no harm, so it is tried again also without a precondition.
            blob.upload_from_string(
                data,
                content_type=content_type(name),
                if_generation_match=None if expected is None else int(expected or 0),
                timeout=_TIMEOUT,
                checksum="auto",
                retry=DEFAULT_RETRY,
            )
        return str(blob.generation or "")

    def delete(self, name: str) -> None:
        """See `Place`."""
        from google.api_core.exceptions import NotFound

        with self._explained(name), suppress(NotFound):
            self._blob(name).delete(timeout=_TIMEOUT)

    def entry(self, name: str) -> Entry | None:
        """See `Place`."""
        with self._explained(name):
            blob = self._bucket.get_blob(self._prefix + name, timeout=_TIMEOUT)
        return None if blob is None else Entry(name, int(blob.size or 0), str(blob.generation))

    def entries(self, folder: str) -> Sequence[Entry]:
        """See `Place`; the empty objects that consoles draw as folders are left out."""
        wanted = "items(name,size,generation),nextPageToken"
        with self._explained(folder):
            blobs = self._bucket.client.list_blobs(
                self._bucket, prefix=self._below(folder), fields=wanted, timeout=_TIMEOUT
            )
            return [
                Entry(blob.name.removeprefix(self._prefix), int(blob.size or 0), str(blob.generation))
                for blob in blobs
                if not blob.name.endswith("/")
            ]

    def folders(self, folder: str) -> Sequence[str]:
        """See `Place`."""
        prefix = self._below(folder)
        with self._explained(folder):
            listing = self._bucket.client.list_blobs(self._bucket, prefix=prefix, delimiter="/", timeout=_TIMEOUT)
            for _ in listing:  # prefixes are known only after the pages were read
                pass
            return sorted(found.removeprefix(prefix).rstrip("/") for found in listing.prefixes)

    def fetch(self, pairs: Sequence[tuple[Entry, Path]]) -> None:
        """See `Place`; what a broken connection interrupts goes on where it broke, and checksums are compared."""
        from google.cloud.storage import transfer_manager

        # Pinned to their generations, so that what goes on after a break belongs to what came before it.
        pinned = [
            (self._bucket.blob(self._prefix + entry.name, generation=int(entry.generation)), entry, path)
            for entry, path in pairs
        ]
        small = [(blob, str(path)) for blob, entry, path in pinned if entry.size < _LARGE]
        with self._explained(pairs[0][0].name if len(pairs) == 1 else ""):
            if small:
                transfer_manager.download_many(
                    small,
                    worker_type=transfer_manager.THREAD,
                    max_workers=TRANSFERS,
                    raise_exception=True,
                    download_kwargs={"timeout": _TIMEOUT},
                )
            for blob, entry, path in pinned:
                if entry.size >= _LARGE:
                    transfer_manager.download_chunks_concurrently(
                        blob,
                        str(path),
                        chunk_size=_PIECE,
                        worker_type=transfer_manager.THREAD,
                        max_workers=4,
                        download_kwargs={"timeout": _TIMEOUT},
                    )

    def _blob(self, name: str) -> Any:
        return self._bucket.blob(self._prefix + name)

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        """Turn what the service answers into a message that says what to do."""
        from google.api_core import exceptions
        from google.auth.exceptions import GoogleAuthError
        from requests.exceptions import RequestException

        uri = self._named(name)
        try:
            yield
        except exceptions.NotFound as error:
            raise absent(uri) from error
        except exceptions.PreconditionFailed as error:
            raise changed(uri) from error
        except (exceptions.Forbidden, exceptions.Unauthorized) as error:
            raise HeadstartError(
                f"{uri}: access was refused ({error.code}).",
                "Sign in with `gcloud auth application-default login`, or give the pod's service account a role on the "
                "bucket: roles/storage.objectViewer to read, roles/storage.objectUser to write.",
            ) from error
        except (exceptions.GoogleAPIError, GoogleAuthError, RequestException) as error:
            raise TemporaryError(f"{uri}: Google Cloud Storage failed: {error}.", "Try again later.") from error
