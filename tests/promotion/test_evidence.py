"""The evidence, against enumerations and formulas worked out independently."""

import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from headstart.components.promotion.evidence import (
    LARGEST_LOSS,
    SHARE_OF_TESTS,
    Differences,
    detectable_gain,
    differences,
    judge,
    level,
    log_e_value,
    log_losses,
    sign_flip_chance,
)
from headstart.components.promotion.gate import Rules, decide
from headstart.components.promotion.promote import verdict


@settings(deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=10))
def test_the_sign_flips_are_all_counted(values: list[int]) -> None:
    scores = np.array(values, float)
    sizes = np.abs(scores)
    if not sizes.any():
        assert sign_flip_chance(scores) == 1.0
        return
    # In the units in which the function counts.
    units = np.rint(sizes * 8 / math.sqrt(float(np.mean(sizes[sizes > 0] ** 2)))).astype(int)
    observed = int(np.sum(np.sign(scores).astype(int) * units))
    flips = [sum(sign * unit for sign, unit in zip(signs, units, strict=True)) for signs in
             itertools.product((1, -1), repeat=len(units))]  # fmt: skip
    assert sign_flip_chance(scores) == pytest.approx(np.mean([flip >= observed for flip in flips]), abs=1e-9)


@pytest.mark.parametrize(("wins", "losses"), [(6, 0), (9, 2), (60, 40), (300, 200), (2, 8)])
def test_equal_differences_give_the_sign_test(wins: int, losses: int) -> None:
    scores = np.array([1.0] * wins + [-1.0] * losses + [0.0] * 50)
    exact = binomtest(wins, wins + losses, alternative="greater").pvalue
    assert sign_flip_chance(scores) == pytest.approx(exact, rel=1e-6, abs=1e-12)


def test_many_clusters_agree_with_the_normal_law() -> None:
    scores = np.random.default_rng(0).normal(0.05, 1, 3_000)
    z = scores.sum() / math.sqrt(float(np.sum(scores**2)))
    assert sign_flip_chance(scores) == pytest.approx(norm.sf(z), rel=0.1)


def test_all_comparisons_together_spend_the_level_and_no_more() -> None:
    for uses in (1, 7, 50):
        spent = sum(level(0.95, use, uses) for use in range(1, uses + 1))
        assert spent == pytest.approx(0.05 * SHARE_OF_TESTS)
        assert level(0.95, uses + 1, uses) == 0
    levels = [level(0.95, use, 50) for use in range(1, 51)]
    assert levels == sorted(levels, reverse=True)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(-2, 2, allow_nan=False), min_size=1, max_size=9))
def test_the_e_value_of_all_sign_flips_has_mean_one(values: list[float]) -> None:
    sizes = np.abs(np.array(values))
    if not np.sqrt(np.sum(sizes**2)) > 1e-100:
        return
    flips = [math.exp(log_e_value(np.array(signs) * sizes)) for signs in itertools.product((1, -1), repeat=len(sizes))]
    assert np.mean(flips) == pytest.approx(1.0)


def test_clusters_are_summed_and_seeds_averaged() -> None:
    right = np.array([[1, 1, 0, 1], [1, 0, 0, 1]])
    losses = np.array([[0.1, 0.2, 1.0, 0.3], [0.1, 0.8, 1.0, 0.1]])
    found = differences(right, np.array([0, 1, 0, 1]), losses, np.array([1.1, 0.3, 1.0, 0.2]), np.array([7, 7, 3, 3]))
    assert (found.images, found.seeds) == (4, 2)
    assert found.right.tolist() == [0.0, 0.5]  # clusters 3 and 7: (0 + 0), (1 − 0.5)
    assert found.loss == pytest.approx([0.0, 1.0 - 0.2])


def test_films_count_once() -> None:
    """Twenty frames of one film are one question: what they show together can be chance."""
    right, old = np.ones((1, 20)), np.zeros(20)
    losses, current = np.full((1, 20), 0.1), np.full(20, 1.0)
    frames = differences(right, old, losses, current, np.arange(20))
    film = differences(right, old, losses, current, np.zeros(20, np.int64))
    assert judge(frames, None, 0.95, 1, 50).proven
    assert judge(film, None, 0.95, 1, 50).chance == pytest.approx(0.5)


