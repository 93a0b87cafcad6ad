"""A network that the user wrote: the function is loaded, called, and what it returns is checked."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Collection
from typing import Any

import keras
import numpy as np

from headstart.components.errors import SettingError
from headstart.components.training.networks import OwnNetwork

_MODULE = "headstart_own_network"


def load(own: OwnNetwork) -> Callable[..., Any]:
    """Import the file or the module and return the function; SettingError names what is wrong with it.

    This runs what the user wrote, and only what the user named.
    """
    where = str(own.file or own.module)
    try:
        module = _file(own) if own.file else importlib.import_module(own.module)
    except Exception as error:
        remedy = "The file must be there and importable on its own."
        if not own.file:
            remedy = "The module must be installed where the training runs: on a cluster, in the image."
        raise SettingError(f"network: {where} cannot be imported: {type(error).__name__}: {error}.", remedy) from error
    function = getattr(module, own.function, None)
    if not callable(function):
        raise SettingError(f"network: {where} has no function called {own.function}.")
    return function  # type: ignore[no-any-return]


def _file(own: OwnNetwork) -> Any:
    assert own.file is not None
    if not own.file.is_file():
        raise FileNotFoundError(f"there is no such file: {own.file}")
    spec = importlib.util.spec_from_file_location(_MODULE, own.file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[_MODULE] = module
    spec.loader.exec_module(module)
    return module


def build_own(
    own: OwnNetwork, image_size: int, classes: int, options: dict[str, Any], asked: Collection[str] = ()
) -> Any:
    """Call the function with the image size, the classes, and those of `options` that it has parameters for.

    Returns the model; SettingError where an option was `asked` for that it has no parameter for, and unless it can be
    trained, saved and loaded here (see `check`).
    """
    function = load(own)
    parameters = inspect.signature(function).parameters
    missing = [name for name in options if name in asked and name not in parameters]
    if missing:
        raise SettingError(
            f"{missing[0]}: {own.function} has no parameter of this name.",
            f"Give the function a parameter {missing[0]}, or leave the setting out.",
        )
    given = {name: value for name, value in options.items() if name in parameters}
    try:
        model = function(image_size, classes, **given)
    except Exception as error:
        raise SettingError(
            f"network: {own.function}({image_size}, {classes}) failed: {type(error).__name__}: {error}.",
            "It must return a Keras model for (image size, classes).",
        ) from error
    check(model, image_size, classes)
    return model


def check(model: Any, image_size: int, classes: int) -> None:
    """Raise SettingError unless `model` is a float32 network of Keras's own layers from images to probabilities.

    Probabilities are looked at for two images, one gray and one of noise.
    """
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        found = type(model).__name__
        raise SettingError(f"network: found {found}, expected a functional or sequential Keras model.")
    for given, shape, expected in (
        ("takes", model.input_shape, (None, image_size, image_size, 3)),
        ("answers", model.output_shape, (None, classes)),
    ):
        if tuple(shape) != expected:
            raise SettingError(f"network: it {given} {tuple(shape)}, expected {expected}.")
    for layer in model._flatten_layers(include_self=False):
        if not type(layer).__module__.startswith("keras.") or isinstance(layer, keras.layers.Lambda):
            raise SettingError(
                f"network: {layer.name} is a {type(layer).__name__}, which is not a layer of Keras or holds code.",
                "Such models cannot be loaded safely from a file; build it of Keras's own layers.",
            )
        if layer.dtype_policy.name != "float32":
            raise SettingError(
                f"network: {layer.name} has the policy {layer.dtype_policy.name}, expected float32.",
                "Leave precision to the setting `precision`.",
            )
    last = [layer for layer in model.layers if layer.weights][-1:]
    if not last or not isinstance(last[0], keras.layers.Dense):
        found = f"{last[0].name}, a {type(last[0]).__name__}" if last else "no layer with weights"
        raise SettingError(f"network: its last layer with weights is {found}, expected a Dense layer: the head.")
    noise = np.random.default_rng(1).integers(0, 256, (image_size, image_size, 3))
    images = np.stack([np.full_like(noise, 128), noise])
    answers = np.asarray(model(images.astype(np.float32), training=False))
    if not np.isfinite(answers).all() or (answers < 0).any() or abs(answers.sum(axis=1) - 1).max() > 1e-3:
        raise SettingError(
            "network: what it answers are not probabilities, which are at least 0 and sum to 1.",
            "End it with activation='softmax', and put the preprocessing of pixels from 0 to 255 into it.",
        )
