"""What comes out: `model.keras` with a description beside it, and a SavedModel that takes raw images."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
from keras.src.applications.convnext import LayerScale, StochasticDepth

from headstart.components.atomic_files import whole_folder, write_json
from headstart.components.datasets.reading import Reading
from headstart.components.errors import HeadstartError
from headstart.components.regular_files import read_json
from headstart.components.training.checkpoint import is_model
from headstart.components.training.freezing import Weights, combined, layer_digest, weights_digest, weights_of

MODEL_FILE = "model.keras"
DESCRIPTION_FILE = "model.json"
CLASSES_FILE = "classes.txt"
READING_FILE = "reading.json"
_READING = Reading()
# Keras's own layers that it does not find by name when it loads a model.
LAYERS = {layer.__name__: layer for layer in (LayerScale, StochasticDepth)}


def save_model(model: Any, folder: Path, description: dict[str, Any]) -> str:
    """Write `folder` with `model.keras` and `model.json` and return the SHA-256 of the weights.

    `description` holds classes, image_size, first_stride and what else a reader should know; digests are added.
    """
    digest = weights_digest(model)
    with whole_folder(folder, is_model) as new:
        # Keras wants the suffix, artifact paths have none: so a file inside a folder.
        model.save(new / MODEL_FILE)
        content = (new / MODEL_FILE).read_bytes()
        facts = {"weights": digest, "sha256": hashlib.sha256(content).hexdigest()}
        write_json(new / DESCRIPTION_FILE, {**description, **facts})
    return digest


def locate(model: Path) -> tuple[Path, Path]:
    """Return the model file and its description: of a model folder, or of `NAME.keras` with `NAME.json` beside it."""
    if model.suffix == ".keras" and not model.is_dir():
        return (model, model.with_name(DESCRIPTION_FILE) if model.name == MODEL_FILE else model.with_suffix(".json"))
    return model / MODEL_FILE, model / DESCRIPTION_FILE


def read_description(model: Path) -> dict[str, Any]:
    """Return what is beside a model (see `locate`); HeadstartError where there is none."""
    file, description_file = locate(model)
    try:
        description: dict[str, Any] = read_json(description_file)
        if not file.is_file():
            raise FileNotFoundError(2, "No such file", file.name)
        if not isinstance(description, dict):
            raise ValueError(f"{description_file.name} is no table")
    except (OSError, ValueError) as error:
        raise HeadstartError(f"{model}: holds no model ({error}).", "Did the stage that makes it fail?") from error
    return description


def load_model(model: Path) -> tuple[Any, dict[str, Any]]:
    """Load a model (see `locate`), whose digests must be those written beside it. Returns model and description.

    A Keras file can carry code: it is loaded in safe mode, and only as it was written.
    """
    file, description_file = locate(model)
    description = _checked_description(model)
    loaded = load_file(file, str(file))
    digest = weights_digest(loaded)
    if digest != description.get("weights"):
        raise HeadstartError(
            f"{file}: the weights' SHA-256 is {digest}, {description_file.name} says {description.get('weights')}.",
            f"{description_file.name} was changed or damaged after it was written; make the model again.",
        )
    return loaded, description


def _checked_description(model: Path) -> dict[str, Any]:
    description = read_description(model)
    file, description_file = locate(model)
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != description.get("sha256"):
        raise HeadstartError(
            f"{file}: SHA-256 is {found}, {description_file.name} says {description.get('sha256')}.",
            "The file was changed or damaged after it was written; make it again.",
        )
    return description


def load_weights(model: Path) -> tuple[Weights, dict[str, Any]]:
    """Return weights and description of what `load_model` loads, without building it where its file is plain enough.

    The digest beside the model, of all layers' names and weights in their order, tells whether it was.
    """
    description = _checked_description(model)
    weights = _stored_weights(locate(model)[0])
    digests = {name: layer_digest(values) for name, values in weights.items()}
    if combined(digests) == description.get("weights"):
        return weights, description
    return weights_of(load_model(model)[0]), description


def _stored_weights(file: Path) -> Weights:
    """Read the weights of the layers of a Keras file, where no layer is nested; something else where one is."""
    import h5py  # type: ignore[import-untyped]

    try:
        with zipfile.ZipFile(file) as archive:
            layers = json.loads(archive.read("config.json"))["config"]["layers"]
            content = archive.read("model.weights.h5")
        with h5py.File(io.BytesIO(content)) as stored:
            found = {group["vars"].attrs["name"]: group["vars"] for group in stored["layers"].values()}
            if sum(each.nbytes for group in found.values() for each in group.values()) > len(content):
                return {}  # made to be larger than it looks
            names = [layer["config"]["name"] for layer in layers if len(found.get(layer["config"]["name"], ()))]
            return {name: [found[name][str(at)][()] for at in range(len(found[name]))] for name in names}
    except Exception:  # on a file of another kind, a damaged or a hostile one, these raise nearly anything
        return {}


class UnknownLayerError(HeadstartError):
    """A Keras file has a layer or function that is not Keras's own and that nothing in this process registered."""


