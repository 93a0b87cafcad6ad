"""Statistics against values that were worked out elsewhere: R's and scipy's documentation, and by hand."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from headstart.components.reporting import statistics
from headstart.components.reporting.sampling import Error, Sample, error_with_images, sampling_error

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


def sample(*values: float) -> Sample:
    return Sample.of(values)


def test_welch_is_that_of_r() -> None:
    # R: t.test(extra ~ group, data = sleep) gives t = -1.8608, df = 17.776, p-value = 0.07939 and the interval
    # -3.3654832 to 0.2054832 for group 1 less group 2.
    assert statistics.tests(SLEEP_1, SLEEP_2).welch_p == pytest.approx(0.07939, abs=5e-6)
    found = statistics.difference(sample(*SLEEP_1), sample(*SLEEP_2))
    assert (found.low, found.high) == (pytest.approx(-0.2054832, abs=5e-7), pytest.approx(3.3654832, abs=5e-7))
    assert (found.estimate, found.method) == (pytest.approx(1.58), "Welch t")


def test_mann_whitney_is_that_of_scipys_documentation() -> None:
    # scipy.stats.mannwhitneyu: males against females, U = 17, exact p = 0.1111.
    found = statistics.tests([20, 11, 17, 12], [19, 22, 16, 29, 24])
    assert found.mann_whitney_p == pytest.approx(1 / 9)
    assert found.probability_transfer_above == pytest.approx(17 / 20)


def test_mann_whitney_is_exact_without_ties_beyond_eight_runs() -> None:
    # All of one arm above the other: two of the C(24, 12) orders are as extreme.
    found = statistics.tests(list(range(12)), list(range(20, 32)))
    assert found.mann_whitney_p == pytest.approx(2 / math.comb(24, 12))


def test_wilcoxon_is_that_of_scipys_documentation() -> None:
    zeros = [0.0] * len(DARWIN)
    found = statistics.paired_test(statistics.tests(zeros, DARWIN), zeros, DARWIN)
    assert (found.pairs, found.wilcoxon_p) == (15, pytest.approx(0.041259765625))


def test_ends_by_ranks_are_those_of_published_tables() -> None:
    # Critical values of U, two-sided 5 %: 2 for 5 and 5, 23 for 10 and 10, 14 for 7 and 11 is not tabled but 16 is for
    # 7 and 11; the interval begins with the ratio after that many.
    published = {(5, 5): 2, (6, 6): 5, (7, 11): 16, (8, 8): 13, (10, 10): 23, (15, 20): 90, (20, 20): 127}
    assert {sizes: statistics.rank_ends(*sizes, 0.95) - 1 for sizes in published} == published
    assert statistics.rank_ends(3, 3, 0.95) == 0


def test_ends_by_ranks_by_counting_every_order() -> None:
    n, m = 4, 6
    sums = sorted(sum(ranks) - n * (n + 1) // 2 for ranks in itertools.combinations(range(1, n + m + 1), n))
    for confidence in (0.8, 0.9, 0.95):
        ends = statistics.rank_ends(n, m, confidence)
        below = [sum(value <= limit for value in sums) / len(sums) for limit in (ends - 1, ends)]
        assert below[0] <= (1 - confidence) / 2 + 1e-12 < below[1]


def test_normal_and_exact_ends_agree_where_one_takes_over_from_the_other() -> None:
    assert abs(statistics.rank_ends(50, 50, 0.95) - statistics.rank_ends(50, 51, 0.95)) < 30
    assert statistics.rank_ends(5000, 5000, 0.95) > 0


def test_time_ratio_by_ranks_holds_what_the_test_of_scipy_does_not_reject() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.lognormal(3, 0.4, 9), rng.lognormal(1, 0.6, 7)
    found = statistics.time_ratio(Sample(a), Sample(b))
    assert (found.method, found.of) == ("Mann–Whitney", "pairs")
    assert found.estimate == pytest.approx(math.exp(np.median([math.log(x / y) for x in a for y in b])))
    assert found.low is not None and found.high is not None
    for ratio, rejected in (
        (found.low * 0.9999, True),
        (found.low * 1.0001, False),
        (found.high * 0.9999, False),
        (found.high * 1.0001, True),
    ):
        p = stats.mannwhitneyu(a, b * ratio, method="exact").pvalue
        assert (p <= 0.05) == rejected


def test_few_runs_get_welch_on_logarithms() -> None:
    a, b = [10.0, 12.0, 15.0], [1.0, 2.0, 1.5, 1.2]
    found = statistics.time_ratio(sample(*a), sample(*b))
    test = stats.ttest_ind(np.log(a), np.log(b), equal_var=False).confidence_interval(0.95)
    assert found.method == "Welch t on logarithms"
    assert found.estimate == pytest.approx(stats.gmean(a) / stats.gmean(b))
    assert (found.low, found.high) == (pytest.approx(math.exp(test.low)), pytest.approx(math.exp(test.high)))


def test_swapping_the_arms_turns_the_ratio_around() -> None:
    for n in (3, 8):
        rng = np.random.default_rng(n)
        a, b = Sample(rng.lognormal(3, 0.1, n)), Sample(rng.lognormal(1, 0.2, n))
        for ratio in (statistics.time_ratio, statistics.mean_ratio):
            one, two = ratio(a, b), ratio(b, a)
            assert one.estimate and two.estimate and one.low and one.high
            assert two.estimate == pytest.approx(1 / one.estimate)
            assert (two.low, two.high) == (pytest.approx(1 / one.high), pytest.approx(1 / one.low))


def test_fieller_is_where_a_t_test_of_the_difference_turns() -> None:
    a, b = np.array([10.0, 12.0, 9.0, 14.0]), np.array([2.0, 2.4, 1.5, 2.2, 1.9])
    found = statistics.mean_ratio(Sample(a), Sample(b))
    assert found.estimate == pytest.approx(11.25 / 2.0)
    assert found.low is not None and found.high is not None
    v, w = a.var(ddof=1) / 4, b.var(ddof=1) / 5
    r = found.estimate or 0.0
    freedom = (v + r**2 * w) ** 2 / (v**2 / 3 + (r**2 * w) ** 2 / 4)
    for end in (found.low, found.high):
        t = abs(a.mean() - end * b.mean()) / math.sqrt(v + end**2 * w)
        assert t == pytest.approx(stats.t.ppf(0.975, freedom))


def test_fieller_without_an_end() -> None:
    exact, vague = Error(0.0, 1.0), Error(1.0, 4.0)
    t = float(stats.t.ppf(0.975, 4))
    # An exact numerator: the interval of the denominator turned around.
    low, high = statistics.fieller(100.0, exact, 10.0, vague, 0.95)
    assert (low, high) == (pytest.approx(100 / (10 + t)), pytest.approx(100 / (10 - t)))
    low, high = statistics.fieller(100.0, exact, 1.0, vague, 0.95)
    assert (low, high) == (pytest.approx(100 / (1 + t)), math.inf)
    low, high = statistics.fieller(100.0, exact, -1.0, vague, 0.95)
    assert (low, high) == (pytest.approx(100 / (t - 1)), math.inf)
    assert statistics.fieller(100.0, exact, -10.0, vague, 0.95) == (math.inf, math.inf)
    # Neither can be told from zero: every ratio fits.
    assert statistics.fieller(0.5, vague, 0.5, vague, 0.95) == (0.0, math.inf)


def test_what_a_design_could_have_seen_is_that_of_the_tables_of_power() -> None:
    # Cohen 1988: two arms of 17 with d = 1 and of 26 with d = 0.8 have a power of 0.80 at two-sided 5 %.
    for n, d in ((17, 1.0), (26, 0.8)):
        assert statistics.could_have_seen(math.sqrt(2 / n), 2 * n - 2) == pytest.approx(d, rel=0.02)
    # With three runs in each arm, by simulation.
    rng = np.random.default_rng(0)
    d = statistics.could_have_seen(math.sqrt(2 / 3), 4)
    a, b = rng.normal(0, 1, (20_000, 3)), rng.normal(d, 1, (20_000, 3))
    assert (stats.ttest_ind(a, b, axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize(
    ("control", "treatment", "estimate", "note"),
    [
        ([], [1.0], None, "no run"),
        ([1.0], [], None, "no run"),
        ([8.0], [2.0], 4.0, "one run"),
        ([8.0] * 9, [2.0] * 9, 4.0, "equal"),
        ([8.0] * 3, [2.0] * 3, 4.0, "equal"),
        ([8.0, 0.0], [2.0, 3.0], None, "zero"),
    ],
)
def test_ratio_without_an_interval_says_why(
    control: list[float], treatment: list[float], estimate: float | None, note: str
) -> None:
    for ratio in (statistics.time_ratio, statistics.mean_ratio):
        found = ratio(sample(*control), sample(*treatment))
        assert (found.low, found.high, found.method) == (None, None, "none")
        assert found.estimate == (None if estimate is None else pytest.approx(estimate))
        assert note in found.note


@pytest.mark.parametrize(
    ("control", "treatment", "note"),
    [([], [], "no run"), ([0.9], [0.9, 0.8], "one run"), ([0.9] * 6, [0.9] * 6, "equal")],
)
def test_difference_without_an_interval_says_why(control: list[float], treatment: list[float], note: str) -> None:
    found = statistics.difference(sample(*control), sample(*treatment))
    assert (found.low, found.high) == (None, None)
    assert note in found.note


def test_one_arm_all_equal_still_has_an_interval() -> None:
    for n in (3, 6):
        found = statistics.time_ratio(sample(*[8.0] * n), sample(*[2.0, 2.5, 3.0, 3.5, 4.0, 4.5][:n]))
        assert found.low is not None and found.high is not None
        assert found.low <= 8 / 3.25 <= found.high


def test_runs_that_never_ended_open_the_interval_and_are_not_dropped() -> None:
    never = math.inf
    found = statistics.time_ratio(sample(20.0, 21, 22, 23, 24, 25, never, never, never), sample(*[2.0] * 9))
    assert (found.estimate, found.low, found.high) == (pytest.approx(12.0), pytest.approx(10.5), None)
    assert "3 of 9 runs of the control" in found.note
    most = statistics.time_ratio(sample(20.0, 30.0, never, never, never, never), sample(*[2.0] * 6))
    assert (most.estimate, most.high) == (None, None)
    assert most.low is not None and most.low >= 9.9999
    other = statistics.time_ratio(sample(*[20.0] * 6), sample(2.0, *[never] * 5))
    assert (other.estimate, other.low, other.high) == (None, None, pytest.approx(10.0))
    neither = statistics.time_ratio(sample(*[never] * 6), sample(*[never] * 6))
    assert (neither.estimate, neither.low, neither.high) == (None, None, None)
    few = statistics.time_ratio(sample(10.0, never), sample(1.0, 2.0))
    assert few.method == "none" and "too few" in few.note


def test_tests_of_arms_without_spread_are_null() -> None:
    found = statistics.tests([2.0] * 5, [2.0] * 5)
    assert (found.welch_p, found.mann_whitney_p) == (None, 1.0)


def test_one_way_design_is_the_t_interval_of_the_preparations_means() -> None:
    values = np.array([1.0, 1.2, 3.0, 3.3, 2.0, 1.6])
    found = sampling_error(Sample(values, ["a", "a", "b", "b", "c", "c"]))
    means = values.reshape(3, 2).mean(axis=1)
    assert (found.variance, found.freedom) == (pytest.approx(means.var(ddof=1) / 3), pytest.approx(2))
    within = values.reshape(3, 2).var(axis=1, ddof=1).mean()
    assert found.parts["seeds"] == pytest.approx(within / 6)
    assert found.parts["preparations"] == pytest.approx(means.var(ddof=1) / 3 - within / 6)
    assert sum(found.shares.values()) == pytest.approx(1)


def test_two_crossed_sources_are_the_mean_squares_of_a_two_way_table() -> None:
    table = np.random.default_rng(4).normal(0, 1, (3, 4)) + np.array([[0.0], [4.0], [9.0]]) + np.arange(4) * 3
    rows, columns = np.indices(table.shape)
    found = sampling_error(Sample(table.ravel(), rows.ravel().tolist(), columns.ravel().tolist()))
    grand = table.mean()
    by_row, by_column = table.mean(axis=1), table.mean(axis=0)
    rest = table - by_row[:, None] - by_column + grand
    mean_squares = 4 * by_row.var(ddof=1), 3 * by_column.var(ddof=1), (rest**2).sum() / 6
    assert found.variance == pytest.approx((mean_squares[0] + mean_squares[1] - mean_squares[2]) / 12)


def test_draws_that_both_arms_share_cancel() -> None:
    draws = [0, 0, 1, 1, 2, 2]
    shift = np.array([0.0, 0, 5, 5, 9, 9])
    noise = np.random.default_rng(1).normal(0, 0.1, (2, 6))
    apart = sampling_error(Sample(shift + noise[0]), Sample(shift + noise[1]))
    shared = sampling_error(Sample(shift + noise[0], (), draws), Sample(shift + noise[1], (), draws))
    assert shared.variance < apart.variance / 100
    # A draw per run is a pair per run.
    pairs = sampling_error(Sample(shift + noise[0], (), range(6)), Sample(shift + noise[1], (), range(6)))
    assert pairs.variance == pytest.approx((noise[0] - noise[1]).var(ddof=1) / 6)
    assert pairs.freedom == pytest.approx(5)


def test_new_images_by_hand() -> None:
    # One image in four separates the arms in every run: runs do not vary, images do, by 0, 0, 0, 1.
    control = np.array([[1, 1, 1, 0], [1, 1, 1, 0]], dtype=bool)
    treatment = np.ones((2, 4), dtype=bool)
    arms = Sample.of([1.0, 1.0]), Sample.of([0.75, 0.75])
    assert error_with_images(*arms, (treatment, control)).variance == pytest.approx(0.25 / 4)
    # In two films, whose differences are 0 and 0.5: variance of the mean 0.125 / 2.
    assert error_with_images(*arms, (treatment, control), ["x", "x", "y", "y"]).variance == pytest.approx(0.125 / 2)
    found = statistics.gain_on_new_images(control, treatment)
    assert (found.estimate, found.method) == (0.25, "crossed t")
    assert statistics.gain_on_new_images(treatment, treatment).method == "none"


def test_thousands_of_runs_of_which_some_never_ended_fit_into_memory() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.lognormal(2, 0.2, 9000), rng.lognormal(0, 0.2, 9000)
    a[:900] = math.inf
    result = statistics.time_ratio(Sample(a), Sample(b))
    assert result.low is not None and result.high is not None
    # A tenth counts as longer than all others, which moves the middle from e² to the 5/9 quantile.
    assert result.low < math.exp(2 + 0.2 * math.sqrt(2) * stats.norm.ppf(5 / 9)) < result.high


def test_arms_that_answer_nearly_alike_have_an_interval_with_ends() -> None:
    rng = np.random.default_rng(2)
    control = rng.random((4, 2000)) < 0.9
    treatment = control.copy()
    # A run's answers in the other arm, one image apart: what is taken off is a thousand times what is left.
    treatment[0, 0] = not treatment[0, 0]
    found = statistics.gain_on_new_images(control, treatment, labels=(Sample(np.zeros(4), (), [0, 1, 0, 1]),) * 2)
    assert found.method == "crossed t"
    assert found.low is not None and found.high is not None
    assert -0.01 < found.low < 0 < found.high < 0.01


def test_a_film_that_is_most_of_the_test_makes_the_interval_wide() -> None:
    rng = np.random.default_rng(4)
    widths = []
    for lengths in ([40] * 15, [320] + [20] * 14):
        films = np.repeat(np.arange(15), lengths)
        hard = rng.standard_normal(15)[films]
        control, treatment = (rng.standard_normal((8, 600)) + hard < level for level in (1.0, 1.6))
        found = statistics.gain_on_new_images(control, treatment, films.tolist())
        assert found.low is not None and found.high is not None
        widths.append(found.high - found.low)
    assert widths[1] > 1.5 * widths[0]


def test_one_film_and_a_single_image_still_have_an_interval() -> None:
    rng = np.random.default_rng(5)
    control, treatment = (rng.random((4, 100)) < level for level in (0.8, 0.9))
    found = statistics.gain_on_new_images(control, treatment, ["film"] * 99 + ["alone"])
    assert found.low is not None and found.high is not None and found.low < found.high
