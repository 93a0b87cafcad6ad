"""Break-even by hand, with its interval and its edges."""

import math

import numpy as np
import pytest

from headstart.components.reporting.break_even import break_even, first_model, models, ordinal


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


def test_interval_holds_the_estimate_and_all_phases_count_apart() -> None:
    rng = np.random.default_rng(0)
    baseline, transfer = rng.normal(40, 4, 10), rng.normal(5, 1, 10)
    found = break_even(
        700, "", baseline, transfer, preparation_all=900, baseline_all=baseline + 6, transfer_all=transfer + 6
    )
    assert found.models == pytest.approx(700 / (baseline.mean() - transfer.mean()))
    assert found.low is not None and found.high is not None and found.models is not None
    assert found.low < found.models < found.high
    assert found.all_phases_models == pytest.approx(900 / (baseline.mean() - transfer.mean()))
    assert found.text.startswith("from the 2")


def test_never_when_transfer_is_not_faster() -> None:
    found = break_even(100.0, "", [10.0] * 6, [11.0, 12, 13, 12, 11, 12])
    assert (found.models, found.first_model, found.never) == (None, None, True)
    assert found.text == "never: a transfer run does not take less time than a baseline run"


def test_an_interval_that_reaches_never_has_no_upper_end() -> None:
    found = break_even(100.0, "", [10.0, 11, 9, 12, 8, 14], [9.0, 10, 8, 11, 9, 10])
    assert found.models is not None and found.low is not None
    assert found.high is None
    assert "perhaps never" in found.text


def test_unknown_preparation_gives_null_and_the_reason() -> None:
    found = break_even(None, "pretrain failed", [10.0], [1.0])
    assert (found.models, found.never) == (None, False)
    assert found.text == "not known, because pretrain failed"


def test_no_run_and_one_run() -> None:
    assert break_even(100.0, "", [], [1.0]).models is None
    one = break_even(100.0, "", [11.0], [1.0])
    assert (one.models, one.first_model, one.low, one.high, one.text) == (10.0, 10, None, None, "from the 10th model")


def test_few_runs_use_the_extremes() -> None:
    found = break_even(100.0, "", [10.0, 14.0], [4.0, 6.0])
    assert (found.low, found.high) == (100 / 10, 100 / 4)
