"""The network's arithmetic in TensorFlow's fused operations; weights stay in the Keras layers.

A Keras layer is written for every case; on the processor that costs more than the arithmetic itself. Keras 3 spells
batch normalisation out as a dozen passes over the activations, where TensorFlow has one operation forward and one
backward (about a third of a whole training step of the paper's network), and it casts and scales images in passes of
their own. What is computed here is the same function of the same weights, to float tolerance.

`precision` bfloat16 computes convolutions, activations and inner products in bfloat16; weights, statistics, logits,
loss and the optimizer stay in float32. The Keras model itself is float32 before, while and after.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class ForwardPass:
    """Calls the layers of a Keras Sequential, all but the softmax of its last Dense layer."""

    def __init__(self, layers: list[Any], precision: str) -> None:
        """Take `layers`, of which the last is Dense; their `trainable` flags are read once, here."""
        self._layers = list(layers)
        self._dtype = tf.bfloat16 if precision == "bfloat16" else tf.float32
        self._normalises = {
            layer.name: bool(layer.trainable) for layer in layers if isinstance(layer, keras.layers.BatchNormalization)
        }
        self._scale = 1.0
        first = layers[0]
        # A scaling before a convolution is folded into its kernel, which spares a pass over the images.
        scales = isinstance(first, keras.layers.Rescaling) and first.offset == 0
        if scales and isinstance(layers[1], keras.layers.Conv2D):
            self._scale, self._layers = float(first.scale), self._layers[1:]

    def __call__(self, inputs: Any, *, key: Any = None, moments: list[Any] | None = None) -> Any:
        """Return logits (float32, N × classes) of `inputs` (images as uint8 or float, or features).

        `key` (int32, two numbers) draws the dropout masks; None: inference, nothing is dropped. Into `moments` go
        triples of layer, mean and variance, for every batch normalisation that trains; None: inference.
        """
        value = self.body(inputs, key=key, moments=moments)
        last = self._layers[-1]
        return tf.matmul(tf.cast(value, tf.float32), last.kernel.value) + last.bias.value

    def body(self, inputs: Any, *, key: Any = None, moments: list[Any] | None = None) -> Any:
        """Return what goes into the last layer (in the precision asked for); the arguments are those of a call."""
        value, scale = tf.cast(inputs, self._dtype), self._scale
        for number, layer in enumerate(self._layers[:-1]):
            if isinstance(layer, keras.layers.Conv2D):
                value, scale = self._convolved(layer, value, scale), 1.0
            elif isinstance(layer, keras.layers.BatchNormalization):
                value = self._normalised(layer, value, moments)
            elif isinstance(layer, keras.layers.MaxPooling2D):
                value = tf.nn.max_pool2d(value, layer.pool_size, layer.strides, layer.padding.upper())
            elif isinstance(layer, keras.layers.Flatten):
                value = tf.reshape(value, [-1, *layer.output.shape[1:]])
            elif isinstance(layer, keras.layers.Dense):
                value = self._activated(layer, tf.matmul(value, self._cast(layer.kernel)) + self._cast(layer.bias))
            elif isinstance(layer, keras.layers.Dropout):
                if key is not None and layer.rate > 0:
                    drawn = tf.random.stateless_uniform(tf.shape(value), key + tf.constant([0, number * 7919]))
                    kept = tf.cast(drawn >= layer.rate, value.dtype)
                    value = value * kept * tf.cast(1 / (1 - layer.rate), value.dtype)
            else:
                value = layer(tf.cast(value, layer.compute_dtype))
        return value

    def _cast(self, weight: Any) -> Any:
        return tf.cast(weight.value, self._dtype)

    def _activated(self, layer: Any, value: Any) -> Any:
        return tf.nn.relu(value) if layer.activation is keras.activations.relu else layer.activation(value)

    def _convolved(self, layer: Any, value: Any, scale: float) -> Any:
        kernel = tf.cast(layer.kernel.value * scale if scale != 1.0 else layer.kernel.value, self._dtype)
        value = tf.nn.conv2d(value, kernel, layer.strides, layer.padding.upper())
        return self._activated(layer, tf.nn.bias_add(value, self._cast(layer.bias)))

    def _normalised(self, layer: Any, value: Any, moments: list[Any] | None) -> Any:
        scale, offset = layer.gamma.value, layer.beta.value
        if moments is None or not self._normalises[layer.name]:
            return tf.raw_ops.FusedBatchNormV3(
                x=value,
                scale=scale,
                offset=offset,
                mean=layer.moving_mean.value,
                variance=layer.moving_variance.value,
                epsilon=layer.epsilon,
                is_training=False,
            )[0]
        if layer.synchronized:  # statistics over all devices: Keras asks the others
            return tf.cast(layer(value, training=True), value.dtype)
        empty = tf.zeros([0], tf.float32)
        value, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=value, scale=scale, offset=offset, mean=empty, variance=empty, epsilon=layer.epsilon, is_training=True
        )
        # The operation estimates the variance with n - 1 (Bessel), Keras keeps the moving average of that with n.
        count = tf.cast(tf.size(value) // value.shape[-1], tf.float32)
        moments.append((layer, mean, variance * ((count - 1) / tf.maximum(count, 1))))
        return value


def keep_moments(moments: list[Any]) -> None:
    """Move the averages of batch normalisation towards the batch's `moments`, as Keras does."""
    for layer, mean, variance in moments:
        for average, found in ((layer.moving_mean.value, mean), (layer.moving_variance.value, variance)):
            average.assign(average * layer.momentum + found * (1 - layer.momentum))


class Adam:
    """Adam and AdamW with Keras's formula and constants, one operation a weight instead of a dozen.

    D. P. Kingma, J. Ba, Adam (arXiv 1412.6980), in the form with epsilon outside the bias correction;
    I. Loshchilov, F. Hutter, AdamW (arXiv 1711.05101): kernels shrink by rate × decay before the step.
    """

    beta_1, beta_2, epsilon = 0.9, 0.999, 1e-7

    def __init__(self, weights: list[Any], decay: float) -> None:
        """Take Keras `weights`; those called `kernel` decay by `decay` × learning rate a step."""
        self._weights, self._decay = weights, decay
        self.slots = {
            f"{moment}/{weight.path}": tf.Variable(tf.zeros(weight.shape), trainable=False)
            for moment in ("first", "second")
            for weight in weights
        }

    def apply(self, gradients: list[Any], rate: Any, step: Any) -> None:
        """Move the weights once; `rate` is the learning rate and `step` counts from 1 (both float32 scalars)."""
        powers = [tf.pow(tf.constant(beta), step) for beta in (self.beta_1, self.beta_2)]
        for weight, gradient in zip(self._weights, gradients, strict=True):
            handle = weight.value.handle
            if self._decay and weight.name == "kernel":
                lost = weight.value.read_value() * (self._decay * rate)
                tf.raw_ops.AssignSubVariableOp(resource=handle, value=lost)
            tf.raw_ops.ResourceApplyAdam(
                var=handle,
                m=self.slots[f"first/{weight.path}"].handle,
                v=self.slots[f"second/{weight.path}"].handle,
                beta1_power=powers[0],
                beta2_power=powers[1],
                lr=rate,
                beta1=self.beta_1,
                beta2=self.beta_2,
                epsilon=self.epsilon,
                grad=gradient,
            )
