"""Prepared models on a target set, ranked before anything is trained."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from headstart.components.credentials import masked_address
from headstart.components.datasets.packed import PackedDataset
from headstart.components.errors import HeadstartError, SettingError
from headstart.components.progress import emit
from headstart.components.scouting.estimates import Array, logme, probe
from headstart.components.training import export, freezing, lineage, starts
from headstart.components.training.networks import NAMES, blocks, registry
from headstart.components.training.recipes import recipe
from headstart.components.training.stage_settings import StageSettings, validated


@dataclass(frozen=True)
class Scouted:
    """What was found of one model.

    Attributes:
        model: as it was named.
        network: its network; empty: that of its own file.
        features: how many its last layer takes for an image.
        logme: see `estimates.logme`.
        probe: see `estimates.probe`: fitted to training images, a fraction of the validation images.
        weights: the digest by which run records name it; empty: random weights.
        seen: training images of the target that it was trained on before; None: not known.
    """

    model: str
    network: str
    features: int
    logme: float
    probe: float
    weights: str
    seen: int | None


def scout(models: Sequence[str], folder: Path, network: str = "") -> list[Scouted]:
    """Return what each of `models` is worth for the packed target set in `folder`, the best LogME first.

    A model is what `--prepared` takes, or a network of the registry, which has random weights then. `network` is built
    for weights that do not say their network. Test images are not looked at. SettingError where a model is named twice
    or does not fit the images, HeadstartError where it cannot be loaded.
    """
    twice = [name for place, name in enumerate(models) if name in models[:place]]
    if twice:
        raise SettingError(f"{masked_address(twice[0])}: is named twice.", "Name every model once.")
    dataset = PackedDataset(folder)
    images, labels = dataset.split("train")
    others, other_labels = dataset.split("validation")
    if len(np.unique(labels)) < 2 or not len(other_labels):
        raise HeadstartError(
            f"The target set has training images of {len(np.unique(labels))} classes and {len(other_labels)} "
            "validation images.",
            "An estimate takes two classes or more, and validation images.",
        )
    found = []
    for place, name in enumerate(models):
        emit("scout", done=place, total=len(models), what=masked_address(name))
        with tempfile.TemporaryDirectory(prefix="headstart-scout-") as scratch:
            model, built, weights, seen = _load(name, Path(scratch, "model"), network, dataset)
        train, validation = _features(model, (images, others), name)
        found.append(
            Scouted(
                masked_address(name),
                built,
                train.shape[1],
                logme(train, labels),
                probe(train, labels, validation, other_labels),
                weights,
                seen,
            )
        )
        keras.backend.clear_session()
    emit("scout", done=len(models), total=len(models), what="all models")
    return sorted(found, key=lambda each: -each.logme)


def _load(name: str, folder: Path, network: str, dataset: PackedDataset) -> tuple[Any, str, str, int | None]:
    """Return the model `name`, its network, the digest of its weights and how many training images it had seen."""
    size = dataset.description.image_size

    def build(which: str, classes: int, **stage: Any) -> Any:
        settings = validated(StageSettings, {"network": which, **stage})
        return registry.build(settings, recipe("paper", "final", image_size=size), size, classes)

    if name in NAMES:
        keras.utils.set_random_seed(0)
        return build(name, len(dataset.classes)), name, "", None
    starts.fetch_start(
        name,
        folder,
        preparation=0,
        hours=None,
        network=lambda classes: build(network or "paper", classes),
        register=lambda: registry.load_own(network or "paper"),
    )
    initial, description = export.load_model(folder)
    seen = lineage.seen_before(dataset, folder)
    count = None if seen is None else seen.training_images
    # A function of one's own is code: it is only run where the user names it.
    own = str(description.get("network", ""))
    which = own if own in NAMES else network
    weights = str(description["weights"])
    if which:
        stride = description.get("first_stride")
        model = build(which, len(dataset.classes), **({"first_stride": stride} if stride and which == "paper" else {}))
        freezing.carry_over(freezing.weights_of(initial), model, new_head=blocks.head(model))
        freezing.check_finite(model)
        return model, which, weights, count
    if tuple(initial.input_shape) != (None, size, size, 3):
        raise SettingError(
            f"{masked_address(name)}: takes {tuple(initial.input_shape)}, the images have {size} pixels a side.",
            "Give --image-size, or its --network, which is built for any size.",
        )
    return initial, "", weights, count


def _features(model: Any, splits: Sequence[Any], name: str) -> list[Array]:
    """Return what the last layer of `model` takes, for each split (: uint8, N × H × W × 3), as float64, N × D."""
    inner = keras.Model(model.inputs, model.get_layer(blocks.head(model)).input)
    # One traced function for a model; Keras's own `predict` would trace another for the last, smaller batch.
    compute = tf.function(
        lambda batch: inner(tf.cast(batch, tf.float32), training=False),
        [tf.TensorSpec([None, *splits[0].shape[1:]], tf.uint8)],
        autograph=False,
    )
    size = recipe("paper", "final", image_size=splits[0].shape[1]).evaluation_batch_size
    found = []
    for images in splits:
        parts = [compute(tf.constant(np.asarray(images[i : i + size]))).numpy() for i in range(0, len(images), size)]
        features = np.concatenate(parts).reshape(len(images), -1).astype(np.float64)
        if not np.isfinite(features).all():
            raise HeadstartError(f"{masked_address(name)}: its features are not finite.", "Are its weights damaged?")
        found.append(features)
    return found
