"""Networks that can be trained: a name, a function that builds a Keras model, and its head's name.

A network is any functional or sequential Keras model that takes images with pixels from 0 to 255 and answers class
probabilities. `paper` is the network of the paper.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from headstart.components.errors import SettingError
from headstart.components.training.networks.paper import build_network


@dataclass(frozen=True)
class Network:
    """`build(image_size, classes, first_stride=…, dropout=…, batch_norm_momentum=…)` returns a new float32 model."""

    build: Callable[..., Any]
    head: str


NETWORKS = {"paper": Network(build_network, head="dense_3")}


def network(name: str) -> Network:
    """Return the network of this name; SettingError if there is none."""
    if name not in NETWORKS:
        raise SettingError(f"network: {name!r} is not known; there are {', '.join(NETWORKS)}.")
    return NETWORKS[name]
