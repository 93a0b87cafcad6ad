"""Statistics against values that were worked out elsewhere: R's and scipy's documentation, and by hand."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from headstart.components.reporting import statistics

# Student's sleep data (1908), as R documents it: hours gained under two drugs, the same ten patients.
SLEEP_1 = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
SLEEP_2 = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
# Darwin's maize, differences of pairs, from scipy's documentation of the signed-rank test.
DARWIN = [6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75]


def test_description_by_hand() -> None:
    found = statistics.describe([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0])
    assert (found.n, found.mean, found.median) == (8, 5.0, 4.5)
    assert found.std == pytest.approx(math.sqrt(32 / 7))
    assert (found.minimum, found.quartile_1, found.quartile_3, found.maximum) == (2.0, 4.0, 5.5, 9.0)


def test_description_of_one_value_and_of_none() -> None:
    assert statistics.describe([3.0]).std is None
    assert statistics.describe([3.0]).median == 3.0
    assert statistics.describe([]).mean is None


def test_welch_is_that_of_r() -> None:
    # R: t.test(extra ~ group, data = sleep) gives t = -1.8608, df = 17.776, p-value = 0.07939.
    assert statistics.compare(SLEEP_1, SLEEP_2).welch_p == pytest.approx(0.07939, abs=5e-6)


def test_mann_whitney_is_that_of_scipys_documentation() -> None:
    # scipy.stats.mannwhitneyu: males against females, U = 17, exact p = 0.1111.
    found = statistics.compare([20, 11, 17, 12], [19, 22, 16, 29, 24])
    assert found.mann_whitney_p == pytest.approx(1 / 9)
    assert found.probability_transfer_above == pytest.approx(17 / 20)


def test_wilcoxon_is_that_of_scipys_documentation() -> None:
    zeros = [0.0] * len(DARWIN)
    found = statistics.paired_test(statistics.compare(zeros, DARWIN), zeros, DARWIN)
    assert (found.pairs, found.wilcoxon_p) == (15, pytest.approx(0.041259765625))


def test_effect_sizes_by_hand() -> None:
    found = statistics.compare([1, 2, 3], [3, 4, 5])
    assert found.hedges_g == pytest.approx(2 * (1 - 3 / 15))
    assert found.probability_transfer_above == pytest.approx(8.5 / 9)


def test_few_values_get_the_t_interval() -> None:
    # The first four of each group by hand: means −0.575 and 0.975, variances 1.069167 and 0.555833, so the standard
    # error is √0.40625 and Welch–Satterthwaite's degrees of freedom are 5.4556; t(0.975) lies between those of R's
    # tables for 5 and 6, 2.5706 and 2.4469.
    found = statistics.difference_of_means(SLEEP_1[:4], SLEEP_2[:4])
    assert (found.estimate, found.method) == (pytest.approx(1.55), "Welch t")
    assert found.low is not None and found.high is not None
    assert 1.55 + 2.4469 * math.sqrt(0.40625) < found.high < 1.55 + 2.5706 * math.sqrt(0.40625)
    assert found.high - 1.55 == pytest.approx(1.55 - found.low)
    # Differences 1.2, 2.4, 1.3, 1.3: standard deviation √(0.97/3), t(0.975, 3) = 3.18245.
    paired = statistics.difference_of_means(SLEEP_1[:4], SLEEP_2[:4], paired=True)
    assert paired.method == "paired t"
    assert paired.high == pytest.approx(1.55 + 3.18245 * math.sqrt(0.97 / 3) / 2, abs=1e-4)


def bca_by_hand(a: np.ndarray, b: np.ndarray, confidence: float) -> tuple[float, float]:
    """Efron's BCa for the difference of two means, from the formulas, with its own resamples."""
    rng = np.random.default_rng(99)
    boot = np.array([rng.choice(b, b.size).mean() - rng.choice(a, a.size).mean() for _ in range(20000)])
    estimate = b.mean() - a.mean()
    z0 = norm.ppf((boot < estimate).mean())
    influence = np.concatenate([-(a - a.mean()) / a.size, (b - b.mean()) / b.size])
    acceleration = (influence**3).sum() / (6 * (influence**2).sum() ** 1.5)
    ends = []
    for z in norm.ppf([(1 - confidence) / 2, (1 + confidence) / 2]):
        share = norm.cdf(z0 + (z0 + z) / (1 - acceleration * (z0 + z)))
        ends.append(np.quantile(boot, share))
    return ends[0], ends[1]


