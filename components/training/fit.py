"""Epoch after epoch until the stop rule ends it, with the clock, the checkpoints and the checks around each.

`Loop` is the seam to what trains: nothing here knows TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from headstart.components.progress import emit
from headstart.components.records import Epoch
from headstart.components.stop_rule import StopRule
from headstart.components.training.clock import Clock

Array = npt.NDArray[Any]


class Loop(Protocol):
    """What trains a model. An epoch depends on seed, number and `state` alone, and gives the same bits each time."""

    steps: int

    def warm_up(self) -> None:
        """Trace, compile and run everything once, and leave every variable as it was."""

    def run_epoch(self, epoch: int, interrupted: Callable[[], bool]) -> tuple[float, float]:
        """Train one epoch (1 is the first) and return mean loss and accuracy; Terminated if it was left."""

    def evaluate(self, inputs: Array, labels: Array) -> tuple[float, float, Array]:
        """Return mean cross-entropy, accuracy and probabilities (float32, N × classes) of N inputs."""

    def weights(self) -> dict[str, Array]:
        """Return copies of the model's weights; their names begin with `model/`."""

    def state(self) -> dict[str, Array]:
        """Return copies of everything that the next epoch depends on, `weights` included."""

    def restore(self, state: dict[str, Array]) -> None:
        """Put back what `state` returned."""


class Diverged(Exception):  # noqa: N818 - it is an outcome, not an error
    """Loss or weights are no longer finite; the message names the epoch."""


class Terminated(Exception):  # noqa: N818
    """The process was asked to stop; its last checkpoint stands. Mid-epoch, the weights are those of no epoch."""


class Progress:
    """Where a run stands: rows, best weights, stop rule; what a checkpoint carries beside the loop's state."""

    def __init__(self, rule: StopRule) -> None:
        self.rule = rule
        self.rows: list[Epoch] = []
        self.best: dict[str, Array] = {}
        self.prefix_seconds = 0.0

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.rows)

    @property
    def elapsed(self) -> float:
        """Training seconds so far, the prefix pass included."""
        return self.rows[-1].elapsed if self.rows else self.prefix_seconds

    def dump(self) -> dict[str, Any]:
        """Return what JSON can carry; the best accuracy is null before there is one."""
        rule = asdict(self.rule)
        if not math.isfinite(rule["best_accuracy"]):
            rule["best_accuracy"] = None
        rows = [row.model_dump() for row in self.rows]
        return {"rule": rule, "rows": rows, "prefix_seconds": self.prefix_seconds}

    def load(self, content: dict[str, Any]) -> None:
        """Take over what `dump` returned."""
        best = content["rule"]["best_accuracy"]
        self.rule.best_accuracy = -math.inf if best is None else best
        self.rule.best_epoch = content["rule"]["best_epoch"]
        self.rows = [Epoch.model_validate(row) for row in content["rows"]]
        self.prefix_seconds = content["prefix_seconds"]


def fit(
    loop: Loop,
    progress: Progress,
    clock: Clock,
    validation: tuple[Array, Array],
    *,
    identity: dict[str, Any],
    restore_best_weights: bool,
    save: Callable[[bool], None],
    termination: Callable[[], bool],
) -> str:
    """Train until the stop rule ends it, restore the best weights (or keep the last) and return why it ended.

    `save(forced)` writes a checkpoint where one is due, `termination()` says whether the process was asked to stop;
    `identity` is put into every progress event. Raises Diverged and Terminated.
    """
    rule = progress.rule
    reason = rule.reason(progress.epoch) if progress.rows else ""
    while not reason:
        epoch = progress.epoch + 1
        with clock.phase("train") as laps:
            # Waiting for the end of a long epoch would outlast the grace period; the last checkpoint stands.
            loss, accuracy = loop.run_epoch(epoch, termination)
        with clock.phase("evaluate") as evaluation:
            if not math.isfinite(loss):
                raise Diverged(f"training loss is {loss} in epoch {epoch}")
            validation_loss, validation_accuracy, _ = loop.evaluate(*validation)
            weights = loop.weights()
            check_finite(weights, epoch)
        if not math.isfinite(validation_loss):
            raise Diverged(f"validation loss is {validation_loss} in epoch {epoch}")
        progress.rows.append(
            Epoch(
                epoch=epoch,
                train_seconds=laps[0].wall,
                cpu_seconds=laps[0].cpu,
                evaluate_seconds=evaluation[0].wall,
                elapsed=progress.elapsed + laps[0].wall,
                loss=loss,
                accuracy=accuracy,
                validation_loss=validation_loss,
                validation_accuracy=validation_accuracy,
            )
        )
        if rule.better(epoch, validation_accuracy) or not restore_best_weights:
            progress.best = weights
        reason = rule.reason(epoch)
        ending = termination()  # asked once: what ends the run has been saved
        with clock.phase("checkpoint"):
            save(ending)
        report(progress, identity)
        if ending:
            raise Terminated(f"terminated after epoch {epoch}")
    loop.restore(loop.state() | progress.best)
    return reason


def check_finite(weights: dict[str, Array], epoch: int) -> None:
    """Raise Diverged if a weight is not finite: the loss alone can hide it behind a ReLU."""
    for name, value in weights.items():
        if not np.isfinite(value).all():
            raise Diverged(f"weights of {name.split('/', 2)[-1]} are not finite after epoch {epoch}")


def report(progress: Progress, identity: dict[str, Any]) -> None:
    """Print the last row as a progress event, with the time that is left if the run takes all its epochs."""
    row, rule = progress.rows[-1], progress.rule
    recent = progress.rows[-5:]
    pace = sum(entry.train_seconds + entry.evaluate_seconds for entry in recent) / len(recent)
    left = rule.epochs - row.epoch
    if rule.patience:
        left = min(left, max(rule.best_epoch + rule.patience - row.epoch, 0))
    emit(
        "epoch",
        **identity,
        epoch=row.epoch,
        epochs=rule.epochs,
        loss=row.loss,
        accuracy=row.accuracy,
        validation_accuracy=row.validation_accuracy,
        seconds=row.train_seconds,
        remaining=round(left * pace, 2),
    )