def load_file(file: Path, name: str) -> Any:
    """Load a Keras file in safe mode, without its optimizer; HeadstartError, which calls it `name`, if it is none."""
    try:
        with _built_once():
            return keras.models.load_model(file, custom_objects=LAYERS, compile=False, safe_mode=True)
    except Exception as error:  # on a damaged or a hostile file it raises nearly anything
        # Keras has no kind of its own for it.
        kind = UnknownLayerError if "Could not locate" in str(error) else HeadstartError
        raise kind(
            f"{name}: cannot be loaded: {error}",
            "It has to be a file that model.save('NAME.keras') wrote, without code of its own. Layers of your own are "
            "loaded where the module of your --network registers them with keras.saving.register_keras_serializable.",
        ) from error


@contextlib.contextmanager
def _built_once() -> Iterator[None]:
    """Keras builds a sequential model again with each layer that it reads: a tenth of a transfer run's set-up."""
    add = keras.Sequential.add
    keras.Sequential.add = functools.partialmethod(add, rebuild=False)
    try:
        yield
    finally:
        keras.Sequential.add = add


def save_served(model: Any, folder: Path, classes: list[str], image_size: int, reading: Reading = _READING) -> None:
    """Write a SavedModel that a user sends raw images, with the preprocessing of training inside.

    Endpoints: `serve` and `serving_default` take `image_bytes` (string, [N]: JPEG, PNG, GIF or BMP files), decode,
    resize and classify; `serve_pixels` takes `pixels` (float32, N × size × size × 3, 0 to 255). Both return
    `class` (string, N), `probability` (float32, N) and `probabilities` (float32, N × classes). The class names are an
    asset, `assets/classes.txt`, one a line; how files become pixels is another, `assets/reading.json`.
    """
    import tensorflow as tf

    from headstart.components.training.served_pixels import decoder

    with whole_folder(folder, is_model) as new, tempfile.TemporaryDirectory(dir=new.parent) as beside:
        names, how = Path(beside) / CLASSES_FILE, Path(beside) / READING_FILE
        names.write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")
        how.write_text(json.dumps(asdict(reading)) + "\n", encoding="ascii")
        module = tf.Module()
        module.model = model
        module.classes, module.reading = tf.saved_model.Asset(str(names)), tf.saved_model.Asset(str(how))
        table = tf.constant(classes)
        decode = decoder(image_size, reading)

        def answer(pixels: Any) -> dict[str, Any]:
            probabilities = model(pixels, training=False)
            best = tf.argmax(probabilities, axis=-1)
            return {
                "class": tf.gather(table, best),
                "probability": tf.reduce_max(probabilities, axis=-1),
                "probabilities": probabilities,
            }

        # Without AutoGraph, which would read this file again: there is no Python control flow in here.
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")], autograph=False)  # type: ignore[untyped-decorator]
        def serve(image_bytes: Any) -> dict[str, Any]:
            shape = tf.TensorSpec([image_size, image_size, 3], tf.float32)
            return answer(tf.map_fn(decode, image_bytes, fn_output_signature=shape))

        pixels_type = tf.TensorSpec([None, image_size, image_size, 3], tf.float32, name="pixels")

        @tf.function(input_signature=[pixels_type], autograph=False)  # type: ignore[untyped-decorator]
        def serve_pixels(pixels: Any) -> dict[str, Any]:
            return answer(pixels)

        module.serve, module.serve_pixels = serve, serve_pixels
        signatures = {"serving_default": serve, "serve": serve, "serve_pixels": serve_pixels}
        tf.saved_model.save(module, str(new), signatures=signatures)
