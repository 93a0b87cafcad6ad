"""The promotion rule, with counts worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.components.errors import SettingError
from headstart.components.promotion.gate import UNKNOWN, Answers, Decision, Recall, Rules, decide

CLASSES = ["apple", "pears", "noise"]
TRUTH = np.repeat([0, 1, 2], 100)


def answers(*right: int, of: int = 100) -> Answers:
    """The first `right[c]` images of class c answered rightly, the rest with the next class."""
    found = np.concatenate(
        [np.where(np.arange(of) < count, label, (label + 1) % 3) for label, count in enumerate(right)]
    )
    return found.astype(np.int64)


def decided(candidate: Answers, current: Answers | None, **rules: object) -> Decision:
    return decide(Rules.of(rules), CLASSES, TRUTH, candidate, current, current_classes=CLASSES)


def test_the_first_model_is_promoted_whatever_the_margin() -> None:
    decision = decided(answers(50, 50, 50), None, margin=0.9)
    assert decision.promote
    assert decision.reasons == ["There was no model in use; this one has an accuracy of 50.00%."]
    assert decision.compared.recalls["pears"] == Recall(0.5, None, 100)


def test_not_even_the_first_model_below_the_minimum() -> None:
    decision = decided(answers(50, 50, 50), None, minimum_accuracy=0.6)
    assert not decision.promote
    assert decision.reasons == ["Accuracy 50.00% is below minimum_accuracy, 60.00%."]


@pytest.mark.parametrize(
    ("right", "promoted"),
    [
        ((92, 92, 92), True),  # 6 of 300 more: 2 points
        ((91, 91, 91), True),  # 3 of 300: exactly the margin of 1 point
        ((91, 91, 90), False),  # 2 of 300: below it
        ((90, 90, 90), False),
        ((80, 80, 80), False),
    ],
)
def test_the_margin_is_met_exactly_at_its_value(right: tuple[int, int, int], promoted: bool) -> None:
    assert decided(answers(*right), answers(90, 90, 90), margin=0.01).promote is promoted


def test_a_margin_of_nothing_still_asks_for_something_better() -> None:
    assert not decided(answers(90, 90, 90), answers(90, 90, 90), margin=0.0).promote
    assert decided(answers(90, 91, 90), answers(90, 90, 90), margin=0.0).promote


def test_the_refusal_says_by_how_much() -> None:
    decision = decided(answers(89, 90, 90), answers(90, 90, 90))
    assert decision.reasons == [
        "Accuracy 89.67% against 90.00% of the model in use (-0.33 points, -1 of 300 test images); "
        "a margin of 0.50 points is asked for."
    ]


def test_a_model_that_leaves_nothing_to_gain_is_said_to() -> None:
    decision = decided(answers(100, 100, 100), answers(100, 100, 99))
    assert not decision.promote
    assert decision.reasons[0].endswith("The model in use leaves only 0.33 points to gain.")


def test_no_class_may_lie_below_the_floor_whatever_was_in_use() -> None:
    assert not decided(answers(90, 90, 59), answers(80, 80, 20), minimum_recall=0.6).promote
    assert decided(answers(90, 90, 60), answers(80, 80, 20), minimum_recall=0.6).promote
    first = decided(answers(90, 90, 59), None, minimum_recall=0.6)
    assert first.reasons == ["Class noise: 59.00% of 100 images recognised; minimum_recall is 60.00%."]


@pytest.mark.parametrize(("noise", "promoted"), [(88, True), (87, False)])
def test_no_class_may_fall_by_more_than_its_bound(noise: int, promoted: bool) -> None:
    # 90 − 2 is within a bound of 2 points, 90 − 3 is not, however good the others are.
    decision = decided(answers(100, 100, noise), answers(90, 90, 90), class_bound=0.02)
    assert decision.promote is promoted
    if not promoted:
        assert decision.reasons == [
            "Class noise: 87.00% recognised against 90.00% by the model in use, 3 of 100 images fewer; "
            "a fall of 2.00 points is allowed."
        ]


def test_all_reasons_of_a_refusal_are_named() -> None:
    decision = decided(answers(90, 80, 80), answers(90, 90, 90), minimum_accuracy=0.95)
    assert [reason.split()[0] for reason in decision.reasons] == ["Accuracy", "Accuracy", "Class", "Class"]


def test_a_new_class_needs_no_margin_but_must_be_recognised() -> None:
    # The model in use does not know noise, so it is wrong on all of it.
    current = answers(90, 90, 0)
    rules = Rules(minimum_new_class_recall=0.5)
    known = ["apple", "pears"]
    better = decide(rules, CLASSES, TRUTH, answers(89, 90, 60), current, known)
    assert better.promote
    assert better.reasons[0].startswith("It knows what the model in use cannot: noise.")
    blind = decide(rules, CLASSES, TRUTH, answers(95, 95, 49), current, known)
    assert not blind.promote
    assert blind.reasons[0].startswith("Class noise is new, and the candidate recognises 49.00% of it")
    forgetful = decide(rules, CLASSES, TRUTH, answers(87, 90, 90), current, known)
    assert not forgetful.promote
    assert forgetful.reasons[0].startswith("Class apple:")


def test_images_that_the_model_in_use_was_trained_on_do_not_count() -> None:
    # The model in use knows the first 50 of each class by heart: 50 of 50. On the other 50 it has 20, the candidate 40.
    seen = np.tile(np.arange(100) < 50, 3)
    current = np.where(seen | (np.tile(np.arange(100), 3) < 70), TRUTH, UNKNOWN)
    candidate = np.where(~seen & (np.tile(np.arange(100), 3) < 90), TRUTH, UNKNOWN)
    assert not decide(Rules(), CLASSES, TRUTH, candidate, current, CLASSES).promote
    decision = decide(Rules(), CLASSES, TRUTH, candidate, current, CLASSES, seen)
    assert decision.promote
    assert (decision.compared.images, decision.compared.candidate_accuracy, decision.compared.current_accuracy) == (
        150, 0.8, 0.4,
    )  # fmt: skip
    assert decision.remarks == [
        "150 of 300 test images were in the training data of the model in use and were left out of the comparison."
    ]
    few = decide(Rules(minimum_test_images=51), CLASSES, TRUTH, candidate, current, CLASSES, seen)
    assert few.compared.images == 300
    assert "favours the model in use" in few.remarks[0]


def test_the_chance_of_so_uneven_a_split() -> None:
    assert decided(answers(50, 50, 50), answers(50, 50, 50)).compared.chance is None
    # Only the candidate is right on 8 images, only the model in use on 2: 2 · (1 + 10 + 45) / 1024.
    assert decided(answers(58, 48, 50), answers(50, 50, 50)).compared.chance == pytest.approx(0.109375)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"margn": 0.1}, "'margn' is not known. Did you mean margin"),
        ({"margin": -0.1}, "margin"),
        ({"margin": 2}, "margin"),
        ({"margin": "much"}, "margin"),
        ({"keep": 0}, "keep"),
        ({"keep_days": float("nan")}, "keep_days"),
        ({"new_classes": "maybe"}, "new_classes"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, object], told: str) -> None:
    with pytest.raises(SettingError, match=told):
        Rules.of(settings)


labels = st.lists(st.integers(0, 2), min_size=1, max_size=60)


@given(st.data(), labels)
def test_what_holds_for_every_decision(data: st.DataObject, truth_list: list[int]) -> None:
    truth = np.array(truth_list, np.int64)
    guesses = st.lists(st.integers(-1, 2), min_size=len(truth), max_size=len(truth))
    candidate, current = (np.array(data.draw(guesses), np.int64) for _ in range(2))
    rules = Rules(margin=data.draw(st.floats(0, 1)), class_bound=data.draw(st.floats(0, 1)))
    decision = decide(rules, CLASSES, truth, candidate, current, CLASSES)
    gain = int((candidate == truth).sum()) - int((current == truth).sum())
    assert decision.reasons
    if decision.promote:
        assert gain > 0
        assert gain / len(truth) >= rules.margin - 1e-9
        # Nobody can then turn round and be promoted over the winner on the same images.
        assert not decide(rules, CLASSES, truth, current, candidate, CLASSES).promote
    assert not decide(rules, CLASSES, truth, candidate, candidate, CLASSES).promote
    assert decision.compared.only_candidate_right - decision.compared.only_current_right == gain
