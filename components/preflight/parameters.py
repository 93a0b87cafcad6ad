"""Checks a pipeline's parameters as its tasks will, so that a slip is said at once and not hours later."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from headstart.components.credentials import has_credentials, masked_address
from headstart.components.errors import SettingError

LARGEST_SEED = 2**32 - 1
SMALLEST_IMAGE = 40  # the network's convolutions and poolings leave nothing of a smaller one
LARGEST_IMAGE = 512


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Raise SettingError for the first of a pipeline's `parameters` that a later task would refuse.

    What is absent is not looked at: it has a default.
    """
    from headstart.components.datasets.settings import (
        ImportSettings,
        SelectionSettings,
        check_data_settings,
        parse_settings,
    )
    from headstart.components.design import check_sizes, plan
    from headstart.components.promotion.gate import Rules
    from headstart.components.reporting.settings import report_settings
    from headstart.components.stages import NAMES, frozen_blocks
    from headstart.components.training.networks import check_depth
    from headstart.components.training.recipes import check_crop
    from headstart.components.training.settings import resolve

    given = {name: _table(name, value) if name in _TABLES else value for name, value in parameters.items()}
    for name in URIS:
        if has_credentials(str(given.get(name, ""))):
            raise SettingError(
                f"{name}: {masked_address(str(given[name]))} carries a password or a signature, which "
                "everyone who may look at the run could read.",
                "Put the data where the run's own account may read them, such as a bucket (gs://, s3://).",
            )
    if "seeds" in given:
        check_seeds(given["seeds"])
    if "image_size" in given:
        _whole_number("image_size", given["image_size"], SMALLEST_IMAGE, LARGEST_IMAGE)
    for name in ("preparation_seed", "selection_seed"):
        if name in given:
            _whole_number(name, given[name], 0, LARGEST_SEED)
    if {"seeds", "arms", "preparations", "draws", "sizes"} & set(given):
        plan(given)
    known = (
        0 if given.get("target_data") else _whole_number("images_per_class", given.get("images_per_class", 0), 0, 10**9)
    )
    check_sizes(given.get("sizes", []), known)
    _check_start(given)
    _check_target(given)
    accelerators = _whole_number("accelerators", given.get("accelerators", 0), 0, 16)
    asked = given.get("arms") or []
    for arm in dict.fromkeys([*NAMES, *asked]):
        settings = resolve(str(given.get("preset") or "paper"), arm, given.get("settings"))
        if accelerators and settings.recipe.batch_size % accelerators:
            raise SettingError(
                f"accelerators: {accelerators} cannot share batches of {settings.recipe.batch_size} images ({arm}).",
                f"Choose a batch_size that is a multiple of {accelerators}, or another number.",
            )
        if depth := frozen_blocks(arm):
            check_depth(settings.stage.network, arm, depth)
        if given.get("image_size") and settings.stage.network == "paper":
            size = _whole_number("image_size", given["image_size"], SMALLEST_IMAGE, LARGEST_IMAGE)
            check_crop(settings.recipe.crop, size, settings.stage.stride(size))
    check_data_settings(given.get("data_settings", {}))
    for name in ("source_layout", "intermediate_layout", "target_layout", "layout"):
        if name in given:
            parse_settings(ImportSettings, {"layout": given[name]})
    # An empty rule takes a set as it is.
    selection = {name: given[name] for name in _SELECTION if name in given and given[name] != {}}
    if not selection.get("images_per_class", 1):
        del selection["images_per_class"]  # 0: as the preset has it
    parse_settings(SelectionSettings, selection)
    report_settings(given.get("report_settings"))
    Rules.of(given.get("promotion", {}))


