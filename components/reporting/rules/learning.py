"""Rules about what was learned: whether the recipe gave every arm its due and the preparation is worth the name."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt

import numpy as np

from headstart.components.records import RunRecord
from headstart.components.reporting.experiment import Experiment, succeeded
from headstart.components.reporting.rules.registry import Broken, Problem, grouped, names, rule
from headstart.components.reporting.settings import ReportSettings
from headstart.components.reporting.time_to_accuracy import target_accuracy, times_to
from headstart.components.reporting.units import percent, points

# Training accuracy from which on there is nothing left to learn from the training images.
FULL = 0.99
# Validation accuracy that still moves by more than this from one quarter of the epochs to the next has not settled.
MOVES = 0.02
# A model is near chance where it is within three standard errors of guessing, or has made less than this part of the
# way from guessing to no error.
NEAR_CHANCE = 0.05


@rule("warning")
def stopped_by_rule(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Where the maximum ended training despite a stop rule, the number of epochs was chosen by hand."""
    for arm, records in experiment.arms.items():
        # Without a stop rule the recipe fixes the number of epochs, for all arms alike.
        ruled = [
            record
            for record in succeeded(records)
            if record.recipe.get("patience", 1) or record.recipe.get("stop_at_accuracy")
        ]
        capped = [record for record in ruled if record.stop_reason == "max_epochs"]
        if capped and len(capped) * 2 > len(ruled):
            yield (
                f"{len(capped)} of {len(ruled)} {arm} runs ended at the maximum of epochs, not by early stopping; "
                "compare time to accuracy instead of training time.",
                names(capped),
            )


@rule("warning")
def settled(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Where training accuracy is full and validation accuracy still rises, training ended too early for this arm."""
    for arm, records in experiment.arms.items():
        gains = [(record, gain) for record in succeeded(records) if (gain := _late_gain(record)) is not None]
        if not gains:
            continue
        mean = float(np.mean([gain for _, gain in gains]))
        rising = [record for record, gain in gains if gain > 0]
        if mean > MOVES and len(rising) * 4 >= len(gains) * 3:
            yield (
                f"Validation accuracy of {len(rising)} of {len(gains)} {arm} runs still rose at the end, by "
                f"{points(mean)} points on average over the last quarter of the epochs, although training accuracy was "
                "full: training may have ended too early for this arm.",
                names(rising),
            )


def _late_gain(record: RunRecord) -> float | None:
    """Mean validation accuracy of the last quarter of the epochs less that of the quarter before.

    None where there are fewer than 8 epochs or training accuracy was not yet full in the last quarter.
    """
    part = len(record.epochs) // 4
    if part < 2:
        return None
    late, before = record.epochs[-part:], record.epochs[-2 * part : -part]
    training = [row.accuracy for row in late if row.accuracy is not None]
    validation, earlier = (
        [row.validation_accuracy for row in rows if row.validation_accuracy is not None] for rows in (late, before)
    )
    if not len(training) == len(validation) == len(earlier) == part or sum(training) < FULL * part:
        return None
    return (sum(validation) - sum(earlier)) / part


@rule("warning")
def above_chance(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """A stage that guesses has learned nothing that could be transferred; any frozen random layers would do as well."""
    yield from grouped(
        Problem(
            record.arm,
            record,
            f"{record.name} answers {percent(record.result.test_accuracy)} of its test images correctly, where "
            f"guessing gives {percent(chance)}: what it learned is next to nothing.",
        )
        for record in succeeded(experiment.records)
        if (chance := _chance(record)) is not None
    )


def _chance(record: RunRecord) -> float | None:
    """The accuracy of guessing, where the run is not clearly above it."""
    accuracy, data = record.result.test_accuracy, record.data
    count = data.counts.get("test", 0) if data else 0
    if accuracy is None or not data or not count or len(data.classes) < 2:
        return None
    chance = 1 / len(data.classes)
    if record.result.confusion and (total := sum(map(sum, record.result.confusion))):
        chance = max(chance, max(map(sum, record.result.confusion)) / total)
    gain, noise = accuracy - chance, sqrt(chance * (1 - chance) / count)
    return chance if gain < max(3 * noise, NEAR_CHANCE * (1 - chance)) and chance < 1 else None


@rule("warning")
def target_reached(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Where many runs never reach the target accuracy, the time to it rests on few."""
    target, _ = target_accuracy(experiment.control, settings.target_accuracy)
    if target is None:
        return
    for arm, records in experiment.arms.items():
        times = times_to(records, target)
        never = int(np.isinf(np.asarray(times)).sum()) if times else 0
        if never * 2 > len(times):
            yield f"{never} of {len(times)} {arm} runs never reached the target of {percent(target)}.", []
