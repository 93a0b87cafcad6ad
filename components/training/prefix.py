"""The frozen prefix, computed once: where it ends and what comes out of it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from headstart.components.training.evaluation import PassProgress
from headstart.components.training.fused_operations import ForwardPass
from headstart.components.training.recipes import Recipe

Array = npt.NDArray[Any]


def prefix_length(model: Any, recipe: Recipe) -> int:
    """Number of first layers whose output is the same in every epoch: frozen or without weights, and not random.

    0 where the images are augmented, where nothing is frozen before the first trainable layer, or where the recipe
    turns it off. The last layer never belongs to it.
    """
    if not recipe.cache_prefix or recipe.flip or recipe.shift or recipe.crop:
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
    """The first layers as one compiled function, in the recipe's precision or, for evaluation, in float32."""

    def __init__(self, model: Any, length: int, recipe: Recipe, identity: dict[str, Any] | None = None) -> None:
        """`identity` is put into progress events."""
        self._identity = identity or {}
        self._shape = model.layers[length - 1].output.shape[1:]
        self._batch_size = recipe.evaluation_batch_size
        images = tf.TensorSpec([None, *model.input_shape[1:]], tf.uint8)
        # A pass ends before its last layer, which is never called here.
        layers = [*model.layers[: length + 1]]
        self._passes = {
            precision: tf.function(ForwardPass(layers, precision).body, [images], autograph=False)
            for precision in {recipe.precision, "float32"}
        }
        self._trained = self._passes[recipe.precision]

    def warm_up(self, images: Array) -> None:
        """Trace and run one batch."""
        for compiled in self._passes.values():
            compiled(tf.constant(np.asarray(images[: self._batch_size])))

    def features(self, images: Array, *, training: bool = False) -> Array:
        """Return the outputs for `images` (uint8 N × H × W × 3) as float32 N × …, to train on or to evaluate.

        Raises FloatingPointError where one is not finite.
        """
        compiled = self._trained if training else self._passes["float32"]
        progress = PassProgress("prefix", len(images), self._identity)
        out = np.empty((len(images), *self._shape), np.float32)
        for start in range(0, len(images), self._batch_size):
            batch = np.asarray(images[start : start + self._batch_size])
            out[start : start + len(batch)] = tf.cast(compiled(tf.constant(batch)), tf.float32).numpy()
            progress.done(len(batch))
        if not np.isfinite(out).all():
            raise FloatingPointError("the outputs of the frozen layers are not finite")
        return out
