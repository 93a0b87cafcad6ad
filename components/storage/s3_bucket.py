"""A prefix in a bucket of a store that speaks S3 as a place: Amazon S3, MinIO, SeaweedFS (Kubeflow's own store).

The usual environment variables say how it is reached: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION, AWS_PROFILE and those of a pod's role. Without credentials
requests are not signed, which public buckets allow. Where they name no server, minio:// in a pod of Kubeflow Pipelines
is its own store.
"""

from __future__ import annotations

import base64
import hashlib
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from headstart.components.errors import HeadstartError, SettingError, TemporaryError
from headstart.components.storage.kubeflow_store import kubeflow_store
from headstart.components.storage.places import (
    TRANSFERS,
    Bucket,
    Entry,
    PreconditionError,
    absent,
    changed,
    content_type,
)

_ATTEMPTS = 8
"""Attempts at one request, with pauses that double up to 20 seconds; also reads in a row that bring nothing."""
_CHUNK = 1 << 20
_REFUSED = {
    *("401", "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"),
    *("AuthorizationHeaderMalformed", "RequestTimeTooSkewed", "AllAccessDisabled", "AccountProblem"),
}
_ABSENT = {"404", "NoSuchKey", "NoSuchBucket"}
# 409: Amazon's answer where another conditional write of the same object was under way.
_LOST = {"409", "412", "PreconditionFailed", "ConditionalRequestConflict"}


