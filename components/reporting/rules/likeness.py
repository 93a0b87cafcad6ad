"""Rules about likeness: all arms on the same images, network, recipe, hardware, software and machines."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from headstart.components.records import Precision, RunRecord
from headstart.components.reporting.experiment import Experiment, by_key, succeeded
from headstart.components.reporting.rules.registry import Broken, Flaw, Problem, grouped, names, of_runs, rule
from headstart.components.reporting.settings import ReportSettings
from headstart.components.reporting.units import counted
from headstart.components.stages import STAGES, order

# In bfloat16 a step that takes less than this share of its time in every round would have been chosen.
MUCH_FASTER = 0.9


def _arms(experiment: Experiment) -> list[RunRecord]:
    """The runs of all arms that succeeded."""
    return [record for records in experiment.arms.values() for record in succeeded(records)]


def _kinds(experiment: Experiment) -> list[list[RunRecord]]:
    """The runs of all arms, and those of each stage that prepares them: within each, all must be alike."""
    prepared = [succeeded(records) for records in experiment.preparation.values()]
    return [_arms(experiment), *(records for records in prepared if len(records) > 1)]


def _differences(
    records: Iterable[RunRecord], what: Callable[[RunRecord], dict[str, Any] | None], noun: str
) -> Iterable[Broken]:
    """Compare a dict of each run with the most common; name what differs."""
    forms: dict[str, tuple[dict[str, Any], list[RunRecord]]] = {}
    first: tuple[dict[str, Any], list[RunRecord]] | None = None
    for record in records:
        value = what(record)
        if value is None:
            continue
        # Mostly all are like the first, and comparing is far cheaper than writing out.
        if first is not None and value == first[0]:
            first[1].append(record)
            continue
        found = forms.setdefault(json.dumps(value, sort_keys=True, default=str), (value, []))
        found[1].append(record)
        first = first or found
    if len(forms) < 2:
        return
    norm, usual = max(forms.values(), key=lambda form: len(form[1]))
    total = sum(len(runs) for _, runs in forms.values())
    odd: dict[str, list[RunRecord]] = {}
    for value, runs in forms.values():
        if runs is not usual:
            keys = [key for key in {**norm, **value} if norm.get(key) != value.get(key)]
            said = ", ".join(f"{key} is {value.get(key)!r} instead of {norm.get(key)!r}" for key in keys[:4])
            said += f", and {len(keys) - 4} more" if len(keys) > 4 else ""
            odd.setdefault(said, []).extend(runs)
    for said, runs in odd.items():
        yield f"{len(runs)} of {total} runs used other {noun}: {said}.", names(runs)


@rule("error")
def same_data(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """On other images a run takes another time; that is data, not transfer."""
    # The final model is shipped with these arms' figures beside it.
    yield from _differences([*_arms(experiment), *succeeded(experiment.final)], _images, "images")
    for records in _kinds(experiment):
        # The training images differ from draw to draw, for all arms alike; nothing else does.
        for draw in sorted({record.draw for record in records}):
            yield from _differences(
                [record for record in records if record.draw == draw],
                lambda record: {"digest": record.data.digest, "counts": record.data.counts} if record.data else None,
                "images",
            )
    for records in _kinds(experiment)[1:]:
        yield from _differences(records, _images, "images")


def _images(record: RunRecord) -> dict[str, Any] | None:
    """What is the same in all draws: the test images, the classes in their order, the size."""
    if record.data is None:
        return None
    alike = record.data.model_dump(include={"source", "image_size", "classes", "test_groups"})
    return {**alike, "test images": record.data.counts.get("test", 0)}


@rule("error")
def same_network(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """A smaller network, or smaller images in front of it, train faster; that is no transfer."""
    # Zero parameters: the record does not say.
    first, *prepared = _kinds(experiment)
    for records in ([*first, *succeeded(experiment.final)], *prepared):
        yield from _differences(
            records,
            lambda record: (
                {"network": record.network, "parameters": record.total_parameters} if record.total_parameters else None
            ),
            "networks",
        )
    trained = [record for record in succeeded(experiment.records) if STAGES[record.arm].role != "product"]
    yield from _differences(
        trained,
        lambda record: {
            "network": record.network,
            "image_size": record.data.image_size if record.data else None,
            "first_stride": record.stage.get("first_stride"),
        },
        "networks or image sizes",
    )
    for records in experiment.by_stage.values():
        yield from _differences(
            succeeded(records),
            lambda record: {
                "trainable parameters": record.trainable_parameters,
                "frozen outputs computed once": record.prefix_cached,
                **record.stage,
            },
            "settings of the network",
        )
    # An arm that freezes layers trains fewer parameters than one that freezes nothing.
    whole = max(
        (record.trainable_parameters for record in _arms(experiment) if STAGES[record.arm].frozen == "nothing"),
        default=0,
    )
    yield from of_runs(trained, lambda record: _trainable(record, whole))


def _trainable(record: RunRecord, whole: int) -> Iterator[Flaw]:
    trainable, total = record.trainable_parameters, record.total_parameters
    if not total:
        return
    if not 0 < trainable <= total:
        yield "share", f"{record.name} trained {trainable:,} parameters of a network that has {total:,}."
    elif STAGES[record.arm].is_arm and record.frozen and whole and trainable >= whole:
        yield (
            "frozen",
            f"{record.name} froze {len(record.frozen)} layers, but trained {trainable:,} parameters, as many as an arm "
            "that freezes nothing.",
        )


@rule("error")
def same_recipe(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """All arms must share batch size, optimiser, stop rule and every other setting of the recipe."""
    first, *prepared = _kinds(experiment)
    for records in ([*first, *succeeded(experiment.final)], *prepared):
        yield from _differences(
            records,
            lambda record: {
                "preset": record.preset,
                **{name: value for name, value in record.recipe.items() if name != "learning_rate"},
            },
            "recipe settings",
        )
        yield from _differences(
            [record for record in records if STAGES[record.arm].learning_rate == 1],
            lambda record: {"learning_rate": record.recipe.get("learning_rate")},
            "recipe settings",
        )
    for records in experiment.arms.values():
        yield from _differences(
            [record for record in succeeded(records) if STAGES[record.arm].learning_rate != 1],
            lambda record: {"learning_rate": record.recipe.get("learning_rate")},
            "recipe settings",
        )
    # What `precision: auto` came to is one choice for all stages.
    yield from _differences(
        succeeded(experiment.records),
        lambda record: record.precision.model_dump() if record.precision else None,
        "choices of the precision",
    )
    yield from grouped(
        Problem(
            "precision",
            record,
            f"{record.name} trained in {record.recipe.get('precision')}, and {record.precision.chosen} was chosen.",
        )
        for record in succeeded(experiment.records)
        if record.precision and record.recipe.get("precision") != record.precision.chosen
    )
    yield from grouped(
        Problem(
            "timing",
            record,
            f"{record.name}: {record.precision.chosen} was chosen, which the times say is the slower: bfloat16 took "
            f"{record.precision.ratio:.2f} times as long, less in {record.precision.faster_rounds} of "
            f"{record.precision.rounds} rounds.",
        )
        for record in succeeded(experiment.records)
        if record.precision and record.precision.ratio is not None and not _follows(record.precision)
    )


def _follows(precision: Precision) -> bool:
    """Whether the choice is not against its own times; a little faster is not enough for bfloat16."""
    ratio, rounds, faster = precision.ratio or 0.0, precision.rounds, precision.faster_rounds
    # The median of the rounds is below one where most of them are.
    if faster > rounds or (rounds and (ratio < 1) != (faster * 2 > rounds) and abs(faster * 2 - rounds) > 1):
        return False
    narrow = precision.chosen == "bfloat16"
    return not (narrow and ratio >= 1) and not (not narrow and ratio < MUCH_FASTER and faster == rounds)


@rule("error")
def same_at_all_sizes(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Along a learning curve the number of images changes and nothing else; else it shows something else too."""
    if not experiment.smaller:
        return
    records = [record for record in succeeded(experiment.every) if STAGES[record.arm].is_arm]
    for noun, what in (("settings", _settings), ("test images", _images), ("machines or software", _place)):
        yield from _differences(records, what, f"{noun} along the learning curve")


