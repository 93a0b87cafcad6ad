"""Rules about which runs there are: those that were asked for, enough, each once, of this pipeline run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from headstart.components.reporting.experiment import Experiment, succeeded
from headstart.components.reporting.rules.registry import Broken, names, rule
from headstart.components.reporting.settings import ReportSettings
from headstart.components.reporting.units import counted
from headstart.components.stages import STAGES, chain

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
            rest = len(records) - len(bad)
            yield (
                f"{len(bad)} of {counted(len(records), f'{arm} run')} did not succeed ({said})"
                + (f"; speed-up and accuracy are of the {rest} that did." if rest else "."),
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
        used = {
            record.preparation
            for records_of in experiment.arms.values()
            for record in records_of
            if stage in chain(record.arm)
        }
        for number in sorted(used - {record.preparation for record in records}) if records else []:
            yield f"There is no record of {stage} of preparation {number}, which runs of the arms start from.", []


@rule("warning")
def final_model(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """The model that is shipped should exist and have been tested."""
    of_a_curve = any(record.subset for records in experiment.arms.values() for record in records)
    # A learning curve on models that were there ships none.
    if not experiment.final and not (of_a_curve and experiment.given and not experiment.preparation):
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
        *most, last = (f"{count} {arm}" for arm, count in few.items())
        said = f"{', '.join(most)} and {last}" if most else last
        one = 1 in few.values()
        so = "of one run there is no interval" if one else "the intervals are rough"
        runs = "run" if set(few.values()) == {1} else "runs"
        yield f"Only {said} {runs} succeeded: {so} ({FEW_RUNS} or more are better).", []


@rule("error")
def distinct_seeds(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """The same seed twice in an arm is one run counted twice, and a preparation is made once."""
    for arm, records in experiment.by_stage.items():
        names_of = Counter(record.name for record in records)
        twice = [record for record in records if names_of[record.name] > 1]
        repeated = sorted({record.seed if STAGES[arm].is_arm else record.preparation for record in twice})
        if repeated:
            listed = ", ".join(map(str, repeated[:10])) + (", …" if len(repeated) > 10 else "")
            what = "run with seed" if STAGES[arm].is_arm else "record of preparation"
            kind = "arm" if STAGES[arm].is_arm else "stage"
            yield f"The {arm} {kind} has more than one {what} {listed}.", names(twice)


@rule("error")
def complete(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Leaving out runs changes the answer: all arms must have the same seeds, and those that were asked for."""
    cells = {
        arm: {(record.seed, record.preparation, record.draw) for record in records}
        for arm, records in experiment.arms.items()
        if records
    }
    planned: dict[str, set[tuple[int, int, int]]] = {}
    for cell in experiment.planned:
        for arm in cell.arms:
            planned.setdefault(arm, set()).add((cell.seed, cell.preparation, cell.draw))
    sizes = {record.subset.size_per_class for record in experiment.every if record.subset}
    lost = sorted({cell.size for cell in experiment.planned if cell.size} - sizes)
    if lost:
        of = ", ".join(map(str, lost))
        yield f"There is no run on {of} training images per class, which were asked for.", []
    everything = set().union(*cells.values(), *planned.values())
    for arm in {**cells, **planned}:
        wanted = planned.get(arm, set()) if planned else everything
        missing, extra = sorted(wanted - cells.get(arm, set())), sorted(cells.get(arm, set()) - wanted)
        # A record that cannot be read is one that is there, and said of by a rule of its own.
        if len(missing) > len(experiment.unreadable):
            why = f"that {'was' if len(missing) == 1 else 'were'} asked for" if planned else "that another arm has"
            yield f"The {arm} arm lacks {counted(len(missing), 'run')} {why}: {_listed(missing)}.", []
        if extra:
            yield f"The {arm} arm has {counted(len(extra), 'run')} that nobody asked for: {_listed(extra)}.", []


def _listed(cells: list[tuple[int, int, int]]) -> str:
    several = any(preparation or draw for _, preparation, draw in cells)
    words = [
        f"seed {seed} on preparation {preparation} and draw {draw}" if several else f"seed {seed}"
        for seed, preparation, draw in cells
    ]
    return ", ".join(words[:6]) + (f" and {len(words) - 6} more" if len(words) > 6 else "")


@rule("warning")
def no_gap(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """A gap in otherwise consecutive seeds is what is left where runs were taken out of all arms."""
    seeds = {record.seed for records in experiment.arms.values() for record in records}
    # What was asked for is known, or there is no row of seeds to speak of.
    if experiment.planned or len(seeds) < 3:
        return
    gaps = sorted(set(range(min(seeds), max(seeds) + 1)) - seeds) if max(seeds) - min(seeds) < 2 * len(seeds) else []
    if gaps:
        listed = ", ".join(map(str, gaps[:10])) + (", …" if len(gaps) > 10 else "")
        yield f"No arm has a run with seed {listed}, between {min(seeds)} and {max(seeds)}.", []


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
