"""Recipes: how a stage is trained, as presets a person can read. No TensorFlow here.

The table of stages (`headstart.components.stages`) says which recipe a stage trains with. All that train on the target
images share one, the arms that are compared among them: only initial weights and frozen layers differ, and the learning
rate of an arm whose row has a factor for it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from headstart.components.errors import SettingError
from headstart.components.stages import STAGES, RecipeName
from headstart.components.stop_rule import most_epochs
from headstart.components.training.stage_settings import validated

Preset = Literal["paper", "fast", "demo"]
PRESETS: tuple[str, ...] = get_args(Preset)
# The recipes; the three groups of stages that have settings of their own.
RECIPES: tuple[str, ...] = get_args(RecipeName)
# Training images, at most, from which `batch_norm_statistics=recomputed` computes after each epoch.
STATISTICS_IMAGES = 2048


class Recipe(BaseModel):
    """Every setting of training that is the same for both arms."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    optimizer: Literal["adam", "adamw", "muon"] = Field(
        "adam", description="adamw decays weights apart from the gradient; muon is adamw with Muon for convolutions"
    )
    learning_rate: float = Field(
        1e-3, gt=0, le=10, allow_inf_nan=False, description="constant, or the peak of the schedule"
    )
    schedule: Literal["constant", "one_cycle", "cosine"] = Field(
        "constant", description="one_cycle rises over `warmup` of all steps and falls to nothing; cosine only falls"
    )
    warmup: float = Field(0.3, ge=0, le=1, description="share of the steps over which one_cycle rises")
    weight_decay: float = Field(
        0.0, ge=0, le=1, description="decay of kernels, not of biases or batch normalisation; adam has none"
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of each label that is spread evenly over all classes in the training loss"
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="of the paper's network after dense_1 and dense_2, of others before the head; 0 leaves the layers "
        "out",
    )
    initialisation: Literal["drawn", "whitened"] = Field(
        "drawn",
        description="of random weights; whitened: the first convolution begins with the principal directions of "
        "training images, later ones nearly pass on what comes in",
    )
    first_block_share: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the epochs in which the first block that is not frozen learns; then its weights stay",
    )
    batch_norm_momentum: float = Field(0.99, ge=0, lt=1, description="of batch normalisation's moving statistics")
    batch_norm_statistics: Literal["recomputed", "moving"] = Field(
        "recomputed",
        description="used at evaluation: computed from training images after each epoch, or the moving averages, which "
        "lag behind the weights when there are few steps",
    )
    batch_size: int = Field(128, ge=1, le=65536, description="images per step, of all devices together")
    flip: bool = Field(False, description="mirror half of the images, drawn from seed and epoch")
    shift: int = Field(0, ge=0, le=64, description="move images by up to this many pixels, drawn from seed and epoch")
    crop: Literal["auto"] | Annotated[int, Field(ge=0, le=1024)] = Field(
        0,
        description="train on random crops of this many pixels; 0: on whole images; auto: on the smallest crops "
        "that fit the network and are at least 92 % of an image's side",
    )
    whole_epochs: int = Field(2, ge=0, le=100_000, description="last epochs that train on whole images despite `crop`")
    epochs: int = Field(30, ge=1, le=100_000, description="largest number of epochs; see least_steps")
    least_steps: int = Field(
        0,
        ge=0,
        le=10**9,
        description="a set so small that `epochs` are fewer steps than this is trained for more epochs",
    )
    patience: int = Field(
        8, ge=0, le=100_000, description="epochs without a better validation accuracy, then it stops; 0: it does not"
    )
    min_delta: float = Field(
        0.0, ge=0, lt=1, description="least gain in validation accuracy that counts as better, as a fraction"
    )
    restore_best_weights: bool = Field(
        True,
        description="end with the weights of the best validation accuracy; else with those of the last epoch",
    )
    stop_at_accuracy: float = Field(0.0, ge=0, le=1, description="stop at this validation accuracy; 0: never")
    precision: Literal["float32", "bfloat16", "auto"] = Field(
        "float32",
        description="of the arithmetic; weights are float32; auto: the faster of both, timed once per experiment",
    )
    jit_compile: Literal["auto", "on", "off"] = Field("auto", description="XLA; auto: on one GPU only")
    cache_features: bool = Field(True, description="compute the outputs of frozen, deterministic first layers once")
    evaluation_batch_size: int = Field(512, ge=1, le=65536, description="images per step of evaluation")

    def for_images(self, count: int) -> Recipe:
        """Return the recipe with the largest number of epochs that it means for `count` training images."""
        epochs = most_epochs(self.epochs, self.least_steps, count, self.batch_size)
        return self if epochs == self.epochs else self.model_copy(update={"epochs": epochs})


def _paper(stage: RecipeName) -> dict[str, Any]:
    # The paper: Adam with Keras's default rate, no augmentation, a stop rule. Batch size and patience are not given.
    return {"epochs": 100, "patience": 8, "batch_size": 32 if stage == "target" else 128, "dropout": 0.5}


