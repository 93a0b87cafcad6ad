"""Seconds, processor seconds and peak memory of a process, and how much of the machine others used meanwhile."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.components.training.clock import machine_busy_seconds

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass
class Measurement:
    """One process with all that it started and waited for.

    Attributes:
        wall: seconds from its start to its end.
        cpu: processor seconds, user and system, of it and of what it started.
        peak_bytes: most memory that the largest single process of them had resident.
        others: share of the machine's processors that other processes used meanwhile; None where not known.
    """

    wall: float
    cpu: float
    peak_bytes: int
    others: float | None


class Failed(Exception):  # noqa: N818 - it names what happened
    """A measured process failed; the message ends with its last words."""


def others_share(busy_before: float | None, wall: float, cpu: float) -> float | None:
    """Share of the machine's processors used by others since `busy_before` (see `machine_busy_seconds`)."""
    now = machine_busy_seconds()
    if busy_before is None or now is None or wall <= 0:
        return None
    return min(max((now - busy_before - cpu) / (wall * (os.cpu_count() or 1)), 0.0), 1.0)


def run_measured(command: list[str], log: Path, **environment: str) -> Measurement:
    """Run `command` in the repository, its output going to `log`, and measure it; Failed where it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    environ = {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": str(REPOSITORY), **os.environ, **environment}
    with log.open("ab") as file, tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch, "figures.json")
        launcher = [sys.executable, "-S", "-E", str(REPOSITORY / "benchmarks" / "launcher.py"), str(result)]
        busy = machine_busy_seconds()
        child = subprocess.Popen(
            [*launcher, *command],
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=environ,
            start_new_session=True,
        )
        try:
            child.wait()
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
        found = json.loads(result.read_text(encoding="utf-8"))
    if found["status"]:
        tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
        raise Failed(f"{' '.join(command[:6])} … ended with status {found['status']}; {log}:\n{tail}")
    share = others_share(busy, found["wall"], found["cpu"])
    return Measurement(found["wall"], found["cpu"], found["peak_bytes"], share)


def python(module: str, *arguments: object) -> list[str]:
    """Return the command that runs a module of this repository."""
    return [sys.executable, "-m", module, *map(str, arguments)]


def answer(module: str, *arguments: object) -> dict[str, Any]:
    """Run a module of this repository and return the JSON in the last line that it prints; SystemExit where it fails.

    `others` in it is the share of the machine that other processes used meanwhile, unless the module says it itself.
    """
    busy, began, before = machine_busy_seconds(), time.perf_counter(), children_seconds()
    done = subprocess.run(python(module, *arguments), cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, (module, *arguments)))}: {done.stderr[-2000:]}")
    others = others_share(busy, time.perf_counter() - began, children_seconds() - before)
    return {"others": others, **json.loads(done.stdout.splitlines()[-1])}


def children_seconds() -> float:
    """Processor seconds of the processes that this one started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
