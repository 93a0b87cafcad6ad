"""Rules about the chain: each run starts from the model that the table of stages names, and freezes what it says."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from headstart.components.records import RunRecord
from headstart.components.reporting.experiment import Experiment, moment, stages_before, succeeded
from headstart.components.reporting.rules.registry import Broken, Flaw, Problem, grouped, names, of_runs, rule
from headstart.components.reporting.settings import ReportSettings
from headstart.components.stages import STAGES
from headstart.components.training.stage_settings import StageSettings

# Seconds by which the clocks of two machines may differ.
MOST_SKEW = 60.0

# The stage that a run started from, its preparation, and a frozen layer.
Start = tuple[str | None, int, str]


@rule("error")
def initial_weights(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """A run must start from the model that its preparation made, or from random weights, as its stage demands."""
    for stage, records in experiment.by_stage.items():
        source, title = STAGES[stage].starts_from, STAGES[stage].title
        good = succeeded(records)
        loaded = [record for record in good if record.initial_model is not None or record.initial_weights is not None]
        if source is None:
            if loaded:
                yield f"{title} runs started from a trained model instead of random weights.", names(loaded)
            continue
        fresh = [record for record in good if record.initial_model is None and not _random_instead(record)]
        if fresh:
            yield f"{title} runs started from random weights instead of the model of {source}.", names(fresh)
        before = {stages_before(record)[-1:] for record in loaded}
        prepared = _made_by(experiment, before.pop()[0]) if len(before) == 1 and before != {()} else {}
        other = [
            record
            for record in loaded
            if record.initial_model is not None
            and (known := prepared.get(record.preparation))
            and record.initial_model not in known
        ]
        if other:
            yield f"{title} runs started from another model than the one that {source} made for them.", names(other)


def _random_instead(record: RunRecord) -> bool:
    """Whether the stage that it would have started from was left out, with no model in its place."""
    return record.given is not None and not record.given.source and not stages_before(record)


def _made_by(experiment: Experiment, stage: str) -> dict[int, set[str]]:
    """Digests of the weights that a stage ended with, by preparation."""
    made: dict[int, set[str]] = {}
    for record in succeeded(experiment.of(stage)):
        if record.final_weights:
            made.setdefault(record.preparation, set()).add(record.final_weights)
    return made


@rule("error")
def lineage(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """The earlier stages that a run names must be those of its own preparation, with their data and weights."""
    good = succeeded(experiment.records)
    yield from grouped(
        Problem("final", record, f"{record.name} succeeded, but its record does not say with which weights.")
        for record in good
        if record.final_weights is None
    )
    yield from grouped(_starts(good))
    yield from grouped(_given(experiment, good))
    # Versions that did not write it down named no stage for any run.
    if any(record.started_from for record in good):
        yield from of_runs(good, lambda record: _ancestors(record, experiment))


def _starts(records: list[RunRecord]) -> Iterator[Problem]:
    """The weights that runs start from follow from the model that was loaded and the seed of what is new."""
    first: dict[tuple[object, ...], RunRecord] = {}
    loaded = [record for record in records if record.initial_model is not None]
    # Versions that did not write it down did so for no run.
    known = any(record.initial_weights is not None for record in loaded)
    for record in loaded if known else ():
        if record.initial_weights is None:
            yield Problem(
                "start",
                record,
                f"{record.name} loaded a model, but its record does not say with which weights it began.",
            )
            continue
        twin = first.setdefault((record.initial_model, STAGES[record.arm].data, record.seed), record)
        if twin.initial_weights != record.initial_weights:
            yield Problem(
                "other start",
                record,
                f"{record.name} began with other weights than {twin.name}, which loaded the same model with the same "
                "seed.",
            )


def _given(experiment: Experiment, records: Iterable[RunRecord]) -> Iterator[Problem]:
    """What took the place of stages left out is the same for all runs of one preparation."""
    first: dict[tuple[str, int], RunRecord] = {}
    for record in records:
        stage = STAGES[record.arm]
        if stage.role == "preparation" or stage.starts_from is None:
            continue
        made = [name for name in (record.given.left_out if record.given else ()) if experiment.of(name)]
        if made:
            yield Problem(
                "not left out",
                record,
                f"{record.name} says that {' and '.join(made)} was left out, and there is a record of it.",
            )
        twin = first.setdefault((stage.starts_from, record.preparation), record)
        if twin.given != record.given:
            yield Problem(
                "given",
                record,
                f"{record.name} builds on {_in_place(record)}, {twin.name} on {_in_place(twin)}.",
            )


def _in_place(record: RunRecord) -> str:
    if record.given is None:
        return "stages of this experiment alone"
    hours = "unknown" if record.given.hours is None else f"{record.given.hours:g}"
    what = record.given.source or "random weights"
    return f"{what} in place of {' and '.join(record.given.left_out) or 'nothing'} (hours: {hours})"


@rule("warning")
def in_order(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """A run cannot start from a model that was finished only after the run had begun."""
    ends = {
        (record.arm, record.preparation): (end, record)
        for records in experiment.preparation.values()
        for record in succeeded(records)
        if record.attempts
        and (end := _seconds(record.attempts[-1].started_at, record.attempts[-1].wall_seconds)) is not None
    }
    problems = []
    for record in succeeded(experiment.every):
        began = _seconds(record.started_at)
        for stage in stages_before(record)[-1:]:
            end, made = ends.get((stage, record.preparation), (None, None))
            if began is not None and end is not None and made is not None and began < end - MOST_SKEW:
                problems.append(
                    Problem(stage, record, f"{record.name} began before {made.name}, from which it starts, had ended.")
                )
    yield from grouped(problems)


def _seconds(started: str, later: float = 0.0) -> float | None:
    """Seconds since 1970 of a time and some seconds `later`; None where it is no time."""
    time = moment(started)
    return None if time is None else time.timestamp() + later


def _ancestors(record: RunRecord, experiment: Experiment) -> Iterator[Flaw]:
    expected = stages_before(record)
    # A model that was given may bring ancestors of its own.
    own = record.started_from[len(record.started_from) - len(expected) :] if record.given else record.started_from
    named = tuple(ancestor.stage for ancestor in own)
    if named != expected:
        yield (
            "stages",
            f"{record.name} says that it builds on {' and '.join(named) or 'nothing'}; a run of {record.arm} builds on "
            f"{' and '.join(expected) or 'nothing'}.",
        )
        return
    for ancestor in own:
        made = [other for other in succeeded(experiment.of(ancestor.stage)) if other.preparation == record.preparation]
        if made and not any(
            (other.final_weights, other.seed, other.data and other.data.digest)
            == (ancestor.weights, ancestor.seed, ancestor.data)
            for other in made
        ):
            yield (
                f"ancestor {ancestor.stage}",
                f"{record.name} names a {ancestor.stage} of seed {ancestor.seed} with other weights or data than "
                f"{made[0].name} has.",
            )
    if own and record.initial_model not in (None, own[-1].weights):
        yield "initial", f"{record.name} was loaded from another model than the last of those that it builds on."


@rule("error")
def frozen_unchanged(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """A frozen layer whose weights moved was trained; the arm is not what it claims to be."""
    for record in experiment.records:
        moved = [layer.layer for layer in record.frozen if layer.before != layer.after]
        if moved:
            yield f"Frozen weights of {', '.join(moved)} changed in {record.name}.", [record.name]


@rule("error")
def frozen_as_said(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """What was frozen must be what the table of stages and the settings say, and be the layers of the earlier stage."""
    usual = _usual_starts(experiment)
    yield from of_runs(succeeded(experiment.records), lambda record: _frozen(record, experiment, usual))


def _frozen(record: RunRecord, experiment: Experiment, usual: dict[Start, str]) -> Iterator[Flaw]:
    layers = [layer.layer for layer in record.frozen]
    wanted = _wanted(record)
    if wanted is not None and layers != wanted:
        yield (
            "layers",
            f"{record.name} froze {', '.join(layers) or 'nothing'}; by its settings it freezes "
            f"{', '.join(wanted) or 'nothing'}.",
        )
    if STAGES[record.arm].frozen == "nothing" and layers:
        yield "something", f"{record.name} froze {', '.join(layers)}; a run of {record.arm} trains all."
    start = record.initial_weights
    if record.final_weights is not None and start == record.final_weights:
        yield "untrained", f"{record.name} ended with the weights that it started from: nothing trained."
    source = STAGES[record.arm].starts_from
    if source is None:
        return
    for other in succeeded(experiment.of(source)):
        if other.preparation == record.preparation:
            kept = {layer.layer: layer.after for layer in other.frozen}
            foreign = [layer.layer for layer in record.frozen if kept.get(layer.layer, layer.before) != layer.before]
            if foreign:
                yield (
                    "foreign",
                    f"{record.name}: {', '.join(foreign)} began with other weights than {other.name} ended with.",
                )
    # All runs that freeze a layer of one prepared model freeze the same weights.
    odd = [each.layer for each in record.frozen if usual[source, record.preparation, each.layer] != each.before]
    if odd:
        yield "siblings", f"{record.name}: {', '.join(odd)} began with other weights than in its siblings."


def _usual_starts(experiment: Experiment) -> dict[Start, str]:
    """The most frequent digest of each frozen layer before training, among the runs from one prepared model."""
    found: dict[Start, Counter[str]] = defaultdict(Counter)
    for record in succeeded(experiment.records):
        for layer in record.frozen:
            found[STAGES[record.arm].starts_from, record.preparation, layer.layer][layer.before] += 1
    return {start: digests.most_common(1)[0][0] for start, digests in found.items()}


def _wanted(record: RunRecord) -> list[str] | None:
    """The layers that the settings freeze in this stage; None where this version cannot tell."""
    said = record.stage.get("frozen")
    if record.network:  # another network than the paper's has layers of its own
        return said
    try:
        settings = StageSettings.model_validate({key: value for key, value in record.stage.items() if key != "frozen"})
    except ValueError:
        return said
    return list(settings.frozen_layers(record.arm))
