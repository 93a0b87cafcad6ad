"""TensorFlow imported once for many training processes: each is forked from a process that has executed nothing in it.

A local run's tasks are forked from one process (`headstart.pipelines.task_template`), which calls `load` before the
first task that trains; such a task forks its training processes with `fork`. Everywhere else, and where a fork would
not be what a fresh process is, `usable` says no and a fresh process is started.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from headstart.components import forking
from headstart.components.training import environment, process

# Set to anything, every task and every training process of a local run is a fresh process.
SEPARATE = "HEADSTART_SEPARATE_PROCESSES"
_environment: dict[str, str] = {}  # in which TensorFlow was imported; empty: it was not, or forks are not safe


def load() -> bool:
    """Import what a training process imports, without executing any of it; return whether it may be forked now."""
    import numpy as np  # noqa: F401 - the threads of its OpenBLAS end before a fork and begin again after it

    before = dict(os.environ)
    threads, files = forking.threads(), forking.files()
    os.environ.update(environment.for_import(os.environ, 0))
    process.lighten_imports()
    try:
        import headstart.components.training.fit
        import headstart.components.training.run  # noqa: F401

    except ImportError:  # a fresh process meets it as well and says so
        return False
    finally:
        os.environ.clear()
        os.environ.update(before)
        process.restore_imports()
        gc.freeze()
    if forking.threads() > threads or forking.files() > files or _accelerated():
        return False
    _environment.update(_relevant(before))
    return True


def loaded() -> bool:
    """Whether `load` has been called and said yes."""
    return bool(_environment)


def _accelerated() -> bool:
    """Whether this TensorFlow may have touched an accelerator on import, whose driver does not survive a fork."""
    import tensorflow as tf

    plugins = Path(tf.__file__).parents[1] / "tensorflow-plugins"
    build = tf.sysconfig.get_build_info()
    return bool(build["is_cuda_build"] or build["is_rocm_build"]) or (plugins.is_dir() and any(plugins.iterdir()))


def _relevant(environ: Mapping[str, str]) -> dict[str, str]:
    """Every variable that a library might read, when it is imported or later."""
    ours = {name: value for name, value in environ.items() if not name.startswith(("HEADSTART_", "_KFP_"))}
    return environment.for_import(ours, 0)


def usable(environ: Mapping[str, str], accelerators: int) -> bool:
    """Whether a fork is what a fresh process with the variables `environ` would be."""
    return (
        loaded()
        and not accelerators
        and not environ.get(SEPARATE)
        and _relevant(environ) == _environment
        and forking.possible()
    )


@dataclass
class Forked:
    """A training process made by `fork`, with the part of `subprocess.Popen` that its parent needs."""

    pid: int
    stderr: BinaryIO
    returncode: int | None = None

    def poll(self) -> int | None:
        """Return how it ended, as `Popen` has it: negative for a signal; None while it lives."""
        if self.returncode is None and (ended := os.waitpid(self.pid, os.WNOHANG))[0]:
            self.returncode = os.waitstatus_to_exitcode(ended[1])
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def fork(file: Path, environ: Mapping[str, str]) -> Forked:
    """Train the specification in `file` in a fork with the variables `environ`; OSError where there can be none."""

    def run() -> int:
        os.environ.clear()
        os.environ.update(environ)
        return process.main([str(file)])

    ours, theirs = os.pipe()
    try:
        pid = forking.start(run, name="headstart-train", stderr=theirs)
    except OSError:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    return Forked(pid, os.fdopen(ours, "rb", buffering=0))
