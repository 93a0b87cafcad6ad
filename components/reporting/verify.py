"""What makes a measurement unsound (error) or weaker (warning): a list of named rules, each with its reason.

A rule looks at the records of one experiment and says what breaks it, in words a reader can act on. Which severity a
rule has can be set; `off` leaves it out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.records import RunRecord
from components.reporting.experiment import Experiment, succeeded
from components.reporting.settings import ReportSettings, Severity
from components.reporting.summary import Finding
from components.reporting.time_to_accuracy import target_accuracy, times_to
from components.reporting.units import percent

Broken = tuple[str, list[str]]
Check = Callable[[Experiment, ReportSettings], Iterable[Broken]]

# Share of processor time taken by other work above which a run's clock is not trusted.
DISTURBED_SHARE = 0.05
# Epochs this many times faster than the arm's median epoch did not do the same work.
SUSPICIOUS_FACTOR = 3.0
FEW_RUNS = 5


@dataclass(frozen=True)
class Rule:
    """A named rule: its severity unless set otherwise, and why it matters."""

    name: str
    severity: Severity
    why: str
    check: Check


RULES: dict[str, Rule] = {}


def _rule(severity: Severity) -> Callable[[Check], Check]:
    """Enter a check into RULES under its own name; its docstring is the reason that readers see."""

    def add(check: Check) -> Check:
        name = getattr(check, "__name__", "")
        RULES[name] = Rule(name, severity, check.__doc__ or "", check)
        return check

    return add


def verify(experiment: Experiment, settings: ReportSettings) -> list[Finding]:
    """Apply every rule that is not off; errors come first, each group in the order of RULES."""
    findings = [
        Finding(rule=rule.name, severity=severity, message=message, runs=runs)
        for rule in RULES.values()
        if (severity := settings.rules.get(rule.name, rule.severity)) != "off"
        for message, runs in rule.check(experiment, settings)
    ]
    return sorted(findings, key=lambda finding: finding.severity != "error")


def is_sound(findings: Sequence[Finding]) -> bool:
    """A measurement is sound when no finding is an error."""
    return not any(finding.severity == "error" for finding in findings)


def names(records: Iterable[RunRecord]) -> list[str]:
    """Names of runs, at most twenty, then how many more."""
    all_names = [record.name for record in records]
    return all_names if len(all_names) <= 20 else [*all_names[:20], f"and {len(all_names) - 20} more"]


@_rule("error")
def enough_runs(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Without runs of both arms there is nothing to compare."""
    for arm, records in experiment.arms.items():
        good = len(succeeded(records))
        if good < max(1, settings.minimum_succeeded):
            yield (
                f"{good} of {len(records)} {arm} runs succeeded; {max(1, settings.minimum_succeeded)} are asked for.",
                names(record for record in records if record.status != "succeeded"),
            )


