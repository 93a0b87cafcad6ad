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
    normalisation_momentum: float = 0.99,
    dtype: str = "float32",
    synchronized: bool = False,
) -> Any:
    """Build the network for images of `image_size`² × 3 (pixels 0 to 255, scaled inside) and `classes` outputs.

    52 pixels with stride 1 and 100 pixels with stride 2 both give Table 1. `dtype` is `float32` or `mixed_bfloat16`;
    the last layer always answers in float32, since bfloat16 knows few probabilities. `synchronized` has several devices
    share the statistics of batch normalisation. Layers are trainable, weights are drawn from Keras's global seed.
    """
    layer = keras.layers

    def normalisation(number: int) -> Any:
        name, momentum = f"batch_normalization_{number}", normalisation_momentum
        return layer.BatchNormalization(name=name, momentum=momentum, synchronized=synchronized, dtype=dtype)

    layers: list[Any] = [
        keras.Input((image_size, image_size, 3), name="image"),
        layer.Rescaling(1 / 255, name="rescaling", dtype=dtype),
        layer.Conv2D(16, 5, strides=first_stride, activation="relu", name="conv2d_1", dtype=dtype),
        normalisation(1),
        layer.MaxPooling2D(name="max_pooling2d_1", dtype=dtype),
        layer.Conv2D(32, 3, activation="relu", name="conv2d_2", dtype=dtype),
        normalisation(2),
        layer.MaxPooling2D(name="max_pooling2d_2", dtype=dtype),
        layer.Conv2D(64, 3, activation="relu", name="conv2d_3", dtype=dtype),
        layer.Conv2D(128, 3, activation="relu", name="conv2d_4", dtype=dtype),
        layer.MaxPooling2D(name="max_pooling2d_3", dtype=dtype),
        layer.Flatten(name="flatten", dtype=dtype),
        layer.Dense(512, activation="relu", name="dense_1", dtype=dtype),
    ]
    if dropout:
        layers.append(layer.Dropout(dropout, name="dropout_1", dtype=dtype))
    layers.append(layer.Dense(512, activation="relu", name="dense_2", dtype=dtype))
    if dropout:
        layers.append(layer.Dropout(dropout, name="dropout_2", dtype=dtype))
    layers.append(layer.Dense(classes, activation="softmax", name="dense_3", dtype="float32"))
    return keras.Sequential(layers, name="headstart")
