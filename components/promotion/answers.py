"""What models answer to the test images. Importing this module does not import TensorFlow; calling it does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.components.datasets.packed import PackedDataset
from headstart.components.errors import HeadstartError
from headstart.components.promotion.evidence import Floats, Integers, log_losses
from headstart.components.promotion.gate import UNKNOWN, Answers, Mask
from headstart.components.regular_files import read_text

BATCH = 256
SEEN_FILE = "training-images.txt"
CHECKED_IMAGES = 64
# float32 sums in another order differ in the last digits; a wrong model differs in the first.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Answered:
    """A model's answers to N images."""

    answers: Answers
    """Indices into the data's classes, UNKNOWN for a class that the data have not."""
    losses: Floats
    """Log-loss of each image, see `headstart.components.promotion.evidence.log_losses`."""


def answer(model: Any, model_classes: list[str], dataset: PackedDataset) -> Answered:
    """Return a Keras model's answers to the test split."""
    images, labels = dataset.split("test")
    size = model.input_shape[1]
    if size != dataset.description.image_size:
        raise HeadstartError(
            f"The model in use takes images of {size} pixels, the data have {dataset.description.image_size}.",
            f"Import the data with image_size={size}, or begin another store.",
        )
    probabilities = np.empty((len(images), len(model_classes)), np.float32)
    for start in range(0, len(images), BATCH):
        block = np.asarray(images[start : start + BATCH], np.float32)
        probabilities[start : start + len(block)] = model.predict_on_batch(block)
    answers = _places(model_classes, dataset.classes)[np.argmax(probabilities, axis=-1)]
    return Answered(answers, log_losses(probabilities, _places(dataset.classes, model_classes)[labels]))


def _places(names: list[str], among: list[str]) -> Integers:
    return np.array([among.index(name) if name in among else UNKNOWN for name in names], np.int64)


def image_hashes(dataset: PackedDataset, splits: tuple[str, ...]) -> list[str]:
    """Return the digest of every image of the given splits, in their order, as hexadecimal text."""
    return [row.tobytes().hex() for split in splits for row in dataset.image_digests(split)]


def write_seen(dataset: PackedDataset, folder: Path) -> None:
    """Write the hashes of all images that a model was trained or selected on."""
    lines = sorted(set(image_hashes(dataset, ("train", "validation"))))
    (folder / SEEN_FILE).write_text("".join(f"{line}\n" for line in lines), encoding="ascii")


def seen_before(dataset: PackedDataset, folder: Path) -> Mask | None:
    """Return which test images the model in `folder` was trained on; None where it did not write them down."""
    file = folder / SEEN_FILE
    if not file.exists():
        return None
    known = set(read_text(file).split())
    return np.array([value in known for value in image_hashes(dataset, ("test",))], dtype=np.bool_)


def check_served(folder: Path, model: Any, classes: list[str], dataset: PackedDataset) -> None:
    """Load the SavedModel in `folder` and have it answer test images; HeadstartError unless it agrees with `model`."""
    import tensorflow as tf

    images = np.asarray(dataset.split("test")[0][:CHECKED_IMAGES], np.float32)
    served = tf.saved_model.load(str(folder)).signatures["serve_pixels"](pixels=tf.constant(images))
    expected = model.predict_on_batch(images)
    difference = float(np.max(np.abs(served["probabilities"].numpy() - expected), initial=0.0))
    names = [name.decode() for name in served["class"].numpy()]
    wrong = [
        (name, row)
        for name, row in zip(names, expected, strict=True)
        if row[classes.index(name)] < row.max() - TOLERANCE
    ]
    if difference > TOLERANCE or wrong:
        raise HeadstartError(
            f"The exported SavedModel answers unlike the trained model: probabilities differ by {difference:.2g}.",
            "Nothing was promoted. This points at a fault of the export; report it with the versions in the record.",
        )
