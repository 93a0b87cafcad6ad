"""The rule that decides whether a candidate replaces the model in use, with its reasons in words.

Both models answer the same test images. With n images, r_c and r_m right answers of candidate and model in use:

* overall: r_c − r_m ≥ margin · n, and r_c > r_m;
* each class: recall of the candidate ≥ recall of the model in use − class_bound (recall: right answers ÷ images);
* no model below `minimum_accuracy`, or with a class below `minimum_recall`, is promoted, also where there is none to
  compare with.

Test images from the training data of the model in use are left out, since it knows those by heart; where too few
remain they are kept, and that is said. Whether what these rules let pass is also proven is asked in `evidence.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headstart.components.errors import SettingError, suggestion

UNKNOWN = -1  # an answer that is none of the data's classes

Answers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Rules(BaseModel):
    """The settings of a promotion; every name can be set by `--rule` and in the pipeline's `promotion` parameter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    margin: float = Field(0.005, ge=0, le=1, description="by how much accuracy must rise, as a fraction")
    class_bound: float = Field(0.02, ge=0, le=1, description="by how much the recall of one class may fall")
    confidence: float = Field(
        0.95, ge=0.5, lt=1, description="1 − the probability of promoting a model that is no better"
    )
    approval: Literal["never", "borderline", "always"] = Field(
        "borderline", description="when a person decides: never, if the gain is not proven, or always"
    )
    test_uses: int = Field(
        50, ge=1, le=10_000, description="comparisons on the same test images after which these prove nothing more"
    )
    minimum_accuracy: float = Field(0.0, ge=0, le=1, description="accuracy below which nothing is promoted")
    minimum_recall: float = Field(0.0, ge=0, le=1, description="recall below which no class may lie")
    minimum_new_class_recall: float = Field(0.5, ge=0, le=1, description="recall below which no new class may lie")
    latency_ratio: float = Field(
        2.0,
        ge=0,
        allow_inf_nan=False,
        description="largest latency, as a multiple of that of the model in use; 0: no limit",
    )
    size_ratio: float = Field(
        2.0,
        ge=0,
        allow_inf_nan=False,
        description="largest size, as a multiple of that of the model in use; 0: no limit",
    )
    new_classes: Literal["accept", "refuse"] = Field("accept", description="data with a class that is new")
    missing_classes: Literal["accept", "refuse"] = Field("refuse", description="data without one of the classes so far")
    minimum_training_images: int = Field(20, ge=1, description="training images that every class must have")
    minimum_test_images: int = Field(10, ge=1, description="test images that every class must have")
    maximum_skipped: float = Field(0.05, ge=0, le=1, description="share of images that may be unreadable")
    drift: Literal["warn", "refuse"] = Field(
        "warn", description="what to do with data unlike those of the model in use"
    )
    brightness_drift: float = Field(
        1.0,
        ge=0,
        allow_inf_nan=False,
        description="largest change of the mean brightness, in standard deviations of the images",
    )
    share_drift: float = Field(0.2, ge=0, le=1, description="share of images that may move between classes")
    count_drift: float = Field(0.5, ge=0, le=1, description="share by which the number of images may fall")
    keep: int = Field(5, ge=1, description="newest versions that retention keeps")
    keep_days: float = Field(0.0, ge=0, allow_inf_nan=False, description="days for which retention keeps every version")

    @classmethod
    def of(cls, settings: dict[str, Any]) -> Rules:
        """Check settings given by name; SettingError names the wrong one and lists what there is."""
        unknown = sorted(set(settings) - set(cls.model_fields))
        if unknown:
            raise SettingError(
                f"promotion setting {unknown[0]!r} is not known.{suggestion(unknown[0], cls.model_fields)}",
                f"There are {', '.join(cls.model_fields)}.",
            )
        try:
            return cls(**settings)
        except ValidationError as error:
            first = error.errors()[0]
            raise SettingError(
                f"promotion setting {first['loc'][0]}: found {first['input']!r}: {first['msg']}."
            ) from error


@dataclass(frozen=True)
class Recall:
    """Share of a class's images that each model recognises; None where there is no image, or no model."""

    candidate: float | None
    current: float | None
    images: int


@dataclass(frozen=True)
class Compared:
    """Figures of both models on the same images; fractions, or None where there is nothing to divide by."""

    images: int
    candidate_accuracy: float | None
    current_accuracy: float | None
    only_candidate_right: int
    only_current_right: int
    chance: float | None  # two-sided exact sign test over the images that one of the two got right
    recalls: dict[str, Recall]


@dataclass(frozen=True)
class Decision:
    """What the rules say: reasons against a promotion, or the one for it, and the figures behind them."""

    refused: list[str]
    gained: str
    compared: Compared
    remarks: list[str] = field(default_factory=list)
    kept: Mask | None = None
    """Which test images were compared; None: all."""

    @property
    def promote(self) -> bool:
        """Say whether no rule is against it."""
        return not self.refused

    @property
    def reasons(self) -> list[str]:
        """Return why, in words."""
        return self.refused or [self.gained]


def compare(classes: list[str], truth: Answers, candidate: Answers, current: Answers | None) -> Compared:
    """Count right answers of both; answers are indices into `classes`, or UNKNOWN."""
    from scipy.stats import binomtest

    right = candidate == truth
    right_current = None if current is None else current == truth
    wins = 0 if right_current is None else int(np.sum(right & ~right_current))
    losses = 0 if right_current is None else int(np.sum(~right & right_current))
    recalls = {}
    for label, name in enumerate(classes):
        of_class = truth == label
        recalls[name] = Recall(_share(right, of_class), _share(right_current, of_class), int(of_class.sum()))
    everything = np.ones(len(truth), dtype=np.bool_)
    return Compared(
        images=len(truth),
        candidate_accuracy=_share(right, everything),
        current_accuracy=_share(right_current, everything),
        only_candidate_right=wins,
        only_current_right=losses,
        chance=float(binomtest(wins, wins + losses).pvalue) if wins + losses else None,
        recalls=recalls,
    )


