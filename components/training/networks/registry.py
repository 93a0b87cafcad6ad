"""From the name of a network to a new model, and the layers that an arm freezes in it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import keras
from keras.src.utils.naming import reset_uids

from headstart.components.stages import STAGES
from headstart.components.training.networks import blocks, own_network
from headstart.components.training.networks.applications import build_application
from headstart.components.training.networks.own import build_own, load
from headstart.components.training.networks.paper import build_network
from headstart.components.training.recipes import Recipe
from headstart.components.training.stage_settings import StageSettings


def build(stage: StageSettings, recipe: Recipe, image_size: int, classes: int, *, asked: Collection[str] = ()) -> Any:
    """Return a new float32 model of the network that `stage` names, drawn from Keras's global seed.

    SettingError where a function of one's own has no parameter for a setting that was `asked` for, `target.dropout` or
    the like among them.
    """
    # Layers without a name are numbered from the beginning, whatever was built before: weights go by name.
    reset_uids()
    options = {"dropout": recipe.dropout, "batch_norm_momentum": recipe.batch_norm_momentum}
    if stage.network == "paper":
        return build_network(image_size, classes, first_stride=stage.stride(image_size), **options)
    own = own_network(stage.network)
    if own is None:
        return build_application(stage.network, image_size, classes, **options)
    return build_own(own, image_size, classes, options, {name.rpartition(".")[2] for name in asked})


def load_own(network: str) -> None:
    """Import where a function of one's own is, if `network` is one: a file may have layers that it registers."""
    own = own_network(network)
    if own is not None:
        load(own)


def frozen_layers(model: keras.Model, stage: StageSettings, arm: str) -> tuple[str, ...]:
    """Return the names of the layers with weights that `arm` freezes, in the network's order."""
    kind = STAGES[arm].frozen
    own = {"early": stage.early_layers, "backbone": stage.backbone_layers}.get(kind, "")
    if stage.network == "paper" and not own:
        return stage.frozen_layers(arm)
    usual = {"early": "first_half_of_blocks", "backbone": "all_but_head"}
    return blocks.chosen(model, own or usual.get(kind, kind), normalisation=stage.freeze_batch_normalisation)
