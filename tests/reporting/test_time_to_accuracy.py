"""Time to accuracy: read off by hand, and runs that never reached it counted as such."""

import math

import builders
import pytest

from headstart.components.records import Epoch, RunRecord
from headstart.components.reporting import time_to_accuracy


def run(*accuracies: float | None, seconds: float = 10.0, **changes: object) -> RunRecord:
    rows = [
        Epoch(epoch=i + 1, train_seconds=seconds, elapsed=seconds * (i + 1), validation_accuracy=accuracy)
        for i, accuracy in enumerate(accuracies)
    ]
    return builders.record("baseline", **{"epochs": 0, **changes}).model_copy(update={"epochs": rows})  # type: ignore[arg-type]


def test_first_epoch_at_the_target_counts_and_equality_reaches_it() -> None:
    record = run(0.5, 0.8, 0.7, 0.9)
    assert time_to_accuracy.time_to(record, 0.8) == 20.0
    assert time_to_accuracy.time_to(record, 0.81) == 40.0
    assert time_to_accuracy.time_to(record, 0.95) == math.inf


def test_epochs_without_an_accuracy_are_passed_over() -> None:
    assert time_to_accuracy.time_to(run(None, None, 0.9), 0.9) == 30.0


def test_default_target_is_reached_by_more_than_half_of_an_even_number_of_runs() -> None:
    runs = [run(best) for best in (0.90, 0.91, 0.92, 0.93)]
    assert time_to_accuracy.target_accuracy(runs, 0.0)[0] == 0.91
    assert time_to_accuracy.target_accuracy(runs[:3], 0.0)[0] == 0.91
    assert sum(math.isfinite(time_to_accuracy.time_to(r, 0.91)) for r in runs) == 3


def test_target_as_set_and_without_any_accuracy() -> None:
    assert time_to_accuracy.target_accuracy([], 0.5) == (0.5, "as set")
    assert time_to_accuracy.target_accuracy([], 0.0)[0] is None
    assert time_to_accuracy.target_accuracy([run(0.9, status="failed")], 0.0)[0] is None


def test_diverged_runs_never_reached_it_and_failed_ones_say_nothing() -> None:
    runs = [run(0.9), run(0.9, status="diverged"), run(0.9, status="failed"), run(0.1), run(status="diverged")]
    assert time_to_accuracy.times_to(runs, 0.9) == [10.0, math.inf, math.inf, math.inf]


def test_median_by_rank() -> None:
    assert time_to_accuracy.median_by_rank([1.0, 2.0, math.inf]) == 2.0
    assert time_to_accuracy.median_by_rank([1.0, math.inf, math.inf]) == math.inf
    assert time_to_accuracy.median_by_rank([1.0, math.inf]) == math.inf
    assert time_to_accuracy.median_by_rank([]) == math.inf


def test_speedup_without_censoring_is_the_ratio_of_medians() -> None:
    found = time_to_accuracy.speedup([30.0, 20.0, 40.0], [5.0, 10.0, 20.0])
    assert (found.estimate, found.low, found.high, found.method) == (3.0, 1.0, 8.0, "range")


def test_a_few_that_never_reached_it_open_the_upper_end() -> None:
    found = time_to_accuracy.speedup([20.0, 21, 22, 23, 24, 25, math.inf, math.inf, math.inf], [2.0] * 9)
    assert found.estimate == 12.0
    assert found.low == pytest.approx(11.0, abs=0.5)
    assert found.high is None
    assert "3 of 9 baseline" in found.note


def test_when_the_middle_baseline_run_never_reached_it_there_is_only_a_lower_end() -> None:
    found = time_to_accuracy.speedup([20.0, 30.0, math.inf, math.inf, math.inf, math.inf], [2.0] * 6)
    assert found.estimate is None
    assert found.low is not None and found.low >= 10.0
    assert found.high is None
    assert "median baseline run never" in found.note


def test_when_the_middle_transfer_run_never_reached_it_the_ratio_is_zero() -> None:
    found = time_to_accuracy.speedup([20.0] * 6, [2.0, math.inf, math.inf, math.inf, math.inf, math.inf])
    assert found.estimate == 0.0
    assert found.low == 0.0


def test_neither_arm() -> None:
    found = time_to_accuracy.speedup([math.inf] * 4, [math.inf] * 4)
    assert (found.estimate, found.low, found.high) == (None, None, None)
    assert "neither arm" in found.note
    assert time_to_accuracy.speedup([], [1.0]).estimate is None