def test_bca_agrees_with_the_formulas() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.lognormal(3, 0.5, 12), rng.lognormal(2, 0.8, 9)
    found = statistics.difference_of_means(a, b, 0.9)
    low, high = bca_by_hand(a, b, 0.9)
    assert found.method == "BCa"
    assert (found.low, found.high) == (pytest.approx(low, rel=0.04), pytest.approx(high, rel=0.04))


def test_ratio_of_medians_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    inside = 0
    for _ in range(60):
        found = statistics.ratio_of_medians(rng.lognormal(2, 0.2, 10), rng.lognormal(0, 0.2, 10))
        assert found.low is not None and found.high is not None
        inside += found.low <= math.exp(2) <= found.high
    # 95 % of 60 is 57; fewer than 50 has a chance of less than one in a thousand.
    assert inside >= 50


def test_same_records_give_the_same_interval() -> None:
    a, b = [5.0, 6, 7, 8, 9, 11], [1.0, 2, 2, 3, 3, 4]
    assert statistics.ratio_of_medians(a, b) == statistics.ratio_of_medians(a, b)


def test_wider_confidence_gives_a_wider_interval() -> None:
    a, b = [5.0, 6, 7, 8, 9, 11, 10, 6.5], [1.0, 2, 2, 3, 3, 4, 2.5, 2.2]
    narrow, wide = statistics.ratio_of_means(a, b, 0.8), statistics.ratio_of_means(a, b, 0.99)
    assert narrow.low is not None and wide.low is not None and narrow.high is not None and wide.high is not None
    assert wide.low < narrow.low < narrow.high < wide.high


def test_a_range_stands_in_for_the_bootstrap_of_few_runs() -> None:
    found = statistics.ratio_of_medians([10.0, 12.0], [1.0, 2.0, 4.0])
    assert (found.estimate, found.low, found.high, found.method) == (5.5, 2.5, 12.0, "range")
    assert "fewer than 5" in found.note


@pytest.mark.parametrize(
    ("baseline", "transfer", "estimate", "note"),
    [
        ([], [1.0], None, "no run"),
        ([1.0], [], None, "no run"),
        ([8.0], [2.0], 4.0, "one run"),
        ([8.0] * 9, [2.0] * 9, 4.0, "equal"),
        ([8.0, 0.0], [2.0, 3.0], None, "zero"),
    ],
)
def test_ratio_without_an_interval_says_why(
    baseline: list[float], transfer: list[float], estimate: float | None, note: str
) -> None:
    for ratio in (statistics.ratio_of_medians, statistics.ratio_of_means):
        found = ratio(baseline, transfer)
        assert (found.estimate, found.low, found.high, found.method) == (estimate, None, None, "none")
        assert note in found.note


@pytest.mark.parametrize(
    ("baseline", "transfer", "note"),
    [([], [], "no run"), ([0.9], [0.9, 0.8], "one run"), ([0.9] * 6, [0.9] * 6, "equal")],
)
def test_difference_without_an_interval_says_why(baseline: list[float], transfer: list[float], note: str) -> None:
    found = statistics.difference_of_means(baseline, transfer)
    assert (found.low, found.high) == (None, None)
    assert note in found.note


def test_one_arm_all_equal_still_has_an_interval() -> None:
    found = statistics.ratio_of_medians([8.0] * 6, [2.0, 2.5, 3.0, 3.5, 4.0, 4.5])
    assert found.low is not None and found.high is not None
    assert found.low <= 8 / 3.25 <= found.high


def test_tests_of_arms_without_spread_are_null() -> None:
    found = statistics.compare([2.0] * 5, [2.0] * 5)
    assert (found.welch_p, found.hedges_g, found.mann_whitney_p) == (None, None, 1.0)


def test_resamples_shrink_with_the_number_of_runs_but_never_under_999() -> None:
    assert [statistics.resamples(n) for n in (0, 10, 500, 1000, 10**6)] == [9999, 9999, 9999, 5000, 999]


def test_thousands_of_runs_get_the_percentile_interval_which_is_then_as_good() -> None:
    rng = np.random.default_rng(8)
    a, b = rng.normal(40, 8, 1500), rng.normal(5, 1, 1500)
    found = statistics.difference_of_means(a, b)
    half = 1.959964 * math.sqrt(a.var(ddof=1) / 1500 + b.var(ddof=1) / 1500)
    assert found.method == "percentile"
    assert found.estimate is not None and found.low is not None and found.high is not None
    assert found.estimate - found.low == pytest.approx(half, rel=0.06)
    assert found.high - found.estimate == pytest.approx(half, rel=0.06)
