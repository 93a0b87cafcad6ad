"""LogME and the linear probe, against values worked out in another way."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from headstart.components.scouting.estimates import logme, probe


def drawn(count: int, width: int, classes: int, signal: float) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(count * width)
    labels = np.arange(count) % classes
    centres = generator.normal(size=(classes, width))
    return 3 * generator.normal(size=(count, width)) + signal * centres[labels], labels


@pytest.mark.parametrize(("count", "width", "signal"), [(30, 4, 3.0), (12, 20, 4.0), (24, 6, 0.0)])
def test_logme_is_the_evidence_maximised_directly(count: int, width: int, signal: float) -> None:
    features, labels = drawn(count, width, 3, signal)

    def negative(logs: np.ndarray, y: np.ndarray) -> float:
        alpha, beta = np.exp(np.clip(logs, -18, 18))
        covariance = np.eye(count) / beta + features @ features.T / alpha
        return -float(multivariate_normal.logpdf(y, cov=covariance))

    best = []
    for name in range(3):
        y = (labels == name).astype(float)
        starts = [(a, b) for a in (-3.0, 2.0, 7.0) for b in (0.0, 4.0)]
        found = [minimize(negative, start, args=(y,), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9})
                 for start in starts]  # fmt: skip
        best.append(-min(each.fun for each in found) / count)
    assert logme(features, labels) == pytest.approx(np.mean(best), abs=2e-4)


def test_logme_prefers_features_that_separate_the_classes() -> None:
    values = [logme(*drawn(60, 8, 3, signal)) for signal in (0.0, 2.0, 6.0)]
    assert values == sorted(values)


def test_features_that_say_nothing_or_everything_give_finite_values() -> None:
    labels = np.arange(12) % 3
    for features in (np.zeros((12, 5)), np.ones((12, 5)), np.eye(3)[labels], np.full((12, 5), 1e-30)):
        assert np.isfinite(logme(features, labels))
        assert 0 <= probe(features, labels, features, labels) <= 1
    assert probe(np.eye(3)[labels], labels, np.eye(3), np.arange(3)) == 1.0


@pytest.mark.parametrize(("count", "width"), [(40, 5), (20, 30)])
def test_the_probe_is_ridge_regression_with_the_penalty_that_leaving_one_out_prefers(count: int, width: int) -> None:
    features, labels = drawn(count, width, 4, 3.0)
    others, other_labels = drawn(count + 1, width, 4, 3.0)
    answers = np.eye(4)[labels]

    def fit(x: np.ndarray, y: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
        centred = x - x.mean(axis=0)
        weights = np.linalg.solve(centred.T @ centred + penalty * np.eye(width), centred.T @ (y - y.mean(axis=0)))
        return weights, y.mean(axis=0) - x.mean(axis=0) @ weights

    def error(penalty: float) -> float:
        total = 0.0
        for index in range(count):
            rest = np.arange(count) != index
            weights, intercept = fit(features[rest], answers[rest], penalty)
            total += float(((features[index] @ weights + intercept - answers[index]) ** 2).sum())
        return total

    largest = float(np.linalg.svd(features - features.mean(axis=0))[1][0]) ** 2
    penalty = min(largest * np.logspace(-8, 1, 28), key=error)
    weights, intercept = fit(features, answers, penalty)
    expected = np.mean((others @ weights + intercept).argmax(axis=1) == other_labels)
    assert probe(features, labels, others, other_labels) == pytest.approx(expected)
