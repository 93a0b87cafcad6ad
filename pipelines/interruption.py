"""SIGTERM as an interruption: what ends a command by a service manager is handled like Ctrl-C."""

from __future__ import annotations

import resource
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

NO_THREADS = (
    "numpy's OpenBLAS could not start its threads or reserve its memory, and ended the command. A limit on address "
    "space or processes (ulimit -v, ulimit -u, a container's) is too low; raise it."
)
INTERRUPTED = 130  # exit status of a command that was interrupted: 128 and the number of SIGINT


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGTERM, so that what was started is ended in order."""

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def no_threads_left(error: BaseException) -> bool:
    """Return whether an interruption is OpenBLAS's doing: where it can start no threads, it sends us SIGINT.

    It does so while numpy is imported; somebody's Ctrl-C may come then as well, so a limit has to be there too.
    """
    chain: BaseException | None = error
    while chain is not None:
        frames = traceback.extract_tb(chain.__traceback__)
        if any(frame.name == "<module>" and "/numpy/" in frame.filename for frame in frames):
            return _limited() or not _can_start_a_thread()
        chain = chain.__context__
    return False


def _limited() -> bool:
    return any(
        resource.getrlimit(limit)[0] != resource.RLIM_INFINITY for limit in (resource.RLIMIT_AS, resource.RLIMIT_DATA)
    )


def _can_start_a_thread() -> bool:
    try:
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
    except RuntimeError:
        return False
    return True