def _fast(stage: RecipeName) -> dict[str, Any]:
    # Tuned for the shortest training to about the paper's accuracies; docs/results.md has the figures. The schedules
    # end on their last weights: on Fruits-360 the validation accuracy is full long before the test accuracy is.
    shared = {
        "optimizer": "adamw",
        "weight_decay": 0.02,
        "label_smoothing": 0.1,
        "precision": "auto",
        "patience": 0,
        "restore_best_weights": False,
    }
    if stage == "pretrain":
        return shared | {
            "optimizer": "muon",
            "initialisation": "whitened",
            "first_block_share": 0.5,
            "learning_rate": 3e-3,
            "schedule": "one_cycle",
            "dropout": 0.1,
            "batch_size": 256,
            "flip": True,
            "shift": 3,
            "crop": "auto",
            "whole_epochs": 2,
            "epochs": 11,
            "least_steps": 400,
        }
    if stage == "finetune":
        return shared | {
            "optimizer": "muon",
            "learning_rate": 2.8e-3,
            "schedule": "one_cycle",
            "weight_decay": 0.4,
            "label_smoothing": 0.05,
            "dropout": 0.3,
            "batch_size": 128,
            "flip": True,
            "shift": 2,
            "crop": "auto",
            "whole_epochs": 2,
            "epochs": 5,
            "least_steps": 400,
        }
    # Without augmentation, so that transfer can compute its frozen layers once.
    return shared | {
        "optimizer": "muon",
        "learning_rate": 2.9e-3,
        "schedule": "cosine",
        "weight_decay": 0.005,
        "dropout": 0.35,
        "batch_size": 32,
        "epochs": 10,
        "least_steps": 100,
    }


def _demo(stage: RecipeName) -> dict[str, Any]:
    # As `fast`, for few and small drawn images: the whole experiment should end in two minutes on two cores.
    own: dict[str, Any] = {"precision": "float32", "epochs": {"pretrain": 4, "finetune": 6, "target": 8}[stage]}
    if stage == "target":
        own |= {"optimizer": "adamw", "learning_rate": 2e-3, "weight_decay": 0.02, "dropout": 0.2}
    else:
        own |= {"batch_size": 64, "flip": False, "shift": 0, "crop": 0, "dropout": 0.2, "least_steps": 0}
    if stage == "finetune":
        own |= {"optimizer": "adamw", "learning_rate": 2e-3, "weight_decay": 0.02}
    return _fast(stage) | own


_VALUES = {"paper": _paper, "fast": _fast, "demo": _demo}


# The presets' pixels and evaluation batches are for images of this size.
USUAL_SIZE = 52


def _for_size(values: dict[str, Any], image_size: int) -> dict[str, Any]:
    """Fit a preset's values to images of `image_size` pixels: as far a shift, as much memory in an evaluation batch."""
    if image_size <= 2 * USUAL_SIZE:
        return values
    times = image_size / USUAL_SIZE
    least = values.get("batch_size", 128)
    fitted = {"evaluation_batch_size": max(16, min(least, 512), round(512 / times**2))}
    if values.get("shift"):
        fitted["shift"] = min(64, round(values["shift"] * times))
    return {**values, **fitted}


def recipe(
    preset: str, arm: str, overrides: dict[str, Any] | None = None, *, own_rate: bool = False, image_size: int = 0
) -> Recipe:
    """Return the recipe of `preset` for the stage `arm`, with `overrides` (setting → value) put over it.

    Overridden `epochs` hold for sets of any size: `least_steps` is then 0 unless it is overridden too.
    The learning rate, also an overridden one, is multiplied by the factor in the stage's row of the table, unless it is
    this stage's own (`own_rate`). For images of more than 104 pixels (`image_size`; 0: not known) shifts grow with the
    image and evaluation batches shrink with its area.
    Raises SettingError where the preset, a setting's name or its value is not known.
    """
    if preset not in _VALUES:
        raise SettingError(f"preset: {preset!r} is not known; there are {', '.join(PRESETS)}.")
    stage = STAGES[arm]
    values = _for_size(_VALUES[preset](stage.recipe), image_size)
    if "epochs" in (overrides or {}):
        values["least_steps"] = 0
    chosen = validated(Recipe, {**values, **(overrides or {})})
    return (
        chosen if own_rate else chosen.model_copy(update={"learning_rate": chosen.learning_rate * stage.learning_rate})
    )


def flat_side(size: int, stride: int) -> int:
    """Height and width of what the network's dense layers get of images of `size` pixels; see `networks/paper.py`."""
    side = (size - 5) // stride + 1
    side = side // 2 - 2
    side = side // 2 - 4
    return side // 2


def check_crop(crop: int | str, size: int, stride: int) -> None:
    """Raise SettingError where crops of `crop` pixels of images of `size` do not fit the dense layers."""
    if crop in (0, "auto", size):
        return
    fits = [number for number in range(1, size) if flat_side(number, stride) == flat_side(size, stride)]
    if crop not in fits:
        these = f"these do: {', '.join(map(str, fits))}" if fits else "no smaller size does"
        raise SettingError(
            f"crop: {crop} pixels of images of {size} do not fit the network's dense layers; {these}.",
            "crop=auto takes the size that fits, crop=0 trains on whole images.",
        )
