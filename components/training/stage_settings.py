"""Stage settings: what the paper leaves open about the network and about freezing, each a named setting.

No TensorFlow here. The defaults and their reasons are in docs/training.md.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from headstart.components.errors import SettingError
from headstart.components.stages import STAGES
from headstart.components.training.networks import block_rule, check_depth, check_rule, own_network

CONVOLUTIONS = ("conv2d_1", "conv2d_2", "conv2d_3", "conv2d_4")
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
Rule = Annotated[str, AfterValidator(check_rule)]

_FINAL_FROZEN: dict[str, tuple[str, ...]] = {
    "last_two": (*CONVOLUTIONS, "dense_1"),
    "head": (*CONVOLUTIONS, "dense_1", "dense_2"),
    "dense": CONVOLUTIONS,
}


class StageSettings(BaseModel):
    """Freezing and model settings; those of training are in `headstart.components.training.recipes`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    network: str = Field("paper", description="a name, MODULE:FUNCTION or FILE.py:FUNCTION; see docs/own-network.md")
    early_layers: Rule = Field(
        "",
        description="what stage 2 freezes, as a rule: nothing, all_but_head, first_N_blocks, all_but_last_N_blocks, or "
        "names of layers with *, separated by commas; empty: of the paper's network finetune_frozen, of others the "
        "first half of the blocks",
    )
    backbone_layers: Rule = Field(
        "",
        description="what transfer, frozen-random and the final model freeze, as such a rule; empty: of the paper's "
        "network what final_trainable leaves, of others all but the head",
    )
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

    @field_validator("network")
    @classmethod
    def _known_network(cls, value: str) -> str:
        own_network(value)
        return value

    def frozen_layers(self, arm: str) -> tuple[str, ...]:
        """Names of the layers of the paper's network that `arm` freezes, where no rule is set; see `networks`.

        In this network a block is a convolution or a dense layer, with the batch normalisation after it.
        """
        kind = STAGES[arm].frozen
        if counted := block_rule(kind):
            check_depth("paper", arm, counted[1])
            named: tuple[str, ...] = (*CONVOLUTIONS, "dense_1", "dense_2")[: counted[1]]
        else:
            named = {
                "nothing": (),
                "early": self.finetune_frozen,
                "backbone": _FINAL_FROZEN[self.final_trainable],
                "all_but_head": _FINAL_FROZEN["head"],
            }[kind]
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
