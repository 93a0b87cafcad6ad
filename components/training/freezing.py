"""Freezing by layer name, weights carried over by layer name, and digests that prove both."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.components.errors import HeadstartError

Array = npt.NDArray[Any]
# Of every layer that has weights, by its name.
Weights = dict[str, list[Array]]


def freeze(model: Any, names: Iterable[str]) -> None:
    """Make the layers called `names` untrainable and all others trainable; call it before anything is compiled.

    Batch normalisation that is named runs in inference mode as well, that is Keras's meaning of frozen.
    Raises HeadstartError where the model has no layer of that name.
    """
    names = set(names)
    missing = names - {layer.name for layer in model.layers}
    if missing:
        raise HeadstartError(f"The model has no layer called {', '.join(sorted(missing))}.")
    for layer in model.layers:
        layer.trainable = layer.name not in names


def weights_of(model: Any) -> Weights:
    """Return the weights of every layer that has any, by its name, in the model's order."""
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def carry_over(found: Weights, target: Any, *, new_head: str) -> None:
    """Copy the weights `found` into the layers of the same name in `target`, save `new_head`.

    Raises HeadstartError where a layer is missing or has other shapes: nothing is skipped in silence.
    """
    for layer in target.layers:
        if not layer.weights or layer.name == new_head:
            continue
        if layer.name not in found:
            raise HeadstartError(
                f"The initial model has no layer called {layer.name}.",
                "Is it of this network? See the setting network.",
            )
        values = found[layer.name]
        shapes, expected = [value.shape for value in values], [tuple(weight.shape) for weight in layer.weights]
        if shapes != expected:
            raise HeadstartError(
                f"{layer.name}: the initial model has weights of {shapes}, this network {expected}.",
                "Were network, image_size or first_stride changed after the initial model was trained?",
            )
        layer.set_weights(values)


def check_finite(model: Any) -> None:
    """Raise HeadstartError where a weight is not finite: a ReLU fused with a convolution hides it from the loss."""
    for layer in model.layers:
        if not all(np.isfinite(value).all() for value in layer.get_weights()):
            raise HeadstartError(
                f"The initial model's weights of {layer.name} are not finite.", "Train the earlier stage again."
            )


def layer_digest(weights: Iterable[Array]) -> str:
    """SHA-256 of a layer's weights: for each, its shape and its bytes (little-endian)."""
    digest = hashlib.sha256()
    for value in weights:
        array = np.ascontiguousarray(value)
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()


def layer_digests(model: Any) -> dict[str, str]:
    """Return the digest of every layer that has weights, by name."""
    return {name: layer_digest(values) for name, values in weights_of(model).items()}


def weights_digest(model: Any) -> str:
    """SHA-256 of all layers' names and digests."""
    return combined(layer_digests(model))


def combined(digests: dict[str, str]) -> str:
    """Return the `weights_digest` of a model whose `layer_digests` are known."""
    digest = hashlib.sha256()
    for name, value in digests.items():
        digest.update(f"{name}={value}\n".encode())
    return digest.hexdigest()
