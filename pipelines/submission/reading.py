"""Reads the body of an HTTP answer within limits: of bytes as they arrive and as they unpack, and of time."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")

_BLOCK = 64 * 1024


class TooMuchError(Exception):
    """An answer is larger than it may be, or packed in a way that is not read."""


class TooLongError(Exception):
    """A call has not ended within its time."""


def read_body(answer: Any, largest: int, *, tail: bool = False) -> bytes:
    """Return the body of a `requests` answer that was asked for with `stream=True`, unpacked where it is packed.

    Args:
        answer: the answer; it is closed.
        largest: bytes that it may have once unpacked. No more than that, and one block, is ever in memory.
        tail: of a larger answer keep the end instead of raising TooMuchError.
    """
    packed = str(answer.headers.get("Content-Encoding") or "identity").strip().lower()
    if packed not in ("identity", "gzip", "x-gzip", "deflate"):
        raise TooMuchError(f"is packed as {packed[:40]}, which was not asked for")
    unpacker = None if packed == "identity" else zlib.decompressobj(zlib.MAX_WBITS | 32)
    kept = bytearray()

    def keep(block: bytes) -> None:
        kept.extend(block)
        if len(kept) > largest:
            if not tail:
                raise TooMuchError(f"is larger than {largest:,} bytes")
            del kept[:-largest]

    try:
        while block := answer.raw.read1(_BLOCK, decode_content=False):
            if unpacker is None:
                keep(block)
                continue
            while block and not unpacker.eof:
                keep(unpacker.decompress(block, _BLOCK))
                block = unpacker.unconsumed_tail
    except zlib.error as error:
        raise TooMuchError(f"is said to be packed as {packed}, and is not") from error
    finally:
        answer.close()
    return bytes(kept)


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """Return what `call` returns; TooLongError where it takes longer than `seconds`.

    A timeout of a socket begins again with every byte, so a server that sends one now and then is waited for without
    end. The call is therefore made by a thread of its own, which is left behind when the time is over.
    """
    outcome: list[Any] = []

    def work() -> None:
        try:
            outcome.append((True, call()))
        except BaseException as error:  # handed on below
            outcome.append((False, error))

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    # In steps, so that Ctrl-C is heard also where a join cannot be interrupted.
    end = time.monotonic() + max(seconds, 0.0)
    while worker.is_alive() and (left := end - time.monotonic()) > 0:
        worker.join(min(left, 1.0))
    if not outcome:
        raise TooLongError
    succeeded, value = outcome[0]
    if not succeeded:
        raise value
    result: Result = value
    return result
