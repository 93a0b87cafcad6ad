"""The clock: phases in seconds that exclude each other, processor time beside wall time, and what others took."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

PHASES = ("startup", "data", "compile", "train", "evaluate", "checkpoint")
# What a clock has added up; a checkpoint carries it.
CARRIED = ("seconds", "train_cpu_seconds", "taken_seconds", "observed_seconds")


class Lap(NamedTuple):
    """Wall and processor seconds of one stretch."""

    wall: float
    cpu: float


class Clock:
    """Adds up seconds per phase on the monotonic clock; phases follow one another and never overlap."""

    def __init__(self, cores: float) -> None:
        """`cores`: processors that this process may use."""
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.train_cpu_seconds = 0.0
        self._cores = cores
        self._running = ""
        # Seconds of training, taken by others and within which that was measured.
        self.taken_seconds, self.observed_seconds = 0.0, 0.0

    @contextmanager
    def phase(self, name: str) -> Iterator[list[Lap]]:
        """Time what is inside as `name`; the yielded list holds one Lap afterwards, also when it raises."""
        if self._running:
            raise RuntimeError(f"phase {name} inside {self._running}: phases exclude each other")
        laps: list[Lap] = []
        self._running = name
        others = machine_busy_seconds() if name == "train" else None
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield laps
        finally:
            lap = Lap(time.perf_counter() - wall, time.process_time() - cpu)
            self._running = ""
            self.seconds[name] += lap.wall
            laps.append(lap)
            if name == "train":
                self.train_cpu_seconds += lap.cpu
                now = machine_busy_seconds()
                if others is not None and now is not None:
                    busy, capacity = now - others, lap.wall * (os.cpu_count() or 1)
                    self.taken_seconds += taken(busy - lap.cpu, capacity, lap.wall * self._cores)
                    self.observed_seconds += lap.wall

    def dump(self) -> dict[str, Any]:
        """Return what `load` takes, for a checkpoint."""
        return {name: getattr(self, name) for name in CARRIED}

    def load(self, content: dict[str, Any]) -> None:
        """Go on from an earlier attempt's clock; what this one showed until now is dropped."""
        vars(self).update((name, content[name]) for name in CARRIED)

    @property
    def stolen_share(self) -> float | None:
        """Share of the processor time due to this process that others took while it trained; None if not known."""
        due = self.observed_seconds * self._cores
        return min(1.0, self.taken_seconds / due) if due > 0 else None


def taken(others: float, capacity: float, due: float) -> float:
    """Processor seconds that `others` took from the `due` ones, out of `capacity` that the machine had.

    Others may use what is not due to us; only what they use beyond that is taken from us.
    """
    return min(max(others - max(capacity - due, 0.0), 0.0), due)


def machine_busy_seconds(stat: Path = Path("/proc/stat")) -> float | None:
    """Processor seconds that the machine has been busy since it started, time stolen by a hypervisor included.

    None where the kernel does not say (not Linux, or a sandbox that shows zeros).
    """
    try:
        fields = stat.read_text(encoding="ascii").split("\n", 1)[0].split()
    except OSError:
        return None
    if len(fields) < 9 or fields[0] != "cpu":
        return None
    # user nice system idle iowait irq softirq steal; guest time is within user.
    ticks = [int(value) for value in fields[1:9]]
    busy = sum(ticks) - ticks[3] - ticks[4]
    return busy / os.sysconf("SC_CLK_TCK") if busy else None