def test_how_sharply_a_model_words_its_answers_does_not_count() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (400, 4))
    truth = np.where(rng.random(400) < 0.7, logits.argmax(axis=1), rng.integers(0, 4, 400))

    def softmax(values: np.ndarray) -> np.ndarray:
        return np.exp(values) / np.exp(values).sum(axis=1, keepdims=True)

    plain, sharp = log_losses(softmax(logits), truth), log_losses(softmax(2.5 * logits), truth)
    assert sharp == pytest.approx(plain, abs=0.05)
    assert float(plain.mean()) < -float(np.mean(np.log(softmax(2.5 * logits)[np.arange(400), truth])))
    unknown = log_losses(softmax(logits)[:2], np.array([-1, 0]))
    assert unknown[0] == LARGEST_LOSS
    certain = log_losses(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1, 1]))
    assert np.isfinite(certain).all() and certain.max() <= LARGEST_LOSS


def test_the_detectable_gain_is_detected_in_eighty_percent() -> None:
    # 900 images of which 27 are answered differently: the gain that the formula names, by simulation.
    rng, images, apart = np.random.default_rng(2), 900, 36
    alpha = level(0.95, 1, 50)
    gain = detectable_gain(np.ones(apart), images, alpha)
    share = (apart + gain * images) / (2 * apart)
    proven = [
        binomtest(int(rng.binomial(apart, share)), apart, alternative="greater").pvalue <= alpha for _ in range(2_000)
    ]
    assert 0.7 < np.mean(proven) < 0.9
    assert detectable_gain(np.zeros(10), 100, 0.01) == 0.07  # 2^−7 is the first below 0.01
    assert detectable_gain(np.ones(10), 100, 0.0) == 1.0


def found(wins: int, losses: int, images: int = 300) -> Differences:
    right = np.concatenate([np.ones(wins), -np.ones(losses), np.zeros(images - wins - losses)])
    return Differences(right, np.zeros(images), images, 1)


def test_evidence_adds_up_over_fresh_images_only() -> None:
    once = judge(found(6, 2), found(6, 2), 0.95, 1, 50)
    assert not once.proven and once.log_e > 0
    earlier = math.log(100) - once.log_e + 1e-9
    assert judge(found(6, 2), found(6, 2), 0.95, 1, 50, earlier).proven
    assert not judge(found(6, 2), found(6, 2), 0.95, 1, 50, earlier - 0.01).proven
    assert judge(found(6, 2), None, 0.95, 2, 50).log_e == 0


def test_the_verdict_and_its_words() -> None:
    truth = np.arange(300) % 3
    current = np.where(np.arange(300) < 280, truth, (truth + 1) % 3)
    better = np.where(np.arange(300) < 286, truth, (truth + 1) % 3)
    decision = decide(Rules(), ["a", "b", "c"], truth, better, current, ["a", "b", "c"])
    assert decision.promote
    weak, strong = judge(found(8, 2), None, 0.95, 3, 50), judge(found(12, 0), None, 0.95, 3, 50)
    spent = judge(found(12, 0), None, 0.95, 51, 50)
    for approval, evidence, ending in (
        ("never", strong, "promoted"), ("borderline", strong, "promoted"), ("always", strong, "candidate"),
        ("never", weak, "refused"), ("borderline", weak, "candidate"), ("always", weak, "candidate"),
        ("never", spent, "refused"), ("borderline", spent, "candidate"), ("never", None, "promoted"),
    ):  # fmt: skip
        assert verdict(Rules.of({"approval": approval}), decision, evidence)[0] == ending
    words = verdict(Rules(), decision, weak)[1]
    assert words[1].startswith("Not proven: between two equally good models")
    assert "comparison 3 on these test images needs 0.0033 or less" in words[1]
    assert re.search(r"By right and wrong alone a gain of \d\.\d\d points or more", words[2])
    assert verdict(Rules(), decision, spent)[1][1] == (
        "These test images were compared on 50 times before; after test_uses=50 they prove nothing more. Test on new "
        "images."
    )
    worse = decide(Rules(), ["a", "b", "c"], truth, current, better, ["a", "b", "c"])
    assert verdict(Rules(), worse, strong)[0] == "refused"


def test_few_films_prove_nothing_however_many_images() -> None:
    right = np.ones((3, 400), bool)
    found = differences(right, ~right[0], np.zeros((3, 400)), np.ones(400), np.arange(400) // 100)
    evidence = judge(found, None, 0.95, 1, 50)
    assert (evidence.clusters, evidence.chance, evidence.proven, evidence.detectable) == (
        4,
        pytest.approx(1 / 16),
        False,
        1.0,
    )
