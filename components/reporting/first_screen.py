"""What a reader sees first, in every form of the report: advice, tiles, the images, and what the weights had seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from headstart.components.reporting import units
from headstart.components.reporting.answer import ABOUT_AS_ACCURATE, NO_POINTS
from headstart.components.reporting.break_even import ordinal
from headstart.components.reporting.experiment import Experiment
from headstart.components.reporting.statistics import EQUAL
from headstart.components.reporting.summary import Finding, Interval, Summary
from headstart.components.reporting.tables import interval
from headstart.components.stages import STAGES, chain

# Findings that weaken a detail: whatever they say, the answer stays. All others can turn it and come first.
DETAILS = frozenset(
    {
        "final_model",
        "near_duplicates",
        "nothing_skipped",
        "preparation_test_not_in_training",
        "target_reached",
        "uninterrupted",
    }
)
MOST_CLASSES_NAMED = 8
# From this many preparations or draws on, t is not much larger than with any number of them: 2.8 instead of 2.0.
ENOUGH_LEVELS = 5


@dataclass(frozen=True)
class Tile:
    """A number at the top of the page with its interval; `undecided`: the interval holds no difference."""

    label: str
    value: str
    interval: str
    detail: str
    undecided: bool = False


def advice(summary: Summary) -> str:
    """What to do, in one sentence; empty where nothing was compared."""
    first, pays = summary.first, summary.first.break_even
    name = STAGES[first.treatment].title.lower()
    if first.speedup.train.estimate is None:
        return ""
    if not summary.sound:
        return "Settle the errors below before acting on any of this."
    faster, better = first.speedup.train.decided(1.0), first.gain.decided()
    if better < 0:
        lost = f"{units.points(first.gain.estimate)} points of accuracy"
        return (
            f"{units.sentence(name)} is faster, but worse: take it only where training time matters more than {lost}."
            if faster > 0
            else f"Do without {name}: it costs {lost} and saves no time that was shown."
        )
    gains = f"; it gains {units.points(first.gain.estimate)} points from the first model on" if better > 0 else ""
    alike = first.gain.note == EQUAL and abs(first.gain.estimate or 0.0) < NO_POINTS
    if better == 0 and not alike and (first.gain.low is None or first.gain.low < -ABOUT_AS_ACCURATE):
        gains = "; whether that costs accuracy is undecided"
    if not chain(first.treatment):
        return f"Take {name}: it needs no preparation." if faster > 0 and better >= 0 else ""
    if pays.never:
        return (
            f"Prepare for the accuracy alone: in training time it never breaks even{gains}."
            if better > 0
            else "Do not prepare: it never breaks even, and no gain in accuracy was shown."
        )
    if faster == 0:
        return f"Make more runs{_more(summary)} before deciding: whether it trains faster was not shown{gains}."
    if pays.first_model is None:
        unknown = summary.preparation_seconds is None
        return f"When preparing pays is not known{', since its cost is not' if unknown else ''}{gains}."
    low, high = pays.first_model_low, pays.first_model_high
    if pays.method != "none" and high is None:
        since = f"perhaps from the {ordinal(pays.first_model)} model on, perhaps never"
        return f"Whether preparing pays is undecided: {since}{gains}."
    ends = f" ({low:,} to {high:,})" if low and high and low != high else ""
    ends += _with_every_phase(summary)
    if pays.first_model == 1:
        return f"Preparing pays from the first model{ends}{gains}."
    return f"Preparing pays if you will train {pays.first_model:,} models or more{ends}{gains}."


def _with_every_phase(summary: Summary) -> str:
    """What becomes of the break-even with every phase counted, where it is not within the interval of training time."""
    pays, every = summary.first.break_even, summary.first.break_even.all_phases_models
    if every is None:
        known = summary.preparation.total_seconds is not None and summary.first.speedup.all_phases.estimate is not None
        return " in training time, and is not shown to pay with every phase counted" if known else ""
    first = max(1, math.ceil(every))
    if (pays.first_model_low or pays.first_model or 1) <= first <= (pays.first_model_high or pays.first_model or first):
        return ""
    return f" in training time, from the {ordinal(first)} on with every phase counted"


def _more(summary: Summary) -> str:
    """What must grow with the number of runs: of few preparations or draws more runs alone say little more."""
    held = summary.holds_over
    counts = {"preparations": held.preparations, "draws": held.draws}
    few = [f"{count} {name}" for name, count in counts.items() if 1 < count < ENOUGH_LEVELS]
    return f", over more than {' and '.join(few)}," if few else ""


def tiles(summary: Summary) -> list[Tile]:
    """The numbers of the answer, each with its interval and what it is made from."""
    control, treatment, first = summary.control, summary.treatment, summary.first
    gain, of_means = first.gain, first.speedup.train.method.endswith("on logarithms")
    reached = f"reached by {control.reached_target} of {control.runs} and {treatment.reached_target} of "
    made = [
        _ratio_tile(
            "training speed",
            first.speedup.train,
            f"{units.duration(control.train_seconds.median)} → {units.duration(treatment.train_seconds.median)}, "
            f"medians{'; the ratio is of geometric means' if of_means else ''}",
        ),
        _ratio_tile("speed, all phases", first.speedup.all_phases, "start-up, data and evaluation too"),
        _tile(
            "test accuracy, points",
            gain,
            units.signed_points,
            "",
            f"{units.percent(control.accuracy.mean)} → {units.percent(treatment.accuracy.mean)}, means",
            0.0,
        ),
        _ratio_tile(
            f"speed to {units.percent(summary.target_accuracy)}",
            first.speedup.time_to_accuracy,
            f"{reached}{treatment.runs} runs",
        ),
    ]
    if chain(first.treatment):
        stages = " + ".join(units.duration(seconds) for seconds in summary.preparation.stages.values())
        known = summary.preparation_seconds is not None
        took = units.duration(summary.preparation_seconds) if known else "not known"
        made.append(Tile("preparation", took, "", stages if known or not stages else f"measured: {stages}"))
        made.append(_break_even_tile(summary))
    if summary.cost is not None and summary.cost.preparation is not None:
        cost = summary.cost
        per_model = " → ".join(units.money(cost.per_model.get(arm)) for arm in (first.control, first.treatment))
        made.append(Tile(f"preparation, {cost.currency}", units.money(cost.preparation), "", f"per model {per_model}"))
    return made


def _tile(
    label: str, found: Interval, render: Callable[[float | None], str], unit: str, detail: str, neutral: float
) -> Tile:
    if found.estimate is None:
        return Tile(label, "not known", found.note, detail)
    undecided = found.decided(neutral) == 0 and found.method != "none"
    between = interval(found, render) or found.note or "no interval"
    return Tile(label, f"{render(found.estimate)}{unit}", between, detail, undecided)


def _ratio_tile(label: str, found: Interval, detail: str) -> Tile:
    return _tile(label, found, units.factor, " ×", detail, 1.0)


def _break_even_tile(summary: Summary) -> Tile:
    first, pays = summary.first, summary.first.break_even
    if first.gain.decided() < 0:
        return Tile("breaks even from", "no gain", "", "the prepared model is less accurate")
    if pays.first_model is None:
        if pays.never:
            return Tile("breaks even from", "never", "", "")
        known = summary.preparation_seconds is not None and first.speedup.train.estimate is not None
        return Tile("breaks even from", "not shown" if known else "not known", "", "", undecided=known)
    interval = ""
    if pays.first_model_low is not None:
        low = ordinal(pays.first_model_low)
        high = ordinal(pays.first_model_high) if pays.first_model_high else "perhaps never"
        interval = low if low == high else f"{low} to {high}"
    every = f"{ordinal(math.ceil(pays.all_phases_models))} with every phase counted" if pays.all_phases_models else ""
    if pays.all_phases_models is None and summary.preparation.total_seconds is not None:
        every = "not shown with every phase counted"
    return Tile(
        "breaks even from",
        f"{ordinal(pays.first_model)} model",
        interval or "no interval",
        every,
        undecided=pays.first_model_high is None and pays.method != "none",
    )


def images(experiment: Experiment) -> str:
    """Classes and counts of the images that the arms were compared on; empty where no record knows."""
    found = [record.data for records in experiment.arms.values() for record in records if record.data]
    if not found:
        return ""
    data = found[0]
    classes = "1 class" if len(data.classes) == 1 else f"{len(data.classes):,} classes"
    named = f" ({', '.join(data.classes)})" if 0 < len(data.classes) <= MOST_CLASSES_NAMED else ""
    return f"{classes}{named}: " + ", ".join(
        f"{data.counts.get(split, 0):,} {word}"
        for split, word in (("train", "training"), ("validation", "validation"), ("test", "test images"))
    )


def seen(summary: Summary) -> str:
    """What the transferred weights had been trained on before, of the images of the comparison."""
    found = summary.seen_before
    if found is None:
        return ""
    name = STAGES[summary.first.treatment].title.lower()
    if not (found.labelled_images or found.training_images or found.test_images):
        return f"Before, the weights of {name} had seen none of these images and no others of these classes."
    parts = []
    if found.training_images:
        parts.append(f"{found.training_images:,} of the {found.of_training_images:,} training images")
    if found.test_images:
        parts.append(f"{found.test_images:,} of the test images")
    if found.labelled_images:
        labelled = f"{found.labelled_images:,} labelled images of these classes"
        parts.append(f"{labelled} (a class made of the rest not counted)")
    several = ", ".join(parts[:-1]) + " and on " + parts[-1] if len(parts) > 1 else parts[0]
    return f"Before, the weights of {name} had been trained on {several}. The {summary.first.control} had seen none."


def ordered(findings: Sequence[Finding]) -> list[Finding]:
    """Errors, then what can turn the answer, then details."""
    return sorted(findings, key=lambda finding: (finding.severity != "error", finding.rule in DETAILS))
