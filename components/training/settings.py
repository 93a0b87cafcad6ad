"""All settings of a run, resolved from one flat table of overrides: recipe, stage, process. No TensorFlow."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from headstart.components.errors import SettingError, suggestion
from headstart.components.stages import STAGES
from headstart.components.training.recipes import RECIPES, Recipe, recipe
from headstart.components.training.stage_settings import StageSettings, validated

OWN_RATES = {f"{name}.learning_rate" for name, stage in STAGES.items() if stage.learning_rate != 1}
RETIRED = {
    "baseline_data": "It changed nothing. Arms on different data cannot be compared; all train on the target images.",
}
# Earlier names, which are still accepted.
RENAMED = {
    "normalisation_momentum": "batch_norm_momentum",
    "minimum_improvement": "min_delta",
    "weights": "restore_best_weights",
    "cache_prefix": "cache_features",
    "prefix_memory_share": "input_memory_share",
}
# They name layers of the paper's network, and what to set for another.
PAPER_ONLY = {
    "first_stride": "Leave it out; build the stride into a network of your own.",
    "finetune_frozen": "Set early_layers, such as early_layers=first_2_blocks.",
    "final_trainable": "Set backbone_layers, such as backbone_layers=all_but_last_1_blocks.",
}


class ProcessSettings(BaseModel):
    """How the process runs; none of these changes what is learnt."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threads: int = Field(
        0, ge=0, le=1024, description="TensorFlow's threads; 0: as many as there are usable processors"
    )
    checkpoint_seconds: float = Field(
        10.0, ge=0, allow_inf_nan=False, description="least time between checkpoints; 0: after every epoch"
    )
    grace_seconds: float = Field(
        20.0, ge=0, allow_inf_nan=False, description="time that an epoch has to end after SIGTERM"
    )
    kill_retries: int = Field(2, ge=0, le=100, description="times that a killed training process is started again")
    input_memory_share: float = Field(
        0.4,
        ge=0,
        le=1,
        description="largest share of the memory that training inputs may take: larger features are not cached, images "
        "beyond it are streamed from the data set",
    )
    samples: int = Field(12, ge=0, le=100, description="test images that the record of the final model carries")
    tensorboard: str = Field("", description="folder for TensorBoard logs; empty: none")


class Settings(NamedTuple):
    """The three groups of one run."""

    recipe: Recipe
    stage: StageSettings
    process: ProcessSettings


_GROUPS: tuple[type[BaseModel], ...] = (Recipe, StageSettings, ProcessSettings)


def known() -> list[str]:
    """Names of all settings, in the order of their groups."""
    return [name for group in _GROUPS for name in group.model_fields]


def resolve(preset: str, arm: str, overrides: dict[str, Any] | None = None, image_size: int = 0) -> Settings:
    """Return the settings of `arm`: those of `preset`, for images of `image_size` pixels, with `overrides` over them.

    An override is `name` for every stage, or `pretrain.name`, `finetune.name` or `target.name` for one recipe
    (`target`: all that train on the target images, since the arms that are compared share it); the longer name wins.
    An arm whose row has a factor for the learning rate can be given its own as well: `finetuned.learning_rate`.
    Raises SettingError for an unknown name, with the nearest known one, and for a value that does not fit.
    """
    if arm not in STAGES:
        raise SettingError(f"arm: {arm!r} is not known; there are {', '.join(STAGES)}.")
    chosen: dict[str, Any] = {}
    for key, given in sorted((overrides or {}).items(), key=lambda pair: ("." in pair[0], pair[0] in OWN_RATES)):
        stage, _, name = key.rpartition(".")
        if name in RETIRED:
            raise SettingError(f"{key}: there is no such setting any more.", RETIRED[name])
        value = given
        if name == "weights" and isinstance(given, str):
            value = {"best": True, "last": False}.get(given, given)
        name = RENAMED.get(name, name)
        if name not in known() or (stage and stage not in RECIPES and key not in OWN_RATES):
            shown = key if key.isprintable() and key else repr(key)
            raise SettingError(
                f"{shown}: no such setting.{suggestion(name, known())}",
                f"Settings are {', '.join(known())}; each also as {', '.join(f'{part}.NAME' for part in RECIPES)}; "
                f"and {', '.join(sorted(OWN_RATES))}.",
            )
        if not stage or stage in (STAGES[arm].recipe, arm):
            chosen[name] = value
    parts = [{name: value for name, value in chosen.items() if name in group.model_fields} for group in _GROUPS]
    own_rate = bool({f"{arm}.learning_rate"} & OWN_RATES & {*(overrides or {})})
    stage_settings = validated(StageSettings, parts[1])
    _check_network(stage_settings, parts[1])
    of_training = recipe(preset, arm, parts[0], own_rate=own_rate, image_size=image_size)
    return Settings(of_training, stage_settings, validated(ProcessSettings, parts[2]))


def _check_network(settings: StageSettings, chosen: dict[str, Any]) -> None:
    """Raise SettingError where a setting is `chosen` that the network does not have, or two say the same thing."""
    for name, remedy in PAPER_ONLY.items():
        if name in chosen and settings.network != "paper":
            raise SettingError(f"{name}: it is of the paper's network, and network is {settings.network}.", remedy)
    for name, rule in (("finetune_frozen", "early_layers"), ("final_trainable", "backbone_layers")):
        if name in chosen and getattr(settings, rule):
            raise SettingError(f"{rule} and {name} both say what is frozen.", "Give one of them.")
