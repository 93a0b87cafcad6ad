"""What comes out: `model.keras` with a description beside it, and a SavedModel that takes raw images."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import keras

from components.atomic_files import whole_folder, write_json
from components.errors import HeadstartError
from components.training.freezing import carry_over, weights_digest

MODEL_FILE = "model.keras"
DESCRIPTION_FILE = "model.json"
CLASSES_FILE = "classes.txt"


def save_model(model: Any, folder: Path, description: dict[str, Any]) -> str:
    """Write `folder` with `model.keras` and `model.json` and return the SHA-256 of the weights.

    `description` holds classes, image_size, first_stride and what else a reader should know; digests are added.
    """
    digest = weights_digest(model)
    with whole_folder(folder) as new:
        # Keras wants the suffix, artifact paths have none: so a file inside a folder.
        model.save(new / MODEL_FILE)
        content = (new / MODEL_FILE).read_bytes()
        facts = {"weights": digest, "sha256": hashlib.sha256(content).hexdigest()}
        write_json(new / DESCRIPTION_FILE, {**description, **facts})
    return digest


def read_description(folder: Path) -> dict[str, Any]:
    """Return the content of `model.json`; HeadstartError where the folder holds no model."""
    try:
        description: dict[str, Any] = json.loads((folder / DESCRIPTION_FILE).read_text(encoding="utf-8"))
        if not (folder / MODEL_FILE).is_file():
            raise FileNotFoundError(2, "No such file", MODEL_FILE)
    except (OSError, ValueError) as error:
        raise HeadstartError(f"{folder}: holds no model ({error}).", "Did the stage that makes it fail?") from error
    return description


def load_model(folder: Path) -> tuple[Any, dict[str, Any]]:
    """Load a model folder; the file must have the SHA-256 that stands beside it. Returns model and description.

    A Keras file can carry code: it is loaded in safe mode, and only as it was written.
    """
    description = read_description(folder)
    file = folder / MODEL_FILE
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != description.get("sha256"):
        raise HeadstartError(
            f"{file}: SHA-256 is {found}, {DESCRIPTION_FILE} says {description.get('sha256')}.",
            "The file was changed or damaged after it was written; make it again.",
        )
    try:
        model = keras.models.load_model(file, compile=False, safe_mode=True)
    except (ValueError, OSError, TypeError) as error:
        raise HeadstartError(f"{file}: cannot be loaded: {error}") from error
    return model, description


def plain_copy(model: Any, build: Any) -> Any:
    """Return the float32 network of `build()` with the weights of `model`: no policy, flags or optimizer in it."""
    copy = build()
    carry_over(model, copy, new_head="")
    return copy


def save_served(model: Any, folder: Path, classes: list[str], image_size: int) -> None:
    """Write a SavedModel that a user sends raw images, with the preprocessing of training inside.

    Endpoints: `serve` and `serving_default` take `image_bytes` (string, [N]: JPEG, PNG, GIF or BMP files), decode,
    resize and classify; `serve_pixels` takes `pixels` (float32, N × size × size × 3, 0 to 255). Both return
    `class` (string, N), `probability` (float32, N) and `probabilities` (float32, N × classes). The class names are an
    asset, `assets/classes.txt`, one a line.
    """
    import tensorflow as tf

    with whole_folder(folder) as new:
        names = new.parent / CLASSES_FILE
        module = tf.Module()
        module.model = model
        names.write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")
        try:
            module.classes = tf.saved_model.Asset(str(names))
            table = tf.constant(classes)

            def answer(pixels: Any) -> dict[str, Any]:
                probabilities = model(pixels, training=False)
                best = tf.argmax(probabilities, axis=-1)
                return {
                    "class": tf.gather(table, best),
                    "probability": tf.reduce_max(probabilities, axis=-1),
                    "probabilities": probabilities,
                }

            def decode(content: Any) -> Any:
                # Channels 3 makes gray a colour and drops alpha; the exact inverse DCT is what other decoders use.
                jpeg = tf.strings.substr(content, 0, 2) == b"\xff\xd8"
                pixels = tf.cond(
                    jpeg,
                    lambda: tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE"),
                    lambda: tf.io.decode_image(content, channels=3, expand_animations=False),
                )
                resized = tf.image.resize(pixels, [image_size, image_size], antialias=True)
                return tf.clip_by_value(tf.round(resized), 0.0, 255.0)

            @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])  # type: ignore[untyped-decorator]
            def serve(image_bytes: Any) -> dict[str, Any]:
                shape = tf.TensorSpec([image_size, image_size, 3], tf.float32)
                return answer(tf.map_fn(decode, image_bytes, fn_output_signature=shape))

            pixels_type = tf.TensorSpec([None, image_size, image_size, 3], tf.float32, name="pixels")

            @tf.function(input_signature=[pixels_type])  # type: ignore[untyped-decorator]
            def serve_pixels(pixels: Any) -> dict[str, Any]:
                return answer(pixels)

            module.serve, module.serve_pixels = serve, serve_pixels
            signatures = {"serving_default": serve, "serve": serve, "serve_pixels": serve_pixels}
            tf.saved_model.save(module, str(new), signatures=signatures)
        finally:
            names.unlink(missing_ok=True)
