"""From the runs of a learning curve to the labels that transfer saves; and, without one, what one would cost."""

from __future__ import annotations

import math
import shlex
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headstart.components.design import CURVE_RUNS, default_sizes, mean_per_class
from headstart.components.records import RunRecord
from headstart.components.reporting.curve import Curve, back_test, band, equal_size, extrapolated_size, stops_paying
from headstart.components.reporting.experiment import (
    Experiment,
    answers,
    by_key,
    films,
    size_per_class,
    succeeded,
    total_seconds,
)
from headstart.components.reporting.settings import ReportSettings
from headstart.components.reporting.summary import CurveOffer, CurvePoint, Interval, LabelsSaved, LearningCurve
from headstart.components.stages import DEFAULT_ARMS, chain
from headstart.components.stop_rule import recorded_schedule

# Options of `headstart run` that the command of a curve does without: each with a value, or alone.
_WITH_VALUE = {
    "--runs",
    "--seeds",
    "--preparations",
    "--draws",
    "--target-accuracy",
    "--source",
    "--source-layout",
    "--cifar100",
    "--prepared",
    "--preparation-hours",
    "--arms",
    "--frozen",
}
# Beside a target of its own, a curve on prepared models reads no other set.
_BESIDE_TARGET = {"--intermediate", "--intermediate-layout", "--fruits360"}
_ALONE = {"--restart", "--keep-work", "--hold-out-target"}


def _by_size(experiment: Experiment, arm: str) -> dict[int, list[RunRecord]]:
    """The runs of an arm that a curve can be made of, by training images per class."""
    done = succeeded([record for record in experiment.every if record.arm == arm and record.subset])
    return by_key([record for record in done if record.result.test_accuracy is not None], size_per_class)


def arm_curve(by_size: dict[int, list[RunRecord]], arm: str) -> tuple[Curve, int] | None:
    """The learning curve of an arm, from its runs by ascending size, and how many of these lack a size; None: none."""
    runs: dict[tuple[int, int, int], dict[int, RunRecord]] = defaultdict(dict)
    for size, records in by_size.items():
        for record in records:
            runs[record.preparation, record.draw, record.seed][size] = record
    complete = {key: found for key, found in sorted(runs.items()) if len(found) == len(by_size)}
    if len(by_size) < 2 or not complete:
        return None
    left_out = sum(map(len, runs.values())) - len(by_size) * len(complete)
    rows = [list(found.values()) for found in complete.values()]
    values = [[record.result.test_accuracy for record in row] for row in rows]
    bits = [[answers(record) for record in row] for row in rows]
    known = {each.size if each is not None else 0 for row in bits for each in row}
    curve = Curve(
        np.array([np.median([each.subset.images for each in own if each.subset]) for own in by_size.values()]),
        np.array(values, dtype=np.float64),
        [key[0] for key in complete] if chain(arm) else [],
        [key[1] for key in complete],
        np.array(bits, dtype=bool) if len(known) == 1 and 0 not in known else None,
        films(rows[0][0], max(known)),
    )
    return curve, left_out


def measure(experiment: Experiment, control: str, treatment: str, settings: ReportSettings) -> dict[str, Any]:
    """Return the parts of the summary that a learning curve gives, by their names; none without a curve."""
    every = {arm: _by_size(experiment, arm) for arm in {*experiment.arms, control, treatment}}
    # Where one of both failed at a size, even at the largest, the curve is that of the other sizes.
    common = every[control].keys() & every[treatment].keys()
    runs = {arm: {size: own[size] for size in sorted(common & own.keys())} for arm, own in every.items()}
    found = {arm: curve for arm in experiment.arms if (curve := arm_curve(runs[arm], arm)) is not None}
    if control not in found or treatment not in found:
        return {}
    (a, out_a), (b, out_b) = found[control], found[treatment]
    if not np.array_equal(a.sizes, b.sizes) or _images(a) != _images(b):
        return {}
    alone = sum(len(own) for arm in (control, treatment) for size, own in every[arm].items() if size not in common)
    confidence = settings.confidence
    points = []
    for arm, (own, _) in found.items():
        comparable = bool(chain(arm)) and _images(own) == _images(a) and np.array_equal(own.sizes, a.sizes)
        points += _points(runs[arm], arm, own, a if comparable else None, confidence)
    predicted = back_test(a, confidence)
    saved = [
        _saved(point, a, float(b.means[index]), bool(predicted and predicted.holds), settings)
        for index, point in enumerate(point for point in points if point.arm == treatment)
    ]
    within = [each for each in saved if each.measured]
    return {
        "curve": points,
        "labels_saved": saved[-1],
        "learning_curve": LearningCurve(
            control=control,
            treatment=treatment,
            labels_saved_measured=within[-1] if within else None,
            stops_paying=stops_paying(a, b, confidence),
            back_test=predicted,
            left_out=out_a + out_b + alone,
            price_per_label=settings.price_per_label,
            currency=settings.currency,
        ),
    }


