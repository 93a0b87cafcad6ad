"""A wall clock that jumps about changes no duration: those come from the monotonic clock alone."""

from __future__ import annotations

import os
import subprocess
import textwrap
import time
from pathlib import Path

import pytest
import small_run

from headstart.components.records import read_record

# Loaded by every Python that has its folder on its path: each look at the clock shows another day.
JUMPING = textwrap.dedent(
    """
    import itertools, time
    real, days = time.time, itertools.cycle((0.0, -40.0, 900.0, -0.5, 3.0))
    time.time = lambda: real() + 86400 * next(days)
    time.time_ns = lambda: int(time.time() * 1e9)
    """
)
CHECK = """
import time
assert len({round(time.time() / 86400) for _ in range(5)}) > 3, "the clock does not jump"
"""


@pytest.mark.slow
def test_durations_hold(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(JUMPING)
    begun = time.monotonic()
    done = subprocess.run(
        small_run.command(tmp_path, 3, CHECK),
        check=False, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    wall = time.monotonic() - begun
    assert done.returncode == 0, done.stderr
    record = read_record(tmp_path / "record")
    assert record.status == "succeeded", record.reason
    phases = record.phases.model_dump()
    assert all(seconds >= 0 for seconds in phases.values())
    assert 0 < sum(phases.values()) < wall, (phases, wall)
    assert 0 < record.attempts[0].wall_seconds < wall
    assert 0 < sum(row.train_seconds for row in record.epochs) <= record.phases.train + 1e-6
    assert [row.epoch for row in record.epochs] == [1, 2, 3]
    # The same in a program that looks at the clock for the remaining time and for its checkpoints.
    assert "remaining=-" not in done.stdout
