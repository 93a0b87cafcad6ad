"""Reads the body of an HTTP answer within a limit of bytes, as they arrive and as they unpack."""

from __future__ import annotations

import zlib
from typing import Any

_BLOCK = 64 * 1024


class TooMuchError(Exception):
    """An answer is larger than it may be, or packed in a way that is not read."""


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
