"""Statistics of two arms of runs: centre and spread, intervals, tests, effect size.

Intervals are bootstrap intervals with bias correction and acceleration (BCa; Efron 1987) as scipy computes them, with
a fixed seed, so that the same records always give the same report. Where a bootstrap cannot say anything, the interval
is taken another way or left out, and `method` says which.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headstart.components.reporting.summary import Comparison, Description, Interval

Floats = NDArray[np.float64]
Statistic = Callable[..., Any]

SEED = 20201119
# Below this many values in an arm the jackknife behind BCa has too little to work with.
FEWEST_FOR_BOOTSTRAP = 5
# Beyond so many, what BCa corrects (of order 1/n) is lost in the noise of resampling, and its jackknife is quadratic.
MOST_FOR_BCA = 1000


def describe(values: Sequence[float]) -> Description:
    """Mean, median, sample standard deviation (n − 1), extremes and quartiles; null where not computable."""
    if not len(values):
        return Description(n=0)
    array = np.asarray(values, dtype=np.float64)
    quartiles = np.quantile(array, [0.25, 0.75])
    return Description(
        n=array.size,
        mean=float(array.mean()),
        median=float(np.median(array)),
        # The mean of equal numbers may differ from them in the last place; their spread is zero all the same.
        std=(float(array.std(ddof=1)) if np.ptp(array) > 0 else 0.0) if array.size > 1 else None,
        minimum=float(array.min()),
        maximum=float(array.max()),
        quartile_1=float(quartiles[0]),
        quartile_3=float(quartiles[1]),
    )


def resamples(n: int) -> int:
    """Bootstrap resamples for arms of `n` runs: 9999, fewer for thousands of runs, never under 999."""
    return int(min(9999, max(999, 5_000_000 // max(n, 1))))


def _ratio_of_medians(a: Floats, b: Floats, axis: int = -1) -> Any:
    return np.median(a, axis=axis) / np.median(b, axis=axis)


def _ratio_of_means(a: Floats, b: Floats, axis: int = -1) -> Any:
    return np.mean(a, axis=axis) / np.mean(b, axis=axis)


def _difference_of_means(a: Floats, b: Floats, axis: int = -1) -> Any:
    return np.mean(b, axis=axis) - np.mean(a, axis=axis)


def ratio_of_medians(baseline: Sequence[float], transfer: Sequence[float], confidence: float = 0.95) -> Interval:
    """median(baseline) / median(transfer), with a BCa interval; positive values only.

    With two to four runs in an arm the interval runs from the smallest to the largest ratio that any two of the runs
    give (`range`); with one run in an arm there is none.
    """
    return _ratio(baseline, transfer, confidence, _ratio_of_medians, "median")


def ratio_of_means(baseline: Sequence[float], transfer: Sequence[float], confidence: float = 0.95) -> Interval:
    """mean(baseline) / mean(transfer), as the paper compares its arms; intervals as in `ratio_of_medians`."""
    return _ratio(baseline, transfer, confidence, _ratio_of_means, "mean")


def _ratio(
    baseline: Sequence[float], transfer: Sequence[float], confidence: float, statistic: Statistic, of: str
) -> Interval:
    a, b = np.asarray(baseline, dtype=np.float64), np.asarray(transfer, dtype=np.float64)
    if not a.size or not b.size:
        return Interval(of=of, method="none", note="an arm has no run that succeeded")
    if not (a > 0).all() or not (b > 0).all():
        return Interval(of=of, method="none", note="a run has a time of zero")
    estimate = float(statistic(a, b))
    if min(a.size, b.size) < 2:
        return Interval(of=of, estimate=estimate, method="none", note="one run in an arm: its spread is not known")
    if np.ptp(a) == 0 and np.ptp(b) == 0:
        return Interval(
            of=of, estimate=estimate, method="none", note="all runs of an arm are equal: their spread is not known"
        )
    if min(a.size, b.size) < FEWEST_FOR_BOOTSTRAP:
        return Interval(
            of=of,
            estimate=estimate,
            low=float(a.min() / b.max()),
            high=float(a.max() / b.min()),
            method="range",
            note=f"fewer than {FEWEST_FOR_BOOTSTRAP} runs in an arm: smallest to largest ratio of any two runs",
        )
    low, high, method = bootstrap((a, b), statistic, confidence)
    return Interval(of=of, estimate=estimate, low=low, high=high, method=method)


def difference_of_means(
    baseline: Sequence[float], transfer: Sequence[float], confidence: float = 0.95, paired: bool = False
) -> Interval:
    """mean(transfer) − mean(baseline) with a BCa interval.

    `paired`: values at the same place share a seed, and the differences are resampled instead of each arm. With two
    to four values in an arm the interval is Welch's (or the paired) t interval, which assumes normal errors.
    """
    a, b = np.asarray(baseline, dtype=np.float64), np.asarray(transfer, dtype=np.float64)
    if not a.size or not b.size:
        return Interval(of="mean", method="none", note="an arm has no run that succeeded")
    estimate = float(_difference_of_means(a, b))
    if min(a.size, b.size) < 2:
        return Interval(of="mean", estimate=estimate, method="none", note="one run in an arm: its spread is not known")
    differences = b - a if paired else None
    if (differences is not None and np.ptp(differences) == 0) or (np.ptp(a) == 0 and np.ptp(b) == 0):
        return Interval(
            of="mean", estimate=estimate, method="none", note="all runs of an arm are equal: their spread is not known"
        )
    if min(a.size, b.size) < FEWEST_FOR_BOOTSTRAP:
        from scipy import stats

        test = stats.ttest_rel(b, a) if paired else stats.ttest_ind(b, a, equal_var=False)
        interval = test.confidence_interval(confidence)
        return Interval(
            of="mean",
            estimate=estimate,
            low=float(interval.low),
            high=float(interval.high),
            method="paired t" if paired else "Welch t",
            note=f"fewer than {FEWEST_FOR_BOOTSTRAP} runs in an arm: t interval, which assumes normal errors",
        )
    if differences is not None:
        low, high, method = bootstrap((differences,), np.mean, confidence)
        return Interval(of="mean", estimate=estimate, low=low, high=high, method=f"{method}, paired by seed")
    low, high, method = bootstrap((a, b), _difference_of_means, confidence)
    return Interval(of="mean", estimate=estimate, low=low, high=high, method=method)


def bootstrap(samples: tuple[Floats, ...], statistic: Statistic, confidence: float) -> tuple[float, float, str]:
    """Return low, high and the method that gave them: `BCa`, or `percentile` where that degenerates or n is large."""
    from scipy import stats

    largest = max(sample.size for sample in samples)
    for method in ("BCa", "percentile") if largest <= MOST_FOR_BCA else ("percentile",):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a degenerate BCa shows as NaN and is handled below
            found = stats.bootstrap(
                samples,
                statistic,
                n_resamples=resamples(largest),
                # Keeps one batch of resamples near 16 MB whatever the number of runs.
                batch=max(1, 2_000_000 // largest),
                vectorized=True,
                confidence_level=confidence,
                method=method,
                rng=np.random.default_rng(SEED),
            ).confidence_interval
        if math.isfinite(found.low) and math.isfinite(found.high):
            return float(found.low), float(found.high), method
    raise ArithmeticError("a percentile bootstrap of finite values is finite")


def compare(baseline: Sequence[float], transfer: Sequence[float]) -> Comparison:
    """Welch's t test, the Mann–Whitney U test and two effect sizes, two-sided; null where not computable.

    Effect sizes: Hedges' g (Hedges 1981; standardised difference of means, corrected for few runs) and the
    probability that a transfer run is above a baseline run, ties counted half (U / n·m).
    """
    a, b = np.asarray(baseline, dtype=np.float64), np.asarray(transfer, dtype=np.float64)
    if not a.size or not b.size:
        return Comparison()
    from scipy import stats

    welch: float | None = None
    hedges: float | None = None
    if min(a.size, b.size) >= 2:
        pooled = math.sqrt(((a.size - 1) * a.var(ddof=1) + (b.size - 1) * b.var(ddof=1)) / (a.size + b.size - 2))
        if np.ptp(a) > 0 or np.ptp(b) > 0:
            welch = float(stats.ttest_ind(b, a, equal_var=False).pvalue)
            correction = 1 - 3 / (4 * (a.size + b.size) - 9)
            hedges = float((b.mean() - a.mean()) / pooled * correction)
    test = stats.mannwhitneyu(b, a, alternative="two-sided")
    return Comparison(
        welch_p=welch,
        mann_whitney_p=float(test.pvalue),
        hedges_g=hedges,
        probability_transfer_above=float(test.statistic) / (a.size * b.size),
    )


def paired_test(tests: Comparison, baseline: Sequence[float], transfer: Sequence[float]) -> Comparison:
    """Add Wilcoxon's signed-rank test of pairs that share a seed; null with fewer than three pairs or no difference."""
    differences = np.asarray(transfer, dtype=np.float64) - np.asarray(baseline, dtype=np.float64)
    if differences.size < 3 or not differences.any():
        return tests.model_copy(update={"pairs": int(differences.size)})
    from scipy import stats

    return tests.model_copy(
        update={"pairs": int(differences.size), "wilcoxon_p": float(stats.wilcoxon(differences).pvalue)}
    )