def _images(curve: Curve) -> int:
    return 0 if curve.right is None else int(curve.right.shape[2])


def _points(
    by_size: dict[int, list[RunRecord]], arm: str, curve: Curve, control: Curve | None, confidence: float
) -> list[CurvePoint]:
    several = len(curve.values) > 1
    points = []
    for index, (size, records) in enumerate(by_size.items()):
        mean = float(curve.means[index])
        points.append(
            CurvePoint(
                arm=arm,
                size=round(curve.sizes[index]),
                size_per_class=size,
                runs=len(records),
                accuracy=band(curve.measured(index), confidence)
                if several
                else Interval(of="mean", estimate=mean, note="one run: its spread is not known"),
                train_seconds=float(np.mean([record.phases.train for record in records])),
                equal_size=equal_size(control, curve, index, confidence) if control is not None else None,
            )
        )
    return points


def _saved(point: CurvePoint, control: Curve, accuracy: float, may: bool, settings: ReportSettings) -> LabelsSaved:
    """What a point of the treatment's curve says of labels; `may`: whether an extrapolation is given."""
    equal = point.equal_size or Interval()
    size, note, extrapolated = equal.estimate, equal.note, False
    if size is None and accuracy > control.at(float(control.sizes[-1])):
        size = extrapolated_size(control, accuracy) if may else None
        extrapolated = size is not None
        if not extrapolated:
            note += "; not extrapolated: " + ("beyond the horizon" if may else "the curve does not predict itself")
    estimate = None if size is None else size - point.size
    price = settings.price_per_label
    return LabelsSaved(
        size=point.size,
        equal_size=size,
        estimate=estimate,
        low=None if equal.low is None else equal.low - point.size,
        high=None if equal.high is None else equal.high - point.size,
        method=equal.method,
        extrapolated=extrapolated,
        money=price * estimate if price > 0 and estimate is not None else None,
        note=note,
    )


def offer(experiment: Experiment, settings: ReportSettings) -> CurveOffer | None:
    """What a learning curve on this experiment's models would take, from its own times; None where that is not known.

    A run on a part of the images takes its part of the steps, and as long as a whole one for all else.
    """
    arms = {arm: succeeded(experiment.of(arm)) for arm in experiment.comparisons[0]}
    sets = [
        (
            mean_per_class(record.data.counts.get("train", 0), len(record.data.classes)),
            len(record.data.classes),
            record.recipe,
        )
        for records in arms.values()
        for record in records
        if record.data
    ]
    if experiment.smaller or not all(arms.values()) or not sets:
        return None
    largest, classes, recipe = max(sets, key=lambda each: each[0])
    if largest < 2:
        return None
    sizes = default_sizes(largest)
    share = sum(_steps(recipe, classes * size) for size in sizes) / _steps(recipe, classes * largest)
    seconds = 0.0
    for records in arms.values():
        training = float(np.mean([record.phases.train for record in records]))
        rest = float(np.mean([total_seconds(record) for record in records])) - training
        seconds += CURVE_RUNS * (len(sizes) * rest + share * training)
    if not math.isfinite(seconds):
        return None
    return CurveOffer(
        seconds=seconds,
        runs=CURVE_RUNS * len(sizes) * len(arms),
        command=curve_command(settings.command, tuple(arms)),
    )


def _steps(recipe: Mapping[str, Any], images: int) -> int:
    """Steps of a run that goes on to its last epoch, with the recipe of a record."""
    epochs, steps = recorded_schedule(recipe, images)
    return steps * max(epochs, 1)


def curve_command(command: str, arms: tuple[str, ...] = DEFAULT_ARMS) -> str:
    """The command of a learning curve of `arms` on the models in the output of `command`, with its data."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    if words[:2] != ["headstart", "run"]:
        return "headstart curve --prepared FOLDER"
    # A file may name other arms than the default.
    chosen = [] if arms == DEFAULT_ARMS and "--config" not in command else ["--arms", ",".join(arms)]
    return shlex.join(["headstart", "curve", *_kept(words[2:]), *chosen])


def _kept(words: Sequence[str]) -> list[str]:
    kept: list[str] = []
    output = "FOLDER"
    own_target = any(word.partition("=")[0] == "--target" for word in words)
    without = _WITH_VALUE | _BESIDE_TARGET if own_target else _WITH_VALUE
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if name == "--output":
            output = value if equals else next(rest, output)
        elif word.startswith("-o"):
            output = word[2:] or next(rest, output)
        elif name in without:
            if not equals:
                next(rest, "")
        elif word not in _ALONE:
            kept.append(word)
    return ["--prepared", output, *kept]
