"""Downloads one file over HTTPS: resumed where it broke, checked while it streams, whole or not under its name.

Also the two data sets of the paper: where they are published, and the checksums of the files.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urljoin, urlsplit

from headstart.components.atomic_files import write_text
from headstart.components.credentials import masked, masked_address
from headstart.components.errors import HeadstartError, SettingError, TemporaryError
from headstart.components.time_limit import TooLongError, within

_BLOCK = 1 << 20
_ATTEMPTS = 6
_TIMEOUT = (10, 60)
"""Seconds to connect, and to wait for the next bytes."""
_HEADER_SECONDS = 120.0
"""Within which an answer must begin, however its headers drip."""
_LEAST_BYTES, _IN_SECONDS = 64 << 10, 60.0
"""Bytes and seconds: a connection that brings fewer bytes in that time counts as broken."""
_HOPS = 10
_PAUSE = 0.2
"""Seconds before the first of the further attempts; each pause is twice the one before."""
_SIZE_LIMIT = 64 << 30

Progress = Callable[[int, int | None], None]


def expected_checksum(uri: str) -> str:
    """Return `sha256=…` or `md5=…`: what the URI's fragment says, else what is published for a file of that name."""
    fragment = parse_qs(urlsplit(uri).fragment)
    for kind, length in (("sha256", 64), ("md5", 32)):
        for value in fragment.get(kind, []):
            if len(value) != length or set(value.lower()) - set("0123456789abcdef"):
                raise SettingError(f"{masked_address(uri)}: {kind} must be {length} hexadecimal digits.")
            return f"{kind}={value.lower()}"
    return known_checksum(uri.partition("#")[0])


def fetch(uri: str, folder: Path, progress: Progress = lambda done, total: None, *, kept: bool = True) -> Path:
    """Download `uri` into `folder` and return the file's path.

    A break in the middle is taken up again, also by a later call, from a hidden file, which is renamed only when
    the length that the server told and the checksum are right. A whole file that is already there is kept, if its
    checksum is known and right. `kept` says whether the folder outlives a failure. HeadstartError when the server
    refuses, the checksum differs or it breaks for good.
    """
    if not _is_local(uri) and not urlsplit(uri).scheme == "https":
        raise SettingError(f"{masked_address(uri)}: http:// can be changed on its way.", "Use https://.")
    url = uri.partition("#")[0]
    name = unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]
    if not name or name in (".", "..") or "\\" in name or "\0" in name:
        raise SettingError(f"{masked_address(url)}: the address names no file.")
    kind, _, expected = expected_checksum(uri).partition("=")
    folder.mkdir(parents=True, exist_ok=True)
    path, partial = folder / name, folder / f".{name}.headstart-download.partial"
    if path.is_file() and expected and _digest(path, kind).hexdigest() == expected:
        progress(path.stat().st_size, path.stat().st_size)
        return path
    if path.exists() or path.is_symlink():
        what = f"its {kind.upper()} is not {expected}" if expected else "no checksum says whether it is the same"
        raise SettingError(
            f"{path}: is there already, and {what}; it is not overwritten.", "Move it away, or name another folder."
        )
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            digest = _transfer(url, partial, kind or "sha256", progress)
            break
        except _BrokenError as error:
            if attempt == _ATTEMPTS:
                raise TemporaryError(
                    f"{masked_address(url)}: the connection broke {_ATTEMPTS} times; the last time: {error}.",
                    f"Try again: what came so far is kept in {partial} and taken up."
                    if kept and partial.exists()
                    else "Try again later, or download the file with another program and name it here.",
                ) from error
            time.sleep(min(_PAUSE * 2**attempt, 5))
    if expected and digest != expected:
        partial.unlink()
        _validator(partial).unlink(missing_ok=True)
        raise HeadstartError(
            f"{masked_address(url)}: its {kind.upper()} is {digest}, expected {expected}; the file was removed.",
            "It was damaged on its way, or is another file now: try again, then ask its publisher for the sum.",
        )
    partial.replace(path)
    _validator(partial).unlink(missing_ok=True)
    return path


class _BrokenError(Exception):
    """The connection broke; what came so far is of use."""


