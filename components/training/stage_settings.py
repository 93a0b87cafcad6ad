"""Stage settings: what the paper leaves open about the network and about freezing, each a named setting.

No TensorFlow here. The defaults and their reasons stand in docs/training.md.
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headstart.components.errors import SettingError
from headstart.components.stages import STAGES

CONVOLUTIONS = ("conv2d_1", "conv2d_2", "conv2d_3", "conv2d_4")
HEAD = "dense_3"
# Batch normalisation follows the convolution of the same number.
NORMALISATION_OF = {"conv2d_1": "batch_normalization_1", "conv2d_2": "batch_normalization_2"}

Freezable = Literal[
    "conv2d_1",
    "batch_normalization_1",
    "conv2d_2",
    "batch_normalization_2",
    "conv2d_3",
    "conv2d_4",
    "dense_1",
    "dense_2",
]
FinalTrainable = Literal["last_two", "head", "dense"]

_FINAL_FROZEN: dict[str, tuple[str, ...]] = {
    "last_two": (*CONVOLUTIONS, "dense_1"),
    "head": (*CONVOLUTIONS, "dense_1", "dense_2"),
    "dense": CONVOLUTIONS,
}


class StageSettings(BaseModel):
    """Freezing and model settings; those of training are in `headstart.components.training.recipes`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    first_stride: int = Field(0, ge=0, le=8, description="of conv2d_1; 0: 2 for images of 100 and more, else 1")
    finetune_frozen: tuple[Freezable, ...] = Field(
        ("conv2d_1", "conv2d_2", "conv2d_3"), description="layers that stage 2 leaves as they were pretrained"
    )
    freeze_batch_normalisation: bool = Field(
        True, description="freeze batch normalisation with the convolution it follows, statistics included"
    )
    final_trainable: FinalTrainable = Field(
        "last_two", description="what stage 3 trains: dense_2 and dense_3, dense_3 only, or all three dense layers"
    )

    def frozen_layers(self, arm: str) -> tuple[str, ...]:
        """Names of the layers with weights that `arm` freezes, in the network's order."""
        named: tuple[str, ...] = {
            "nothing": (),
            "early": self.finetune_frozen,
            "backbone": _FINAL_FROZEN[self.final_trainable],
            "all_but_head": _FINAL_FROZEN["head"],
        }[STAGES[arm].frozen]
        wanted = set(named)
        if self.freeze_batch_normalisation:
            wanted |= {NORMALISATION_OF[layer] for layer in named if layer in NORMALISATION_OF}
        return tuple(layer for layer in get_args(Freezable) if layer in wanted)

    def stride(self, image_size: int) -> int:
        """Stride of the first convolution for images of `image_size` pixels."""
        return self.first_stride or (2 if image_size >= 100 else 1)


Settings = TypeVar("Settings", bound=BaseModel)


def validated(model: type[Settings], values: dict[str, Any]) -> Settings:
    """Build `model` from `values`; SettingError names the setting, what was found and what is possible."""
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        found = f"{first['msg'].removeprefix('Value error, ')}, found {first.get('input')!r}."
        raise SettingError(f"{name}: {found}") from error
