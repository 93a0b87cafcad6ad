"""The run record: the one contract between training and reporting.

Every run writes one, also where training failed. Reports are made from records alone, so a record says everything
that is needed to judge a run: what it ran on, how long each phase took, every epoch, and why it stopped. All
durations are seconds on a monotonic clock; all accuracies are fractions between 0 and 1; a value that is not known
or not finite is null, never NaN.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headstart.components.atomic_files import write_text
from headstart.components.errors import HeadstartError
from headstart.components.regular_files import read_text
from headstart.components.stages import STAGES, StageName

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# 2: arms by the table of stages, several preparations and draws, answers for each test image. Version 1 still reads.
SCHEMA_VERSION = 2

Kind = TypeVar("Kind", bound=BaseModel)

Arm = StageName
Status = Literal["succeeded", "failed", "diverged"]
# A duration beyond thirty thousand years is a broken clock, and sums of such are infinite.
Seconds = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    # Unknown keys are kept out of the way, so that a record written by a newer minor version still reads.
    model_config = ConfigDict(extra="ignore")


class Data(_Part):
    """Which images a run used."""

    digest: str = Field(description="SHA-256 of the packed content, see headstart.components.datasets.packed")
    source: str = Field(description="URI the images came from, without credentials")
    image_size: int = Field(ge=1, description="height and width of an image in pixels")
    classes: list[str]
    counts: dict[str, int] = Field(description="images per split: train, validation, test")
    skipped: int = Field(0, ge=0, description="images left out because they could not be read")
    notes: list[str] = Field(default_factory=list, description="found and worth saying: leakage, few images, …")
    duplicates_across_splits: int = Field(0, ge=0, description="test images that stand byte for byte in training too")
    near_duplicates_across_splits: int | None = Field(None, description="test images with a near-twin in training")
    training_pool: list[int] | None = Field(
        None, description="images of each class that the training images were drawn from; null: all there were"
    )
    test_groups: list[int | None] | None = Field(
        None,
        description="for each test image, in the order of the split, a number of what it was taken together with (a "
        "film, an object); images of one number are not independent; null: not known",
    )


class Environment(_Part):
    """Where a run ran."""

    device_kind: Literal["cpu", "gpu", "unknown"] = "unknown"
    device_name: str = ""
    device_count: int = Field(0, ge=0)
    processor: str = ""
    cores: float = Field(0, ge=0, description="processors usable: affinity and container quota, whichever is less")
    threads: int = Field(0, ge=0, description="threads TensorFlow computes with")
    memory_bytes: int = Field(0, ge=0)
    hostname: str = ""
    image: str = Field("", description="container image the run ran in; empty outside a container")
    versions: dict[str, str] = Field(default_factory=dict, description="headstart, python, tensorflow, keras, numpy")


class Phases(_Part):
    """Seconds of each phase, over all attempts; `repeated` is work done again after a restart."""

    startup: Seconds = 0.0
    data: Seconds = 0.0
    compile: Seconds = Field(0.0, description="building, tracing and warming up, outside the training clock")
    train: Seconds = Field(0.0, description="optimiser steps, and the pass that computes the frozen prefix once")
    evaluate: Seconds = 0.0
    checkpoint: Seconds = 0.0
    repeated: Seconds = 0.0


class Epoch(_Part):
    """One epoch; `elapsed` is training seconds since the start of training, so time to accuracy can be read off."""

    epoch: int = Field(ge=1)
    train_seconds: Seconds
    cpu_seconds: Seconds = 0.0
    evaluate_seconds: Seconds = 0.0
    elapsed: Seconds
    loss: Finite | None = None
    accuracy: Fraction | None = None
    validation_loss: Finite | None = None
    validation_accuracy: Fraction | None = None


class Attempt(_Part):
    """One process that worked on this run; a run that was never interrupted has one."""

    number: int = Field(ge=1)
    started_at: str = Field(description="UTC, ISO 8601")
    host: str = ""
    epochs: int = Field(0, ge=0, description="epochs this attempt finished")
    wall_seconds: Seconds = 0.0
    ended: str = Field("", description="completed, or why it ended: killed by signal 9, terminated, …")


class FrozenLayer(_Part):
    """SHA-256 of one frozen layer's weights before and after the run; they must be equal."""

    layer: str
    before: str
    after: str