def _share(right: Mask | None, among: Mask) -> float | None:
    count = int(among.sum())
    return None if right is None or count == 0 else int(right[among].sum()) / count


def decide(
    rules: Rules,
    classes: list[str],
    truth: Answers,
    candidate: Answers,
    current: Answers | None,
    current_classes: list[str] | None = None,
    seen: Mask | None = None,
) -> Decision:
    """Decide about a candidate.

    Args:
        rules: the promotion settings.
        classes: the data's class names.
        truth: labels of the test images, indices into `classes`.
        candidate: answers of the candidate, indices into `classes` or UNKNOWN.
        current: answers of the model in use to the same images; None where there is none.
        current_classes: classes that the model in use knows.
        seen: which test images stood in the training data of the model in use.
    """
    remarks: list[str] = []
    kept: Mask | None = None
    if seen is not None and current is not None and seen.any():
        kept = _unseen(rules, classes, truth, seen, remarks)
    if kept is not None and current is not None:
        truth, candidate, current = truth[kept], candidate[kept], current[kept]
    compared = compare(classes, truth, candidate, current)
    refused: list[str] = []
    accuracy = compared.candidate_accuracy or 0.0
    if accuracy < rules.minimum_accuracy:
        refused.append(f"Accuracy {accuracy:.2%} is below minimum_accuracy, {rules.minimum_accuracy:.2%}.")
    refused += [
        f"Class {name}: {found.candidate:.2%} of {found.images} images recognised; "
        f"minimum_recall is {rules.minimum_recall:.2%}."
        for name, found in compared.recalls.items()
        if found.candidate is not None and found.candidate < rules.minimum_recall
    ]
    if current is None:
        gained = f"There was no model in use; this one has an accuracy of {accuracy:.2%}."
        return Decision(refused, gained, compared, remarks)
    new = [name for name in classes if current_classes is not None and name not in current_classes]
    if new:
        gained = _judge_new_classes(rules, compared, new, refused)
    else:
        gained = _judge_overall(rules, compared, truth, candidate, current, refused)
    _judge_classes(rules, compared, [name for name in classes if name not in new], refused)
    return Decision(refused, gained, compared, remarks, kept)


def _unseen(rules: Rules, classes: list[str], truth: Answers, seen: Mask, remarks: list[str]) -> Mask | None:
    left = np.bincount(truth[~seen], minlength=len(classes))
    present = np.bincount(truth, minlength=len(classes)) > 0
    count, total = int(seen.sum()), len(truth)
    if left[present].min() < rules.minimum_test_images:
        remarks.append(
            f"{count} of {total} test images were in the training data of the model in use. Without them too few "
            "would remain, so they count: the comparison favours the model in use."
        )
        return None
    remarks.append(
        f"{count} of {total} test images were in the training data of the model in use and were left out of the "
        "comparison."
    )
    return ~seen


def _judge_overall(
    rules: Rules, compared: Compared, truth: Answers, candidate: Answers, current: Answers, refused: list[str]
) -> str:
    gain = int((candidate == truth).sum()) - int((current == truth).sum())
    images = len(truth)
    new, old = compared.candidate_accuracy or 0.0, compared.current_accuracy or 0.0
    points = 100 * gain / images
    both = f"{new:.2%} against {old:.2%} of the model in use ({points:+.2f} points, {gain:+d} of {images} test images)"
    # Counts are compared, not fractions, so that rounding cannot decide; 1e-9 stands for the margin's own rounding.
    if gain < rules.margin * images - 1e-9 or gain <= 0:
        text = f"Accuracy {both}; a margin of {100 * rules.margin:.2f} points is asked for."
        if 1 - old < rules.margin:
            text += f" The model in use leaves only {100 * (1 - old):.2f} points to gain."
        refused.append(text)
    return (
        f"Accuracy {both}, at least the margin of {100 * rules.margin:.2f} points, and no class fell below its bound."
    )


def _judge_new_classes(rules: Rules, compared: Compared, new: list[str], refused: list[str]) -> str:
    names = ", ".join(new)
    for name in new:
        recall = compared.recalls[name].candidate or 0.0
        if recall < rules.minimum_new_class_recall:
            refused.append(
                f"Class {name} is new, and the candidate recognises {recall:.2%} of it; "
                f"minimum_new_class_recall is {rules.minimum_new_class_recall:.2%}."
            )
    return (
        f"It knows what the model in use cannot: {names}. No margin is asked for then; the classes that both know "
        "stayed within their bound."
    )


def _judge_classes(rules: Rules, compared: Compared, shared: list[str], refused: list[str]) -> None:
    for name in shared:
        found = compared.recalls[name]
        new, old, images = found.candidate, found.current, found.images
        if new is None or old is None:
            continue
        lost = round(old * images) - round(new * images)
        if lost > rules.class_bound * images + 1e-9:
            refused.append(
                f"Class {name}: {new:.2%} recognised against {old:.2%} by the model in use, "
                f"{lost} of {images} images fewer; a fall of {100 * rules.class_bound:.2f} points is allowed."
            )
