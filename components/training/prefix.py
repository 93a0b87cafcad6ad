"""The frozen prefix, computed once: where it ends and what comes out of it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.training.evaluation import PassProgress
from components.training.recipes import Recipe

Array = npt.NDArray[Any]


def prefix_length(model: Any, recipe: Recipe) -> int:
    """Number of first layers whose output is the same in every epoch: frozen or without weights, and not random.

    0 where the images are augmented, where nothing is frozen before the first trainable layer, or where the recipe
    turns it off. The last layer never belongs to it.
    """
    if not recipe.cache_prefix or recipe.flip or recipe.shift:
        return 0
    length = frozen = 0
    for layer in model.layers[:-1]:
        if isinstance(layer, keras.layers.Dropout) or (layer.weights and layer.trainable_weights):
            break
        length += 1
        frozen = length if layer.weights else frozen
    # Layers without weights after the last frozen one (pooling, flattening) shrink the features.
    return length if frozen else 0


def feature_bytes(model: Any, length: int, count: int) -> int:
    """Bytes that the outputs of the first `length` layers take for `count` images, as float32."""
    shape = model.layers[length - 1].output.shape[1:]
    return 4 * count * int(np.prod(shape))


def suffix(model: Any, length: int) -> Any:
    """The layers after the first `length`, the same objects, as a model: training it trains `model`."""
    return keras.Sequential([keras.Input(model.layers[length - 1].output.shape[1:]), *model.layers[length:]])


class Prefix:
    """The first layers as one compiled function."""

    def __init__(self, model: Any, length: int, recipe: Recipe, identity: dict[str, Any] | None = None) -> None:
        self._identity = identity or {}
        self._layers = model.layers[:length]
        self._shape = model.layers[length - 1].output.shape[1:]
        self._batch_size = recipe.evaluation_batch_size
        self._call = tf.function(self._forward, reduce_retracing=True)

    def _forward(self, images: Any) -> Any:
        value = tf.cast(images, self._layers[0].compute_dtype)
        for layer in self._layers:
            value = layer(value)
        return tf.cast(value, tf.float32)

    def warm_up(self, images: Array) -> None:
        """Trace and run one batch."""
        self._call(tf.constant(np.asarray(images[: self._batch_size])))

    def features(self, images: Array) -> Array:
        """Return the outputs for `images` (uint8 N × H × W × 3) as float32 N × ….

        Raises FloatingPointError where one is not finite.
        """
        progress = PassProgress("prefix", len(images), self._identity)
        out = np.empty((len(images), *self._shape), np.float32)
        for start in range(0, len(images), self._batch_size):
            batch = np.asarray(images[start : start + self._batch_size])
            out[start : start + len(batch)] = self._call(tf.constant(batch)).numpy()
            progress.done(len(batch))
        if not np.isfinite(out).all():
            raise FloatingPointError("the outputs of the frozen layers are not finite")
        return out