def _validator(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.etag")


def _digest(path: Path, kind: str) -> Any:
    digest = hashlib.new(kind, usedforsecurity=False)
    if path.is_file():
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest


def _without_query(text: str, url: str) -> str:
    query = urlsplit(url).query
    return masked(text.replace(f"?{query}", "?***") if query else text)


def _answer(url: str, headers: dict[str, str]) -> Any:
    """Ask for `url` and follow redirects, each of which must lead to https; return the answer, its body unread."""
    import requests

    # A netrc or a proxy of the environment is honoured, as by any other program.
    for _ in range(_HOPS):
        call = partial(requests.get, url, headers=headers, stream=True, timeout=_TIMEOUT, allow_redirects=False)
        try:
            answer = within(_HEADER_SECONDS, call)
        except TooLongError:
            raise _BrokenError(f"no answer within {_HEADER_SECONDS:g} seconds") from None
        if answer.status_code not in (301, 302, 303, 307, 308) or "Location" not in answer.headers:
            return answer
        answer.close()
        before, url = url, urljoin(url, answer.headers["Location"])
        if urlsplit(url).scheme != "https" and (urlsplit(before).scheme == "https" or not _is_local(url)):
            raise HeadstartError(
                f"{masked_address(before)}: it redirects to {masked_address(url)}, which can be changed on its way.",
                "Only https:// is followed. Find another address of the file.",
            )
    raise HeadstartError(f"{masked_address(url)}: more than {_HOPS} redirects.", "Find another address of the file.")


def _is_local(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1")


def _length(answer: Any) -> int | None:
    text = answer.headers.get("Content-Length") or ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _transfer(url: str, partial: Path, kind: str, progress: Progress) -> str:
    """Fetch what `partial` lacks; return the hexadecimal digest of the whole."""
    import requests
    import urllib3

    # Without the mark of the version that the first part belongs to, the parts could be of two versions.
    mark = _validator(partial).read_text() if _validator(partial).is_file() else ""
    have = partial.stat().st_size if partial.is_file() and mark else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-", "If-Range": mark} if have else {})
    try:
        with _answer(url, headers) as answer:
            if answer.status_code == 416:  # nothing is left to send: the length was not known when it broke
                partial.unlink(missing_ok=True)
                raise _BrokenError("the server has no such range")
            if answer.status_code >= 500 or answer.status_code == 429:
                raise _BrokenError(f"the server answered {answer.status_code}")
            if answer.status_code >= 400:
                raise HeadstartError(
                    f"{masked_address(url)}: the server answered {answer.status_code} {answer.reason}."
                )
            if answer.status_code != 206:
                have = 0
            write_text(_validator(partial), answer.headers.get("ETag") or answer.headers.get("Last-Modified") or "")
            digest = _digest(partial, kind) if have else hashlib.new(kind, usedforsecurity=False)
            length = _length(answer)
            total = None if length is None else have + length
            if (total or 0) > _SIZE_LIMIT:
                raise HeadstartError(f"{masked_address(url)}: has {total} bytes; {_SIZE_LIMIT} are allowed.")
            since, begun = have, time.monotonic()
            with partial.open("ab" if have else "wb") as file:
                # read1 hands on what has come; iter_content would lose up to a block of it when the connection breaks.
                while block := answer.raw.read1(_BLOCK):
                    file.write(block)
                    digest.update(block)
                    have += len(block)
                    progress(have, total)
                    if have > _SIZE_LIMIT:
                        raise HeadstartError(f"{masked_address(url)}: sends more than {_SIZE_LIMIT} bytes.")
                    now = time.monotonic()
                    if have - since >= _LEAST_BYTES:
                        since, begun = have, now
                    elif now - begun > _IN_SECONDS:
                        raise _BrokenError(f"fewer than {_LEAST_BYTES} bytes came in {_IN_SECONDS:g} seconds")
            if total is not None and have != total:
                raise _BrokenError(f"{have} of {total} bytes came")
            return str(digest.hexdigest())
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        # The library's own error names the whole address, its query too, and would be in every traceback.
        raise _BrokenError(_without_query(str(error), url)) from None


@dataclass(frozen=True)
class PublishedFile:
    """One file that is published under a fixed name."""

    url: str
    checksum: str
    """`md5=…` or `sha256=…`; empty where none is published."""
    source: str
    """The page that says so."""


# The MD5 sums of the CIFAR files are beside the links on their page.
CIFAR = "https://www.cs.toronto.edu/~kriz/"
FILES: dict[str, PublishedFile] = {
    "cifar100": PublishedFile(
        f"{CIFAR}cifar-100-python.tar.gz", "md5=eb9058c3a382ffc7106e4002c42a8d85", f"{CIFAR}cifar.html"
    ),
    "cifar100-binary": PublishedFile(
        f"{CIFAR}cifar-100-binary.tar.gz", "md5=03b5dce01913d631647c71ecec9e9cb8", f"{CIFAR}cifar.html"
    ),
    # The release is a snapshot of a repository, packed again when it is asked for, so no checksum is published.
    "fruits360": PublishedFile(
        "https://github.com/fruits-360/fruits-360-100x100/archive/refs/heads/main.zip",
        "",
        "https://github.com/fruits-360",
    ),
}


def known_checksum(url: str) -> str:
    """Return the published checksum of a well-known file, by its name, or ''."""
    name = url.rpartition("/")[2]
    return next((file.checksum for file in FILES.values() if file.url.endswith(f"/{name}")), "")