def endpoint() -> str:
    """Return the address of the store that the environment names; empty: Amazon's own."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""


def _region() -> str:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""


@lru_cache(maxsize=4)
def client(
    address: str,
    region: str,
    key: str,
    secret: str = "",
    attempts: int = _ATTEMPTS,
    timeouts: tuple[float, float] = (10, 60),
) -> Any:
    """Make a client for what the environment says now, or for the keys given; it is made again when that changes.

    `timeouts` are the seconds that connecting and reading may take, of each of the `attempts` at a request.
    """
    import botocore.session
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    try:
        session = botocore.session.get_session()
        if secret:
            session.set_credentials(key, secret)
        options: dict[str, Any] = {} if session.get_credentials() else {"signature_version": UNSIGNED}
        return session.create_client(
            "s3",
            endpoint_url=address or None,
            region_name=region or session.get_config_variable("region") or "us-east-1",
            config=Config(
                connect_timeout=timeouts[0],
                read_timeout=timeouts[1],
                max_pool_connections=2 * TRANSFERS,
                retries={"mode": "standard", "total_max_attempts": attempts},
                # Servers other than Amazon's have no names for buckets, and some know no checksums in trailers.
                s3={"addressing_style": "path" if address else "auto"},
                request_checksum_calculation="when_required",
                **options,
            ),
        )
    except (BotoCoreError, ValueError) as error:
        raise SettingError(
            f"The environment's settings for S3 cannot be used: {error}",
            "Check AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL (http://HOST:PORT), AWS_PROFILE and AWS_REGION.",
        ) from error


class S3Bucket(Bucket):
    """See `headstart.components.storage.places.Place`; a generation is an object's ETag, which follows its content."""

    _refuses: dict[tuple[str, str], bool] = {}  # noqa: RUF012 (shared: what was found out about a bucket's server)

    def __init__(self, uri: str, bucket: str, prefix: str) -> None:
        """See `Bucket`."""
        super().__init__(uri, prefix)
        self._bucket, self._address = bucket, endpoint()
        region, key, secret = _region(), os.environ.get("AWS_ACCESS_KEY_ID", ""), ""
        if uri.startswith("minio://") and not self._address:
            own = kubeflow_store()
            if own is None:
                raise SettingError(
                    f"{uri}: no address of the MinIO server is set.",
                    "Set AWS_ENDPOINT_URL, such as http://minio-service.kubeflow:9000, AWS_ACCESS_KEY_ID and "
                    "AWS_SECRET_ACCESS_KEY.",
                )
            self._address, region, key, secret = own
        self._client = client(self._address, region, key, secret)

    def read(self, name: str, largest: int | None = None) -> tuple[bytes | None, str]:
        """See `Place`."""
        from botocore.exceptions import ClientError

        with self._explained(name):
            try:
                parts = []
                generation = ""
                for part, generation in self._stream(name, "", largest):  # noqa: B007 (the last one counts)
                    parts.append(part)
                    if largest is not None and sum(map(len, parts)) > largest:
                        break
            except ClientError as error:
                if _code(error) == "NoSuchKey":
                    return None, ""
                raise
        data = b"".join(parts)
        return data if largest is None else data[: largest + 1], generation

    def write(self, name: str, data: bytes, expected: str | None = None) -> str:
        """See `Place`."""
        if expected is not None:
            self._check_conditions()
        return super().write(name, data, expected)

    def delete(self, name: str) -> None:
        """See `Place`."""
        with self._explained(name):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)

    def entry(self, name: str) -> Entry | None:
        """See `Place`."""
        from botocore.exceptions import ClientError

        with self._explained(name):
            try:
                answer = self._client.head_object(Bucket=self._bucket, Key=self._prefix + name)
            except ClientError as error:
                if _code(error) in _ABSENT:
                    return None
                raise
        return Entry(name, int(answer["ContentLength"]), str(answer["ETag"]))

    def entries(self, folder: str) -> Sequence[Entry]:
        """See `Place`; the empty objects that consoles draw as folders are left out."""
        return sorted(
            (
                Entry(str(found["Key"]).removeprefix(self._prefix), int(found["Size"]), str(found["ETag"]))
                for page in self._pages(folder)
                for found in page.get("Contents", ())
                if not str(found["Key"]).endswith("/")
            ),
            key=lambda entry: entry.name,
        )

    def folders(self, folder: str) -> Sequence[str]:
        """See `Place`."""
        prefix = self._below(folder)
        pages = self._pages(folder, Delimiter="/")
        found = [str(each["Prefix"]) for page in pages for each in page.get("CommonPrefixes", ())]
        return sorted(each.removeprefix(prefix).rstrip("/") for each in found)

    def fetch(self, pairs: Sequence[tuple[Entry, Path]]) -> None:
        """See `Place`; what a broken connection interrupts goes on where it broke."""
        with ThreadPoolExecutor(TRANSFERS) as pool:
            for done in [pool.submit(self._fetch, entry, path) for entry, path in pairs]:
                done.result()

    def _fetch(self, entry: Entry, path: Path) -> None:
        with self._explained(entry.name), path.open("wb") as file:
            for part, _ in self._stream(entry.name, entry.generation, None):
                file.write(part)

    def _stream(self, name: str, generation: str, largest: int | None) -> Iterator[tuple[bytes, str]]:
        """Yield an object's content and ETag, all of one generation; a break is followed by a read of the rest."""
        from botocore.exceptions import HTTPClientError, IncompleteReadError

        digest, have, failures = hashlib.md5(usedforsecurity=False), 0, 0
        while True:
            pinned = {"IfMatch": generation} if generation else {}
            rest = {"Range": f"bytes={have}-"} if have else {}
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name, **pinned, **rest)
            generation = str(answer["ETag"])
            try:
                if not have and not answer["ContentLength"]:
                    yield b"", generation
                for part in answer["Body"].iter_chunks(_CHUNK):
                    digest.update(part)
                    have, failures = have + len(part), 0
                    yield part, generation
            except (HTTPClientError, IncompleteReadError):
                failures += 1
                if failures >= _ATTEMPTS:
                    raise
                time.sleep(min(0.1 * 2**failures, 10))
                continue
            finally:
                answer["Body"].close()
            break
        tag = generation.strip('"')
        # An object that was put whole and is not encrypted has its MD5 as its ETag.
        plain = len(tag) == 32 and "ServerSideEncryption" not in answer
        if plain and largest is None and digest.hexdigest() != tag:
            raise TemporaryError(f"{self._named(name)}: what arrived has another checksum.", "Try again.")

    def _put(self, name: str, data: bytes, expected: str | None) -> str:
        conditions = {} if expected is None else {"IfMatch": expected} if expected else {"IfNoneMatch": "*"}
        with self._explained(name):
            answer = self._client.put_object(
                Bucket=self._bucket,
                Key=self._prefix + name,
                Body=data,
                ContentType=content_type(name),
                ContentMD5=base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode(),
                **conditions,
            )
        return str(answer["ETag"])

    def _check_conditions(self) -> None:
        """HeadstartError where the server writes although a condition does not hold, as old ones of MinIO do."""
        known = (self._address, self._bucket)
        if known not in self._refuses:
            name = f".headstart-probe-{uuid.uuid4().hex}"
            try:
                self._put(name, b"first", "")
                self._refuses[known] = self._loses(name, "") and self._loses(name, f'"{"0" * 32}"')
            finally:
                self.delete(name)
        if not self._refuses[known]:
            raise HeadstartError(
                f"{self.uri}: the server ignores the conditions of a write (If-None-Match, If-Match), so that two "
                "promotions at once could both win.",
                "Keep the model store on Amazon S3, a current SeaweedFS or MinIO, in gs:// or in a folder.",
            )

    def _loses(self, name: str, expected: str) -> bool:
        try:
            self._put(name, b"second", expected)
        except PreconditionError:
            return True
        except HeadstartError:  # such as "not implemented"
            return False
        return False

    def _pages(self, folder: str, **options: str) -> Iterator[dict[str, Any]]:
        with self._explained(folder):
            pages = self._client.get_paginator("list_objects_v2")
            yield from pages.paginate(Bucket=self._bucket, Prefix=self._below(folder), **options)

    @contextmanager
    def _explained(self, name: str) -> Iterator[None]:
        """Turn what the server answers into a message that says what to do."""
        from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
        from botocore.exceptions import ConnectionError as NoConnection

        uri = self._named(name)
        where = f"the S3 server at {self._address}" if self._address else "Amazon S3"
        try:
            yield
        except ClientError as error:
            code = _code(error)
            if code in _ABSENT:
                raise absent(uri) from error
            if code in _LOST:
                raise changed(uri) from error
            if code in _REFUSED:
                raise HeadstartError(
                    f"{uri}: access was refused ({code}).",
                    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the pod's role the right to read, list, "
                    "write and delete objects of the bucket.",
                ) from error
            raise TemporaryError(f"{uri}: {where} failed: {error}.", "Try again later.") from error
        except NoConnection as error:
            raise TemporaryError(
                f"{uri}: {where} cannot be reached: {error}.",
                "Check AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL (http://HOST:PORT) and the network.",
            ) from error
        except ParamValidationError as error:
            raise HeadstartError(f"{uri}: is not a name that S3 has.", "Name another bucket or object.") from error
        except BotoCoreError as error:
            raise TemporaryError(f"{uri}: {where} failed: {error}.", "Try again later.") from error


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
