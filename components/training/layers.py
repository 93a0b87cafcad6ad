"""How Keras layers compute while training: batch normalisation fused, mixed precision, statistics on demand.

Keras spells batch normalisation out as a dozen passes over the activations, where TensorFlow has one operation forward
and one backward: about a third of a training step of the paper's network. `computing` changes the layers of any
Keras model while a function is traced and puts everything back: what is saved is a plain float32 model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import keras
import tensorflow as tf


class FusedBatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Keras's layer through `FusedBatchNormV3`, for bfloat16 and float32 inputs; its weights stay float32.

    What the operation has no form for (masks, renorm, an axis that is not the last, statistics over several devices)
    is left to Keras.
    """

    # While it is a list, batches are normalised with their own moments, and (layer, mean, variance) are added to it.
    collected: ClassVar[list[tuple[Any, Any, Any]] | None] = None

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Return `inputs` normalised, in their dtype."""
        rank, channels = len(inputs.shape), inputs.shape[-1]
        if mask is not None or self.renorm or self.synchronized or self.axis not in (-1, rank - 1):
            return super().call(inputs, training=training, mask=mask)
        value = inputs if rank == 4 else tf.reshape(inputs, [-1, 1, 1, channels])
        collects = self.collected is not None and self.trainable
        learns = bool(training) and self.trainable and not collects
        known = [] if learns or collects else [self.moving_mean.value, self.moving_variance.value]
        mean, variance = known or [tf.zeros([0])] * 2
        value, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=value,
            scale=self.gamma.value if self.scale else tf.ones([channels]),
            offset=self.beta.value if self.center else tf.zeros([channels]),
            mean=mean,
            variance=variance,
            epsilon=self.epsilon,
            is_training=not known,
        )
        if not known:
            # The operation estimates the variance with n - 1 (Bessel), Keras keeps the moving average of that with n.
            count = tf.cast(tf.size(value) // channels, tf.float32)
            variance = variance * ((count - 1) / tf.maximum(count, 1))
        if self.collected is not None and collects:
            self.collected.append((self, mean, variance))
        elif learns:
            for moving, now in ((self.moving_mean, mean), (self.moving_variance, variance)):
                moving.assign(moving.value * self.momentum + now * (1 - self.momentum))
        return value if rank == 4 else tf.reshape(value, tf.shape(inputs))


def trained_normalizations(model: Any) -> list[Any]:
    """Batch normalisation whose statistics training moves: layers that are trainable."""
    return [layer for layer in _all(model) if type(layer) is keras.layers.BatchNormalization and layer.trainable]


def settle_statistics(model: Any, images: Any) -> None:
    """Set the statistics of every batch normalisation that is trainable to those of `images`, under the weights.

    `images` is one batch, uint8 N × H × W × 3; every layer sees what the ones before make of it. An untrained network
    whose statistics are frozen as they begin, mean 0 and variance 1, lets its signal fade from layer to layer.
    """
    found: list[Any] = []
    with computing(model, "float32", collected=found):
        model(tf.cast(images, tf.float32), training=False)
    for layer, mean, variance in found:
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(variance)


@contextmanager
def computing(
    model: Any, precision: str, *, replicas: int = 1, wide_output: bool = True, collected: list[Any] | None = None
) -> Iterator[None]:
    """While a function that calls `model` is traced in here, its layers compute as training wants it.

    `precision` bfloat16 gives all layers Keras's mixed policy but those that make the model's output, unless
    `wide_output` is false. With several `replicas`, batch normalisation uses the statistics of all of them.
    Into `collected` go the moments of every batch normalisation that is trainable, as (layer, mean, variance).
    """
    outputs = _output_layers(model) if wide_output else []
    before = []
    try:
        for layer in _all(model):
            before.append((layer, type(layer), layer.autocast, layer.dtype_policy))
            if type(layer) is keras.layers.BatchNormalization:
                # Keras tracks attributes; the class is none.
                object.__setattr__(layer, "__class__", FusedBatchNormalization)
                layer.autocast = False  # it takes inputs as they come and its own weights in float32
                layer.synchronized = replicas > 1
            elif precision == "bfloat16" and layer.dtype_policy.name == "float32" and layer not in outputs:
                layer.dtype_policy = "mixed_bfloat16"
        FusedBatchNormalization.collected = collected
        yield
    finally:
        FusedBatchNormalization.collected = None
        for layer, kind, autocast, policy in before:
            if kind is keras.layers.BatchNormalization:
                object.__setattr__(layer, "__class__", kind)
                layer.synchronized = False
            layer.autocast, layer.dtype_policy = autocast, policy


def _all(model: Any) -> list[Any]:
    return list(model._flatten_layers())  # no public list holds what is within nested models and wrappers


def _output_layers(model: Any) -> list[Any]:
    last = [tensor._keras_history.operation for tensor in model.outputs]
    return [*last, *(inner for layer in last if isinstance(layer, keras.Model) for inner in _output_layers(layer))]


def logits(output: Any) -> Any:
    """Return what went into the softmax that made `output` (a tensor of the function being traced), as float32.

    For probabilities that were made in another way: their logarithms.
    """
    if output.op.type == "Softmax":
        return tf.cast(output.op.inputs[0], tf.float32)
    return tf.math.log(tf.maximum(tf.cast(output, tf.float32), 1e-30))
