"""Time to accuracy: read off by hand, and runs that never reached it counted as such."""

import math

import builders

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


def test_default_target_is_reached_by_every_run_of_the_control() -> None:
    runs = [run(best) for best in (0.93, 0.91, 0.90, 0.92)]
    assert time_to_accuracy.target_accuracy(runs, 0.0)[0] == 0.90
    assert all(math.isfinite(time) for time in time_to_accuracy.times_to(runs, 0.90))


def test_targets_of_a_profile_are_reached_by_half_of_both_arms() -> None:
    control = [run(0.5, best) for best in (0.90, 0.91, 0.92, 0.93)]
    treatment = [run(0.7, best) for best in (0.6, 0.97, 0.98)]
    found = time_to_accuracy.targets((control, treatment))
    assert (found[0], found[-1]) == (0.5, 0.91)
    assert len(found) == time_to_accuracy.MOST_TARGETS
    for arm in (control, treatment):
        reached = sum(math.isfinite(time) for time in time_to_accuracy.times_to(arm, found[-1]))
        assert 2 * reached >= len(arm)
    assert time_to_accuracy.targets((control, [])) == []
    # Training only lowers the accuracy: one target, which the first epochs reach.
    assert time_to_accuracy.targets(([run(0.5)], [run(0.9)])) == [0.5]


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