class Result(_Part):
    """What the trained model does on the test split, touched once after the best weights were restored."""

    test_accuracy: Fraction | None = None
    test_loss: Finite | None = None
    best_validation_accuracy: Fraction | None = None
    best_epoch: int | None = None
    confusion: list[list[int]] | None = Field(None, description="rows: true class, columns: predicted")
    correct: str | None = Field(
        None,
        description="base64 of one bit per test image in the order of the split, 1: answered correctly; the first "
        "image is the highest bit of the first byte (numpy.packbits)",
    )

    def set_correct(self, answers: Sequence[bool] | NDArray[np.bool_]) -> None:
        """Store for each test image, in the order of the split, whether it was answered correctly."""
        import numpy as np

        self.correct = base64.b64encode(np.packbits(np.asarray(answers, bool)).tobytes()).decode("ascii")

    def answers(self, count: int) -> NDArray[np.bool_] | None:
        """Return for each of `count` test images whether it was answered correctly; None where it was not stored.

        HeadstartError where what was stored is not the answers to that number of images.
        """
        import numpy as np

        if self.correct is None:
            return None
        try:
            content = base64.b64decode(self.correct, validate=True)
        except ValueError as error:
            raise HeadstartError(f"result.correct is not base64: {error}.") from error
        if len(content) != -(-count // 8):
            raise HeadstartError(
                f"result.correct has {len(content)} bytes, expected one bit for each of {count} images."
            )
        return np.unpackbits(np.frombuffer(content, np.uint8), count=count).astype(bool)


class Ancestor(_Part):
    """A stage whose weights a run builds on."""

    stage: StageName
    seed: int
    weights: str = Field(description="SHA-256 of the weights that it ended with")
    data: str = Field("", description="digest of the data that it trained on")


class Given(_Part):
    """What a run builds on in place of stages that its experiment left out."""

    left_out: list[StageName] = Field(default_factory=list, description="stages that were not run")
    source: str = Field("", description="where the model lay that took their place; empty: random weights")
    hours: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="what preparing that model took, in hours; null: not known"
    )


class SeenBefore(_Part):
    """What the stages that a run builds on had been trained on, of the images of this run."""

    class_images: int = Field(
        ge=0, description="labelled images of this run's classes that an earlier stage trained on"
    )
    training_images: int = Field(ge=0, description="of this run's training images, those among them, pixel by pixel")
    test_images: int = Field(ge=0, description="of this run's test images, those among them, pixel by pixel")
    near_test_share: Fraction | None = Field(
        None, description="share of this run's test images with a near-twin among them, at least; null: not looked for"
    )


class Subset(_Part):
    """Which part of the target's training images a run of a learning curve had."""

    size_per_class: int = Field(ge=1, description="training images per class; of unequal classes, their mean")
    images: int = Field(ge=1, description="training images in all")


class Sample(_Part):
    """One test image with the model's answer, for the report's strip of pictures."""

    png: str = Field(description="base64 of a PNG")
    truth: str
    predicted: str
    probability: Fraction


class Precision(_Part):
    """How `precision: auto` was decided, once for all runs of an experiment: by timing training steps in both."""

    chosen: Literal["float32", "bfloat16"]
    float32_seconds: Seconds | None = Field(None, description="median of the steps; null: not timed")
    bfloat16_seconds: Seconds | None = None
    ratio: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        description="median over the rounds of the bfloat16 step's time by that of the float32 step beside it",
    )
    rounds: int = Field(0, ge=0)
    faster_rounds: int = Field(0, ge=0, description="in how many of them bfloat16 took less time")
    stage: StageName | None = Field(None, description="whose recipe and frozen layers were timed")
    batch_size: int = Field(0, ge=0)
    image_size: int = Field(0, ge=0, description="pixels of a side of the images that a step was given")
    device: str = Field("", description="name of the device it was timed on")
    reason: str = Field("", description="why it could not be timed")

    def __str__(self) -> str:
        """Say what was chosen and why, in one line."""
        if self.float32_seconds is None or self.bfloat16_seconds is None or self.ratio is None:
            return f"{self.chosen}, since it could not be timed: {self.reason or 'no reason is recorded'}"
        times = [f"{1000 * seconds:.3g} ms" for seconds in (self.float32_seconds, self.bfloat16_seconds)]
        return (
            f"{self.chosen}: a training step of {self.stage} took {times[0]} in float32 and {times[1]} in bfloat16 "
            f"(medians; {self.batch_size} images of {self.image_size} pixels); in the median of {self.rounds} rounds "
            f"bfloat16 took {self.ratio:.2f} times as long, in {self.faster_rounds} it took less"
        )


