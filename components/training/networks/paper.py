"""The paper's network (its Table 1), built with Keras; layers are named as in the paper."""

from __future__ import annotations

from typing import Any

import keras


def build_network(
    image_size: int,
    classes: int,
    *,
    first_stride: int = 1,
    dropout: float = 0.0,
    batch_norm_momentum: float = 0.99,
) -> Any:
    """Build the network for images of `image_size`² × 3 (pixels 0 to 255, scaled inside) and `classes` outputs.

    52 pixels with stride 1 and 100 pixels with stride 2 both give Table 1. Layers are trainable, weights are float32
    and drawn from Keras's global seed.
    """
    layer = keras.layers

    def normalization(number: int) -> Any:
        return layer.BatchNormalization(name=f"batch_normalization_{number}", momentum=batch_norm_momentum)

    layers: list[Any] = [
        keras.Input((image_size, image_size, 3), name="image"),
        layer.Rescaling(1 / 255, name="rescaling"),
        layer.Conv2D(16, 5, strides=first_stride, activation="relu", name="conv2d_1"),
        normalization(1),
        layer.MaxPooling2D(name="max_pooling2d_1"),
        layer.Conv2D(32, 3, activation="relu", name="conv2d_2"),
        normalization(2),
        layer.MaxPooling2D(name="max_pooling2d_2"),
        layer.Conv2D(64, 3, activation="relu", name="conv2d_3"),
        layer.Conv2D(128, 3, activation="relu", name="conv2d_4"),
        layer.MaxPooling2D(name="max_pooling2d_3"),
        layer.Flatten(name="flatten"),
        layer.Dense(512, activation="relu", name="dense_1"),
        *([layer.Dropout(dropout, name="dropout_1")] if dropout else []),
        layer.Dense(512, activation="relu", name="dense_2"),
        *([layer.Dropout(dropout, name="dropout_2")] if dropout else []),
        layer.Dense(classes, activation="softmax", name="dense_3"),
    ]
    return keras.Sequential(layers, name="headstart")
