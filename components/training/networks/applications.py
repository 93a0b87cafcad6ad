"""Networks of `keras.applications`, without weights, with their own preprocessing inside.

Images go in with pixels from 0 to 255. Layers are called as in Keras, so that weights published for them can be carried
over; the classifier is a global pooling, dropout and one dense layer, `head`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


def _mobilenet_v3_small(size: int) -> tuple[Any, Any]:
    base = keras.applications.MobileNetV3Small(input_shape=(size, size, 3), include_top=False, weights=None)
    return base.inputs[0], base.output


def _mobilenet_v3_large(size: int) -> tuple[Any, Any]:
    base = keras.applications.MobileNetV3Large(input_shape=(size, size, 3), include_top=False, weights=None)
    return base.inputs[0], base.output


def _efficientnet_v2_b0(size: int) -> tuple[Any, Any]:
    base = keras.applications.EfficientNetV2B0(input_shape=(size, size, 3), include_top=False, weights=None)
    return base.inputs[0], base.output


def _resnet50(size: int) -> tuple[Any, Any]:
    # What keras.applications.resnet50.preprocess_input does: blue first, means of ImageNet taken off.
    image = keras.Input((size, size, 3), name="image")
    blue_first = keras.ops.flip(image, axis=-1)
    centred = keras.layers.Normalization(mean=(103.939, 116.779, 123.68), variance=(1.0, 1.0, 1.0), name="centred")
    base = keras.applications.ResNet50(input_tensor=centred(blue_first), include_top=False, weights=None)
    return image, base.output


def _convnext_tiny(size: int) -> tuple[Any, Any]:
    base = keras.applications.ConvNeXtTiny(input_shape=(size, size, 3), include_top=False, weights=None)
    # Without a top, Keras normalises before the pooling; the published weights are for the order with a top.
    return base.inputs[0], base.layers[-2].output


BASES: dict[str, Callable[[int], tuple[Any, Any]]] = {
    "mobilenet-v3-small": _mobilenet_v3_small,
    "mobilenet-v3-large": _mobilenet_v3_large,
    "efficientnet-v2-b0": _efficientnet_v2_b0,
    "resnet50": _resnet50,
    "convnext-tiny": _convnext_tiny,
}


def build_application(
    name: str, image_size: int, classes: int, *, dropout: float = 0.0, batch_norm_momentum: float = 0.99
) -> Any:
    """Build the network `name` for images of `image_size`² × 3 and `classes` outputs; its weights are random."""
    inputs, x = BASES[name](image_size)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    if name == "convnext-tiny":
        x = keras.layers.LayerNormalization(epsilon=1e-6, name="head_layernorm")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    model = keras.Model(inputs, keras.layers.Dense(classes, activation="softmax", name="head")(x), name="headstart")
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = batch_norm_momentum
    return model
