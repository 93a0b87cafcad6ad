"""What a record shows of the test split: the confusion matrix and a few pictures with the model's answers."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt

from components.records import Sample

Array = npt.NDArray[Any]
PICTURE_SIZE = 48


def confusion(labels: Array, probabilities: Array) -> list[list[int]]:
    """Count test images by true class (rows) and predicted class (columns)."""
    classes = probabilities.shape[1]
    cells = np.bincount(labels.astype(np.int64) * classes + probabilities.argmax(axis=1), minlength=classes**2)
    counted: list[list[int]] = cells.reshape(classes, classes).tolist()
    return counted


def choose(
    images: Array, labels: Array, probabilities: Array, classes: list[str], count: int, seed: int
) -> list[Sample]:
    """Choose up to `count` test images, the classes in turn, drawn from `seed`: not the best, not the worst."""
    shuffled = np.random.default_rng([seed, 0x5A]).permutation(len(labels))
    by_class = [shuffled[labels[shuffled] == label] for label in range(len(classes))]
    turns = [group[turn] for turn in range(count) for group in by_class if turn < len(group)]
    return [
        Sample(
            png=picture(images[index]),
            truth=classes[labels[index]],
            predicted=classes[int(probabilities[index].argmax())],
            probability=float(min(1.0, probabilities[index].max())),
        )
        for index in turns[:count]
    ]


def picture(image: Array) -> str:
    """Return a uint8 H × W × 3 image as a base64 PNG of 48 × 48."""
    from PIL import Image

    buffer = io.BytesIO()
    small = Image.fromarray(np.asarray(image)).resize((PICTURE_SIZE, PICTURE_SIZE), Image.Resampling.LANCZOS)
    small.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()
