"""`run --dry-run`: what a run would read, how it would train, and what that costs, before it starts."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headstart.components import machine
from headstart.components.datasets.importing import Survey, survey
from headstart.components.datasets.left_out import NONE
from headstart.components.datasets.packed import SPLITS
from headstart.components.datasets.selection import assign_classes, most_per_class
from headstart.components.datasets.settings import SelectionSettings, parse_settings
from headstart.components.design import Plan, check_sizes, mean_per_class, on_prepared_models, plan
from headstart.components.stages import PREPARATION, PRODUCT, STAGES
from headstart.components.stop_rule import steps_per_epoch
from headstart.components.training.settings import resolve
from headstart.pipelines.local_experiment import ExperimentRequest, check_request
from headstart.pipelines.pace import Images, Pace, Times, paces


@dataclass(frozen=True)
class StageForecast:
    """What one stage or arm would do: how often, on how many images, for how long at most.

    Of an arm on a learning curve `runs` are those of all sizes, `images` and `steps` those of the largest. `frozen` is
    None where the network would have to be built to know it. `seconds` is the training clock of all its
    runs together at the maximum of epochs, `processor_seconds` its processor time, `evaluation_seconds` what validation
    and test take beside it; None: not measured.
    """

    stage: str
    runs: int
    images: int
    classes: int
    epochs: int
    batch_size: int
    steps: int
    frozen: list[str] | None
    seconds: float | None
    processor_seconds: float | None
    evaluation_seconds: float | None


@dataclass(frozen=True)
class Forecast:
    """What a run would do. Bytes are of packed images; `remote` are sets that would have to be fetched first."""

    preset: str
    preparations: int
    draws: int
    sets: dict[str, Survey]
    remote: list[str]
    stages: list[StageForecast]
    seconds: float | None
    processor_seconds: float | None
    evaluation_seconds: float | None
    disk_bytes: int
    disk_free_bytes: int
    memory_bytes: int
    memory_usable_bytes: int


def forecast(request: ExperimentRequest, measure: bool = True) -> Forecast:
    """Look at what `request` names and forecast the run; nothing is written outside a temporary folder.

    `measure`: train a few batches of each stage, for the time. SettingError and HeadstartError as the run itself would
    raise them.
    """
    check_request(request)
    parameters, planned = request.parameters, plan(request.parameters)
    sets: dict[str, Survey] = {}
    remote: list[str] = []
    for role in ("source", "intermediate", "target"):
        uri = parameters.get(f"{role}_data", "")
        if uri in ("", NONE):
            continue
        if "://" in uri and not uri.startswith("file://"):
            remote.append(uri)
            continue
        sets[role] = survey(
            uri,
            layout=parameters[f"{role}_layout"],
            image_size=parameters["image_size"],
            **parameters["data_settings"],
        )
    sizes = {role: Images.of(found.per_class.values()) for role, found in sets.items()}
    if "target" not in sets and "intermediate" in sets:
        sizes["target"] = _selected(parameters, planned, sets["intermediate"])
    # A curve on models that there are makes none.
    made = () if on_prepared_models(parameters) else (*PREPARATION, PRODUCT)
    runs = {name: _runs(name, parameters, planned) for name in (*made, *planned.arms)}
    # This machine's processor would say nothing of the GPUs that containers see.
    measure = measure and not (request.docker_image and request.accelerators)
    trained = [name for name, count in runs.items() if count] if measure else []
    classes = {role: images.classes for role, images in sizes.items()}
    settings, size = parameters["settings"], parameters["image_size"]
    pace = paces(trained, planned.preset, settings, size, classes, request.accelerators)
    stages = [_stage(name, count, request, planned, sizes, pace.get(name)) for name, count in runs.items()]
    pixels = parameters["image_size"] ** 2 * 3
    packed = sum(sum(found.counts.values()) for found in sets.values()) * pixels
    largest = max((images.train for images in sizes.values()), default=0) * pixels
    output = request.output.absolute()
    return Forecast(
        preset=planned.preset,
        preparations=len(planned.preparations) if made else 0,
        draws=planned.draws,
        sets=sets,
        remote=remote,
        stages=stages,
        seconds=_sum([stage.seconds for stage in stages]),
        processor_seconds=_sum([stage.processor_seconds for stage in stages]),
        evaluation_seconds=_sum([stage.evaluation_seconds for stage in stages]),
        disk_bytes=packed,
        disk_free_bytes=shutil.disk_usage(next(each for each in (output, *output.parents) if each.exists())).free,
        # Images as bytes and as what the network computes with; TensorFlow itself takes 0.7 GiB.
        memory_bytes=5 * largest + 700 * 2**20,
        memory_usable_bytes=machine.memory_limit(),
    )


def _sum(times: list[float | None]) -> float | None:
    known = [time for time in times if time is not None]
    return sum(known) if len(known) == len(times) else None


def _selected(parameters: Mapping[str, Any], planned: Plan, intermediate: Survey) -> Images:
    """Images of a selection from the intermediate set, as `selection.choose_rows` counts them."""
    rule, there = parameters["classes"], intermediate.per_class
    if not rule:
        return Images.of(there.values())
    taken = assign_classes(intermediate.classes, rule).values()
    counts = [{split: sum(there[name][split] for name in names) for split in SPLITS} for names in taken]
    asked = {
        "images_per_class": planned.images_per_class,
        "test_images_per_class": parameters.get("test_images_per_class") or 0,
    }
    options = parse_settings(SelectionSettings, {**parameters["data_settings"], **asked})
    most = most_per_class(options, min(count["test"] for count in counts))
    return Images.of({split: min(count, most[split]) for split, count in each.items()} for each in counts)


def _runs(name: str, parameters: Mapping[str, Any], planned: Plan) -> int:
    """How often a stage is trained; of an arm on a learning curve, at each size."""
    row = STAGES[name]
    if row.role == "preparation":
        return 0 if parameters.get(f"{row.data}_data", NONE) == NONE else len(planned.preparations)
    return 1 if name == PRODUCT else len(planned.cells)


def _stage(
    name: str,
    runs: int,
    request: ExperimentRequest,
    planned: Plan,
    sizes: dict[str, Images],
    pace: Pace | None,
) -> StageForecast:
    images = sizes.get(STAGES[name].data, Images(0, 0, 0, 0))
    settings = resolve(planned.preset, name, request.parameters["settings"], request.parameters["image_size"])
    recipe = settings.recipe
    each = [images]
    if name in planned.arms and images.classes and request.parameters.get("sizes"):
        largest = mean_per_class(images.train, images.classes)
        trained = [
            min(images.train, size * images.classes) for size in check_sizes(request.parameters["sizes"], largest)
        ]
        # Validation images shrink alike.
        each = [
            images._replace(train=count, validation=math.ceil(images.validation * count / images.train))
            for count in trained
        ]
    times = Times(0.0, 0.0, 0.0) if not runs else None
    if pace and images.train:
        times = Times.sum((pace.seconds(size, recipe) for size in each), runs)
    frozen = pace.frozen if pace else None
    if frozen is None and settings.stage.network == "paper":
        frozen = list(settings.stage.frozen_layers(name))
    return StageForecast(
        stage=name,
        runs=runs * len(each),
        images=images.train,
        classes=images.classes,
        epochs=max(recipe.for_images(size.train).epochs for size in each),
        batch_size=recipe.batch_size,
        steps=steps_per_epoch(each[-1].train, recipe.batch_size),
        frozen=frozen,
        seconds=times and times.train,
        processor_seconds=times and times.processor,
        evaluation_seconds=times and times.evaluation,
    )


def show(found: Forecast) -> None:
    """Print a forecast for people."""
    from rich.text import Text

    from headstart.components.console import Console, columns
    from headstart.components.reporting.units import counted
    from headstart.pipelines.live_display import duration

    console = Console()
    data = columns("data set", "classes", *SPLITS, left=("data set",), header_style="bold")
    for role, seen in found.sets.items():
        counts = [f"{seen.counts[split]:,}" for split in SPLITS]
        data.add_row(Text(f"{role}: {seen.source}"), f"{len(seen.classes):,}", *counts)
    console.print(data)
    for uri in found.remote:
        console.print(f"{uri}: would be fetched first; not counted")
    for role, seen in found.sets.items():
        for note in seen.notes:
            console.print(f"{role}: {note}")
    titles = ("stage", "runs", "images", "epochs at most", "batch", "frozen", "training at most", "evaluation")
    stages = columns(*titles, left=("stage", "frozen"), header_style="bold")
    for stage in (stage for stage in found.stages if stage.runs):
        times = [
            "not measured" if time is None else duration(time) for time in (stage.seconds, stage.evaluation_seconds)
        ]
        frozen = f"{len(stage.frozen)} layers, to {stage.frozen[-1]}" if stage.frozen else "nothing"
        frozen = "by the network's rule" if stage.frozen is None else frozen
        stages.add_row(
            stage.stage,
            str(stage.runs),
            f"{stage.images:,}" if stage.images else "not known",
            str(stage.epochs),
            str(stage.batch_size),
            frozen,
            *times,
        )
    console.print()
    console.print(stages)
    total = (found.seconds, found.processor_seconds, found.evaluation_seconds)
    if None in total:
        long = "Training takes a time that was not measured"
    else:
        train, processor, evaluation = (duration(time) for time in total if time is not None)
        long = (
            f"Training takes at most about {train} ({processor} of processor time) and evaluation {evaluation}, by a "
            "few batches on this machine as busy as it is now, in float32 unless the settings name another precision"
        )
    prepared = counted(found.preparations, "preparation") if found.preparations else "nothing to prepare"
    console.print(
        f"\npreset {found.preset}, {prepared}, {counted(found.draws, 'draw')}. "
        f"{long}; start-up, compiling and import come on top.",
    )
    gib = 2**30
    console.print(
        f"Disk: {found.disk_bytes / gib:.2f} GiB for packed images, {found.disk_free_bytes / gib:.1f} GiB free. "
        f"Memory: about {found.memory_bytes / gib:.1f} GiB of {found.memory_usable_bytes / gib:.1f} GiB.",
    )
    for what, needed, there in (
        ("disk", found.disk_bytes, found.disk_free_bytes),
        ("memory", found.memory_bytes, found.memory_usable_bytes),
    ):
        if needed > there:
            console.print(f"There is not enough {what} for it.", style="bold red")
    console.print("Nothing was written. `headstart settings` lists every setting.")
