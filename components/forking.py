"""A child of this process by fork that begins as a fresh process would, with this process's modules already imported.

Nothing of the parent's call stack runs in it: its signals, logging and random numbers are those of a new process, and
it has no open file beyond the three standard ones. Its parent must have no other threads.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import random
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PR_SET_NAME = 15


def possible() -> bool:
    """Whether a fork is safe now: on Linux, and no other thread could hold a lock for ever in the child."""
    return sys.platform == "linux" and threads() == 1


def threads() -> int:
    """Threads of this process, those of libraries included; 0 where the system does not say."""
    try:
        return len(list(Path("/proc/self/task").iterdir()))
    except OSError:
        return 0


def files() -> int:
    """Open files of this process, those of libraries included."""
    return len(list(Path("/proc/self/fd").iterdir()))


def start(run: Callable[[], int], *, name: str, stdout: int | None = None, stderr: int | None = None) -> int:
    """Fork a child that calls `run` and ends with what it returns, and return its process id.

    `stdout` and `stderr` are file descriptors that take the place of the parent's. `name` (at most 15 characters) is
    what `ps -o comm` shows. An exception that leaves `run` is printed, and the status is then 1, as Python's own.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # No handler of the parent's runs in the child: what arrives meanwhile waits until the child has set its own.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        child = os.fork()
        if not child:
            _live(run, name, before, {1: stdout, 2: stderr})
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return child


def _live(run: Callable[[], int], name: str, mask: set[Any], streams: dict[int, int | None]) -> None:
    status = 1
    try:
        for number, given in streams.items():
            if given is not None:
                os.dup2(given, number)
        for entry in Path("/proc/self/fd").iterdir():
            if int(entry.name) > 2:
                with contextlib.suppress(OSError):  # that of the listing itself
                    os.close(int(entry.name))
        _like_new(name)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        status = run()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if status and not isinstance(end.code, int):
            sys.stderr.write(f"{end.code}\n")
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(status)


def _like_new(name: str) -> None:
    # What is ignored stays so, as it does through exec.
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    logging.root.handlers.clear()
    logging.root.setLevel(logging.WARNING)
    random.seed()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
