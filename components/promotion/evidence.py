"""Whether a candidate is better than the model in use, or only lucky on these test images.

Both models answer the same images. Per cluster of images (a film, an object; else each image) two differences are
summed, each the mean over all seeds of the candidate: A, right answers more than the model in use, and L, how much
lower the log-loss is. Both are divided by the root of their sum of squares and added. Were the two models equally
good, the sign of each cluster's difference would be a coin's, whatever its size: the *sign-flip test* (Fisher 1935,
The Design of Experiments, section 21) counts exactly which share of all flips gives a sum as large.

**Reuse.** A test set that was asked before is asked at a smaller level, so that all comparisons on it together
promote something that is no better with a chance of at most 1 − `confidence`. The level of the k-th is spent in
advance, ∝ k^−1.5 (alpha spending: Lan and DeMets 1983, Biometrika 70; for comparisons one after the other: Foster and
Stine 2008, JRSS B 70). A refusal tells the next retraining nothing about the test images but that it was refused, so
the union bound holds although each candidate follows an earlier decision (Blum and Hardt 2015, The Ladder, ICML).
After `test_uses` comparisons the whole level is spent, and only new test images can prove anything.

**Evidence that adds up.** On images that were never asked before, retrainings of one recipe against one model in use
are independent questions. Each gives an e-value, Π exp(λ s) / cosh(λ s) over its clusters' sums s, whose mean is at
most 1 where the recipe is no better (de la Peña 1999, Annals of Probability 27, for symmetric variables). The product
over retrainings exceeds 1/α with a chance of at most α, whenever one looks (Ville 1939; Grünwald, de Heide and Koolen
2024, Safe testing, JRSS B 86). A fifth of the level is for this, the rest for the tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, ndtri

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

SHARE_OF_TESTS = 0.8
EXPONENT = 1.5
POWER = 0.8
LARGEST_LOSS = math.log(1000.0)
"""Loss of one image beyond which it does not count more, so that no single image decides."""
_RESOLUTION = 8
_SHARPNESS = math.log(8)
_BETS = (0.5, 1.0, 2.0, 3.0)


@dataclass(frozen=True)
class Differences:
    """Per cluster: right answers more (`right`) and log-loss less (`loss`) of the candidate, means over its seeds."""

    right: Floats
    loss: Floats
    images: int
    seeds: int

    @property
    def combined(self) -> Floats:
        """Return the sum of both, each in units of the root of its sum of squares."""
        total = np.zeros_like(self.right)
        for part in (self.right, self.loss):
            size = math.sqrt(float(np.sum(part**2)))
            if size > 0:
                total += part / size
        return total


@dataclass(frozen=True)
class Evidence:
    """What the test images show."""

    images: int
    clusters: int
    seeds: int
    gain: float
    """Mean over the seeds of the gain in accuracy, a fraction."""
    chance: float
    """Share of sign flips that give as much: how probable it is between two equally good models."""
    uses: int
    """How often these test images were asked, this time included."""
    level: float
    """Chance of a wrong promotion that this comparison may take; 0: all is spent."""
    detectable: float
    """Smallest gain in accuracy that right and wrong answers alone would prove in 80 % of cases, a fraction."""
    log_e: float
    """Natural logarithm of the e-value of this comparison's images that were never asked before; 0: none."""
    accumulated: float
    """The same, summed over the retrainings of this recipe against this model in use."""
    proven: bool


def log_losses(probabilities: npt.NDArray[Any], truth: npt.NDArray[Any]) -> Floats:
    """Return each image's log-loss (N), at the temperature that suits these images best.

    `probabilities` is N × classes, `truth` the column of the true class, −1 where the model has none. How sharply a
    model words its answers does not count: the temperature takes that out (Guo et al. 2017, ICML).
    """
    logs = np.log(np.clip(np.asarray(probabilities, np.float64), 1e-12, 1.0))
    rows = np.flatnonzero(truth >= 0)
    columns = truth[rows]
    losses = np.full(len(logs), LARGEST_LOSS)

    def at(sharpness: float) -> Floats:
        found = -log_softmax(logs[rows] * math.exp(sharpness), axis=1)[np.arange(len(rows)), columns]
        bounded: Floats = np.minimum(found, LARGEST_LOSS)
        return bounded

    if len(rows):
        best = minimize_scalar(
            lambda x: float(at(x).mean()), bounds=(-_SHARPNESS, _SHARPNESS), method="bounded", options={"xatol": 0.05}
        )
        losses[rows] = at(float(best.x))
    return losses


