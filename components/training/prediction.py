"""Classifying image files with a trained model: a model folder, its `.keras` file, or a SavedModel.

Images are read on all cores while the network answers, a few batches ahead, and only their pixels are kept, so that
memory does not grow with their number. What can be wrong with a path is said before TensorFlow is loaded.
"""

from __future__ import annotations

import contextlib
import functools
import shlex
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.components import machine
from headstart.components.datasets.reading import Reading, reading_of
from headstart.components.errors import HeadstartError, SettingError
from headstart.components.regular_files import read_json, read_regular, read_text
from headstart.components.training import environment

if TYPE_CHECKING:
    import numpy.typing as npt

_BATCH = 64
MOST_BYTES = 1 << 29
"""An image file of more bytes is not read: decoded, it would have more pixels than any image may have."""
_TENSORFLOW_DECODES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM")


@dataclass
class Prediction:
    """The classes of one image, most probable first; empty with `error` where it could not be read."""

    image: str
    classes: list[tuple[str, float]]
    error: str = ""


_Given = tuple[Prediction, Any]
"""A prediction and the pixels to ask about; None where it is answered already."""


def local(path: str, option: str) -> Path:
    """Return the path; SettingError where it is an address, which `headstart predict` does not read."""
    if "://" not in path:
        return Path(path)
    scheme = path.split("://", maxsplit=1)[0]
    remedy = "Fetch it to this machine first and name the file."
    if scheme == "gs":
        remedy = "`gcloud storage cp --recursive ADDRESS FOLDER` brings it here; then name the folder."
    raise SettingError(f"{option}: found an address ({scheme}://…), expected a path on this machine.", remedy)


def kind_of(model: Path) -> tuple[str, Path]:
    """Say whether `model` is `keras` or `served`, and return the path to load: it may be one folder further in.

    HeadstartError where it is neither.
    """
    if not model.exists():
        raise SettingError(f"{model}: there is no such file or folder; expected a model.")
    for place in (model, model / "saved_model", model / "model" / "saved_model", model / "model", *_numbered(model)):
        if (place / "saved_model.pb").is_file():
            return "served", place
        if place.suffix == ".keras" or (place / "model.keras").is_file():
            _check_description(place)
            return "keras", place
    if model.is_file() and zipfile.is_zipfile(model):
        with contextlib.suppress(zipfile.BadZipFile, NotImplementedError), zipfile.ZipFile(model) as archive:
            if {"config.json", "model.weights.h5"} <= set(archive.namelist()):
                raise HeadstartError(
                    f"{model}: a Keras model without its suffix.",
                    f"Name it {model.stem}.keras and put its description beside it as {model.stem}.json.",
                )
    if (model / "current.json").is_file():
        raise HeadstartError(
            f"{model}: a model store, which holds several.",
            f"`headstart models show --store {shlex.quote(str(model))} --uri` prints the folder of the one in use.",
        )
    raise HeadstartError(
        f"{model}: neither a model (a .keras file with its .json beside it) nor a SavedModel (saved_model.pb).",
        "`headstart run` leaves both below its output folder: model/final.keras and model/saved_model.",
    )


def _numbered(model: Path) -> list[Path]:
    """Return the numeric folders of a server's layout, the newest first."""
    if not model.is_dir():
        return []
    return sorted((path for path in model.iterdir() if path.name.isdecimal()), key=lambda path: -int(path.name))


def _check_description(place: Path) -> None:
    if place.is_dir():
        return
    description = place.with_name("model.json") if place.name == "model.keras" else place.with_suffix(".json")
    if not description.is_file():
        raise HeadstartError(
            f"{place}: its description {description.name} is not beside it, so its classes are not known.",
            "Copy both files; where the model was renamed, rename its .json alike.",
        )


def classify(model: Path, images: Iterable[Path], top: int = 3) -> Iterator[Prediction]:
    """Yield the `top` classes of each image file, in the order given; files that cannot be read say why."""
    kind, place = kind_of(model)
    environment.prepare_on_processor()
    yield from opened(kind, place).all(images, top)


def opened(kind: str, place: Path) -> Answerer:
    """Load the model that `kind_of` found; HeadstartError where it is damaged or does more than compute."""
    return _Served(place) if kind == "served" else _Keras(place)


def read_image(path: Path) -> bytes:
    """Return the content of an image file; UnreadableImageError where it is no regular file or too large."""
    from headstart.components.datasets.images import UnreadableImageError

    try:
        return read_regular(path, MOST_BYTES)
    except OSError as error:
        raise UnreadableImageError(error.strerror or str(error)) from error


