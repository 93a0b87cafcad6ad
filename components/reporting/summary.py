"""The summary of an experiment, `summary.json`: versioned, with a committed JSON schema.

Every number that cannot be computed, or that would be infinite, is null and a `note`, `text` or `reason` beside it says
why. Durations are seconds, accuracies and shares are fractions between 0 and 1.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headstart.components.errors import HeadstartError

SCHEMA_VERSION = 1

ArmName = Literal["baseline", "transfer"]
ARMS: tuple[ArmName, ...] = ("baseline", "transfer")
Number = Annotated[float, Field(allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Description(_Part):
    """Centre and spread of one quantity over the runs of an arm that succeeded."""

    n: int = 0
    mean: Number | None = None
    median: Number | None = None
    std: Number | None = Field(None, description="sample standard deviation, n − 1")
    minimum: Number | None = None
    maximum: Number | None = None
    quartile_1: Number | None = None
    quartile_3: Number | None = None


class Interval(_Part):
    """An estimate and the interval around it."""

    estimate: Number | None = None
    low: Number | None = Field(None, description="null beside a high: no lower end above zero")
    high: Number | None = Field(None, description="null beside a low: no upper end")
    of: str = Field("", description="what the estimate is: the median ratio of pairs, or of (geometric) means")
    method: str = Field(
        "none",
        description="Mann–Whitney, Welch t, mixed t (over preparations and draws; each also on logarithms), "
        "crossed t (over test images too), Fieller, or none; older: BCa, percentile, range, paired t",
    )
    note: str = Field("", description="what the reader must know about it, for example why there is no interval")
    could_have_seen: Number | None = Field(
        None,
        description="the smallest true difference, or ratio, that this design shows in four of five experiments",
    )


class Tests(_Part):
    """Tests and effect size of the treatment against the control, two-sided."""

    welch_p: Number | None = None
    mann_whitney_p: Number | None = None
    probability_transfer_above: Number | None = Field(
        None, description="that a run of the treatment has the higher value, ties counted half"
    )
    wilcoxon_p: Number | None = Field(None, description="signed-rank test of the pairs of equal seed")
    pairs: int = Field(0, description="pairs of equal seed")


class Finding(_Part):
    """One thing that makes the measurement unsound (error) or weaker (warning)."""

    rule: str
    severity: Literal["error", "warning"]
    message: str
    runs: list[str] = Field(default_factory=list, description="names of the runs concerned")


class Failure(_Part):
    """A run that did not succeed."""

    run: str
    status: Literal["failed", "diverged"]
    reason: str


class Arm(_Part):
    """One arm: the runs from random weights, or the runs from transferred ones."""

    runs: int = 0
    succeeded: int = 0
    failed: int = 0
    diverged: int = 0
    train_seconds: Description = Field(default_factory=Description)
    epochs: Description = Field(default_factory=Description)
    seconds_per_epoch: Description = Field(default_factory=Description)
    total_seconds: Description = Field(
        default_factory=Description, description="all phases, start-up and evaluation too"
    )
    accuracy: Description = Field(default_factory=Description, description="on the test split")
    best_validation_accuracy: Description = Field(default_factory=Description)
    reached_target: int = 0
    time_to_accuracy_median: Number | None = Field(None, description="null: the median run never reached it")


class ProfilePoint(_Part):
    """How many times as fast the treatment reaches one validation accuracy."""

    target: Number
    ratio: Interval


class Speedup(_Part):
    """Time of the control over that of the treatment; above 1: the treatment is faster."""

    train: Interval
    train_of_means: Interval
    time_to_accuracy: Interval
    epochs: Interval
    seconds_per_epoch: Interval
    all_phases: Interval = Field(default_factory=Interval, description="every phase counted, start-up to evaluation")
    cpu: Interval = Field(default_factory=Interval, description="processor time of training")
    accuracy_profile: list[ProfilePoint] = Field(
        default_factory=list, description="time to accuracy for every target that half of both arms reach"
    )
    train_tests: Tests = Field(default_factory=Tests)


class Preparation(_Part):
    """What the transferred weights cost before the first run could use them."""

    pretrain_seconds: Number | None = None
    finetune_seconds: Number | None = None
    train_seconds: Number | None = Field(None, description="both, the training clock; null: a stage has no time")
    total_seconds: Number | None = Field(None, description="both, all phases")
    reason: str = Field("", description="why a time is null")


class BreakEven(_Part):
    """From which model on the preparation has paid for itself: preparation / (mean control − mean treatment)."""

    models: Number | None = None
    low: Number | None = None
    high: Number | None = Field(None, description="null where the interval has no upper end: perhaps never")
    first_model: int | None = Field(None, description="first model with which the treatment has cost less in total")
    first_model_low: int | None = None
    first_model_high: int | None = None
    all_phases_models: Number | None = Field(None, description="the same, start-up and evaluation counted in")
    never: bool = Field(False, description="the interval holds no number of models")
    method: str = Field("none", description="of the interval: Welch t inverted, Fieller, or none")
    text: str = ""


class Cost(_Part):
    """Accelerator time as money, where a price was given."""

    price_per_hour: Number
    currency: str
    preparation: Number | None = None
    baseline_per_model: Number | None = None
    transfer_per_model: Number | None = None


class Summary(_Part):
    """What an experiment found."""

    schema_version: int = SCHEMA_VERSION
    run_id: str = ""
    answer: str = Field("", description="one sentence or two: the result in words")
    sound: bool = False
    findings: list[Finding] = Field(default_factory=list)
    speedup: Speedup
    accuracy_gain: Interval
    accuracy_tests: Tests = Field(default_factory=Tests)
    break_even_models: Number | None = None
    break_even: BreakEven = Field(default_factory=BreakEven)
    preparation_seconds: Number | None = None
    preparation: Preparation = Field(default_factory=Preparation)
    target_accuracy: Number | None = None
    target_accuracy_origin: str = ""
    arms: dict[ArmName, Arm]
    final_accuracy: Number | None = Field(None, description="of the model that is shipped, on the test split")
    failures: list[Failure] = Field(default_factory=list)
    cost: Cost | None = None
    confidence: Number = 0.95
    command: str = ""
    data_digest: str = ""
    preset: str = Field("", description="of the arms' recipe")
    hardware: str = Field("", description="device and processor of the arms' runs, the most frequent")
    image: str = Field("", description="container image of the arms' runs")
    headstart_version: str = ""


def read_summary(path: str | Path) -> Summary:
    """Read `summary.json` (or a folder that holds it); HeadstartError names the file and what is wrong with it."""
    path = Path(path)
    if path.is_dir():
        path = path / "summary.json"
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        version = value.get("schema_version") if isinstance(value, dict) else None
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise HeadstartError(
                f"{path}: summary of schema version {version}; this Headstart reads up to {SCHEMA_VERSION}.",
                "Use the Headstart version that wrote it, or a newer one.",
            )
        return Summary.model_validate(value)
    except (OSError, UnicodeDecodeError) as error:
        raise HeadstartError(f"{path}: cannot be read as a summary: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise HeadstartError(f"{path}: not a summary: {where}: {first['msg']}.") from error
    except ValueError as error:
        raise HeadstartError(f"{path}: not JSON ({error}).", "`headstart report` writes it.") from error
    except RecursionError as error:
        raise HeadstartError(f"{path}: nested too deeply to be a summary.") from error
