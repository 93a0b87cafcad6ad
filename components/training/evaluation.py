"""What the trained model does on the test split: accuracy, confusion matrix, a few pictures with its answers."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from headstart.components.progress import emit
from headstart.components.records import Sample
from headstart.components.training.fit import Loop

Array = npt.NDArray[Any]
PICTURE_SIZE = 48
CONFUSION_CLASSES = 20
_CHUNK = 4096
_EVENT_SECONDS = 2.0


class Outcome(NamedTuple):
    """Mean cross-entropy, accuracy as a fraction, probabilities as float32 N × classes."""

    loss: float
    accuracy: float
    probabilities: Array


def evaluate(loop: Loop, inputs: Array, labels: Array, *, identity: dict[str, Any]) -> Outcome:
    """Evaluate in chunks, with a progress event where it takes more than moments."""
    progress = PassProgress("evaluate", len(labels), identity)
    parts, loss = [], 0.0
    for start in range(0, len(labels), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        part_loss, _, probabilities = loop.evaluate(inputs[chunk], labels[chunk])
        loss += part_loss * len(probabilities)
        parts.append(probabilities)
        progress.done(len(probabilities))
    everything = np.concatenate(parts)
    accuracy = float((everything.argmax(axis=1) == labels).mean())
    return Outcome(loss / len(labels), accuracy, everything)


class PassProgress:
    """Progress events for a pass over images, at most one every two seconds, with the time that is left."""

    def __init__(self, what: str, total: int, identity: dict[str, Any]) -> None:
        self._what, self._total, self._identity = what, total, identity
        self._count, self._began = 0, time.monotonic()
        self._last = self._began

    def done(self, count: int) -> None:
        """Note `count` more images."""
        self._count += count
        now = time.monotonic()
        if now - self._last < _EVENT_SECONDS:
            return
        self._last = now
        left = (now - self._began) / self._count * (self._total - self._count)
        emit(self._what, **self._identity, done=self._count, total=self._total, remaining=round(left, 1))


def confusion(labels: Array, probabilities: Array) -> list[list[int]] | None:
    """Count test images by true class (rows) and predicted class (columns); None beyond 20 classes."""
    classes = probabilities.shape[1]
    if classes > CONFUSION_CLASSES:
        return None
    cells = np.bincount(labels.astype(np.int64) * classes + probabilities.argmax(axis=1), minlength=classes**2)
    counted: list[list[int]] = cells.reshape(classes, classes).tolist()
    return counted


def samples(
    images: Array, labels: Array, probabilities: Array, classes: list[str], count: int, seed: int
) -> list[Sample]:
    """Choose up to `count` test images, the classes in turn, drawn from `seed`: neither the best nor the worst."""
    shuffled = np.random.default_rng([seed % 2**32, 0x5A]).permutation(len(labels))
    by_class = [shuffled[labels[shuffled] == label] for label in range(len(classes))]
    turns = [group[turn] for turn in range(count) for group in by_class if turn < len(group)]
    return _with_pictures(images, labels, probabilities, classes, turns[:count])


def mistakes(images: Array, labels: Array, probabilities: Array, classes: list[str], count: int) -> list[Sample]:
    """Choose the up to `count` test images with a wrong answer that the model is most certain of, these first."""
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    certain = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]
    return _with_pictures(images, labels, probabilities, classes, certain[:count])


def _with_pictures(
    images: Array, labels: Array, probabilities: Array, classes: list[str], chosen: Iterable[int]
) -> list[Sample]:
    return [
        Sample(
            png=picture(images[index]),
            truth=classes[labels[index]],
            predicted=classes[int(probabilities[index].argmax())],
            probability=float(min(1.0, probabilities[index].max())),
        )
        for index in chosen
    ]


def picture(image: Array) -> str:
    """Return a uint8 H × W × 3 image as a base64 PNG of 48 × 48."""
    from PIL import Image

    buffer = io.BytesIO()
    small = Image.fromarray(np.asarray(image)).resize((PICTURE_SIZE, PICTURE_SIZE), Image.Resampling.LANCZOS)
    small.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
