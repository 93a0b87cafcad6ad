"""Statistics of two arms of runs: centre and spread, intervals, tests. Formulas and coverage: docs/statistics.md.

Times are compared as ratios on a logarithmic scale, accuracies as differences. Where the data cannot give an interval
there is none, and `note` says why.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from functools import lru_cache

import numpy as np
from scipy import special

from headstart.components.reporting.sampling import Bits, Error, Floats, Sample, error_with_images, sampling_error
from headstart.components.reporting.summary import Description, Interval, Tests, finite

# From this many runs in each arm on, ranks alone give an interval of 95 % that is no wider than it must be.
FEWEST_FOR_RANKS = 5
# The exact distribution of the rank sum up to this many pairs of runs; beyond it the normal one is as good.
MOST_EXACT_PAIRS = 2_500
# Beyond this many pairs of runs the ratios of all pairs take too much memory.
MOST_PAIRS = 4_000_000
POWER = 0.8

NO_RUNS = "an arm has no run that succeeded"
ONE_RUN = "one run in an arm: its spread is not known"
EQUAL = "all runs of an arm are equal: their spread is not known"


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


def t_quantile(probability: float, freedom: float) -> float:
    """Quantile of Student's t; `freedom` need not be whole."""
    return float(special.stdtrit(freedom, probability))


def could_have_seen(deviation: float, freedom: float, alpha: float = 0.05, one_sided: bool = False) -> float:
    """The true difference that a t test with this standard error finds with a power of 80 %.

    From the noncentral t distribution, so that it holds for few runs too.
    """
    limit = t_quantile(1 - alpha / (1 if one_sided else 2), freedom)
    shift = float(special.nctdtrinc(freedom, 1 - POWER, limit))
    if not math.isfinite(shift):
        shift = limit + t_quantile(POWER, freedom)
    return shift * deviation


def time_ratio(control: Sample, treatment: Sample, confidence: float = 0.95) -> Interval:
    """How many times as long the control takes: control / treatment; positive values, infinity where one never ended.

    With five runs or more in each arm: the Hodges–Lehmann ratio, which is the median of the ratios of all pairs of
    runs, with the interval that inverts the exact Mann–Whitney test (Hodges and Lehmann 1963; Bauer 1972). With two to
    four: the ratio of geometric means with Welch's t interval on logarithms. With several preparations or draws: the
    same on logarithms, with the variance of `sampling`.
    """
    a, b = control.values, treatment.values
    if not a.size or not b.size:
        return Interval(of="pairs", note=NO_RUNS)
    if not (a > 0).all() or not (b > 0).all():
        return Interval(of="pairs", note="a run has a time of zero")
    finite = bool(np.isfinite(a).all() and np.isfinite(b).all())
    if not finite:
        a, b = _thinned(a), _thinned(b)
    ends = rank_ends(a.size, b.size, confidence) if a.size * b.size <= MOST_PAIRS else 0
    several = bool(control.sources or treatment.sources)
    ranks = ends > 0 and not (several and finite)
    if (min(a.size, b.size) >= FEWEST_FOR_RANKS and ranks) or not finite:
        return _by_ranks(a, b, ends, several)
    estimate = float(np.exp(np.log(a).mean() - np.log(b).mean()))
    result = _t_interval(control.logarithms(), treatment.logarithms(), -math.log(estimate), confidence)
    return Interval(
        of="geometric mean",
        estimate=estimate,
        low=None if result.high is None else _exponential(-result.high),
        high=None if result.low is None else _exponential(-result.low),
        method=f"{result.method} on logarithms" if result.method != "none" else "none",
        note=result.note,
        could_have_seen=None if result.could_have_seen is None else _exponential(result.could_have_seen),
        shares=result.shares,
    )


def _thinned(values: Floats) -> Floats:
    """At most as many runs as the ratios of all pairs can be held of, evenly by rank; the interval is the wider."""
    most = math.isqrt(MOST_PAIRS)
    return np.sort(values)[np.linspace(0, values.size - 1, most).round().astype(int)] if values.size > most else values


def _exponential(value: float) -> float | None:
    """None beyond what a number can hold, which is no limit at all."""
    return math.exp(value) if value < 700 else None


