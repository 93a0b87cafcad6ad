"""Epoch after epoch until the stop rule says so, with the clock, the checkpoints and the checks around each."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.components.progress import emit
from headstart.components.records import Epoch
from headstart.components.training.clock import Clock
from headstart.components.training.interruption import Interrupted
from headstart.components.training.stop_rule import StopRule

Array = npt.NDArray[Any]


class Diverged(Exception):  # noqa: N818 - it is an outcome, not an error
    """Loss or weights are no longer finite; the message names the epoch."""


class Terminated(Exception):  # noqa: N818
    """The process was asked to stop and has left a checkpoint."""


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
    loop: Any,
    progress: Progress,
    clock: Clock,
    validation: tuple[Array, Array],
    *,
    identity: dict[str, Any],
    save: Callable[[bool], None],
    termination: Callable[[], bool],
) -> str:
    """Train until the stop rule ends it, restore the best weights and return why it ended.

    `save(forced)` writes a checkpoint, `termination()` says whether the process was asked to stop; `identity` is put
    into every progress event. Raises Diverged and Terminated.
    """
    rule = progress.rule
    reason = rule.reason(progress.epoch) if progress.rows else ""
    while not reason:
        epoch = progress.epoch + 1
        try:
            with clock.phase("train") as laps:
                loss, accuracy = loop.run_epoch(epoch, termination)
        except Interrupted as error:
            # Waiting for the end of a long epoch would outlast the grace period; the last checkpoint stands.
            raise Terminated(str(error)) from error
        with clock.phase("evaluate") as evaluation:
            check_finite(loop, epoch, loss)
            validation_loss, validation_accuracy, _ = loop.evaluate(*validation)
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
        if rule.better(epoch, validation_accuracy) or loop.recipe.weights == "last":
            progress.best = {name: value for name, value in loop.state().items() if name.startswith("model/")}
        reason = rule.reason(epoch)
        with clock.phase("checkpoint"):
            save(bool(reason) or termination())
        report(progress, identity)
        if termination():
            raise Terminated(f"terminated after epoch {epoch}")
    loop.restore(loop.state() | progress.best)
    return reason


def check_finite(loop: Any, epoch: int, loss: float) -> None:
    """Raise Diverged where the loss or a weight is not finite: the loss alone can hide it behind a ReLU."""
    if not math.isfinite(loss):
        raise Diverged(f"training loss is {loss} in epoch {epoch}")
    for weight in loop.model.weights:
        if not np.isfinite(weight.numpy()).all():
            raise Diverged(f"weights of {weight.path} are not finite after epoch {epoch}")


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


class Throttle:
    """Lets something happen at most once in so many seconds, or whenever it is forced."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = -math.inf

    def due(self, forced: bool) -> bool:
        """True where it is time; the time is taken."""
        now = time.monotonic()
        if not forced and now - self._last < self._seconds:
            return False
        self._last = now
        return True
