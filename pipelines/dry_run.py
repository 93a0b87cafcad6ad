"""`run --dry-run`: what a run would read, how it would train, and what that costs, before it starts."""

from __future__ import annotations

import contextlib
import io
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.components import machine
from headstart.components.datasets.importing import Survey, survey
from headstart.components.datasets.left_out import NONE
from headstart.components.datasets.packed import write_packed
from headstart.components.design import Plan, check_sizes, plan
from headstart.components.errors import HeadstartError
from headstart.components.stages import PREPARATION, PRODUCT, STAGES
from headstart.components.training import precision
from headstart.components.training.settings import resolve
from headstart.components.training.stages import run_stage
from headstart.pipelines.local_experiment import ExperimentRequest, check_request

# Batches of the short measurement: the first epoch warms up, the second is timed.
BATCHES = 6


@dataclass(frozen=True)
class StageForecast:
    """What one stage or arm would do: how often, on how many images, for how long at most.

    Of an arm on a learning curve `runs` are those of all sizes, `images` and `steps` those of the largest. `frozen` is
    None where the network would have to be built to know it. `seconds` is the training clock of all its
    runs together at the maximum of epochs; None: not measured.
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
    sizes = {role: (found.counts["train"], len(found.classes)) for role, found in sets.items()}
    if "target" not in sets and "intermediate" in sets:
        sizes["target"] = _selected(parameters["classes"], planned, sets["intermediate"])
    speeds = _speeds(request, planned, sizes) if measure else {}
    # A curve on models that there are makes none.
    made = () if isinstance(parameters.get("prepared"), list) else (*PREPARATION, PRODUCT)
    stages = [_stage(name, request, planned, sizes, speeds) for name in (*made, *planned.arms)]
    times = [stage.seconds for stage in stages]
    pixels = parameters["image_size"] ** 2 * 3
    packed = sum(sum(found.counts.values()) for found in sets.values()) * pixels
    largest = max((images for images, _ in sizes.values()), default=0) * pixels
    return Forecast(
        preset=planned.preset,
        preparations=len(planned.preparations),
        draws=planned.draws,
        sets=sets,
        remote=remote,
        stages=stages,
        seconds=None if None in times else sum(time for time in times if time is not None),
        disk_bytes=packed,
        disk_free_bytes=shutil.disk_usage(_existing(request.output)).free,
        # Images as bytes and as what the network computes with; TensorFlow itself takes 0.7 GiB.
        memory_bytes=5 * largest + 700 * 2**20,
        memory_usable_bytes=machine.memory_limit(),
    )


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder


def _selected(rule: dict[str, str], planned: Plan, intermediate: Survey) -> tuple[int, int]:
    """Training images and classes of a selection: at most as many images per class as are asked for."""
    if not rule:
        return intermediate.counts["train"], len(intermediate.classes)
    return min(planned.images_per_class * len(rule), intermediate.counts["train"]), len(rule)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Send standard output to nowhere, that of child processes too: progress events are for a runner."""
    sys.stdout.flush()
    kept = os.dup(1)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _stage(
    name: str,
    request: ExperimentRequest,
    planned: Plan,
    sizes: dict[str, tuple[int, int]],
    speeds: dict[str, tuple[float, list[str]]],
) -> StageForecast:
    row = STAGES[name]
    settings = resolve(planned.preset, name, request.parameters["settings"])
    images, classes = sizes.get(row.data, (0, 0))
    runs = 1 if name == PRODUCT else len(planned.cells)
    if row.role == "preparation":
        absent = request.parameters.get(f"{row.data}_data", NONE) == NONE
        runs = 0 if absent else len(planned.preparations)
    steps = [math.ceil(images / settings.recipe.batch_size)]
    if name in planned.arms and classes and request.parameters.get("sizes"):
        per_class = check_sizes(request.parameters["sizes"], images // classes)
        steps = [math.ceil(size * classes / settings.recipe.batch_size) for size in per_class]
        runs *= len(steps)
    each, frozen = speeds.get(name, (None, None))
    if frozen is None and settings.stage.network == "paper":
        frozen = list(settings.stage.frozen_layers(name))
    seconds = None if each is None or not images else each * sum(steps) / len(steps) * settings.recipe.epochs * runs
    return StageForecast(
        stage=name,
        runs=runs,
        images=images,
        classes=classes,
        epochs=settings.recipe.epochs,
        batch_size=settings.recipe.batch_size,
        steps=steps[-1],
        frozen=frozen,
        seconds=seconds if runs else 0.0,
    )


def _speeds(
    request: ExperimentRequest, planned: Plan, sizes: dict[str, tuple[int, int]]
) -> dict[str, tuple[float, list[str]]]:
    """Seconds per step and frozen layers of each stage: a few batches of noise through the very code that trains."""
    found: dict[str, tuple[float, list[str]]] = {}
    parameters = request.parameters
    short = {"epochs": 2, "patience": 0, "stop_at_accuracy": 0.0, "samples": 0}
    settings = {key: value for key, value in parameters["settings"].items() if key.rpartition(".")[2] not in short}
    with tempfile.TemporaryDirectory(prefix="headstart-dry-run-") as scratch, _silence():

        def images(name: str) -> Path:
            _, classes = sizes.get(STAGES[name].data, (0, 3))
            batch = resolve(planned.preset, name, parameters["settings"]).recipe.batch_size
            folder = Path(scratch, f"{STAGES[name].data}-{batch}")
            if not folder.exists():
                _noise(folder, BATCHES * batch, max(2, classes), parameters["image_size"])
            return folder

        how: dict[str, Any] = {
            "run_id": "dry-run",
            "preset": planned.preset,
            "settings": settings | short,
            "checkpoints": "",
            "accelerators": 0,
            "image": "",
        }
        how["precision"] = precision.choose(precision.EXPERIMENT, dataset=images("baseline"), **how)
        models: dict[str, Path] = {}
        for name in (*PREPARATION, PRODUCT, *planned.arms):
            row = STAGES[name]
            model = Path(scratch, name) if row.role == "preparation" else None
            record = run_stage(
                arm=name,
                dataset=images(name),
                initial_model=models.get(row.starts_from or ""),
                seed=1,
                record=Path(scratch, f"{name}.json"),
                model=model,
                saved_model=None,
                **how,
            )
            if record.status != "succeeded" or len(record.epochs) < 2:
                raise HeadstartError(f"{name}: the short measurement failed: {record.reason}.")
            if model is not None:
                models[name] = model
            found[name] = record.epochs[-1].train_seconds / BATCHES, [layer.layer for layer in record.frozen]
    return found


def _noise(folder: Path, images: int, classes: int, size: int) -> None:
    random = np.random.default_rng(0)
    splits: dict[str, Any] = {}
    for split, count in (("train", images), ("validation", classes), ("test", classes)):
        pixels = random.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
        splits[split] = (pixels, np.arange(count, dtype=np.int32) % classes)
    folder.mkdir()
    write_packed(folder, {"name": "noise", "source": "noise", "classes": [f"c{n:04}" for n in range(classes)]}, splits)


def show(found: Forecast) -> None:
    """Print a forecast for people."""
    from rich.table import Table
    from rich.text import Text

    from headstart.components.console import Console
    from headstart.components.reporting.units import counted
    from headstart.pipelines.live_display import duration

    console = Console()
    data = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("data set", "classes", "train", "validation", "test"):
        data.add_column(title, justify="left" if title == "data set" else "right", overflow="fold")
    for role, seen in found.sets.items():
        counts = [f"{seen.counts[split]:,}" for split in ("train", "validation", "test")]
        data.add_row(Text(f"{role}: {seen.source}"), f"{len(seen.classes):,}", *counts)
    console.print(data)
    for uri in found.remote:
        console.print(f"{uri}: would be fetched first; not counted", highlight=False)
    for role, seen in found.sets.items():
        for note in seen.notes:
            console.print(f"{role}: {note}", highlight=False)
    stages = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("stage", "runs", "images", "epochs at most", "batch", "frozen", "training at most"):
        stages.add_column(title, justify="left" if title in ("stage", "frozen") else "right", overflow="fold")
    for stage in (stage for stage in found.stages if stage.runs):
        time = "not measured" if stage.seconds is None else duration(stage.seconds)
        frozen = f"{len(stage.frozen)} layers, to {stage.frozen[-1]}" if stage.frozen else "nothing"
        frozen = "by the network's rule" if stage.frozen is None else frozen
        stages.add_row(
            stage.stage,
            str(stage.runs),
            f"{stage.images:,}" if stage.images else "not known",
            str(stage.epochs),
            str(stage.batch_size),
            frozen,
            time,
        )
    console.print()
    console.print(stages)
    console.print(
        f"\npreset {found.preset}, {counted(found.preparations, 'preparation')}, {counted(found.draws, 'draw')}. "
        + ("Training takes " if found.seconds is None else f"Training takes at most about {duration(found.seconds)}, ")
        + ("a time that was not measured" if found.seconds is None else "by a few batches of each stage")
        + "; start-up, import and evaluation come on top.",
        highlight=False,
    )
    gib = 2**30
    console.print(
        f"Disk: {found.disk_bytes / gib:.2f} GiB for packed images, {found.disk_free_bytes / gib:.1f} GiB free. "
        f"Memory: about {found.memory_bytes / gib:.1f} GiB of {found.memory_usable_bytes / gib:.1f} GiB.",
        highlight=False,
    )
    console.print("Nothing was written. `headstart settings` lists every setting.", highlight=False)
