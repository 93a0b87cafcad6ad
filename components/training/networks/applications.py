"""Networks of `keras.applications`, without weights, with their own preprocessing inside.

Images go in with pixels from 0 to 255. Layers are called as in Keras, so that weights published for them can be carried
over; the classifier is a global pooling, dropout and one dense layer, `head`.
"""

from __future__ import annotations

from typing import Any

import keras

# All but ResNet50 have their preprocessing inside.
_PLAIN = {
    "mobilenet-v3-small": keras.applications.MobileNetV3Small,
    "mobilenet-v3-large": keras.applications.MobileNetV3Large,
    "efficientnet-v2-b0": keras.applications.EfficientNetV2B0,
    "convnext-tiny": keras.applications.ConvNeXtTiny,
}


def _base(name: str, size: int) -> tuple[Any, Any]:
    """Return the images that go into the network `name` and the features that its convolutions make of them."""
    if name == "resnet50":
        # What keras.applications.resnet50.preprocess_input does: blue first, means of ImageNet taken off.
        image = keras.Input((size, size, 3), name="image")
        blue_first = keras.ops.flip(image, axis=-1)
        centred = keras.layers.Normalization(mean=(103.939, 116.779, 123.68), variance=(1.0, 1.0, 1.0), name="centred")
        base = keras.applications.ResNet50(input_tensor=centred(blue_first), include_top=False, weights=None)
        return image, base.output
    base = _PLAIN[name](input_shape=(size, size, 3), include_top=False, weights=None)
    # Without a top, Keras normalises ConvNeXt before the pooling; the published weights are for the order with a top.
    return base.inputs[0], base.layers[-2].output if name == "convnext-tiny" else base.output


def build_application(
    name: str, image_size: int, classes: int, *, dropout: float = 0.0, batch_norm_momentum: float = 0.99
) -> Any:
    """Build the network `name` for images of `image_size`² × 3 and `classes` outputs; its weights are random."""
    inputs, x = _base(name, image_size)
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