def _settings(record: RunRecord) -> dict[str, Any]:
    recipe = {name: value for name, value in record.recipe.items() if name != "learning_rate"}
    return {**recipe, "preset": record.preset, "network": record.network, "parameters": record.total_parameters}


def _place(record: RunRecord) -> dict[str, Any]:
    return {**_hardware(record), **_software(record)}


@rule("error")
def same_hardware(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Times on different hardware cannot be compared."""
    yield from _differences(_arms(experiment), _hardware, "hardware")


def _hardware(record: RunRecord) -> dict[str, Any]:
    keys = ("device_kind", "device_name", "device_count", "processor", "cores", "threads")
    return {key: getattr(record.environment, key) for key in keys}


@rule("error")
def same_image(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Another image or another version of TensorFlow is another program."""
    yield from _differences(_arms(experiment), _software, "software")


def _software(record: RunRecord) -> dict[str, Any]:
    return {"image": record.environment.image, **record.environment.versions}


@rule("warning")
def same_for_preparation(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """The cost of preparation compares with what it saves only on the same hardware and software."""
    arms = _arms(experiment)
    known = [{**_hardware(record), **_software(record)} for record in arms[:1]]
    odd = [
        record
        for records in experiment.preparation.values()
        for record in succeeded(records)
        if known and {**_hardware(record), **_software(record)} != known[0]
    ]
    if odd:
        yield f"{counted(len(odd), 'run')} of preparation used other hardware or software than the arms.", names(odd)


@rule("warning")
def same_machine(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Machines of one kind still differ in speed; the arms of one seed belong on one machine."""
    arms = _arms(experiment)
    hosts = Counter(record.environment.hostname for record in arms if record.environment.hostname)
    # On a cluster each task has a name of its own; then only the arms that one task ran can be compared.
    if len(hosts) < 2:
        return
    split = [
        record
        for runs in _cells(arms)
        if len({run.environment.hostname for run in runs if run.environment.hostname}) > 1
        for record in runs
    ]
    if split and len(hosts) < len(arms):
        usual = hosts.most_common(1)[0][0]
        odd = [record for record in split if record.environment.hostname != usual]
        yield (
            f"{counted(len(odd), 'run')} ran on another machine than the other arms of the same seed.",
            names(odd),
        )


def _cells(records: Iterable[RunRecord]) -> Iterable[list[RunRecord]]:
    """The runs of the arms on the same seed, preparation and draw."""
    return by_key(records, lambda record: (record.seed, record.preparation, record.draw)).values()


@rule("warning")
def same_start(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """A forked run imports no TensorFlow of its own: beside a run in a separate process its start-up is too short."""
    mixed = [runs for runs in _cells(_arms(experiment)) if len({run.process for run in runs}) > 1]
    forked = [run for runs in mixed for run in runs if run.process == "forked"]
    if forked:
        arms = sorted({run.arm for run in forked}, key=order)
        yield (
            f"{counted(len(forked), 'run')} of {', '.join(arms)} began as a fork of a process that had imported "
            "TensorFlow, and other arms of the same seed in a separate process: start-up, and times that count every "
            "phase, are not comparable between these arms. Training times are.",
            names(forked),
        )
