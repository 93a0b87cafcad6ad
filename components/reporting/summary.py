"""The summary of an experiment, `summary.json`: versioned, with a committed JSON schema.

Every number that cannot be computed, or that would be infinite, is null and a `note`, `text` or `reason` beside it says
why. Durations are seconds, accuracies and shares are fractions between 0 and 1.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from headstart.components.errors import HeadstartError
from headstart.components.records import validated
from headstart.components.regular_files import read_json

SCHEMA_VERSION = 1

Number = Annotated[float, Field(allow_inf_nan=False)]


def finite(value: float) -> float | None:
    """None for infinity and NaN, which JSON cannot hold."""
    return value if math.isfinite(value) else None


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
    shares: dict[str, Number] = Field(
        default_factory=dict,
        description="share of seeds, preparations, draws and test images in the variance of the estimate",
    )

    def sign(self, neutral: float = 0.0) -> int:
        """1: above `neutral`, −1: below, 0: the interval holds it. Without an interval, by the estimate."""
        low, high = (self.estimate, self.estimate) if self.method == "none" else (self.low, self.high)
        if low is not None and low > neutral:
            return 1
        return -1 if high is not None and high < neutral else 0

    def decided(self, neutral: float = 0.0) -> int:
        """As `sign`; 0 without an interval."""
        return 0 if self.method == "none" else self.sign(neutral)


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
    """One arm: runs that differ in nothing but what is sampled."""

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
    train_tests: Tests = Field(default_factory=Tests)


class Preparation(_Part):
    """What the transferred weights cost before the first run could use them; means over the preparations."""

    stages: dict[str, Number] = Field(default_factory=dict, description="training seconds by stage")
    pretrain_seconds: Number | None = None
    finetune_seconds: Number | None = None
    train_seconds: Number | None = Field(None, description="all stages, the training clock; null: one has no time")
    total_seconds: Number | None = Field(None, description="all stages, all phases")
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
    per_model: dict[str, Number] = Field(default_factory=dict, description="by arm, all phases")
    baseline_per_model: Number | None = None
    transfer_per_model: Number | None = None


class AccuracyGain(_Part):
    """Mean test accuracy of the treatment less that of the control."""

    these_images: Interval = Field(default_factory=Interval, description="on the test images that were used")
    new_images: Interval = Field(default_factory=Interval, description="on other test images like these")


class Compared(_Part):
    """What one arm gains over another."""

    control: str
    treatment: str
    speedup: Speedup
    accuracy_gain: AccuracyGain = Field(default_factory=AccuracyGain)
    accuracy_tests: Tests = Field(default_factory=Tests)
    gain_by_class: dict[str, Interval] = Field(
        default_factory=dict,
        description="share of a class's test images that is found; each class by itself",
    )
    accuracy_profile: list[ProfilePoint] = Field(
        default_factory=list, description="time to accuracy for every target that half of both arms reach"
    )
    break_even: BreakEven = Field(default_factory=BreakEven)

    @property
    def gain(self) -> Interval:
        """The gain in accuracy that claims most: on new images where they can be judged, else on these."""
        new = self.accuracy_gain.new_images
        return new if new.method != "none" else self.accuracy_gain.these_images


class LabelsSaved(_Part):
    """How many labelled images the treatment saves: those with which the control is as accurate, less its own."""

    size: int = Field(description="training images of the treatment, in all")
    unit: str = "images"
    equal_size: Number | None = Field(None, description="with this many images the control is as accurate")
    estimate: Number | None = Field(None, description="equal_size less size; negative: it costs labels; null: see note")
    low: Number | None = Field(None, description="null beside a method: below what was measured")
    high: Number | None = Field(None, description="null beside a method: more than was measured")
    method: str = Field("none", description="the t test of the gain in accuracy, inverted")
    extrapolated: bool = Field(False, description="the estimate lies beyond the control's largest size")
    money: Number | None = Field(None, description="estimate times the price of a label")
    note: str = ""

    @property
    def measured(self) -> bool:
        """Whether the estimate lies within what was measured."""
        return self.estimate is not None and not self.extrapolated


class CurvePoint(_Part):
    """One arm at one size."""

    arm: str
    size: int = Field(description="training images in all")
    size_per_class: int
    runs: int = Field(0, description="that succeeded")
    accuracy: Interval = Field(default_factory=Interval, description="on the test split")
    train_seconds: Number | None = Field(None, description="mean")
    equal_size: Interval | None = Field(
        None, description="of a treatment: with how many images the first control is as accurate"
    )


class BackTest(_Part):
    """What the control's smaller sizes predict for its largest one."""

    size: int
    predicted: Number
    measured: Interval
    holds: bool = Field(description="an extrapolation is only given where it does")