def _by_ranks(a: Floats, b: Floats, ends: int, several: bool) -> Interval:
    """Ratio by ranks; a run that never ended took longer than every other, and two such runs decide nothing."""
    with np.errstate(invalid="ignore"):
        ratios = np.subtract.outer(np.log(a), np.log(b)).ravel()
    undecided = np.isnan(ratios)
    least, most = (np.sort(np.where(undecided, end, ratios)) for end in (-math.inf, math.inf))
    middle = [_middle(least), _middle(most)]
    estimate = math.exp(middle[0]) if middle[0] == middle[1] and math.isfinite(middle[0]) else None
    never = f"{int(np.isinf(a).sum())} of {a.size} runs of the control and {int(np.isinf(b).sum())} of {b.size} of the "
    notes = []
    if np.isinf(a).any() or np.isinf(b).any():
        notes.append(f"{never}treatment never ended and count as longer than every time observed")
        if several:
            notes.append("preparations and draws are not counted apart")
    equal = least[0] == least[-1]
    if equal or not ends:
        if equal and a.size > 1 and b.size > 1:
            notes.append(EQUAL)
        elif not ends:
            notes.append("too few runs for an interval by ranks")
        return Interval(of="pairs", estimate=estimate, note="; ".join(notes))
    low, high = float(least[ends - 1]), float(most[most.size - ends])
    spread = None
    if np.isfinite(a).all() and np.isfinite(b).all():
        error = sampling_error(Sample(np.log(b)), Sample(np.log(a)))
        spread = _exponential(could_have_seen(error.deviation, error.freedom)) if error.variance > 0 else None
    return Interval(
        of="pairs",
        estimate=estimate,
        low=math.exp(low) if math.isfinite(low) else None,
        high=math.exp(high) if math.isfinite(high) else None,
        method="Mann–Whitney",
        note="; ".join(notes),
        could_have_seen=spread,
    )


