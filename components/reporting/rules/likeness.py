"""Rules about likeness: both arms on the same images, recipe, hardware and software, from the right weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from headstart.components.records import RunRecord
from headstart.components.reporting.experiment import Experiment, succeeded
from headstart.components.reporting.rules.registry import Broken, names, rule
from headstart.components.reporting.settings import ReportSettings
from headstart.components.stages import STAGES


def _differences(
    experiment: Experiment,
    what: Callable[[RunRecord], dict[str, Any] | None],
    noun: str,
    among: Callable[[RunRecord], bool] = lambda _: True,
) -> Iterable[Broken]:
    """Compare a dict of each run of all arms that is `among` those meant with the most common; name what differs."""
    forms: dict[str, tuple[dict[str, Any], list[RunRecord]]] = {}
    first: tuple[dict[str, Any], list[RunRecord]] | None = None
    for records in experiment.arms.values():
        for record in succeeded(records):
            value = what(record) if among(record) else None
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
    # The training images differ from draw to draw, for all arms alike.
    for draw in sorted({record.draw for records in experiment.arms.values() for record in records}):
        yield from _differences(
            experiment,
            lambda record: {"digest": record.data.digest, "counts": record.data.counts} if record.data else None,
            "images",
            lambda record, draw=draw: record.draw == draw,  # type: ignore[misc]
        )


@rule("error")
def same_recipe(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """All arms must share batch size, optimiser, stop rule and every other setting of the recipe."""
    yield from _differences(
        experiment,
        lambda record: {name: value for name, value in record.recipe.items() if name != "learning_rate"},
        "recipe settings",
    )
    yield from _differences(
        experiment,
        lambda record: {"learning_rate": record.recipe.get("learning_rate")},
        "recipe settings",
        lambda record: STAGES[record.arm].learning_rate == 1,
    )


@rule("error")
def same_hardware(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Times on different hardware cannot be compared."""
    keys = ("device_kind", "device_name", "device_count", "processor", "cores", "threads")
    return _differences(experiment, lambda record: {key: getattr(record.environment, key) for key in keys}, "hardware")


@rule("error")
def same_image(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """Another image or another version of TensorFlow is another program."""
    return _differences(
        experiment, lambda record: {"image": record.environment.image, **record.environment.versions}, "software"
    )


@rule("error")
def frozen_unchanged(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """A frozen layer whose weights moved was trained; the arm is not what it claims to be."""
    for record in experiment.records:
        moved = [layer.layer for layer in record.frozen if layer.before != layer.after]
        if moved:
            yield f"Frozen weights of {', '.join(moved)} changed in {record.name}.", [record.name]


@rule("error")
def initial_weights(experiment: Experiment, settings: ReportSettings) -> Iterable[Broken]:
    """An arm must start from this experiment's prepared model, or from random weights, as the table of stages says."""
    for arm, records in experiment.arms.items():
        source, title = STAGES[arm].starts_from, STAGES[arm].title
        loaded = [record for record in succeeded(records) if record.initial_model is not None]
        if source is None:
            if loaded:
                yield f"{title} runs started from a trained model instead of random weights.", names(loaded)
            continue
        fresh = [record for record in succeeded(records) if record.initial_model is None]
        if fresh:
            yield f"{title} runs started from random weights instead of the model of {source}.", names(fresh)
        prepared = {record.final_weights for record in succeeded(experiment.of(source)) if record.final_weights}
        other = [record for record in loaded if prepared and record.initial_model not in prepared]
        if other:
            yield f"{title} runs started from another model than the one that {source} made.", names(other)
