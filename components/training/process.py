"""The process that trains one run: `python -m headstart.components.training.process SPECIFICATION.json`.

It ends with 0 once it has written a record, whatever that says, and with 143 where it was asked to stop and has left a
checkpoint. It does not outlive its parent.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

TERMINATED = 143
HIDDEN = ("pandas", "scipy")


def lighten_imports() -> None:
    """Make importing TensorFlow and Keras cheaper: they collect garbage for nothing and bring along what is not called.

    Imports and tracing make hundreds of thousands of objects that all stay; the collector is on again from the first
    epoch. Keras and TensorFlow import pandas and scipy where they find them, to accept data frames; a module that is
    None counts as not installed.
    """
    gc.disable()
    for name in HIDDEN:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


def restore_imports() -> None:
    """Let later code of this process import what `lighten_imports` hid from TensorFlow and Keras, and collect again."""
    gc.enable()
    for name in HIDDEN:
        if sys.modules.get(name, sys) is None:
            del sys.modules[name]


def main(arguments: list[str]) -> int:
    """Run the specification in the named file and return the exit status."""
    entered = time.perf_counter()
    stop = threading.Event()
    lighten_imports()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    from headstart.components.errors import HeadstartError
    from headstart.components.machine import die_with
    from headstart.components.training import environment
    from headstart.components.training.clock import Clock
    from headstart.components.training.specification import RunSpecification

    spec = RunSpecification.model_validate_json(Path(arguments[0]).read_text(encoding="utf-8"))
    die_with(spec.parent)
    facts = environment.describe(threads=spec.threads(), image=spec.image)
    clock = Clock(facts.cores)
    from headstart.components.training.stages import error_record

    try:
        with clock.phase("startup"):
            environment.prepare_tensorflow(facts.threads, spec.accelerators)
            from headstart.components.training.fit import Terminated
            from headstart.components.training.precision import trial
            from headstart.components.training.run import execute
        clock.seconds["startup"] += max(entered - spec.spawned, 0.0) if spec.spawned else 0.0
        try:
            record = (trial if spec.trial else execute)(spec, clock, facts, stop.is_set)
        except Terminated:
            return TERMINATED
    except Exception as error:
        if not isinstance(error, HeadstartError):
            traceback.print_exc()
        record = error_record(spec, error)
    record.write(spec.record)
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is on disk; TensorFlow's clean-up at exit takes time that nobody needs.
    os._exit(status)
