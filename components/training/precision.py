"""`precision: auto`: float32 or bfloat16, by timing a few training steps in both, once for all runs of an experiment.

What a processor says of itself does not tell: some have the instructions and no fast unit for them. `choose` is called
by the pipeline's task of that name, where training runs; it has a process time the steps (`trial`), as it would train.
"""

from __future__ import annotations

import functools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.components.atomic_files import write_text
from headstart.components.errors import HeadstartError
from headstart.components.progress import emit
from headstart.components.records import Environment, Precision, RunRecord
from headstart.components.regular_files import read_text
from headstart.components.stages import PREPARATION
from headstart.components.training import checkpoint
from headstart.components.training.clock import Clock
from headstart.components.training.fit import Terminated
from headstart.components.training.settings import resolve
from headstart.components.training.specification import RunSpecification
from headstart.components.training.stages import default_preset, spawn

FILE = "precision.json"
PRECISIONS = ("float32", "bfloat16")
# bfloat16 rounds more coarsely, so it must be faster by more than chance: its step takes at most this share of the time
# of the float32 step beside it in the median round, and less time in at least this share of the rounds.
SHARE, FASTER = 0.95, 2 / 3
# The stages of an experiment, the one whose recipe is timed first: what is compared is the arms.
EXPERIMENT = ("baseline", *reversed(PREPARATION))
LEAST_ROUNDS, MOST_ROUNDS, SECONDS = 3, 25, 2.0


def automatic(stages: Sequence[str], preset: str, settings: Mapping[str, Any]) -> str | None:
    """Return the first of `stages` whose precision is auto; None where it is set for all."""
    resolved = ((stage, resolve(preset, stage, dict(settings)).recipe) for stage in stages)
    return next((stage for stage, recipe in resolved if recipe.precision == "auto"), None)


def choose(
    stages: Sequence[str],
    *,
    dataset: Path,
    run_id: str,
    preset: str,
    settings: dict[str, Any],
    checkpoints: str,
    accelerators: int,
    image: str,
) -> Precision | None:
    """Return the precision of all runs of a pipeline; None where it is set for all its `stages`.

    The steps are those of the first stage whose precision is auto, on images of the size and number of classes of
    `dataset`. A choice that is kept below `checkpoints` for this run id, and for the settings and kind of machine under
    which finished runs are used again, is the choice; the other arguments are those of `run_stage`. Where steps
    cannot be timed, it is float32, and training says what is wrong. SystemExit(143) after SIGTERM.
    """
    preset = preset or default_preset(dataset)
    stage = automatic(stages, preset, settings)
    if stage is None:
        return None
    with tempfile.TemporaryDirectory(prefix="headstart-") as scratch:
        spec = RunSpecification.model_validate(
            {
                "arm": stage, "seed": 0, "run_id": run_id, "preset": preset, "settings": settings,
                "dataset": dataset.absolute(), "accelerators": accelerators, "image": image,
                "record": Path(scratch, "trial.json"), "parent": os.getpid(), "trial": True,
            }
        )  # fmt: skip
        folder = checkpoint.Folder(f"{checkpoints.rstrip('/')}/{run_id}" if checkpoints else "")
        fingerprint = spec.fingerprint("", None)
        chosen = _kept(folder, fingerprint)
        if chosen is None:
            record = spawn(spec)
            chosen = record.precision or Precision(chosen="float32", reason=record.reason)
    try:
        folder.write(FILE, json.dumps({"fingerprint": fingerprint, "choice": chosen.model_dump()}).encode())
    except (HeadstartError, OSError) as error:
        emit("warning", what="precision", reason=str(error))
    emit("precision", text=str(chosen))
    return chosen


def _kept(folder: checkpoint.Folder, fingerprint: str) -> Precision | None:
    try:
        content = json.loads(folder.read(FILE) or b"{}")
        return Precision.model_validate(content["choice"]) if content.get("fingerprint") == fingerprint else None
    except (HeadstartError, OSError, ValueError, KeyError, AttributeError):
        return None  # timed again


def write(file: Path, chosen: Precision | None) -> None:
    """Write a choice, or that there is none to make."""
    write_text(file, chosen.model_dump_json() if chosen else "")


def read(file: Path) -> Precision | None:
    """Return what `write` wrote."""
    text = read_text(file)
    return Precision.model_validate_json(text) if text else None


def trial(spec: RunSpecification, clock: Clock, facts: Environment, termination: Callable[[], bool]) -> RunRecord:
    """Time training steps of `spec`'s stage in both precisions and return a record that carries the choice."""
    import numpy as np

    from headstart.components.datasets.packed import PackedDataset
    from headstart.components.training import freezing
    from headstart.components.training.loop import Devices, TrainingLoop
    from headstart.components.training.networks import registry

    recipe, stage, _ = spec.resolved()
    data = PackedDataset(spec.dataset, checked=False).description
    size, classes = data.image_size, len(data.classes)
    count = min(recipe.batch_size, data.counts["train"])
    pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    devices = Devices(spec.accelerators)

    def loop(precision: str) -> TrainingLoop:
        with devices.strategy.scope():
            model = registry.build(stage, recipe, size, classes, asked=spec.settings)
            freezing.freeze(model, registry.frozen_layers(model, stage, spec.arm))
        return TrainingLoop(
            model,
            recipe.model_copy(update={"precision": precision}),
            pixels,
            np.arange(count, dtype=np.int32) % classes,
            seed=0,
            strategy=devices.strategy,
        )

    loops = {precision: loop(precision) for precision in PRECISIONS}
    # An epoch of one batch is one step.
    steps = {precision: functools.partial(made.run_epoch, 1) for precision, made in loops.items()}
    times = step_times(steps, termination)
    if termination():
        raise Terminated("terminated while steps were timed")
    record = spec.blank_record(facts)
    record.precision = decide(
        times,
        stage=spec.arm,
        batch_size=count,
        image_size=loops["float32"].image_size(1),
        device=devices.facts()["device_name"],
    )
    return record


def step_times(
    steps: Mapping[str, Callable[[], object]],
    stopped: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Return the seconds of each of `steps`, round by round; one after the other, so that both are disturbed alike."""
    for step in steps.values():
        step()  # traced, compiled, memory claimed
    times: dict[str, list[float]] = {name: [] for name in steps}
    names, began = list(steps), clock()
    for number in range(MOST_ROUNDS):
        if stopped() or (number >= LEAST_ROUNDS and clock() - began > SECONDS):
            break
        for name in names if number % 2 else reversed(names):
            start = clock()
            steps[name]()
            times[name].append(clock() - start)
    return times


def decide(times: Mapping[str, Sequence[float]], **about: Any) -> Precision:
    """Choose by the `times` of the steps in both precisions, round by round; `about`: further fields of the choice."""
    wide, narrow = times["float32"], times["bfloat16"]
    ratios = [after / max(before, 1e-9) for before, after in zip(wide, narrow, strict=True)]
    ratio, faster = statistics.median(ratios), sum(each < 1 for each in ratios)
    return Precision(
        chosen="bfloat16" if ratio <= SHARE and faster >= FASTER * len(ratios) else "float32",
        float32_seconds=statistics.median(wide),
        bfloat16_seconds=statistics.median(narrow),
        ratio=ratio,
        rounds=len(ratios),
        faster_rounds=faster,
        **about,
    )