def differences(
    right: npt.NDArray[Any], current_right: npt.NDArray[Any], losses: Floats, current_losses: Floats, groups: Integers
) -> Differences:
    """Sum the differences by cluster.

    `right` and `losses` are seeds × N of the candidate, `current_…` are N of the model in use, `groups` numbers each
    image's cluster.
    """
    _, places = np.unique(groups, return_inverse=True)
    gained = np.mean(np.asarray(right, np.float64), axis=0) - np.asarray(current_right, np.float64)
    lowered = current_losses - np.mean(losses, axis=0)
    return Differences(
        np.bincount(places, weights=gained).astype(np.float64),
        np.bincount(places, weights=lowered).astype(np.float64),
        len(groups),
        len(right),
    )


def sign_flip_chance(scores: Floats) -> float:
    """Return the share of all sign flips of `scores` whose sum is at least that of `scores`; 1 where all are 0.

    Exact for the scores in whole units, an eighth of their root mean square: with P of them positive after a flip,
    the sum depends on the sum of their sizes, a sum of independent 0-or-u variables, whose distribution is the inverse
    Fourier transform of Π (1 + exp(iωu)) / 2.
    """
    sizes = np.abs(scores[scores != 0])
    if not len(sizes):
        return 1.0
    units = np.rint(scores * (_RESOLUTION / math.sqrt(float(np.mean(sizes**2))))).astype(np.int64)
    units = units[units != 0]
    total = int(np.abs(units).sum())
    length = 1 << (total + 1).bit_length()
    values, counts = np.unique(np.abs(units), return_counts=True)
    frequencies = np.arange(length // 2 + 1) * (np.pi / length)
    product = np.ones(len(frequencies))
    for value, count in zip(values, counts, strict=True):
        product *= np.cos(frequencies * value) ** count
    masses = np.fft.irfft(product * np.exp(-1j * frequencies * total), length)[: total + 1]
    reached = int(units[units > 0].sum())  # Σ of the sizes that are positive as they came
    return float(np.clip(masses[reached:].sum(), 2.0 ** -min(len(units), 1000), 1.0))


def level(confidence: float, uses: int, test_uses: int) -> float:
    """Return the level at which the comparison number `uses` on the same images is tested; 0 beyond `test_uses`."""
    if not 1 <= uses <= test_uses:
        return 0.0
    whole = float(np.sum(np.arange(1, test_uses + 1) ** -EXPONENT))
    return float((1 - confidence) * SHARE_OF_TESTS * uses**-EXPONENT / whole)


def log_e_value(scores: Floats) -> float:
    """Return the logarithm of the e-value of clusters that were never asked before; 0 where there are none.

    The bets λ are fixed multiples of 1 / √Σs², which a sign flip leaves as it is; their e-values are averaged.
    """
    size = math.sqrt(float(np.sum(scores**2)))
    if size == 0:
        return 0.0
    logs = [
        float(np.sum(bet * scores / size - (np.logaddexp(bet * scores / size, -bet * scores / size) - math.log(2))))
        for bet in _BETS
    ]
    return float(np.logaddexp.reduce(logs)) - math.log(len(logs))


def detectable_gain(right: Floats, images: int, alpha: float) -> float:
    """Return the smallest gain in accuracy that the test would find in 80 % of cases, from right and wrong alone.

    (z(1 − α) + z(0.8)) · √Σ A² / N, and never below the log2(1/α) images that must all go one way to reach α at all.
    1 where nothing can be proven: α is 0, or there are fewer clusters than that.
    """
    if alpha <= 0:
        return 1.0
    least = math.ceil(math.log2(1 / alpha))
    if len(right) < least:
        return 1.0
    spread = math.sqrt(max(float(np.sum(right**2)), 1.0))
    return min(1.0, max((float(ndtri(1 - alpha)) + float(ndtri(POWER))) * spread, least) / images)


def judge(
    found: Differences,
    fresh: Differences | None,
    confidence: float,
    uses: int,
    test_uses: int,
    accumulated: float = 0.0,
) -> Evidence:
    """Judge the differences.

    Args:
        found: on all test images of this comparison.
        fresh: on those that were never asked before; None where there are none.
        confidence: 1 − the chance of a wrong promotion over all comparisons on the same images.
        uses: how often these images were asked, this time included.
        test_uses: comparisons over which the level is spread.
        accumulated: sum of `log_e` of the earlier retrainings of the same recipe against the same model in use.
    """
    alpha = level(confidence, uses, test_uses)
    chance = sign_flip_chance(found.combined)
    log_e = log_e_value(fresh.combined) if fresh is not None else 0.0
    gathered = accumulated + log_e
    enough = -math.log((1 - confidence) * (1 - SHARE_OF_TESTS)) if confidence < 1 else math.inf
    return Evidence(
        images=found.images,
        clusters=len(found.right),
        seeds=found.seeds,
        gain=float(found.right.sum()) / found.images,
        chance=chance,
        uses=uses,
        level=alpha,
        detectable=detectable_gain(found.right, found.images, alpha),
        log_e=log_e,
        accumulated=gathered,
        proven=(alpha > 0 and chance <= alpha) or gathered >= enough,
    )