class RunRecord(_Part):
    """One run of one arm."""

    schema_version: int = SCHEMA_VERSION
    arm: Arm
    seed: int
    preparation: int = Field(
        0, ge=0, description="which of the experiment's chains of pretraining and fine-tuning, from 0"
    )
    draw: int = Field(
        0, ge=0, description="which drawing of the target's training images, from 0; the test images stay"
    )
    subset: Subset | None = Field(None, description="its size on a learning curve; null: not part of one")
    run_id: str = Field(description="pipeline run id; the report refuses records of another run")
    status: Status
    reason: str = Field("", description="why it failed or diverged, one line a person can act on")
    temporary: bool = Field(False, description="it failed of what may be over when it is tried again")
    started_at: str = Field("", description="UTC, ISO 8601, of the first attempt; for logs, never for durations")
    attempts: list[Attempt] = Field(default_factory=list)
    data: Data | None = None
    preset: str = Field("", description="recipe preset: paper, fast, demo")
    recipe: dict[str, Any] = Field(default_factory=dict, description="every setting as used")
    precision: Precision | None = Field(
        None, description="how the recipe's precision was decided where auto was asked for; null: it was set"
    )
    stage: dict[str, Any] = Field(default_factory=dict, description="freezing and model settings as used")
    network: str = Field("", description="name of the network; empty: the paper's")
    started_from: list[Ancestor] = Field(
        default_factory=list, description="the stages it builds on, the earliest first"
    )
    given: Given | None = Field(None, description="what it builds on in place of stages left out; null: none was")
    seen_before: SeenBefore | None = Field(None, description="null: it builds on no earlier stage, or it is not known")
    environment: Environment = Field(default_factory=Environment)
    process: Literal["separate", "forked"] = Field(
        "separate",
        description="how its last process began: afresh, importing TensorFlow in its start-up, or forked from one that "
        "had imported it for all runs of the experiment, which is in no run's time",
    )
    phases: Phases = Field(default_factory=Phases)
    train_cpu_seconds: Seconds = 0.0
    stolen_share: Fraction | None = Field(None, description="share of processor time taken by others while training")
    epochs: list[Epoch] = Field(default_factory=list)
    stop_reason: str = Field("", description="early_stopping, max_epochs, target_reached, diverged, failed")
    prefix_cached: bool = Field(False, description="training ran on the frozen prefix's outputs, computed once")
    prefix_seconds: Seconds = Field(0.0, description="time of that pass; it is part of phases.train")
    kept_features: list[str] = Field(
        default_factory=list,
        description="splits whose pass through the frozen layers an earlier run or attempt had done for evaluation; "
        "its time is not in these phases",
    )
    initial_weights: str | None = Field(None, description="SHA-256 of the weights the run started from; null: random")
    initial_model: str | None = Field(None, description="SHA-256 of the weights of the model file it was loaded from")
    final_weights: str | None = Field(None, description="SHA-256 of the weights at the end")
    frozen: list[FrozenLayer] = Field(default_factory=list)
    trainable_parameters: int = Field(0, ge=0)
    total_parameters: int = Field(0, ge=0)
    result: Result = Field(default_factory=Result)
    samples: list[Sample] = Field(default_factory=list)
    mistakes: list[Sample] = Field(
        default_factory=list, description="test images with a wrong answer, the most confident first"
    )
    peak_memory_bytes: int = Field(0, ge=0)

    @property
    def name(self) -> str:
        """File-name stem that is unique within an experiment: `transfer-03`, `pretrain`.

        Beyond the first preparation or draw also their numbers: `transfer-p1-d2-03`, `pretrain-p1`. On a learning curve
        the size too: `transfer-n50-03`.
        """
        size = self.subset.size_per_class if self.subset else 0
        return record_name(self.arm, self.seed, self.preparation, self.draw, size)

    def write(self, path: str | Path) -> None:
        """Write the record as JSON, whole or not at all."""
        write_text(path, self.model_dump_json(indent=1) + "\n")


def record_name(arm: str, seed: int, preparation: int, draw: int, size: int = 0) -> str:
    """Return the name of a run's record, see `RunRecord.name`."""
    is_arm = STAGES[arm].is_arm
    parts = [arm, *([f"n{size}"] if size else [])]
    if preparation or draw:
        parts += [f"p{preparation}", *([f"d{draw}"] if is_arm else [])]
    return "-".join([*parts, *([f"{seed:02d}"] if is_arm else [])])


def read_record(path: str | Path) -> RunRecord:
    """Read one record; HeadstartError names the file and the first thing that is wrong with it."""
    path = Path(path)
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise HeadstartError(f"{path}: cannot be read as a run record: {error}.") from error
    try:
        # The common case at once; what is wrong with another is found out below.
        record = RunRecord.model_validate_json(text)
        if record.schema_version <= SCHEMA_VERSION:
            return record
    except ValidationError:
        pass
    try:
        value = json.loads(text)
    except ValueError as error:
        raise HeadstartError(f"{path}: not JSON ({error}).", "A training task writes it.") from error
    except RecursionError as error:
        raise HeadstartError(f"{path}: nested too deeply to be a run record.") from error
    return validated(RunRecord, value, path, "run record", SCHEMA_VERSION)


def validated(kind: type[Kind], value: object, path: Path, noun: str, newest: int) -> Kind:
    """Check the value of the JSON file `path`; HeadstartError for a newer schema version and the first wrong field."""
    version = value.get("schema_version") if isinstance(value, dict) else None
    if isinstance(version, int) and version > newest:
        raise HeadstartError(
            f"{path}: {noun} of schema version {version}; this Headstart reads up to {newest}.",
            "Use the Headstart version that wrote it, or a newer one.",
        )
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise HeadstartError(f"{path}: not a {noun}: {where}: {first['msg']}.") from error
