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
from headstart.components.reporting.statistics import SEED, Floats, ratio_of_medians, resamples
from headstart.components.reporting.summary import Interval


def target_accuracy(baseline: Sequence[RunRecord], setting: float) -> tuple[float | None, str]:
    """Return the target and where it comes from; None if no baseline run has a validation accuracy.

    The default is the baseline arm's median best validation accuracy. Of an even number of runs the lower of the two
    middle ones is taken, which a run truly reached: the mean of both would be out of reach of exactly half the runs.
    """
    if setting > 0:
        return setting, "as set"
    best = sorted(value for record in succeeded(baseline) if (value := best_validation_accuracy(record)) is not None)
    if not best:
        return None, "no baseline run has a validation accuracy"
    return best[(len(best) - 1) // 2], "median best validation accuracy of the baseline runs"


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


def times_to(records: Sequence[RunRecord], target: float) -> list[float]:
    """Times of an arm. A diverged run never reached the target; a failed one (killed, no memory) says nothing of it."""
    return [
        math.inf if record.status == "diverged" else time_to(record, target)
        for record in records
        if record.status != "failed" and (record.epochs or record.status == "diverged")
    ]


def finite(value: float) -> float | None:
    """None for infinity and NaN, which JSON cannot hold."""
    return value if math.isfinite(value) else None


def _ratios(a: Floats, b: Floats, undecided: float) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio: Floats = a / b
    return np.where(np.isnan(ratio), undecided, ratio)


def median_by_rank(times: Sequence[float]) -> float:
    """Median in which infinity is a value: infinite when a run in the middle never reached the target."""
    return float(np.median(np.asarray(times, dtype=np.float64))) if len(times) else math.inf


def speedup(baseline: Sequence[float], transfer: Sequence[float], confidence: float = 0.95) -> Interval:
    """Ratio of the median times to accuracy, baseline / transfer, with a percentile bootstrap interval.

    BCa needs finite values, so percentiles are used where a run never reached the target. A resample in which both
    medians are infinite decides nothing; it widens the interval to both sides.
    """
    if not len(baseline) or not len(transfer):
        return Interval(of="median", note="an arm has no run with epochs")
    a, b = np.asarray(baseline, dtype=np.float64), np.asarray(transfer, dtype=np.float64)
    never = f"{int(np.isinf(a).sum())} of {a.size} baseline and {int(np.isinf(b).sum())} of {b.size} transfer runs"
    if np.isfinite(a).all() and np.isfinite(b).all():
        return ratio_of_medians(baseline, transfer, confidence)
    middle_a, middle_b = median_by_rank(baseline), median_by_rank(transfer)
    if math.isinf(middle_a) and math.isinf(middle_b):
        return Interval(of="median", note=f"the median run of neither arm reached it; {never} never did")
    note = f"{never} never reached it and count as longer than every time observed"
    if math.isinf(middle_a):
        note = f"the median baseline run never reached it; {note}"
    elif math.isinf(middle_b):
        note = f"the median transfer run never reached it; {note}"
    estimate = finite(middle_a / middle_b) if middle_b > 0 else None
    if min(a.size, b.size) < 2:
        return Interval(of="median", estimate=estimate, note=note)
    rng = np.random.default_rng(SEED)
    count = resamples(max(a.size, b.size))
    medians_a, medians_b = _resampled_medians(a, count, rng), _resampled_medians(b, count, rng)
    tail = (1 - confidence) / 2
    # "lower" and "higher" pick a value that occurred; interpolating between a number and infinity gives NaN.
    low = float(np.quantile(_ratios(medians_a, medians_b, undecided=0.0), tail, method="lower"))
    high = float(np.quantile(_ratios(medians_a, medians_b, undecided=math.inf), 1 - tail, method="higher"))
    return Interval(
        of="median", estimate=estimate, low=finite(low), high=finite(high), method="percentile, by rank", note=note
    )


def _resampled_medians(sample: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Medians of `count` resamples with replacement, in batches that keep memory bounded."""
    step = max(1, 2_000_000 // sample.size)
    batches = [min(step, count - start) for start in range(0, count, step)]
    return np.concatenate(
        [np.median(sample[rng.integers(0, sample.size, (rows, sample.size))], axis=1) for rows in batches]
    )
