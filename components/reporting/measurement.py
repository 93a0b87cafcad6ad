"""From the records of one experiment to its summary: every number of the report is made here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from headstart.components.records import RunRecord
from headstart.components.reporting import time_to_accuracy
from headstart.components.reporting.answer import answer
from headstart.components.reporting.break_even import break_even
from headstart.components.reporting.experiment import Experiment, succeeded, total_seconds
from headstart.components.reporting.sampling import Sample
from headstart.components.reporting.settings import ReportSettings
from headstart.components.reporting.statistics import (
    describe,
    difference,
    mean_ratio,
    paired_test,
    tests,
    time_ratio,
)
from headstart.components.reporting.summary import (
    Arm,
    Cost,
    Failure,
    Interval,
    Preparation,
    ProfilePoint,
    Speedup,
    Summary,
)
from headstart.components.reporting.verify import is_sound, verify

Quantity = Callable[[RunRecord], float | None]


def train_seconds(record: RunRecord) -> float | None:
    """Training time; None where nothing was timed."""
    return record.phases.train if record.phases.train > 0 else None


def epochs(record: RunRecord) -> float | None:
    """Epochs trained; None where the record holds none."""
    return float(len(record.epochs)) or None


def seconds_per_epoch(record: RunRecord) -> float | None:
    """Training time over epochs; a frozen prefix computed once is spread over them."""
    return record.phases.train / len(record.epochs) if record.epochs and record.phases.train > 0 else None


def cpu_seconds(record: RunRecord) -> float | None:
    """Processor time of training; None where it was not measured."""
    return record.train_cpu_seconds or None


def test_accuracy(record: RunRecord) -> float | None:
    """Accuracy on the test split."""
    return record.result.test_accuracy


def values(records: Sequence[RunRecord], quantity: Quantity) -> list[float]:
    """A quantity of the runs that succeeded and have it, in the order of the records."""
    return [value for record in succeeded(records) if (value := quantity(record)) is not None]


def sample(records: Sequence[RunRecord], quantity: Quantity) -> Sample:
    """The same as a sample."""
    return Sample.of(values(records, quantity))


def pairs(experiment: Experiment, quantity: Quantity) -> tuple[list[float], list[float]]:
    """A quantity of the runs whose seed succeeded once in both arms: baseline and transfer, in the same order."""
    by_arm = [
        {record.seed: value for record in succeeded(records) if (value := quantity(record)) is not None}
        for records in (experiment.baseline, experiment.transfer)
    ]
    shared = sorted(by_arm[0].keys() & by_arm[1].keys())
    return [by_arm[0][seed] for seed in shared], [by_arm[1][seed] for seed in shared]


def summarise(experiment: Experiment, settings: ReportSettings) -> Summary:
    """Measure an experiment; nothing here raises for runs that failed or are missing."""
    baseline, transfer = experiment.baseline, experiment.transfer
    confidence = settings.confidence
    target, origin = time_to_accuracy.target_accuracy(baseline, settings.target_accuracy)
    reached = {
        arm: time_to_accuracy.times_to(records, target) if target is not None else []
        for arm, records in experiment.arms.items()
    }
    prepared = _preparation(experiment)
    all_phases = [describe(values(records, total_seconds)).mean for records in (baseline, transfer)]
    pays = break_even(
        [prepared.train_seconds] if prepared.train_seconds is not None else [],
        prepared.reason,
        sample(baseline, train_seconds),
        sample(transfer, train_seconds),
        confidence,
        all_phases=(
            (prepared.total_seconds, all_phases[0], all_phases[1])
            if prepared.total_seconds is not None and all_phases[0] is not None and all_phases[1] is not None
            else None
        ),
    )
    findings = verify(experiment, settings)

    def ratio(quantity: Quantity) -> Interval:
        return time_ratio(sample(baseline, quantity), sample(transfer, quantity), confidence)

    def to_target(target: float) -> Interval:
        a, b = (Sample.of(time_to_accuracy.times_to(records, target)) for records in (baseline, transfer))
        return time_ratio(a, b, confidence)

    both = [*baseline, *transfer]
    summary = Summary(
        run_id=experiment.run_id,
        sound=is_sound(findings),
        findings=findings,
        speedup=Speedup(
            train=ratio(train_seconds),
            train_of_means=mean_ratio(sample(baseline, train_seconds), sample(transfer, train_seconds), confidence),
            time_to_accuracy=to_target(target) if target is not None else Interval(of="pairs", note=origin),
            epochs=ratio(epochs),
            seconds_per_epoch=ratio(seconds_per_epoch),
            all_phases=ratio(total_seconds),
            cpu=ratio(cpu_seconds),
            accuracy_profile=[
                ProfilePoint(target=each, ratio=to_target(each))
                for each in time_to_accuracy.targets((baseline, transfer))
            ],
            train_tests=paired_test(
                tests(values(baseline, train_seconds), values(transfer, train_seconds)),
                *pairs(experiment, train_seconds),
            ),
        ),
        accuracy_gain=difference(sample(baseline, test_accuracy), sample(transfer, test_accuracy), confidence),
        accuracy_tests=paired_test(
            tests(values(baseline, test_accuracy), values(transfer, test_accuracy)),
            *pairs(experiment, test_accuracy),
        ),
        break_even_models=pays.models,
        break_even=pays,
        preparation_seconds=prepared.train_seconds,
        preparation=prepared,
        target_accuracy=target,
        target_accuracy_origin=origin,
        arms={
            "baseline": _arm(baseline, reached["baseline"]),
            "transfer": _arm(transfer, reached["transfer"]),
        },
        final_accuracy=next(iter(values(experiment.final, test_accuracy)), None),
        failures=[
            Failure(run=record.name, status=record.status, reason=record.reason or "no reason given")
            for record in experiment.records
            if record.status != "succeeded"
        ],
        cost=_cost(experiment, settings),
        confidence=confidence,
        command=settings.command,
        data_digest=next((record.data.digest for record in both if record.data), ""),
        preset=_usual([record.preset for record in both]),
        hardware=_usual([hardware(record) for record in both]),
        image=_usual([record.environment.image for record in both]),
        headstart_version=next(
            (found for record in experiment.records if (found := record.environment.versions.get("headstart"))), ""
        ),
    )
    return summary.model_copy(update={"answer": answer(summary)})


def hardware(record: RunRecord) -> str:
    """The device of a run in words: `cpu Intel Xeon, 2 cores`; empty where it is not known."""
    found = record.environment
    if found.device_kind == "gpu":
        return f"{found.device_count} × {found.device_name}"
    name = found.processor or found.device_name
    return f"{name}, {found.cores:g} cores" if name else ""


def _usual(found: Sequence[str]) -> str:
    return Counter(found).most_common(1)[0][0] if found else ""


def _arm(records: Sequence[RunRecord], times: Sequence[float]) -> Arm:
    middle = time_to_accuracy.median_by_rank(times)
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
        reached_target=sum(time_to_accuracy.finite(time) is not None for time in times),
        time_to_accuracy_median=time_to_accuracy.finite(middle),
    )


def _preparation(experiment: Experiment) -> Preparation:
    trained: dict[str, float | None] = {}
    complete: list[float] = []
    reasons: list[str] = []
    for stage, records in (("pretrain", experiment.pretrain), ("finetune", experiment.finetune)):
        good = [record for record in succeeded(records) if record.phases.train > 0]
        trained[stage] = good[-1].phases.train if good else None
        if good:
            complete.append(total_seconds(good[-1]))
        else:
            reasons.append(f"{stage} {records[-1].status}" if records else f"there is no record of {stage}")
    known = [value for value in trained.values() if value is not None]
    return Preparation(
        pretrain_seconds=trained["pretrain"],
        finetune_seconds=trained["finetune"],
        train_seconds=sum(known) if len(known) == 2 else None,
        total_seconds=sum(complete) if len(complete) == 2 else None,
        reason=" and ".join(reasons),
    )


def _cost(experiment: Experiment, settings: ReportSettings) -> Cost | None:
    if settings.price_per_hour <= 0:
        return None

    def price(record: RunRecord) -> float:
        return total_seconds(record) / 3600 * settings.price_per_hour * max(1, record.environment.device_count)

    stages = [succeeded(experiment.pretrain)[-1:], succeeded(experiment.finetune)[-1:]]
    return Cost(
        price_per_hour=settings.price_per_hour,
        currency=settings.currency,
        preparation=sum(price(stage[0]) for stage in stages) if all(stages) else None,
        baseline_per_model=describe(values(experiment.baseline, price)).mean,
        transfer_per_model=describe(values(experiment.transfer, price)).mean,
    )
