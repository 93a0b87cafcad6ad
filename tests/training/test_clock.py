"""The clock: phases exclude each other, add up to the whole, and tell what others took."""

import time
from pathlib import Path

import pytest

from headstart.components.training.clock import Clock, machine_busy_seconds, taken


def test_phases_add_up_to_the_time_that_passed():
    clock = Clock(1.0)
    before = time.perf_counter()
    for _ in range(20):
        with clock.phase("train"):
            sum(range(20_000))
        with clock.phase("evaluate"):
            sum(range(10_000))
    whole = time.perf_counter() - before
    inside = clock.seconds["train"] + clock.seconds["evaluate"]
    assert 0 < inside <= whole
    assert clock.seconds["data"] == 0
    assert clock.train_cpu_seconds <= whole


def test_a_phase_inside_another_is_a_mistake_and_the_outer_one_still_counts():
    clock = Clock(1.0)
    with pytest.raises(RuntimeError, match="evaluate inside train"), clock.phase("train"), clock.phase("evaluate"):
        pass
    assert clock.seconds["train"] > 0
    with clock.phase("evaluate"):
        pass


def test_a_clock_goes_on_where_a_checkpoint_left_it():
    first = Clock(2.0)
    with first.phase("train"):
        sum(range(100_000))
    second = Clock(2.0)
    with second.phase("startup"):
        pass
    second.load(first.dump())
    assert second.seconds == first.seconds
    assert second.stolen_share == first.stolen_share


@pytest.mark.parametrize(
    ("others", "capacity", "due", "expected"),
    [
        (0.0, 20.0, 20.0, 0.0),  # alone on two processors for ten seconds
        (5.0, 20.0, 20.0, 5.0),  # all that others use is ours
        (5.0, 40.0, 20.0, 0.0),  # a quota of two on a machine of four: there is room
        (25.0, 40.0, 20.0, 5.0),  # but only for twenty seconds of it
        (-1.0, 20.0, 20.0, 0.0),  # clocks of different grain
        (99.0, 20.0, 20.0, 20.0),
    ],
)
def test_what_others_took(others, capacity, due, expected):
    assert taken(others, capacity, due) == expected


def test_machine_busy_seconds_leaves_out_idle_and_waiting(tmp_path: Path):
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 20 30 9000 500 4 6 40 77 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
    import os

    assert machine_busy_seconds(stat) == (100 + 20 + 30 + 4 + 6 + 40) / os.sysconf("SC_CLK_TCK")
    stat.write_text("cpu  0 0 0 0 0 0 0 0 0 0\n")
    assert machine_busy_seconds(stat) is None
    stat.write_text("garbage\n")
    assert machine_busy_seconds(stat) is None
    assert machine_busy_seconds(tmp_path / "absent") is None
