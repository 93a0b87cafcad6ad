"""The paper's tables as data, and what its own numbers give away: computed here, not quoted.

I. Apeināns, V. Žukovs, "Transfer learning for training acceleration", Rēzekne Academy of Technologies, 2020.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from headstart.components.reporting.break_even import models

PRETRAIN_MINUTES, PRETRAIN_ACCURACY = 1449.7, 0.47080
FINETUNE_MINUTES, FINETUNE_ACCURACY = 310.0, 0.98681
# Test images of the 120-class release of Fruits-360, on which stage 2 was tested.
FRUITS_360_TEST_IMAGES = 20622

BASELINE_MINUTES = (117, 104, 60.66666667, 117, 82.33333333, 91, 156, 130, 99.66666667, 99.66666667)
BASELINE_ACCURACY = (0.95119, 0.95006, 0.95423, 0.94917, 0.95261, 0.93892, 0.95286, 0.95116, 0.95611, 0.94785)
TRANSFER_MINUTES = (
    8.133333333,
    10.53333333,
    10.8,
    6,
    10.8,
    5.866666667,
    8,
    5.733333333,
    8.933333333,
    10.53333333,
)
TRANSFER_ACCURACY = (0.96176, 0.96976, 0.96754, 0.95820, 0.97421, 0.95643, 0.96665, 0.95776, 0.96665, 0.96843)

PRINTED_BASELINE_MINUTES, PRINTED_BASELINE_ACCURACY = 104.7878788, 0.95019
PRINTED_TRANSFER_MINUTES, PRINTED_TRANSFER_ACCURACY = 8.53333333, 0.96474

# Half a unit in the last printed place of an accuracy, and room for the arithmetic.
_ROUNDING = 0.5e-5 * (1 + 1e-6)
_LARGEST_TEST_SET = 60_000
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
    """What follows from the paper's printed numbers."""

    baseline_mean: float
    transfer_mean: float
    baseline_accuracy_mean: float
    transfer_accuracy_mean: float
    speedup: float
    break_even: float
    baseline_epoch_seconds: int
    transfer_epoch_seconds: int
    baseline_epochs: tuple[int, ...]
    transfer_epochs: tuple[int, ...]
    missing: MissingRun | None
    baseline_test_images: int | None
    transfer_test_images: int | None
    finetune_correct: int

    @property
    def epoch_ratio(self) -> float:
        """How many times as long an epoch of the baseline took."""
        return self.baseline_epoch_seconds / self.transfer_epoch_seconds

    @property
    def epochs_ratio(self) -> float:
        """Mean epochs of the baseline over mean epochs of transfer; below 1: transfer needed more."""
        return float(np.mean(self.baseline_epochs) / np.mean(self.transfer_epochs))

    @property
    def test_ratio(self) -> float | None:
        """How many times as many test images the baseline had, at least."""
        if not self.baseline_test_images or not self.transfer_test_images:
            return None
        return self.baseline_test_images / self.transfer_test_images


def common_step(minutes: Sequence[float]) -> int:
    """The longest time in whole seconds of which every time is a whole multiple."""
    return math.gcd(*(round(value * 60) for value in minutes))


def smallest_test_set(accuracies: Sequence[float], most: int = _LARGEST_TEST_SET) -> int | None:
    """The fewest images n for which each accuracy, printed to five places, is some k / n; None if none up to `most`."""
    printed = np.asarray(accuracies)
    for start in range(1, most + 1, _CHUNK):
        n = np.arange(start, min(start + _CHUNK, most + 1), dtype=np.float64)[:, None]
        fits = (np.abs(np.round(printed * n) / n - printed) <= _ROUNDING).all(axis=1)
        if fits.any():
            return start + int(np.argmax(fits))
    return None


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
    baseline, transfer = float(np.mean(BASELINE_MINUTES)), float(np.mean(TRANSFER_MINUTES))
    steps = common_step(BASELINE_MINUTES), common_step(TRANSFER_MINUTES)
    return Audit(
        baseline_mean=baseline,
        transfer_mean=transfer,
        baseline_accuracy_mean=float(np.mean(BASELINE_ACCURACY)),
        transfer_accuracy_mean=float(np.mean(TRANSFER_ACCURACY)),
        speedup=baseline / transfer,
        break_even=models(PRETRAIN_MINUTES + FINETUNE_MINUTES, baseline, transfer),
        baseline_epoch_seconds=steps[0],
        transfer_epoch_seconds=steps[1],
        baseline_epochs=tuple(round(value * 60) // steps[0] for value in BASELINE_MINUTES),
        transfer_epochs=tuple(round(value * 60) // steps[1] for value in TRANSFER_MINUTES),
        missing=missing_run(BASELINE_MINUTES, BASELINE_ACCURACY, PRINTED_BASELINE_MINUTES, PRINTED_BASELINE_ACCURACY),
        baseline_test_images=smallest_test_set(BASELINE_ACCURACY),
        transfer_test_images=smallest_test_set(TRANSFER_ACCURACY),
        finetune_correct=round(FINETUNE_ACCURACY * FRUITS_360_TEST_IMAGES),
    )