class LearningCurve(_Part):
    """What a curve shows beyond its points, of the first comparison."""

    control: str
    treatment: str
    labels_saved_measured: LabelsSaved | None = Field(
        None, description="at the largest size for which the control's measured sizes reach far enough"
    )
    stops_paying: Interval = Field(
        default_factory=Interval, description="from this size on the treatment is no more accurate"
    )
    back_test: BackTest | None = None
    left_out: int = Field(0, description="runs without a partner at every size")
    price_per_label: Number = 0.0
    currency: str = ""


class CurveOffer(_Part):
    """What a learning curve would cost where there is none."""

    seconds: Number
    runs: int
    command: str


class HoldsOver(_Part):
    """How many of what was sampled the first comparison rests on; one: it holds for that one only."""

    seeds: int = 0
    preparations: int = 0
    draws: int = 0
    draws_shared: Number = Field(
        0.0, description="share of a draw's training images that another has too, about; 1: they do not differ"
    )
    test_images: int = Field(0, description="0: the answers to each were not recorded")


class SeenBefore(_Part):
    """What the treatment's weights had been trained on before, of the images of the comparison."""

    labelled_images: int = Field(description="images of the same classes, with labels, in the preparation")
    training_images: int = Field(description="of the training images, those among them")
    test_images: int = Field(description="of the test images, those among them")
    of_training_images: int = Field(description="training images of a run")


class Summary(_Part):
    """What an experiment found; the keys that compare two arms are those of the first comparison."""

    schema_version: int = SCHEMA_VERSION
    run_id: str = ""
    answer: str = Field("", description="one sentence or two: the result in words")
    negative_transfer: str = Field(
        "", description="which arms are less accurate than training from scratch and what to try; empty: none is"
    )
    sound: bool = False
    findings: list[Finding] = Field(default_factory=list)
    comparisons: list[Compared] = Field(default_factory=list)
    holds_over: HoldsOver = Field(default_factory=HoldsOver)
    variance: dict[str, Number] = Field(
        default_factory=dict, description="share of each source in the variance of the gain in accuracy"
    )
    seen_before: SeenBefore | None = Field(None, description="null: not known, or nothing was transferred")
    speedup: Speedup
    accuracy_gain: Interval = Field(description="on these test images")
    accuracy_tests: Tests = Field(default_factory=Tests)
    break_even_models: Number | None = None
    break_even: BreakEven = Field(default_factory=BreakEven)
    preparation_seconds: Number | None = None
    preparation: Preparation = Field(default_factory=Preparation)
    target_accuracy: Number | None = None
    target_accuracy_origin: str = ""
    arms: dict[str, Arm]
    final_accuracy: Number | None = Field(None, description="of the model that is shipped, on the test split")
    failures: list[Failure] = Field(default_factory=list)
    cost: Cost | None = None
    labels_saved: LabelsSaved | None = Field(None, description="at the largest size; null: there is no learning curve")
    curve: list[CurvePoint] = Field(default_factory=list, description="a row per size and arm")
    learning_curve: LearningCurve | None = None
    curve_offer: CurveOffer | None = None
    confidence: Number = 0.95
    command: str = ""
    data_digest: str = ""
    preset: str = Field("", description="of the arms' recipe")
    hardware: str = Field("", description="device and processor of the arms' runs, the most frequent")
    image: str = Field("", description="container image of the arms' runs")
    headstart_version: str = ""

    @model_validator(mode="after")
    def _older(self) -> Summary:
        """A summary from before there were several comparisons gets its one comparison from the other keys."""
        if not self.comparisons and len(self.arms) == 2:
            control, treatment = self.arms
            gain = AccuracyGain(these_images=self.accuracy_gain)
            self.comparisons = [
                Compared(
                    control=control,
                    treatment=treatment,
                    speedup=self.speedup,
                    accuracy_gain=gain,
                    accuracy_tests=self.accuracy_tests,
                    break_even=self.break_even,
                )
            ]
        if self.cost is not None and not self.cost.per_model:
            known = {arm: getattr(self.cost, f"{arm}_per_model", None) for arm in self.arms}
            self.cost.per_model = {arm: price for arm, price in known.items() if price is not None}
        return self

    @property
    def first(self) -> Compared:
        """The experiment's question."""
        return self.comparisons[0]

    @property
    def control(self) -> Arm:
        """The control of the first comparison."""
        return self.arms[self.first.control]

    @property
    def treatment(self) -> Arm:
        """The treatment of the first comparison."""
        return self.arms[self.first.treatment]


def read_summary(path: str | Path) -> Summary:
    """Read `summary.json` (or a folder that holds it); HeadstartError names the file and what is wrong with it."""
    path = Path(path)
    if path.is_dir():
        path = path / "summary.json"
    try:
        value = read_json(path)
    except (OSError, UnicodeDecodeError) as error:
        raise HeadstartError(f"{path}: cannot be read as a summary: {error}.") from error
    except ValueError as error:
        raise HeadstartError(f"{path}: not JSON ({error}).", "`headstart report` writes it.") from error
    return validated(Summary, value, path, "summary", SCHEMA_VERSION)
