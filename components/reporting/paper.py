"""The paper's tables as data, and what its own numbers give away: computed here, not quoted.

I. Apeināns, V. Žukovs, "Transfer learning for training acceleration", Rēzekne Academy of Technologies, 2020. Its
accuracies are training accuracies ("iegūto apmācības precizitāti").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from headstart.components.reporting.break_even import models
from headstart.components.reporting.sampling import Sample
from headstart.components.reporting.statistics import difference, mean_ratio
from headstart.components.reporting.summary import Interval

PRETRAIN_MINUTES, PRETRAIN_ACCURACY = 1449.7, 0.47080
FINETUNE_MINUTES, FINETUNE_ACCURACY = 310.0, 0.98681
# Test images of the 120-class release of Fruits-360, on which stage 2 was tested.
FRUITS_360_TEST_IMAGES = 20622

BASELINE_MINUTES = (117, 104, 60.66666667, 117, 82.33333333, 91, 156, 130, 99.66666667, 99.66666667)
BASELINE_ACCURACY = (0.95119, 0.95006, 0.95423, 0.94917, 0.95261, 0.93892, 0.95286, 0.95116, 0.95611, 0.94785)
TRANSFER_MINUTES = (8.133333333, 10.53333333, 10.8, 6, 10.8, 5.866666667, 8, 5.733333333, 8.933333333, 10.53333333)
TRANSFER_ACCURACY = (0.96176, 0.96976, 0.96754, 0.95820, 0.97421, 0.95643, 0.96665, 0.95776, 0.96665, 0.96843)

PRINTED_BASELINE_MINUTES, PRINTED_BASELINE_ACCURACY = 104.7878788, 0.95019
PRINTED_TRANSFER_MINUTES, PRINTED_TRANSFER_ACCURACY = 8.53333333, 0.96474

# Half a unit in the last printed place of an accuracy, and some slack for floating point.
_ROUNDING = 0.5e-5 * (1 + 1e-6)
_LARGEST_SET = 60_000
_CHUNK = 4_000


@dataclass(frozen=True)
class MissingRun:
    """A run that the printed averages hold and the printed table does not."""

    runs: int
    minutes: float
    epochs: int
    accuracy: float


@dataclass(frozen=True)
class Audit:
    """What follows from the paper's printed numbers.

    Attributes:
        speedup: ratio of mean training times with Fieller's interval.
        gain: difference of mean accuracies, a fraction, with Welch's interval.
        speedup_by_rounding: ends of the ratio when a printed second per epoch is half a second more or less.
        common_images: fewest images of which every transfer accuracy is a whole number.
        baseline_fits: whether every baseline accuracy is a whole number of that many images too.
    """

    baseline_mean: float
    transfer_mean: float
    transfer_accuracy_mean: float
    speedup: Interval
    gain: Interval
    speedup_by_rounding: tuple[float, float]
    break_even: float
    baseline_epoch_seconds: int
    transfer_epoch_seconds: int
    baseline_epochs: tuple[int, ...]
    transfer_epochs: tuple[int, ...]
    missing: MissingRun | None
    common_images: int | None
    baseline_fits: bool
    finetune_correct: int

    @property
    def epoch_ratio(self) -> float:
        """How many times as long an epoch of the baseline took."""
        return self.baseline_epoch_seconds / self.transfer_epoch_seconds

    @property
    def epochs_ratio(self) -> float:
        """Mean epochs of the baseline over mean epochs of transfer; below 1: transfer needed more."""
        return float(np.mean(self.baseline_epochs) / np.mean(self.transfer_epochs))


def common_step(minutes: Sequence[float]) -> int:
    """The longest time in whole seconds of which every time is a whole multiple."""
    return math.gcd(*(round(value * 60) for value in minutes))


def smallest_set(accuracies: Sequence[float], most: int = _LARGEST_SET) -> int | None:
    """The fewest images n for which each accuracy, printed to five places, is some k / n; None if none up to `most`.

    Ten numbers without a common denominator fit some set too, of 35,000 to 54,000 images nine times in ten; so only a
    much smaller one says anything.
    """
    for start in range(1, most + 1, _CHUNK):
        fit = fits(accuracies, np.arange(start, min(start + _CHUNK, most + 1)))
        if fit.any():
            return start + int(np.argmax(fit))
    return None


def fits(accuracies: Sequence[float], images: NDArray[np.int_]) -> NDArray[np.bool_]:
    """For each number of images, whether every accuracy, printed to five places, is a whole number of them."""
    printed, n = np.asarray(accuracies), images.astype(np.float64)[:, None]
    every: NDArray[np.bool_] = (np.abs(np.round(printed * n) / n - printed) <= _ROUNDING).all(axis=1)
    return every


def missing_run(
    minutes: Sequence[float], accuracies: Sequence[float], printed_minutes: float, printed_accuracy: float
) -> MissingRun | None:
    """The one run which, added to the table, gives the printed average; None if the table gives it alone.

    It counts only if its time is a whole number of epochs like all the others.
    """
    step = common_step(minutes)
    if abs(float(np.mean(minutes)) - printed_minutes) < 1e-6:
        return None
    runs = len(minutes) + 1
    extra = printed_minutes * runs - sum(minutes)
    epochs = round(extra * 60 / step)
    if epochs < 1 or abs(extra * 60 - epochs * step) > 0.01:
        return None
    return MissingRun(runs, extra, epochs, printed_accuracy * runs - sum(accuracies))


@cache
def audit() -> Audit:
    """Work out everything that the report says about the paper's numbers."""
    baseline, transfer = Sample.of(BASELINE_MINUTES), Sample.of(TRANSFER_MINUTES)
    means = float(baseline.values.mean()), float(transfer.values.mean())
    steps = common_step(BASELINE_MINUTES), common_step(TRANSFER_MINUTES)
    common = smallest_set(TRANSFER_ACCURACY)
    ratio = means[0] / means[1]
    return Audit(
        baseline_mean=means[0],
        transfer_mean=means[1],
        transfer_accuracy_mean=float(np.mean(TRANSFER_ACCURACY)),
        speedup=mean_ratio(baseline, transfer),
        gain=difference(Sample.of(BASELINE_ACCURACY), Sample.of(TRANSFER_ACCURACY)),
        speedup_by_rounding=(
            ratio * (1 - 0.5 / steps[0]) / (1 + 0.5 / steps[1]),
            ratio * (1 + 0.5 / steps[0]) / (1 - 0.5 / steps[1]),
        ),
        break_even=models(PRETRAIN_MINUTES + FINETUNE_MINUTES, *means),
        baseline_epoch_seconds=steps[0],
        transfer_epoch_seconds=steps[1],
        baseline_epochs=tuple(round(value * 60) // steps[0] for value in BASELINE_MINUTES),
        transfer_epochs=tuple(round(value * 60) // steps[1] for value in TRANSFER_MINUTES),
        missing=missing_run(BASELINE_MINUTES, BASELINE_ACCURACY, PRINTED_BASELINE_MINUTES, PRINTED_BASELINE_ACCURACY),
        common_images=common,
        baseline_fits=common is not None and bool(fits(BASELINE_ACCURACY, np.array([common]))[0]),
        finetune_correct=round(FINETUNE_ACCURACY * FRUITS_360_TEST_IMAGES),
    )
