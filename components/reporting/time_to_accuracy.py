"""Training time until a validation accuracy was reached; a run that never reached it is a result, not a gap.

Such a run took longer than any time that was observed, so its time counts as infinite: medians and ranks stay right
with it, and means are not taken at all. (The way MLCommons scores time to target.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from headstart.components.records import RunRecord
from headstart.components.reporting.experiment import succeeded

MOST_TARGETS = 20


def target_accuracy(control: Sequence[RunRecord], setting: float) -> tuple[float | None, str]:
    """Return the target and where it comes from; None if no run of the control has a validation accuracy.

    The default is the best validation accuracy that every run of the control reaches, so that each of them has a time.
    """
    if setting > 0:
        return setting, "as set"
    best = [value for record in succeeded(control) if (value := best_validation_accuracy(record)) is not None]
    if not best:
        return None, "no run of the control has a validation accuracy"
    return min(best), "best validation accuracy that every run of the control reaches"


def best_validation_accuracy(record: RunRecord) -> float | None:
    """Best validation accuracy over the epochs, or as the run reports it where it has no epochs."""
    seen = [row.validation_accuracy for row in record.epochs if row.validation_accuracy is not None]
    return max(seen) if seen else record.result.best_validation_accuracy


def time_to(record: RunRecord, target: float) -> float:
    """Training seconds until the validation accuracy first was `target` or more; infinite if it never was."""
    for row in record.epochs:
        if row.validation_accuracy is not None and row.validation_accuracy >= target:
            return row.elapsed
    return math.inf


def timed(records: Sequence[RunRecord]) -> list[RunRecord]:
    """Runs with a time to accuracy: a diverged one never reached it, of one that failed (killed) it is not known."""
    return [
        record for record in records if record.status != "failed" and (record.epochs or record.status == "diverged")
    ]


def times_to(records: Sequence[RunRecord], target: float) -> list[float]:
    """Times of an arm, of the runs of `timed` in their order."""
    return [math.inf if record.status == "diverged" else time_to(record, target) for record in timed(records)]


def targets(arms: Sequence[Sequence[RunRecord]]) -> list[float]:
    """Validation accuracies for a profile: evenly from what a first epoch gives to what half of every arm reaches."""
    starts, ends = [], []
    for records in arms:
        curves = [
            accuracies
            for record in succeeded(records)
            if (accuracies := [row.validation_accuracy for row in record.epochs if row.validation_accuracy is not None])
        ]
        if not curves:
            return []
        starts.append(float(np.median([curve[0] for curve in curves])))
        best = sorted(max(curve) for curve in curves)
        ends.append(best[(len(best) - 1) // 2])
    if min(starts) >= min(ends):
        return [min(ends)]
    # The last step of linspace may differ from the end in the last place, which would put it out of reach.
    return [*np.linspace(min(starts), min(ends), MOST_TARGETS)[:-1].tolist(), min(ends)]


def median_by_rank(times: Sequence[float]) -> float:
    """Median in which infinity is a value: infinite when a run in the middle never reached the target."""
    return float(np.median(np.asarray(times, dtype=np.float64))) if len(times) else math.inf