class Answerer:
    """A model that answers about image files; `network` makes probabilities of pixels, float32 N × size × size × 3."""

    classes: list[str]
    size: int
    reading: Reading
    network: Callable[[Any], Any]

    def all(self, images: Iterable[Path], top: int) -> Iterator[Prediction]:
        """Yield the `top` classes of each image, see `classify`."""
        workers = machine.thread_count(machine.usable_cores())
        ahead = 3 * _BATCH  # so that there is something to read while the network answers
        waiting: deque[Future[_Given]] = deque()
        with ThreadPoolExecutor(workers, thread_name_prefix="reader") as pool:
            try:
                for path in images:
                    waiting.append(pool.submit(self._given, path, top))
                    if len(waiting) == ahead:
                        yield from self._answered([waiting.popleft().result() for _ in range(_BATCH)], top)
                while waiting:
                    batch = [waiting.popleft().result() for _ in range(min(_BATCH, len(waiting)))]
                    yield from self._answered(batch, top)
            finally:
                for future in waiting:
                    future.cancel()

    def _given(self, path: Path, top: int) -> _Given:
        from headstart.components.datasets.images import UnreadableImageError

        prediction = Prediction(str(path), [])
        try:
            return prediction, self._prepare(read_image(path), prediction, top)
        except UnreadableImageError as error:
            prediction.error = str(error)
            return prediction, None

    def _answered(self, batch: list[_Given], top: int) -> Iterator[Prediction]:
        import numpy as np

        asked = [(prediction, pixels) for prediction, pixels in batch if pixels is not None]
        if asked:
            answers = np.asarray(self.network(np.stack([pixels for _, pixels in asked]).astype(np.float32)))
            for (prediction, _), row in zip(asked, answers, strict=True):
                prediction.classes = self._ranked(row, top)
        yield from (prediction for prediction, _ in batch)

    def _prepare(self, content: bytes, prediction: Prediction, top: int) -> Any:
        """Return the pixels (uint8, size × size × 3) to ask about, or None where `prediction` is answered already."""
        from headstart.components.datasets.images import decode

        return decode(content, self.size, self.reading)[0]

    def _ranked(self, probabilities: npt.NDArray[Any], top: int) -> list[tuple[str, float]]:
        best = probabilities.argsort()[::-1][:top]
        return [(self.classes[index], float(probabilities[index])) for index in best]


class _Keras(Answerer):
    """Decodes as the import of training images does."""

    def __init__(self, path: Path) -> None:
        import tensorflow as tf

        from headstart.components.training import export

        loaded, description = export.load_model(path)
        # Traced, it answers in half of the time that it takes layer by layer, for any number of images.
        pixels = [tf.TensorSpec([None, *loaded.input_shape[1:]], tf.float32)]
        self.network = tf.function(functools.partial(loaded, training=False), pixels, autograph=False)
        self.classes, self.size = description["classes"], description["image_size"]
        self.reading = reading_of(description.get("reading") or {})


class _Served(Answerer):
    """Sends the files as they are, one by one, as a client of a model server does.

    What TensorFlow does not decode (TIFF, WebP, AVIF, …), and a PNG with a mark of orientation, of which it knows
    nothing, is decoded as training images are and asked for by its pixels.
    """

    def __init__(self, folder: Path) -> None:
        from headstart.components.training.served_graph import check_graph

        check_graph(folder)
        import tensorflow as tf

        self._tf = tf
        try:
            # Kept, since the functions do not keep their variables alive.
            self._loaded = tf.saved_model.load(str(folder))
            signatures = self._loaded.signatures
            self._serve, endpoint = signatures["serve"], signatures["serve_pixels"]
            self.network = lambda pixels: endpoint(pixels=tf.convert_to_tensor(pixels))["probabilities"]
            self.size = int(endpoint.structured_input_signature[1]["pixels"].shape[1])
            # Not splitlines(), which would also split at characters that a class name may hold.
            how = folder / "assets" / "reading.json"
            self.reading = reading_of(read_json(how) if how.is_file() else {})
            names = read_text(folder / "assets" / "classes.txt")
            self.classes = names.removesuffix("\n").split("\n")
        except Exception as error:  # on a damaged or a foreign file it raises nearly anything
            raise HeadstartError(f"{folder}: not a SavedModel of Headstart ({error}).") from error

    def _prepare(self, content: bytes, prediction: Prediction, top: int) -> Any:
        """Ask about the file as it is, where TensorFlow decodes it as training images are decoded."""
        from headstart.components.datasets.images import PNG_MARKS

        marked = content.startswith(b"\x89PNG") and any(mark in content for mark in PNG_MARKS)
        if not content.startswith(_TENSORFLOW_DECODES) or (marked and self.reading.orientation == "apply"):
            return super()._prepare(content, prediction, top)
        try:
            answer = self._serve(image_bytes=self._tf.constant([content]))["probabilities"].numpy()[0]
            prediction.classes = self._ranked(answer, top)
        except self._tf.errors.OpError:
            prediction.error = "not an image that TensorFlow decodes"
        return None


def as_json(prediction: Prediction) -> dict[str, Any]:
    """Return one prediction as `--json` prints it: image, class, probability, classes and error."""
    best = prediction.classes[0] if prediction.classes else (None, None)
    return {
        "image": prediction.image,
        "class": best[0],
        "probability": best[1],
        "classes": [{"class": name, "probability": value} for name, value in prediction.classes],
        "error": prediction.error or None,
    }
