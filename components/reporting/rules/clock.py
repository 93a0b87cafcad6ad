"""Rules about the clock and the stop rule: whether the times measure what they are taken for."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from headstart.components.reporting.experiment import Experiment, succeeded
from headstart.components.reporting.rules.registry import Broken, names, rule
from headstart.components.reporting.settings import ReportSettings
from headstart.components.reporting.time_to_accuracy import target_accuracy, times_to
from headstart.components.reporting.units import counted, percent

# Share of processor time taken by other work above which a run's clock is not trusted.
DISTURBED_SHARE = 0.05
# A run with epochs this many times faster than the arm's median epoch did not do the same work.
SUSPICIOUS_FACTOR = 3.0


@rule("warning")
def undisturbed(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """On a machine shared with other work the clock measures the others too."""
    disturbed = [
        record
        for record in succeeded(experiment.records)
        if record.stolen_share is not None and record.stolen_share > DISTURBED_SHARE
    ]
    if disturbed:
        worst = max(record.stolen_share or 0 for record in disturbed)
        yield (
            f"Other work took more than {percent(DISTURBED_SHARE, 0)} of the processor time during "
            f"{counted(len(disturbed), 'run')} (up to {percent(worst, 0)}).",
            names(disturbed),
        )


@rule("warning")
def uninterrupted(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """An interrupted run trained on, on perhaps another machine, with caches cold."""
    again = [record for record in succeeded(experiment.records) if len(record.attempts) > 1]
    if again:
        yield f"{counted(len(again), 'run')} went on from a checkpoint after an interruption.", names(again)


@rule("error")
def consistent_clock(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """A success without training, or epochs that add up to more than the whole, is a broken clock."""
    for record in succeeded(experiment.records):
        total = sum(row.train_seconds for row in record.epochs)
        if not record.epochs or record.phases.train <= 0:
            yield f"{record.name} is called succeeded but has no training time or no epochs.", [record.name]
        elif total > record.phases.train * 1.01 + 0.01:
            yield (
                f"The epochs of {record.name} add up to {total:.2f} s, more than its training time of "
                f"{record.phases.train:.2f} s.",
                [record.name],
            )


@rule("warning")
def plausible_speed(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """A run much faster an epoch than its siblings may not have done the same work."""
    for arm, records in experiment.arms.items():
        timed = [record for record in succeeded(records) if record.epochs and record.phases.train > 0]
        if len(timed) < 3:
            continue
        speeds = np.array([record.phases.train / len(record.epochs) for record in timed])
        middle = float(np.median(speeds))
        fast = [record for record, speed in zip(timed, speeds, strict=True) if speed * SUSPICIOUS_FACTOR < middle]
        if fast:
            yield (
                f"{counted(len(fast), f'{arm} run')} took less than a third of the arm's median time an epoch.",
                names(fast),
            )


@rule("warning")
def stopped_by_rule(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Where the maximum ended training, the number of epochs was chosen by hand, not by the stop rule."""
    for arm, records in experiment.arms.items():
        good = succeeded(records)
        capped = [record for record in good if record.stop_reason == "max_epochs"]
        if capped and len(capped) * 2 > len(good):
            yield (
                f"{len(capped)} of {len(good)} {arm} runs ended at the maximum of epochs, not by early stopping; "
                "compare time to accuracy instead of training time.",
                names(capped),
            )


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
