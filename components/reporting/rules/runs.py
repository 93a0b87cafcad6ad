"""Rules about which runs there are: enough, each once, of this pipeline run, none from a cache."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from headstart.components.records import RunRecord
from headstart.components.reporting.experiment import Experiment, succeeded
from headstart.components.reporting.rules.registry import Broken, names, rule
from headstart.components.reporting.settings import ReportSettings
from headstart.components.reporting.units import counted

FEW_RUNS = 5


@rule("error")
def enough_runs(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Without runs of both arms there is nothing to compare."""
    for arm, records in experiment.arms.items():
        good = len(succeeded(records))
        if good < max(1, settings.minimum_succeeded):
            yield (
                f"{good} of {len(records)} {arm} runs succeeded; {max(1, settings.minimum_succeeded)} are asked for.",
                names(record for record in records if record.status != "succeeded"),
            )


@rule("error")
def unreadable(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """A record that cannot be read is a run whose result is not known."""
    if experiment.unreadable:
        said = "; ".join(experiment.unreadable[:3])
        yield f"{counted(len(experiment.unreadable), 'record')} could not be read: {said}", []


@rule("warning")
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


@rule("error")
def preparation(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Unless preparation is known to have worked, there is no transferred model to speak of."""
    for stage, records in experiment.preparation.items():
        if not records:
            yield f"There is no record of {stage}, so the cost of preparation is not known.", []
        for record in records:
            if record.status != "succeeded":
                yield f"{record.name} {record.status}: {record.reason or 'no reason given'}.", [record.name]


@rule("warning")
def final_model(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """The model that is shipped should exist and have been tested."""
    if not experiment.final:
        yield "There is no record of the final model.", []
    for record in experiment.final:
        if record.status != "succeeded":
            yield f"{record.name} {record.status}: {record.reason or 'no reason given'}.", [record.name]


@rule("warning")
def few_runs(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """With few runs an interval says little about runs to come."""
    counts = {arm: len(succeeded(records)) for arm, records in experiment.arms.items()}
    few = {arm: count for arm, count in counts.items() if 0 < count < FEW_RUNS}
    if few:
        said = " and ".join(f"{count} {arm}" for arm, count in few.items())
        yield f"Only {said} runs succeeded: the intervals are rough ({FEW_RUNS} or more are better).", []


@rule("error")
def distinct_seeds(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """The same seed twice in an arm is one run counted twice."""
    for arm, records in experiment.arms.items():
        names_of = Counter(record.name for record in records)
        repeated = sorted({record.seed for record in records if names_of[record.name] > 1})
        if repeated:
            listed = ", ".join(map(str, repeated[:10])) + (", …" if len(repeated) > 10 else "")
            yield (
                f"The {arm} arm has more than one run with seed {listed}.",
                names(record for record in records if names_of[record.name] > 1),
            )


@rule("error")
def own_run(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """A record of another pipeline run came from a cache or a stale file, not from this measurement."""
    foreign = [record for record in experiment.records if record.run_id != experiment.run_id]
    if foreign:
        ids = sorted({record.run_id or "(none)" for record in foreign})
        yield (
            f"{counted(len(foreign), 'record')} of another pipeline run ({', '.join(ids[:3])}) "
            f"among those of this one ({experiment.run_id}).",
            names(foreign),
        )


@rule("error")
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
