"""Networks that can be trained, by name or as a function of one's own. No TensorFlow here: see `registry`.

A network is any functional or sequential Keras model that takes images with pixels from 0 to 255 and answers class
probabilities. Its head is its last layer with weights, a dense one; everything before can be frozen by rule.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from headstart.components.errors import SettingError, suggestion

# What `--network` takes, and what it is.
NAMES = {
    "paper": "the paper's network, 4 convolutions and 3 dense layers",
    "mobilenet-v3-small": "MobileNetV3 small",
    "mobilenet-v3-large": "MobileNetV3 large",
    "efficientnet-v2-b0": "EfficientNetV2-B0",
    "resnet50": "ResNet50",
    "convnext-tiny": "ConvNeXt tiny",
}
# How many blocks they have before the head, see `blocks.blocks`.
BLOCKS = {
    "paper": 6,
    "mobilenet-v3-small": 13,
    "mobilenet-v3-large": 17,
    "efficientnet-v2-b0": 23,
    "resnet50": 17,
    "convnext-tiny": 23,
}
_BLOCKS = re.compile(r"(first|all_but_last)_([1-9][0-9]*)_blocks")
_PATTERN = re.compile(r"[A-Za-z0-9_.*?\-/]+")


class OwnNetwork(NamedTuple):
    """A function that returns a Keras model for (image size, classes), in a file or in an importable module."""

    file: Path | None
    module: str
    function: str


def own_network(name: str) -> OwnNetwork | None:
    """Read `MODULE:FUNCTION` or `FILE.py:FUNCTION`; None for a network of the registry. SettingError for another text.

    Nothing is imported or opened.
    """
    if name in NAMES:
        return None
    place, colon, function = name.rpartition(":")
    if colon and function.isidentifier():
        if place.endswith(".py"):
            return OwnNetwork(Path(place), "", function)
        if all(part.isidentifier() for part in place.split(".")):
            return OwnNetwork(None, place, function)
    raise SettingError(
        f"network: {name!r} is not known.{suggestion(name, NAMES)}",
        f"There are {', '.join(NAMES)}; one of your own is MODULE:FUNCTION or FILE.py:FUNCTION.",
    )


def code_digest(name: str) -> str:
    """SHA-256 of the file that holds a function of one's own; empty for the registry, modules and files not there."""
    own = own_network(name)
    if own is None or own.file is None or not own.file.is_file():
        return ""
    return hashlib.sha256(own.file.read_bytes()).hexdigest()


def check_rule(rule: str) -> str:
    """Return `rule`; ValueError unless it is one for `blocks.chosen` or empty."""
    if rule in ("", "nothing", "all_but_head") or _BLOCKS.fullmatch(rule):
        return rule
    if all(_PATTERN.fullmatch(part.strip()) for part in rule.split(",")):
        return rule
    raise ValueError(
        "Input should be nothing, all_but_head, first_N_blocks, all_but_last_N_blocks, or names of layers such as "
        "block1*,stem*"
    )


def check_depth(network: str, arm: str, depth: int) -> None:
    """Raise SettingError where `arm` freezes more blocks than `network` is known to have."""
    most = BLOCKS.get(network, depth)
    if depth > most:
        raise SettingError(
            f"arms: {arm} freezes {depth} blocks; the network {network} has {most} before its head.",
            f"Give transfer@0 to transfer@{most}, or --frozen 0..{most}.",
        )


def block_rule(rule: str) -> tuple[str, int] | None:
    """Return (`first` or `all_but_last`, N) of a rule that counts blocks."""
    matched = _BLOCKS.fullmatch(rule)
    return (matched[1], int(matched[2])) if matched else None