@_rule("warning")
def failed_runs(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Runs that did not succeed are left out of the times; if they are the slow ones, that flatters."""
    for arm, records in experiment.arms.items():
        bad = [record for record in records if record.status != "succeeded"]
        if bad:
            reasons = Counter(record.reason or record.status for record in bad)
            said = "; ".join(f"{count} × {reason}" for reason, count in reasons.most_common(3))
            yield (
                f"{len(bad)} of {len(records)} {arm} runs did not succeed ({said}); "
                f"speed-up and accuracy are of the {len(records) - len(bad)} that did.",
                names(bad),
            )


@_rule("error")
def preparation(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Unless preparation is known to have worked, there is no transferred model to speak of."""
    for stage, records in (("pretrain", experiment.pretrain), ("finetune", experiment.finetune)):
        if not records:
            yield f"There is no record of {stage}, so the cost of preparation is not known.", []
        for record in records:
            if record.status != "succeeded":
                yield f"{stage} {record.status}: {record.reason or 'no reason given'}.", [record.name]


@_rule("warning")
def final_model(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """The model that is shipped should exist and have been tested."""
    if not experiment.final:
        yield "There is no record of the final model.", []
    for record in experiment.final:
        if record.status != "succeeded":
            yield f"final {record.status}: {record.reason or 'no reason given'}.", [record.name]


@_rule("warning")
def few_runs(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """With few runs an interval says little about runs to come."""
    counts = {arm: len(succeeded(records)) for arm, records in experiment.arms.items()}
    few = {arm: count for arm, count in counts.items() if 0 < count < FEW_RUNS}
    if few:
        said = " and ".join(f"{count} {arm}" for arm, count in few.items())
        yield f"Only {said} runs succeeded: the intervals are rough (bootstrap needs {FEW_RUNS} or more).", []


@_rule("error")
def distinct_seeds(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """The same seed twice in an arm is one run counted twice."""
    for arm, records in experiment.arms.items():
        repeated = sorted(seed for seed, count in Counter(record.seed for record in records).items() if count > 1)
        if repeated:
            listed = ", ".join(map(str, repeated[:10])) + (", …" if len(repeated) > 10 else "")
            yield (
                f"The {arm} arm has more than one run with seed {listed}.",
                names(record for record in records if record.seed in set(repeated)),
            )


@_rule("error")
def own_run(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """A record of another pipeline run came from a cache or a stale file, not from this measurement."""
    foreign = [record for record in experiment.records if record.run_id != experiment.run_id]
    if foreign:
        ids = sorted({record.run_id or "(none)" for record in foreign})
        yield (
            f"{len(foreign)} records belong to another pipeline run ({', '.join(ids[:3])}) "
            f"than this one ({experiment.run_id}).",
            names(foreign),
        )


@_rule("error")
def not_cached(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Two runs with the same times to the last digit are one measurement, used again."""
    seen: dict[tuple[float, ...], RunRecord] = {}
    for record in experiment.records:
        times = (record.phases.train, *(row.train_seconds for row in record.epochs))
        # Times on a coarse clock may coincide; a whole run measured in nanoseconds does not.
        if record.status != "succeeded" or all(abs(value * 1000 - round(value * 1000)) < 1e-9 for value in times):
            continue
        twin = seen.setdefault(times, record)
        if twin is not record:
            yield f"{record.name} and {twin.name} have the same times to the last digit.", [twin.name, record.name]


def _differences(
    experiment: Experiment, what: Callable[[RunRecord], dict[str, Any] | None], noun: str
) -> Iterable[Broken]:
    """Compare a dict of each run of both arms with the most common one, and name the keys that differ."""
    known = [
        (record, value)
        for records in experiment.arms.values()
        for record in succeeded(records)
        if (value := what(record)) is not None
    ]
    if not known:
        return
    forms = [json.dumps(value, sort_keys=True, default=str) for _, value in known]
    usual = Counter(forms).most_common(1)[0][0]
    norm = json.loads(usual)
    odd: dict[str, list[RunRecord]] = {}
    for (record, _), form in zip(known, forms, strict=True):
        if form != usual:
            value = json.loads(form)
            keys = [key for key in {**norm, **value} if norm.get(key) != value.get(key)]
            said = ", ".join(f"{key} is {value.get(key)!r} instead of {norm.get(key)!r}" for key in keys[:4])
            said += f", and {len(keys) - 4} more" if len(keys) > 4 else ""
            odd.setdefault(said, []).append(record)
    for said, records in odd.items():
        yield f"{len(records)} of {len(known)} runs used other {noun}: {said}.", names(records)


@_rule("error")
def same_data(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """On other images a run takes another time; that is data, not transfer."""
    return _differences(
        experiment,
        lambda record: {"digest": record.data.digest, "counts": record.data.counts} if record.data else None,
        "images",
    )


@_rule("error")
def same_recipe(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Both arms must share batch size, optimiser, stop rule and every other setting of the recipe."""
    return _differences(experiment, lambda record: record.recipe, "recipe settings")


@_rule("error")
def same_hardware(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Times on different hardware cannot be compared."""
    keys = {"device_kind", "device_name", "device_count", "processor", "cores", "threads"}
    return _differences(experiment, lambda record: record.environment.model_dump(include=keys), "hardware")


@_rule("error")
def same_image(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Another image or another version of TensorFlow is another program."""
    return _differences(
        experiment, lambda record: {"image": record.environment.image, **record.environment.versions}, "software"
    )


@_rule("error")
def frozen_unchanged(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """A frozen layer whose weights moved was trained; the arm is not what it claims to be."""
    for record in experiment.records:
        moved = [layer.layer for layer in record.frozen if layer.before != layer.after]
        if moved:
            yield f"Frozen weights of {', '.join(moved)} changed in {record.name}.", [record.name]


@_rule("error")
def initial_weights(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Transfer must start from this experiment's finetuned model, and the baseline from random weights."""
    loaded = [record for record in succeeded(experiment.baseline) if record.initial_model is not None]
    if loaded:
        yield "Baseline runs started from a trained model instead of random weights.", names(loaded)
    fresh = [record for record in succeeded(experiment.transfer) if record.initial_model is None]
    if fresh:
        yield "Transfer runs started from random weights instead of the finetuned model.", names(fresh)
    prepared = {record.final_weights for record in succeeded(experiment.finetune) if record.final_weights}
    if prepared:
        other = [
            record
            for record in succeeded(experiment.transfer)
            if record.initial_model is not None and record.initial_model not in prepared
        ]
        if other:
            yield "Transfer runs started from another model than the one that finetune made.", names(other)


@_rule("warning")
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
            f"Other work took more than {percent(DISTURBED_SHARE, 0)} of the processor time during {len(disturbed)} "
            f"runs (up to {percent(worst, 0)}).",
            names(disturbed),
        )


@_rule("warning")
def uninterrupted(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """An interrupted run trained on, on perhaps another machine, with caches cold."""
    again = [record for record in succeeded(experiment.records) if len(record.attempts) > 1]
    if again:
        yield f"{len(again)} runs were interrupted and went on from a checkpoint.", names(again)


@_rule("error")
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


@_rule("warning")
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
                f"{len(fast)} {arm} runs took less than a {SUSPICIOUS_FACTOR:.0f}rd of the arm's median time an epoch.",
                names(fast),
            )


@_rule("warning")
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


@_rule("warning")
def target_reached(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Where many runs never reach the target accuracy, the time to it rests on few."""
    target, _ = target_accuracy(experiment.baseline, settings.target_accuracy)
    if target is None:
        return
    for arm, records in experiment.arms.items():
        times = times_to(records, target)
        never = int(np.isinf(np.asarray(times)).sum()) if times else 0
        # By its very choice nearly half of the baseline runs miss the default target.
        if never * 2 > len(times):
            yield f"{never} of {len(times)} {arm} runs never reached the target of {percent(target)}.", []


@_rule("error")
def test_not_in_training(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Images of the test that stand in training are remembered, not recognised."""
    for stages, records in (
        ("the compared runs", [*experiment.baseline, *experiment.transfer, *experiment.final]),
        ("preparation", [*experiment.pretrain, *experiment.finetune]),
    ):
        found = {
            record.data.digest: record.data.duplicates_across_splits
            for record in records
            if record.data and record.data.duplicates_across_splits
        }
        if found:
            yield f"{max(found.values())} test images of {stages} stand in the training data too.", []


@_rule("warning")
def near_duplicates(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Near-twins of test images in training make the accuracy look better than it is."""
    for record in [*experiment.baseline[:1], *experiment.transfer[:1]]:
        if record.data and record.data.near_duplicates_across_splits:
            tested = record.data.counts.get("test", 0)
            of = f" of {tested}" if tested else ""
            yield (
                f"{record.data.near_duplicates_across_splits}{of} test images have a near-twin in training; "
                "both arms gain from it alike.",
                [],
            )
            return


@_rule("warning")
def nothing_skipped(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Images that could not be read are missing from what was measured."""
    skipped: dict[str, int] = {}
    for record in experiment.records:
        if record.data:
            skipped[record.data.digest] = max(record.data.skipped, skipped.get(record.data.digest, 0))
    if sum(skipped.values()):
        yield f"{sum(skipped.values())} images could not be read and were left out.", []