def _check_start(given: Mapping[str, Any]) -> None:
    """Raise SettingError where stages are left out that the rest needs, or a setting would do nothing."""
    from headstart.components.datasets.left_out import NONE

    if given.get("intermediate_data") == NONE and not given.get("target_data"):
        raise SettingError(
            "intermediate_data: it is none, and the target classes would be selected from it.",
            "Give target_data (--target), or an intermediate set.",
        )
    if not {"source_data", "intermediate_data"} <= set(given):  # a pipeline that starts from prepared models always
        return
    prepared, hours = str(given.get("prepared") or ""), float(given.get("preparation_hours", -1))
    source, intermediate = given.get("source_data"), given["intermediate_data"]
    if prepared and source != NONE:
        raise SettingError(
            f"prepared: it takes the place of the source stage, and source_data is {source}.",
            "Set source_data to none (--source none), or leave prepared out.",
        )
    if source == NONE and intermediate == NONE and not prepared:
        raise SettingError(
            "source_data and intermediate_data: both are none, so there is nothing to transfer.",
            "Give one of them, or a prepared model.",
        )
    if intermediate == NONE and given.get("hold_out_target"):
        raise SettingError(
            "hold_out_target: intermediate_data is none, so nothing can be held out of it.", "Leave it out."
        )
    for stage, data, uri in (("pretrain", "source_data", source), ("finetune", "intermediate_data", intermediate)):
        unheeded = [name for name in given.get("settings", {}) if name.startswith(f"{stage}.")]
        if unheeded and uri == NONE and source:  # that of a curve on prepared models is empty
            raise SettingError(f"{unheeded[0]}: {data} is none, so there is no such stage to set.", "Leave it out.")
    if not math.isfinite(hours) or (hours < 0 and hours != -1) or (hours >= 0 and not prepared):
        raise SettingError(
            f"preparation_hours: found {hours:g}{'' if prepared else ' without a prepared model'}, expected the hours "
            "that preparing the model took, 0 or more.",
            "Leave it out where they are not known." if prepared else "Leave it out, or give prepared (--prepared).",
        )


def _check_target(given: Mapping[str, Any]) -> None:
    """Raise SettingError where something selects classes or images, and the target is a set of its own."""
    from headstart.components.datasets.settings import PAPER_CLASSES

    # Without an intermediate set it is a retraining, whose preflight reads its prepared model under that name.
    if not given.get("target_data") or not given.get("intermediate_data"):
        return
    remedy = {
        "classes": "Leave it out; its folders, or the labels of its table, name the classes.",
        "images_per_class": "Leave it out, or give the data setting images_per_class, which thins every set.",
        "test_images_per_class": "Leave it out: all its test images are used.",
    }
    for name in _SELECTION:
        if given.get(name) and given[name] != PAPER_CLASSES:
            raise SettingError(
                f"{name}: it selects from the intermediate set, and target_data is a set of its own.", remedy[name]
            )


URIS = ("source_data", "intermediate_data", "target_data", "data", "prepared", "store", "checkpoints")
"""Parameters that name data which a pod reads or writes."""
_TABLES = ("settings", "data_settings", "report_settings", "promotion", "classes")
_SELECTION = ("classes", "images_per_class", "test_images_per_class")


def check_seeds(seeds: Any) -> None:
    """Raise SettingError unless `seeds` are one or more whole numbers, each once: a run is known by its seed."""
    if not isinstance(seeds, list | tuple):
        raise SettingError(f"seeds: found {seeds!r}, expected a list of whole numbers such as [1, 2, 3].")
    if not seeds:
        raise SettingError("seeds: the list is empty.", "Give one seed for each run, for example [1, 2, 3].")
    # Loop items come back from JSON as floats at times: 1.0 is the seed 1.
    numbers = [_whole_number("seeds", seed, 0, LARGEST_SEED) for seed in seeds]
    twice = [seed for seed, count in Counter(numbers).items() if count > 1]
    if twice:
        raise SettingError(
            f"seeds: {twice[0]} is there more than once; two runs of one seed would be the same run.",
            "Give every run a seed of its own.",
        )


def _whole_number(name: str, value: Any, low: int, high: int) -> int:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole or not low <= value <= high:
        raise SettingError(f"{name}: found {value!r}, expected a whole number from {low} to {high}.")
    return int(value)


def _table(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise SettingError(f"{name}: found {value!r}, expected names with values, such as {{}}.")
    return dict(value)
