"""How long the stages of an experiment take for an image: a few batches of noise through the very code that trains."""

from __future__ import annotations

import contextlib
import io
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from headstart.components.datasets.packed import SPLITS, write_packed
from headstart.components.errors import HeadstartError
from headstart.components.records import RunRecord
from headstart.components.stages import STAGES
from headstart.components.stop_rule import steps_per_epoch
from headstart.components.training.recipes import STATISTICS_IMAGES, Recipe
from headstart.components.training.settings import resolve
from headstart.components.training.stages import run_stage

# The short measurement: epochs of up to BATCHES batches, but of no more than PIXELS pixels, for which a large network
# takes seconds, and no fewer than LEAST images.
EPOCHS, BATCHES, PIXELS, LEAST = 3, 6, 2**20, 8
# Every epoch is of the kind that most are: crops, with the first block learning. Nothing is written or ends early.
SHORT = {
    "epochs": EPOCHS,
    "least_steps": 0,
    "whole_epochs": 0,
    "first_block_share": 1.0,
    "patience": 0,
    "stop_at_accuracy": 0.0,
    "samples": 0,
    "tensorboard": "",
}


class Images(NamedTuple):
    """How many images and classes a stage has."""

    train: int
    validation: int
    test: int
    classes: int

    @staticmethod
    def of(counts: Iterable[Mapping[str, int]]) -> Images:
        """Add up the counts of the classes, each by split."""
        each = list(counts)
        train, validation, test = (sum(count[split] for count in each) for split in SPLITS)
        return Images(train, validation, test, len(each))


class Times(NamedTuple):
    """Seconds that runs take: training, what evaluation adds, and the processor time of the training."""

    train: float
    evaluation: float
    processor: float

    @staticmethod
    def sum(each: Iterable[Times], times: int = 1) -> Times:
        """Add up, `times` over."""
        return Times(*(times * sum(parts) for parts in zip(*each, strict=True)))


@dataclass(frozen=True)
class Pace:
    """Seconds per image of a stage, and what it freezes.

    Attributes:
        once: of the pass through frozen layers whose outputs are kept; 0: they are not.
        step: of a training step.
        processor: processor time of the two.
        statistics: of computing the statistics of batch normalisation, after each epoch.
        answer: of evaluation, after that pass.
        frozen: names of the frozen layers.
    """

    once: float
    step: float
    processor: tuple[float, float]
    statistics: float
    answer: float
    frozen: list[str]

    @staticmethod
    def of(record: RunRecord, count: int) -> Pace:
        """Read it off a short run that trained on `count` images and was validated and tested on as many."""
        epoch = statistics.median(row.evaluate_seconds for row in record.epochs)
        test = record.phases.evaluate - sum(row.evaluate_seconds for row in record.epochs)
        # With kept outputs the test's time holds the pass for two splits.
        answer = epoch if record.prefix_cached else min(test, epoch)
        prefix = max(record.train_cpu_seconds - sum(row.cpu_seconds for row in record.epochs), 0.0)
        return Pace(
            record.prefix_seconds / count,
            statistics.median(row.train_seconds for row in record.epochs) / count,
            (prefix / count, statistics.median(row.cpu_seconds for row in record.epochs) / count),
            (epoch - answer) / count,
            answer / count,
            [layer.layer for layer in record.frozen],
        )

    def seconds(self, images: Images, recipe: Recipe) -> Times:
        """What one run takes that goes on to its last epoch."""
        epochs, batch_size = recipe.for_images(images.train).epochs, recipe.batch_size
        trained = steps_per_epoch(images.train, batch_size) * min(batch_size, images.train) * epochs
        train, processor = (
            once * images.train + step * trained for once, step in ((self.once, self.step), self.processor)
        )
        after_epoch = self.statistics * min(images.train, STATISTICS_IMAGES) + self.answer * images.validation
        once = self.once * (images.validation + images.test)
        return Times(train, once + self.answer * images.test + after_epoch * epochs, processor)


def paces(
    stages: Sequence[str],
    preset: str,
    settings: Mapping[str, Any],
    image_size: int,
    classes: Mapping[str, int],
    accelerators: int = 0,
) -> dict[str, Pace]:
    """Return the pace of each of `stages`; `classes` says how many there are in which data set, where that is known.

    Stages that compute the same are measured once, and in float32 where the precision is yet to be chosen: choosing it
    builds and compiles a network twice more. A stage that starts from another's weights is given those of the first
    one measured; what they are changes no time. HeadstartError where a stage cannot be trained.
    """
    # Those that start from nothing come first.
    ordered = sorted(stages, key=lambda name: STAGES[name].starts_from is not None)
    short = {key: value for key, value in settings.items() if key.rpartition(".")[2] not in SHORT} | SHORT
    kinds: dict[str, str] = {}
    found: dict[str, Pace] = {}
    with tempfile.TemporaryDirectory(prefix="headstart-dry-run-") as scratch, _silence():
        model = Path(scratch, "model")
        for name in ordered:
            row, resolved = STAGES[name], resolve(preset, name, short, image_size)
            of_one_kind = resolved._replace(recipe=resolved.recipe.model_copy(update={"learning_rate": 1.0}))
            kind = [part.model_dump(mode="json") for part in of_one_kind]
            kinds[name] = json.dumps([kind, row.frozen, classes.get(row.data)])
            if kinds[name] in found:
                continue
            batch = resolved.recipe.batch_size
            count = max(min(BATCHES * batch, PIXELS // image_size**2), LEAST)
            count = count // batch * batch or count
            folder = Path(scratch, f"{name}-data")
            _noise(folder, count, classes.get(row.data, 3), image_size)
            record = run_stage(
                arm=name,
                dataset=folder,
                initial_model=model if row.starts_from else None,
                seed=1,
                run_id="dry-run",
                preset=preset,
                settings=short,
                checkpoints="",
                accelerators=accelerators,
                image="",
                record=Path(scratch, f"{name}.json"),
                model=None if model.exists() else model,
                saved_model=None,
            )
            if record.status != "succeeded":
                raise HeadstartError(f"{name}: the short measurement failed: {record.reason}.")
            found[kinds[name]] = Pace.of(record, count)
    return {name: found[kinds[name]] for name in stages}


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


def _noise(folder: Path, images: int, classes: int, size: int) -> None:
    random = np.random.default_rng(0)
    splits: dict[str, Any] = {}
    for split in SPLITS:
        pixels = random.integers(0, 256, (images, size, size, 3), dtype=np.uint8)
        splits[split] = (pixels, np.arange(images, dtype=np.int32) % classes)
    folder.mkdir()
    write_packed(folder, {"name": "noise", "source": "noise", "classes": [f"c{n:04}" for n in range(classes)]}, splits)
