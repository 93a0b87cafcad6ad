"""A network's head and blocks, and which layers a rule means.

A block is what its layers' names say (`block2a_…`, `conv3_block1_…`, `…stage_1_block_0_…`, `expanded_conv_4_…`); other
layers of such a network are in one if they follow each other and their names begin with the same word. Where no name
says so, every layer with a kernel begins a block, and normalisation belongs to the one before it. The head is in none.
"""

from __future__ import annotations

import fnmatch
import re
from typing import Any

from headstart.components.errors import SettingError
from headstart.components.training.networks import block_rule

_BLOCK = re.compile(r"(.*block_?\d+[a-z]?|expanded_conv(?:_\d+)?)(?:_|$)")


def weighted(model: Any) -> list[Any]:
    """Return the layers of `model` that have weights, in the graph's order; a nested model is one layer."""
    return [layer for layer in model.layers if layer.weights]


def head(model: Any) -> str:
    """Return the name of the last layer with weights."""
    return str(weighted(model)[-1].name)


def blocks(model: Any) -> list[list[str]]:
    """Return the names of the layers with weights of every block, in the graph's order, without the head."""
    layers = weighted(model)[:-1]
    names = [layer.name for layer in layers]
    if any(_BLOCK.match(name) for name in names):
        grouped: dict[tuple[str, int], list[str]] = {}
        last = ""
        for place, name in enumerate(names):
            matched = _BLOCK.match(name)
            word = name.split("_")[0]
            if matched:
                grouped.setdefault((matched[1], -1), []).append(name)
            elif last == word:
                list(grouped.values())[-1].append(name)
            else:
                grouped[word, place] = [name]
            last = "" if matched else word
        return list(grouped.values())
    found: list[list[str]] = []
    for layer in layers:
        if found and not any(len(weight.shape) > 1 for weight in layer.weights):
            found[-1].append(layer.name)
        else:
            found.append([layer.name])
    return found


def up_to_first_trained(model: Any) -> set[str]:
    """Return the layers of the first of `blocks` with a kernel that trains and of those before it, else none."""
    training = {
        layer.name for layer in weighted(model) if any(len(weight.shape) > 1 for weight in layer.trainable_variables)
    }
    passed: set[str] = set()
    for block in blocks(model):
        passed |= {*block}
        if training & passed:
            return passed
    return set()


def chosen(model: Any, rule: str, *, normalisation: bool = True) -> tuple[str, ...]:
    """Return the names of the layers with weights that `rule` means, in the graph's order.

    `nothing`, `all_but_head`, `first_half_of_blocks`, `first_N_blocks`, `all_but_last_N_blocks`, or names separated by
    commas in which * is any text. Without `normalisation`, batch normalisation is left out. SettingError where the
    network has fewer blocks or no such layer.
    """
    names = [layer.name for layer in weighted(model)[:-1]]
    groups = blocks(model)
    if rule == "nothing":
        wanted: set[str] = set()
    elif rule == "all_but_head":
        wanted = set(names)
    elif rule == "first_half_of_blocks":
        wanted = {name for group in groups[: (len(groups) + 1) // 2] for name in group}
    elif counted := block_rule(rule):
        kind, count = counted
        if count > len(groups):
            raise SettingError(
                f"{rule}: the network has {len(groups)} blocks.", f"These are {', '.join(g[0] for g in groups)}."
            )
        taken = groups[:count] if kind == "first" else groups[:-count]
        wanted = {name for group in taken for name in group}
    else:
        wanted = set()
        for pattern in (part.strip() for part in rule.split(",")):
            matching = fnmatch.filter(names, pattern)
            if not matching:
                shown = ", ".join(names[:60]) + (", …" if len(names) > 60 else "")
                raise SettingError(
                    f"{pattern}: no layer with weights before the head has such a name.", f"There are {shown}."
                )
            wanted |= set(matching)
    if not normalisation:
        wanted -= {layer.name for layer in model.layers if type(layer).__name__ == "BatchNormalization"}
    return tuple(name for name in names if name in wanted)
