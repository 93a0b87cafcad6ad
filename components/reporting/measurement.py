"""From the records of one experiment to its summary: every number of the report is made here."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from headstart.components.records import RunRecord
from headstart.components.reporting import labels, time_to_accuracy
from headstart.components.reporting.answer import answer
from headstart.components.reporting.break_even import break_even
from headstart.components.reporting.experiment import (
    Experiment,
    Quantity,
    answers,
    cpu_seconds,
    draws_shared,
    epochs,
    films,
    seconds_per_epoch,
    succeeded,
    test_accuracy,
    total_seconds,
    train_seconds,
    values,
)
from headstart.components.reporting.negative_transfer import negative_transfer
from headstart.components.reporting.sampling import Bits, Sample
from headstart.components.reporting.settings import ReportSettings
from headstart.components.reporting.statistics import (
    describe,
    difference,
    gain_on_new_images,
    mean_ratio,
    paired_test,
    tests,
    time_ratio,
)
from headstart.components.reporting.summary import (
    AccuracyGain,
    Arm,
    Compared,
    Cost,
    Failure,
    Finding,
    HoldsOver,
    Interval,
    Preparation,
    ProfilePoint,
    SeenBefore,
    Speedup,
    Summary,
    Tests,
    finite,
)
from headstart.components.reporting.verify import is_sound, verify
from headstart.components.stages import chain


def labelled(records: Sequence[RunRecord], numbers: Sequence[float]) -> Sample:
    """A value per run, with its preparation and draw; an arm that starts from nothing has no preparation."""
    prepared = [record.preparation for record in records] if records and chain(records[0].arm) else []
    return Sample(np.asarray(numbers, dtype=np.float64), prepared, [record.draw for record in records])


def sample(records: Sequence[RunRecord], quantity: Quantity) -> Sample:
    """A quantity of the runs that succeeded and have it, with what they share."""
    known = [(record, value) for record in succeeded(records) if (value := quantity(record)) is not None]
    return labelled([record for record, _ in known], [value for _, value in known])


def summarise(experiment: Experiment, settings: ReportSettings) -> Summary:
    """Measure an experiment; nothing here raises for runs that failed or are missing."""
    target, origin = time_to_accuracy.target_accuracy(experiment.control, settings.target_accuracy)
    prepared, chains = _preparation(experiment)
    findings = _findings(experiment, settings)
    compared = [
        _compare(experiment, control, treatment, settings, target, prepared, chains)
        for control, treatment in experiment.comparisons
    ]
    first = compared[0]
    curve = labels.measure(experiment, first.control, first.treatment, settings)
    both = [record for records in experiment.arms.values() for record in records]
    summary = Summary(
        run_id=experiment.run_id,
        sound=is_sound(findings),
        findings=findings,
        comparisons=compared,
        holds_over=_holds_over(experiment, first),
        variance=first.gain.shares,
        seen_before=_seen_before(experiment.of(first.treatment)),
        speedup=first.speedup,
        accuracy_gain=first.accuracy_gain.these_images,
        accuracy_tests=first.accuracy_tests,
        break_even_models=first.break_even.models,
        break_even=first.break_even,
        preparation_seconds=prepared.train_seconds,
        preparation=prepared,
        target_accuracy=target,
        target_accuracy_origin=origin,
        arms={arm: _arm(records, target) for arm, records in experiment.arms.items()},
        final_accuracy=next(iter(values(experiment.final, test_accuracy)), None),
        failures=[
            Failure(run=record.name, status=record.status, reason=record.reason or "no reason given")
            for record in experiment.every
            if record.status != "succeeded"
        ],
        cost=_cost(experiment, settings),
        **curve,
        curve_offer=None if curve else labels.offer(experiment, settings),
        confidence=settings.confidence,
        command=settings.command,
        data_digest=next((record.data.digest for record in both if record.data), ""),
        preset=_usual([record.preset for record in both]),
        hardware=_usual([hardware(record) for record in both]),
        image=_usual([record.environment.image for record in both]),
        headstart_version=next(
            (version for record in experiment.records if (version := record.environment.versions.get("headstart"))),
            "",
        ),
    )
    return summary.model_copy(
        update={"answer": answer(summary), "negative_transfer": negative_transfer(experiment, summary)}
    )


def _findings(experiment: Experiment, settings: ReportSettings) -> list[Finding]:
    """What the rules find at the largest size of a learning curve, then what only smaller sizes break."""
    findings = verify(experiment, settings)
    for size, part in experiment.at_sizes().items():
        known = {finding.rule for finding in findings}
        findings += [
            finding.model_copy(update={"message": f"With {size} training images per class: {finding.message}"})
            for finding in verify(part, settings)
            if finding.rule not in known
        ]
    return findings


def _compare(
    experiment: Experiment,
    control: str,
    treatment: str,
    settings: ReportSettings,
    target: float | None,
    prepared: Preparation,
    chains: Sequence[float],
) -> Compared:
    """Everything that is measured of two arms."""
    a, b, confidence = experiment.of(control), experiment.of(treatment), settings.confidence

    def ratio(quantity: Quantity) -> Interval:
        return time_ratio(sample(a, quantity), sample(b, quantity), confidence)

    def to_target(accuracy: float) -> Interval:
        times = (
            labelled(time_to_accuracy.timed(records), time_to_accuracy.times_to(records, accuracy))
            for records in (a, b)
        )
        return time_ratio(next(times), next(times), confidence)

    processor = ratio(cpu_seconds)
    if any(record.environment.device_kind == "gpu" for record in (*a, *b)):
        notes = [processor.note, "of the host's processor, without what the GPU computes"]
        processor = processor.model_copy(update={"note": "; ".join(filter(None, notes))})
    means = [describe(values(records, total_seconds)).mean for records in (a, b)]
    times = sample(a, train_seconds), sample(b, train_seconds)
    return Compared(
        control=control,
        treatment=treatment,
        speedup=Speedup(
            train=ratio(train_seconds),
            train_of_means=mean_ratio(*times, confidence),
            time_to_accuracy=(
                to_target(target) if target is not None else Interval(of="pairs", note="no target accuracy is known")
            ),
            epochs=ratio(epochs),
            seconds_per_epoch=ratio(seconds_per_epoch),
            all_phases=ratio(total_seconds),
            cpu=processor,
            train_tests=_tests(a, b, train_seconds),
        ),
        accuracy_gain=AccuracyGain(
            these_images=difference(sample(a, test_accuracy), sample(b, test_accuracy), confidence),
            new_images=_new_images(succeeded(a), succeeded(b), confidence),
        ),
        accuracy_tests=_tests(a, b, test_accuracy),
        gain_by_class=_gain_by_class(a, b, confidence),
        accuracy_profile=[
            ProfilePoint(target=each, ratio=to_target(each)) for each in time_to_accuracy.targets((a, b))
        ],
        break_even=break_even(
            chains,
            prepared.reason,
            *times,
            confidence,
            all_phases=(
                (prepared.total_seconds, means[0], means[1])
                if prepared.total_seconds is not None and means[0] is not None and means[1] is not None
                else None
            ),
        ),
    )


def _tests(a: Sequence[RunRecord], b: Sequence[RunRecord], quantity: Quantity) -> Tests:
    """Tests over all runs, and of the pairs that share preparation, draw and seed."""
    known = [
        {
            (record.preparation, record.draw, record.seed): value
            for record in succeeded(records)
            if (value := quantity(record)) is not None
        }
        for records in (a, b)
    ]
    shared = sorted(known[0].keys() & known[1].keys())
    unpaired = tests(values(a, quantity), values(b, quantity))
    return paired_test(unpaired, [known[0][key] for key in shared], [known[1][key] for key in shared])


def _answers(records: Sequence[RunRecord]) -> Bits | None:
    """Runs × test images, whether the answer was right; None unless all runs tell it of equally many images."""
    rows = [row for record in records if (row := answers(record)) is not None]
    return np.stack(rows) if len(rows) == len(records) and len({row.size for row in rows}) == 1 else None


def _new_images(a: Sequence[RunRecord], b: Sequence[RunRecord], confidence: float) -> Interval:
    right = _answers(a), _answers(b)
    if right[0] is None or right[1] is None or right[0].shape[1] != right[1].shape[1]:
        return Interval(of="mean", note="the records do not hold the answer to each test image")
    known = next((found for record in a if (found := films(record, right[0].shape[1]))), None)
    runs = labelled(a, [0.0] * len(a)), labelled(b, [0.0] * len(b))
    return gain_on_new_images(right[0], right[1], known, confidence, runs)


def _gain_by_class(a: Sequence[RunRecord], b: Sequence[RunRecord], confidence: float) -> dict[str, Interval]:
    """Gain in the share of each class's test images that is found."""
    classes = next((record.data.classes for record in succeeded([*a, *b]) if record.data), [])

    def recall(index: int) -> Quantity:
        def share(record: RunRecord) -> float | None:
            matrix = record.result.confusion
            if matrix is None or len(matrix) != len(classes):
                return None
            row = matrix[index]
            return row[index] / sum(row) if len(row) == len(matrix) and sum(row) > 0 else None

        return share

    gains = {
        name: difference(sample(a, recall(index)), sample(b, recall(index)), confidence)
        for index, name in enumerate(classes)
    }
    return {name: gain for name, gain in gains.items() if gain.estimate is not None}


