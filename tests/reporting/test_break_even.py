"""Break-even by hand, with its interval and its edges."""

import math

import numpy as np
import pytest
from scipy import stats

from headstart.components.reporting.break_even import break_even, first_model, models, ordinal
from headstart.components.reporting.sampling import Sample


def test_models_by_hand() -> None:
    assert models(100.0, 30.0, 10.0) == 5.0
    assert models(0.0, 30.0, 10.0) == 0.0
    assert models(100.0, 10.0, 10.0) == math.inf
    assert models(100.0, 10.0, 30.0) == math.inf


def test_first_model_is_the_first_whole_one() -> None:
    assert [first_model(count) for count in (0.0, 0.2, 5.0, 18.1, math.inf)] == [1, 1, 5, 19, None]


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (1, "1st"),
        (2, "2nd"),
        (3, "3rd"),
        (4, "4th"),
        (11, "11th"),
        (12, "12th"),
        (13, "13th"),
        (22, "22nd"),
        (1113, "1,113th"),
    ],
)
def test_ordinals(number: int, said: str) -> None:
    assert ordinal(number) == said


def sample(*values: float) -> Sample:
    return Sample.of(values)


def test_interval_is_that_of_welch_turned_around() -> None:
    rng = np.random.default_rng(0)
    control, treatment = rng.normal(40, 4, 10), rng.normal(5, 1, 10)
    found = break_even([700.0], "", Sample(control), Sample(treatment), all_phases=(900.0, 46.0, 11.0))
    saved = stats.ttest_ind(control, treatment, equal_var=False).confidence_interval(0.95)
    assert found.models == pytest.approx(700 / (control.mean() - treatment.mean()))
    assert (found.low, found.high) == (pytest.approx(700 / saved.high), pytest.approx(700 / saved.low))
    assert (found.method, found.never) == ("Welch t, inverted", False)
    assert found.all_phases_models == pytest.approx(900 / 35)
    assert found.text.startswith("from the 2")


def test_several_preparations_bring_their_spread() -> None:
    arms = sample(40.0, 44.0, 36.0, 41.0), sample(5.0, 6.0, 5.5, 4.5)
    one, three = break_even([700.0], "", *arms), break_even([500.0, 700.0, 900.0], "", *arms)
    assert one.models == three.models
    assert one.low and three.low and one.high and three.high
    assert three.low < one.low and three.high > one.high
    assert three.method == "Fieller"


def test_never_only_where_the_interval_says_so() -> None:
    slower = break_even([100.0], "", sample(*[10.0, 10.1] * 3), sample(11.0, 12, 13, 12, 11, 12))
    assert (slower.models, slower.first_model, slower.never, slower.low) == (None, None, True, None)
    assert slower.text == "never: training takes longer, not less time"
    unsure = break_even([100.0], "", sample(10.0, 11, 9, 12, 8, 14), sample(11.0, 10, 8, 13, 9, 15))
    assert (unsure.models, unsure.never, unsure.high) == (None, False, None)
    assert unsure.text.startswith("not shown: on average training took no less time; the interval begins at the ")


def test_an_interval_that_reaches_never_has_no_upper_end() -> None:
    found = break_even([100.0], "", sample(10.0, 11, 9, 12, 8, 14), sample(9.0, 10, 8, 11, 9, 10))
    assert found.models is not None and found.low is not None
    assert found.high is None
    assert "perhaps never" in found.text


def test_unknown_preparation_gives_null_and_the_reason() -> None:
    found = break_even([], "pretrain failed", sample(10.0), sample(1.0))
    assert (found.models, found.never) == (None, False)
    assert found.text == "not known, because pretrain failed"


def test_no_run_one_run_and_equal_runs() -> None:
    assert break_even([100.0], "", sample(), sample(1.0)).models is None
    for n in (1, 4):
        found = break_even([100.0], "", sample(*[11.0] * n), sample(*[1.0] * n))
        assert (found.models, found.first_model, found.low, found.high) == (10.0, 10, None, None)
        assert (found.text, found.method) == ("from the 10th model", "none")
    slow = break_even([100.0], "", sample(1.0), sample(11.0))
    assert (slow.never, slow.text) == (False, "not shown: on average training took no less time")
