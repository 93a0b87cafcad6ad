"""Classifying image files with a trained model: a model folder, its `.keras` file, or a SavedModel."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.components.errors import HeadstartError
from headstart.components.training import environment

if TYPE_CHECKING:
    import numpy.typing as npt

_BATCH = 256


@dataclass
class Prediction:
    """The classes of one image, most probable first; empty with `error` where it could not be read."""

    image: str
    classes: list[tuple[str, float]]
    error: str = ""


def kind_of(model: Path) -> tuple[str, Path]:
    """Say whether `model` is `keras` or `served`, and return the path to load: it may be one folder further in.

    HeadstartError where it is neither.
    """
    for place in (model, model / "saved_model", model / "model" / "saved_model", model / "model"):
        if (place / "saved_model.pb").is_file():
            return "served", place
        if place.suffix == ".keras" or (place / "model.keras").is_file():
            return "keras", place
    raise HeadstartError(
        f"{model}: neither a model (a .keras file with its .json beside it) nor a SavedModel (saved_model.pb).",
        "`headstart run` leaves both below its output folder: model/final.keras and model/saved_model.",
    )


def classify(model: Path, images: list[Path], top: int = 3) -> list[Prediction]:
    """Return the `top` classes of each image file, in the order given; files that cannot be read say why."""
    kind, folder = kind_of(model)
    contents: list[tuple[Path, bytes | None, str]] = []
    for image in images:
        try:
            contents.append((image, image.read_bytes(), ""))
        except OSError as error:
            contents.append((image, None, error.strerror or str(error)))
    environment.prepare_tensorflow(environment.thread_count(environment.usable_cores()), 0)
    answer = _Served(folder) if kind == "served" else _Keras(folder)
    found: list[Prediction] = []
    for start in range(0, len(contents), _BATCH):
        found += answer.batch(contents[start : start + _BATCH], top)
    return found


class _Answer:
    classes: list[str]

    def ranked(self, probabilities: npt.NDArray[Any], top: int) -> list[tuple[str, float]]:
        best = probabilities.argsort()[::-1][:top]
        return [(self.classes[index], float(probabilities[index])) for index in best]


class _Keras(_Answer):
    """Decodes as the import of training images does."""

    def __init__(self, path: Path) -> None:
        from headstart.components.training import export

        self._model, description = export.load_model(path)
        self.classes, self._size = description["classes"], description["image_size"]

    def batch(self, contents: list[tuple[Path, bytes | None, str]], top: int) -> list[Prediction]:
        import numpy as np

        from headstart.components.datasets.images import UnreadableImageError, decode

        found = [Prediction(str(path), [], error) for path, _, error in contents]
        pixels, places = [], []
        for place, (_, content, _) in enumerate(contents):
            if content is None:
                continue
            try:
                pixels.append(decode(content, self._size)[0])
                places.append(place)
            except UnreadableImageError as error:
                found[place].error = str(error)
        if pixels:
            answers = np.asarray(self._model(np.stack(pixels).astype(np.float32), training=False))
            for place, probabilities in zip(places, answers, strict=True):
                found[place].classes = self.ranked(probabilities, top)
        return found


class _Served(_Answer):
    """Sends the files as they are, one by one, so that a damaged one does not take the others with it."""

    def __init__(self, folder: Path) -> None:
        import tensorflow as tf

        self._tf = tf
        try:
            self._serve = tf.saved_model.load(str(folder)).signatures["serve"]
            self.classes = (folder / "assets" / "classes.txt").read_text(encoding="utf-8").splitlines()
        except (OSError, KeyError, ValueError) as error:
            raise HeadstartError(f"{folder}: not a SavedModel of Headstart ({error}).") from error

    def batch(self, contents: list[tuple[Path, bytes | None, str]], top: int) -> list[Prediction]:
        found = []
        for path, content, error in contents:
            prediction = Prediction(str(path), [], error)
            if content is not None:
                try:
                    answer = self._serve(image_bytes=self._tf.constant([content]))["probabilities"].numpy()[0]
                    prediction.classes = self.ranked(answer, top)
                except self._tf.errors.InvalidArgumentError:
                    prediction.error = "not an image that TensorFlow decodes (JPEG, PNG, GIF, BMP)"
            found.append(prediction)
        return found


def as_json(predictions: list[Prediction]) -> str:
    """Return the predictions as JSON: a list with image, class, probability, classes and error."""
    return json.dumps(
        [
            {
                "image": prediction.image,
                "class": prediction.classes[0][0] if prediction.classes else None,
                "probability": prediction.classes[0][1] if prediction.classes else None,
                "classes": [{"class": name, "probability": value} for name, value in prediction.classes],
                "error": prediction.error or None,
            }
            for prediction in predictions
        ],
        indent=2,
        ensure_ascii=False,
    )
