"""First weights of convolutions from the training images, in place of drawn ones."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

# What is added to the variance along each direction: those of next to no variance are noise and stay small.
DAMPING = 1e-2
# How much of a kernel's first filters is the identity; the rest stays as drawn.
IDENTITY = 0.7
# Pixels from one patch to the next, in both directions: patches that overlap more are nearly equal.
STRIDE = 4


def whiten(model: Any, images: npt.NDArray[Any]) -> None:
    """Begin with the principal directions of `images` (uint8 N × H × W × 3) and with identities.

    The first convolution's filters become the leading eigenvectors of the covariance of the patches that it sees, each
    divided by the square root of its variance, and their negatives, as many as there are; its bias subtracts the mean.
    Later convolutions of stride 1 that keep or raise the number of channels pass their inputs on, mixed with the drawn
    weights. After K. Jordan, 94 % on CIFAR-10 in 3.29 seconds on a single GPU (arXiv 2404.00498), sections 3.1 and 3.2,
    where the identity replaces the drawn weights altogether. Layers of more than one group stay as drawn.
    """
    plain = (layer for layer in model._flatten_layers() if type(layer) is keras.layers.Conv2D and layer.groups == 1)
    first, *later = [layer for layer in plain if layer.trainable] or [None]
    if first is None:
        return
    inputs = keras.Model(model.inputs[0], first.input)(images.astype(np.float32), training=False)
    _whiten(first, np.asarray(inputs))
    for layer in later:
        kernel = layer.kernel.numpy()
        height, width, channels, filters = kernel.shape
        if channels <= filters and layer.strides == (1, 1) and height % 2 and width % 2:
            kernel[..., :channels] *= 1 - IDENTITY
            kernel[height // 2, width // 2, range(channels), range(channels)] += IDENTITY
            layer.kernel.assign(kernel)


def _whiten(layer: Any, inputs: npt.NDArray[Any]) -> None:
    kernel = layer.kernel.numpy()
    height, width, channels, filters = kernel.shape
    windows = np.lib.stride_tricks.sliding_window_view(inputs, (height, width), axis=(1, 2))[:, ::STRIDE, ::STRIDE]
    patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, height * width * channels).astype(np.float64)
    mean = patches.mean(0)
    variances, directions = np.linalg.eigh(np.cov(patches, rowvar=False))
    count = min((filters + 1) // 2, len(mean))
    leading = (directions / np.sqrt(np.maximum(variances, 0) + DAMPING))[:, ::-1][:, :count]
    pairs = np.concatenate([leading, -leading], axis=1)[:, :filters]
    kernel[..., : pairs.shape[1]] = pairs.reshape(height, width, channels, -1)
    layer.kernel.assign(kernel)
    if layer.use_bias:
        bias = layer.bias.numpy()
        bias[: pairs.shape[1]] = -mean @ pairs
        layer.bias.assign(bias)
