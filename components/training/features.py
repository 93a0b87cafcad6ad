"""Cached features: the outputs of a frozen backbone, computed once, and kept beside a run's checkpoints.

All transfer runs of a preparation pass the same test images through the same layers, in float32: these outputs are
kept for runs that would compute them again. What a run trains on is never kept: each computes that in its own time.
Files are in a local folder only, at most `MOST_BYTES` of a pipeline run, and stay as long as its finished runs: until a
local run has ended well, or for as long as the volume keeps them.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from headstart.components.atomic_files import whole_file
from headstart.components.errors import HeadstartError
from headstart.components.regular_files import check_regular
from headstart.components.training.evaluation import PassProgress
from headstart.components.training.layers import computing, trained_normalizations
from headstart.components.training.recipes import Recipe

Array = npt.NDArray[Any]
# In a batch: with more, touching their memory for the first time costs more than it saves, and no bit changes.
MOST_IMAGES = 128
MOST_BYTES = 512 << 20  # of all files of kept features in a folder


def frozen_depth(model: Any, recipe: Recipe) -> int:
    """Number of first layers whose output is the same in every epoch: frozen or without weights, and not random.

    0 if the images are augmented, if no layer with weights is among them, or if the recipe turns it off. The last
    layer never belongs to them, and everything after them must depend on the output of the last of them alone.
    """
    if not recipe.cache_features or recipe.flip or recipe.shift or recipe.crop:
        return 0
    length = 0
    for layer in model.layers[:-1]:
        random = len(layer.variables) > len(layer.weights)
        if random or layer.trainable_weights or trained_normalizations(layer):
            break
        length += 1
    # Layers without weights after the last frozen one (pooling, flattening) shrink the features.
    while any(layer.weights for layer in model.layers[:length]):
        if head_of(model, length) is not None:
            return length
        length -= 1
    return 0


def feature_bytes(model: Any, length: int, count: int) -> int:
    """Bytes that the outputs of the first `length` layers take for `count` images, as float32."""
    shape = model.layers[length - 1].output.shape[1:]
    return 4 * count * int(np.prod(shape))


def head_of(model: Any, length: int) -> Any:
    """The layers after the first `length`, the same objects, as a model: training it trains `model`.

    None if they need more than the output of the last of the first layers.
    """
    try:
        return keras.Model(model.layers[length - 1].output, model.outputs[0])
    except ValueError:
        return None


class Backbone:
    """The first layers as one compiled function, in the recipe's precision or, for evaluation, in float32."""

    def __init__(self, model: Any, length: int, recipe: Recipe, identity: dict[str, Any] | None = None) -> None:
        """`identity` is put into progress events."""
        self._identity, self.length = identity or {}, length
        self._model = keras.Model(model.inputs, model.layers[length - 1].output)
        self._batch_size = min(recipe.evaluation_batch_size, MOST_IMAGES)
        images = tf.TensorSpec([None, *model.input_shape[1:]], tf.uint8)
        self._passes = {
            precision: tf.function(functools.partial(self._pass, precision), [images], autograph=False)
            for precision in {recipe.precision, "float32"}
        }
        self._trained = self._passes[recipe.precision]

    def _pass(self, precision: str, batch: Any) -> Any:
        with computing(self._model, precision, wide_output=False):
            return tf.cast(self._model(batch, training=False), tf.float32)

    def warm_up(self, images: Array) -> None:
        """Trace the pass over training images and run one batch; the other one may never be needed."""
        self._trained(tf.constant(np.asarray(images[: self._batch_size])))

    def features(self, images: Array, *, training: bool = False) -> Array:
        """Return the outputs for `images` (uint8 N × H × W × 3) as float32 N × …, to train on or to evaluate.

        Raises FloatingPointError if one is not finite.
        """
        compiled = self._trained if training else self._passes["float32"]
        progress = PassProgress("prefix", len(images), self._identity)
        out = np.empty((len(images), *self._model.output_shape[1:]), np.float32)
        for start in range(0, len(images), self._batch_size):
            batch = np.asarray(images[start : start + self._batch_size])
            out[start : start + len(batch)] = compiled(tf.constant(batch)).numpy()
            progress.done(len(batch))
        if not np.isfinite(out).all():
            raise FloatingPointError("the outputs of the frozen layers are not finite")
        return out


def kept_features(
    folder: Path, facts: dict[str, Any], images: Array, compute: Callable[[Array], Array]
) -> tuple[Array, bool]:
    """Return what `compute` makes of `images` (N × …): float32 N × …; and whether it is from a file in `folder`.

    `facts`, JSON values, are all that decides it to the last bit: what the backbone is, and the digest of all these
    images. Other facts give the file another name. What cannot be kept is computed again by the next run.
    """
    facts = {**facts, "shape": images.shape}
    file = folder / f"features-{hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()}.npy"
    features = _read(file)
    if features is not None and len(features) == len(images):
        return features, True
    features = compute(images)
    _write(file, features)
    return features, False


def _read(file: Path) -> Array | None:
    try:
        check_regular(file)
        with file.open("rb") as opened:
            features: Array = np.load(opened, allow_pickle=False)
            return features if opened.read() == _seal(features) and features.dtype == np.float32 else None
    except Exception:  # numpy's reader raises nearly anything on damaged bytes
        return None


def _write(file: Path, features: Array) -> None:
    try:
        kept = sum(each.stat().st_size for each in file.parent.glob("features-*.npy"))
        if kept + features.nbytes > MOST_BYTES:
            return
        with whole_file(file) as partial, partial.open("wb") as opened:
            np.save(opened, features)
            opened.write(_seal(features))
    except (HeadstartError, OSError):
        return


def _seal(features: Array) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(features).data).digest()