def _holds_over(experiment: Experiment, first: Compared) -> HoldsOver:
    arms = [succeeded(experiment.of(arm)) for arm in (first.control, first.treatment)]
    right = [_answers(records) for records in arms]
    known = [bits.shape[1] for bits in right if bits is not None]
    shared = draws_shared(arms[1])
    return HoldsOver(
        seeds=min(len({record.seed for record in records}) for records in arms),
        preparations=len({record.preparation for record in arms[1]}) if chain(first.treatment) else 0,
        draws=min(1 if shared == 1 else len({record.draw for record in records}) for records in arms),
        draws_shared=shared,
        test_images=min(known) if len(known) == 2 and first.accuracy_gain.new_images.method != "none" else 0,
    )


def _seen_before(records: Sequence[RunRecord]) -> SeenBefore | None:
    """The most that any run's weights had seen."""
    seen = [(record.seen_before, record) for record in succeeded(records) if record.seen_before]
    if not seen:
        return None
    most, record = max(seen, key=lambda item: (item[0].training_images, item[0].class_images))
    return SeenBefore(
        labelled_images=most.class_images,
        training_images=most.training_images,
        test_images=most.test_images,
        of_training_images=record.data.counts.get("train", 0) if record.data else 0,
    )


def hardware(record: RunRecord) -> str:
    """The device of a run in words: `cpu Intel Xeon, 2 cores`; empty where it is not known."""
    environment = record.environment
    if environment.device_kind == "gpu":
        return f"{environment.device_count} × {environment.device_name}"
    name = environment.processor or environment.device_name
    return f"{name}, {environment.cores:g} cores" if name else ""