def _middle(ordered: Floats) -> float:
    """Median; of two in the middle of which one is infinite, that one."""
    pair = float(ordered[(ordered.size - 1) // 2]), float(ordered[ordered.size // 2])
    return pair[0] if pair[0] == pair[1] else (pair[0] + pair[1]) / 2


@lru_cache(maxsize=256)
def rank_ends(n: int, m: int, confidence: float) -> int:
    """Which of the sorted n·m ratios are the ends of the Mann–Whitney interval, from 1; 0: no interval is that sure."""
    tail = (1 - confidence) / 2
    if n * m <= MOST_EXACT_PAIRS:
        # Probability of each rank sum without ties: coefficients of the Gaussian binomial (n + m choose n).
        counts = np.zeros(n * m + 1, dtype=object)
        counts[0] = 1
        for step in range(1, n + 1):
            counts[m + step :] = counts[m + step :] - counts[: max(0, counts.size - m - step)]
            for start in range(step, counts.size):
                counts[start] += counts[start - step]
        total = math.comb(n + m, n)
        cumulative = 0
        for ends, count in enumerate(counts):
            cumulative += int(count)
            if cumulative / total > tail:
                return ends
    z = -float(special.ndtri(tail))
    return max(0, math.floor(n * m / 2 - z * math.sqrt(n * m * (n + m + 1) / 12)))


def mean_ratio(control: Sample, treatment: Sample, confidence: float = 0.95) -> Interval:
    """mean(control) / mean(treatment), as the paper compares its arms, with Fieller's interval (1954).

    The variances may differ; the degrees of freedom are Satterthwaite's at the estimate.
    """
    a, b = control.values, treatment.values
    if not a.size or not b.size:
        return Interval(of="mean", note=NO_RUNS)
    if not (a > 0).all() or not (b > 0).all():
        return Interval(of="mean", note="a run has a time of zero")
    above, below = float(a.mean()), float(b.mean())
    if min(a.size, b.size) < 2:
        return Interval(of="mean", estimate=above / below, note=ONE_RUN)
    errors = sampling_error(control), sampling_error(treatment)
    if np.ptp(a) == 0 and np.ptp(b) == 0:
        return Interval(of="mean", estimate=above / below, note=EQUAL)
    low, high = fieller(above, errors[0], below, errors[1], confidence)
    return Interval(
        of="mean",
        estimate=above / below,
        low=low or None,
        high=finite(high),
        method="Fieller",
        note=""
        if math.isfinite(high)
        else f"no {'upper end' if low else 'interval'}: the t interval of the treatment's mean time reaches zero",
    )


def fieller(
    above: float, error_above: Error, below: float, error_below: Error, confidence: float
) -> tuple[float, float]:
    """Interval for the ratio of two independent positive means: all r with |above − r·below| within t standard errors.

    Returns low ≥ 0 and high, which is infinite where the denominator cannot be told from zero. Where it is decidedly
    negative no positive ratio fits: both are infinite.
    """
    ratio = above / below if below else math.inf
    v, w = error_above.variance, error_below.variance
    # Of the variance at the estimate, the numerator's share.
    share = v / (v + ratio**2 * w) if math.isfinite(ratio) and v + ratio**2 * w > 0 else 0.0
    freedom = 1 / (share**2 / error_above.freedom + (1 - share) ** 2 / error_below.freedom)
    t2 = t_quantile((1 + confidence) / 2, freedom) ** 2
    if any(error.squares or error.together for error in (error_above, error_below)):
        multipliers = error_above.multiplier(confidence), error_below.multiplier(confidence)
        t2 = share * multipliers[0] ** 2 + (1 - share) * multipliers[1] ** 2
    # (above − r·below)² ≤ t²(v + r²w) as a quadratic in r: square·r² − 2·half·r + rest ≤ 0.
    square, half, rest = below**2 - t2 * w, above * below, above**2 - t2 * v
    root = math.sqrt(max(0.0, half**2 - square * rest))
    if square > 0:
        if below < 0:
            return math.inf, math.inf
        return max(0.0, (half - root) / square), max(0.0, (half + root) / square)
    if rest <= 0 or square == 0:
        return (0.0 if rest <= 0 else rest / (2 * half) if half > 0 else math.inf), math.inf
    return (half - root) / square, math.inf


def difference(control: Sample, treatment: Sample, confidence: float = 0.95) -> Interval:
    """mean(treatment) − mean(control) with Welch's t interval, or that of `sampling` over preparations and draws."""
    a, b = control.values, treatment.values
    if not a.size or not b.size:
        return Interval(of="mean", note=NO_RUNS)
    return _t_interval(control, treatment, float(b.mean() - a.mean()), confidence)


def gain_on_new_images(
    control: Bits,
    treatment: Bits,
    films: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    labels: tuple[Sample, Sample] | None = None,
) -> Interval:
    """Gain in accuracy on images to come: runs and test images are both samples.

    `control` and `treatment`: runs × images, whether the answer was right. `films`: see `error_with_images`. `labels`:
    samples that say which runs (control, treatment) share preparations and draws; their values are not used.
    """
    if not control.shape[0] or not treatment.shape[0]:
        return Interval(of="mean", note=NO_RUNS)
    known = labels or (Sample.of(()), Sample.of(()))
    a, b = (
        Sample(answers.mean(axis=1), sample.preparations, sample.draws)
        for answers, sample in zip((control, treatment), known, strict=True)
    )
    estimate = float(b.values.mean() - a.values.mean())
    if min(a.values.size, b.values.size) < 2:
        return Interval(of="mean", estimate=estimate, note=ONE_RUN)
    error = error_with_images(b, a, (treatment, control), films)
    result = t_interval(estimate, error, confidence, "crossed t")
    if result.method == "none":
        return result.model_copy(
            update={"note": "both arms answer every image alike: how new ones differ is not known"}
        )
    return result


def _t_interval(control: Sample, treatment: Sample, estimate: float, confidence: float) -> Interval:
    if min(control.values.size, treatment.values.size) < 2:
        return Interval(of="mean", estimate=estimate, note=ONE_RUN)
    several = control.sources or treatment.sources
    return t_interval(estimate, sampling_error(treatment, control), confidence, "mixed t" if several else "Welch t")


def no_spread(estimate: float, error: Error) -> bool:
    """Whether all that varies is rounding."""
    return error.variance <= 1e-24 * max(1.0, estimate**2)


def t_interval(estimate: float, error: Error, confidence: float, method: str) -> Interval:
    """An estimate ± t standard errors."""
    if no_spread(estimate, error):
        return Interval(of="mean", estimate=estimate, note=EQUAL)
    half = error.multiplier(confidence) * error.deviation
    return Interval(
        of="mean",
        estimate=estimate,
        low=estimate - half,
        high=estimate + half,
        method=method,
        could_have_seen=(
            (error.multiplier(confidence) + t_quantile(POWER, error.freedom)) * error.deviation
            if error.squares or error.together
            else could_have_seen(error.deviation, error.freedom, 1 - confidence)
        ),
        shares=error.shares if len(error.parts) > 1 else {},
    )


def tests(control: Sequence[float], treatment: Sequence[float]) -> Tests:
    """Welch's t test and the exact Mann–Whitney U test, two-sided; null where not computable.

    Effect size: the probability that a treatment run is above a control run, ties counted half (U / n·m). With ties
    the test is the normal approximation.
    """
    a, b = np.asarray(control, dtype=np.float64), np.asarray(treatment, dtype=np.float64)
    if not a.size or not b.size:
        return Tests()
    from scipy import stats

    welch = None
    if min(a.size, b.size) >= 2:
        error, gain = sampling_error(Sample(b), Sample(a)), float(b.mean() - a.mean())
        if not no_spread(gain, error):
            welch = 2 * float(special.stdtr(error.freedom, -abs(gain) / error.deviation))
    ties = np.unique(np.concatenate([a, b])).size < a.size + b.size
    exact = not ties and a.size * b.size <= MOST_EXACT_PAIRS
    test = stats.mannwhitneyu(b, a, alternative="two-sided", method="exact" if exact else "asymptotic")
    return Tests(
        welch_p=welch,
        mann_whitney_p=float(test.pvalue),
        probability_transfer_above=float(test.statistic) / (a.size * b.size),
    )


def paired_test(result: Tests, control: Sequence[float], treatment: Sequence[float]) -> Tests:
    """Add Wilcoxon's signed-rank test of pairs that share a seed; null with fewer than three pairs or no difference."""
    differences = np.asarray(treatment, dtype=np.float64) - np.asarray(control, dtype=np.float64)
    if differences.size < 3 or not differences.any():
        return result.model_copy(update={"pairs": int(differences.size)})
    from scipy import stats

    return result.model_copy(
        update={"pairs": int(differences.size), "wilcoxon_p": float(stats.wilcoxon(differences).pvalue)}
    )
