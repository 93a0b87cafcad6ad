"""When a run stops; the loop asks it while it trains, and `verify` replays it over the epochs of a record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Steps that go once through `images`: without a last batch that is not full, but at least one; 0 of no images."""
    return images // min(batch_size, images) if images else 0


def most_epochs(epochs: int, least_steps: int, images: int, batch_size: int) -> int:
    """Return `epochs`, or as many more as `least_steps` steps take where that is a larger number."""
    steps = steps_per_epoch(images, batch_size)
    return max(epochs, math.ceil(least_steps / steps)) if steps else epochs


def recorded_schedule(recipe: Mapping[str, Any], images: int) -> tuple[int, int]:
    """Return the largest number of epochs and the steps of each, of a run on `images` with the recipe of its record.

    What an older record lacks counts as 0; a batch has at least one image.
    """
    epochs, least_steps, batch = (int(recipe.get(name) or 0) for name in ("epochs", "least_steps", "batch_size"))
    batch = batch or 1
    return most_epochs(epochs, least_steps, images, batch), steps_per_epoch(images, batch)


@dataclass
class StopRule:
    """When a run stops: early stopping on validation accuracy with patience, a maximum, or an accuracy to reach.

    Both arms share it. Its state is two numbers and travels in the checkpoint, so that a resumed run stops where an
    undisturbed one would have.
    """

    epochs: int
    patience: int
    min_delta: float = 0.0
    stop_at_accuracy: float = 0.0
    best_accuracy: float = -math.inf
    best_epoch: int = 0

    def better(self, epoch: int, accuracy: float) -> bool:
        """Take the accuracy of `epoch`; True if it is the best so far and its weights are to be kept.

        A value that is not a number is never the best.
        """
        if not accuracy > self.best_accuracy + (self.min_delta if self.best_epoch else 0.0):
            return False
        self.best_accuracy, self.best_epoch = accuracy, epoch
        return True

    def reason(self, epoch: int) -> str:
        """Return why training ends after `epoch`, or an empty text."""
        if self.stop_at_accuracy and self.best_accuracy >= self.stop_at_accuracy:
            return "target_reached"
        if epoch >= self.epochs:
            return "max_epochs"
        if self.patience and epoch - self.best_epoch >= self.patience:
            return "early_stopping"
        return ""