def _usual(names: Sequence[str]) -> str:
    return Counter(names).most_common(1)[0][0] if names else ""


def _arm(records: Sequence[RunRecord], target: float | None) -> Arm:
    times = time_to_accuracy.times_to(records, target) if target is not None else []
    return Arm(
        runs=len(records),
        succeeded=len(succeeded(records)),
        failed=sum(record.status == "failed" for record in records),
        diverged=sum(record.status == "diverged" for record in records),
        train_seconds=describe(values(records, train_seconds)),
        epochs=describe(values(records, epochs)),
        seconds_per_epoch=describe(values(records, seconds_per_epoch)),
        total_seconds=describe(values(records, total_seconds)),
        accuracy=describe(values(records, test_accuracy)),
        best_validation_accuracy=describe(values(records, time_to_accuracy.best_validation_accuracy)),
        reached_target=sum(map(math.isfinite, times)),
        time_to_accuracy_median=finite(time_to_accuracy.median_by_rank(times)),
    )


def _chains(experiment: Experiment, quantity: Quantity) -> list[dict[str, float]]:
    """The quantity of each stage, for every preparation all of whose stages succeeded and have it."""
    by_number: dict[int, dict[str, float]] = {}
    for stage, records in experiment.preparation.items():
        for record in succeeded(records):
            value = quantity(record)
            if train_seconds(record) is not None and value is not None:
                by_number.setdefault(record.preparation, {})[stage] = value
    return [chained for chained in by_number.values() if len(chained) == len(experiment.preparation)]


def _preparation(experiment: Experiment) -> tuple[Preparation, list[float]]:
    """What preparation cost, and the training seconds of each of several."""
    stages: dict[str, float] = {}
    reasons: list[str] = []
    for stage, records in experiment.preparation.items():
        known = values(records, train_seconds)
        if known:
            stages[stage] = float(np.mean(known))
        else:
            reasons.append(f"{stage} {records[-1].status}" if records else f"there is no record of {stage}")
    trained = [sum(chained.values()) for chained in _chains(experiment, train_seconds)]
    complete = [sum(chained.values()) for chained in _chains(experiment, total_seconds)]
    if given := experiment.given:
        if not experiment.preparation:
            trained, complete = [0.0], [0.0]
        if given.hours is None:
            trained, complete = [], []
            # A curve has no such option.
            nothing = "no run's summary" if experiment.smaller else "neither a run's summary nor --preparation-hours"
            reasons.append(f"{nothing} says what {given.source} took")
        else:
            trained = [seconds + 3600 * given.hours for seconds in trained]
            complete = [seconds + 3600 * given.hours for seconds in complete]
    if not trained and not reasons:
        reasons.append("no preparation has all its stages")
    content = {
        "stages": stages,
        **{f"{stage}_seconds": seconds for stage, seconds in stages.items()},
        "train_seconds": float(np.mean(trained)) if trained else None,
        "total_seconds": float(np.mean(complete)) if complete else None,
        "reason": " and ".join(reasons) if not trained else "",
    }
    return Preparation.model_validate(content), trained


def _cost(experiment: Experiment, settings: ReportSettings) -> Cost | None:
    if settings.price_per_hour <= 0:
        return None

    def price(record: RunRecord) -> float:
        return total_seconds(record) / 3600 * settings.price_per_hour * max(1, record.environment.device_count)

    prepared = [sum(chained.values()) for chained in _chains(experiment, price)]
    means = {arm: describe(values(records, price)).mean for arm, records in experiment.arms.items()}
    per_model = {arm: mean for arm, mean in means.items() if mean is not None}
    content = {
        "price_per_hour": settings.price_per_hour,
        "currency": settings.currency,
        "preparation": float(np.mean(prepared)) if prepared else None,
        "per_model": per_model,
        **{f"{arm}_per_model": mean for arm, mean in per_model.items()},
    }
    return Cost.model_validate(content)
