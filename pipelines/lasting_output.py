"""Standard output of a long command: where it can be written no longer, the command goes on without it.

The reader of a pipe may end early (`head`, a closed terminal), a disk that takes the output may be full. Neither is a
reason to give up what has been computed for hours.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from headstart.components.console import Console

OUTPUT_LOST = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EPIPE}


class LastingOutput(io.TextIOBase):
    """Writes to `stream` until that fails; says so once on standard error and is silent from then on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream
        self._terminal = stream.isatty()
        self._encoding = stream.encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Return the stream's encoding."""
        return self._encoding

    def isatty(self) -> bool:
        """Return whether the stream was a terminal."""
        return self._terminal

    def fileno(self) -> int:
        """Return the stream's descriptor; OSError once it is lost."""
        if self._stream is None:
            raise OSError("the output is lost")
        return self._stream.fileno()

    def writable(self) -> bool:
        """Return True: what is written is shown or dropped."""
        return True

    def write(self, text: str) -> int:
        """Write `text`, or drop it where nothing can be written."""
        if self._stream is not None:
            try:
                return self._stream.write(text)
            except (OSError, ValueError) as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Flush the stream where it is still there."""
        if self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        stream, self._stream = self._stream, None
        reason = getattr(error, "strerror", None) or str(error)
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(
                f"Standard output cannot be written any more ({reason}); the command goes on without it.\n"
            )
        drop_what_is_buffered(stream)


def drop_what_is_buffered(stream: TextIO | None) -> None:
    """Point the stream's descriptor at nothing, so that its buffer does no harm when Python flushes it at exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())  # type: ignore[union-attr]
        os.close(nothing)


def lasting_console() -> Console:
    """Return a console on standard output that outlives it."""
    from headstart.components.console import Console

    return Console(file=LastingOutput(sys.stdout))
