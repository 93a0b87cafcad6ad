"""Many short runs of the arms in one process, each as its component trains it, their figures kept in one file.

Without a process of its own for each run, which costs seconds, a trial costs what its training does. Times are
processor seconds of training alone.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headstart.components import machine
from headstart.components.atomic_files import write_json
from headstart.components.records import Environment
from headstart.components.stages import STAGES
from headstart.components.training import environment
from headstart.components.training.clock import Clock
from headstart.components.training.specification import RunSpecification

# Settings of the target stage that differ from the preset's.
Trial = dict[str, Any]


class Trainer:
    """Trains runs one after the other in this process, as the component does, and keeps each in the file."""

    def __init__(self, file: Path, preset: str, data: Sequence[Path], models: Sequence[Path]) -> None:
        self.file, self.preset, self.data, self.models = file, preset, data, models
        named = [json.loads((folder / "dataset.json").read_text(encoding="utf-8"))["digest"] for folder in data]
        identity = [preset, named, [hashlib.sha256(model.read_bytes()).hexdigest() for model in models]]
        self.content: dict[str, Any] = {"of": identity, "runs": {}}
        if self.file.exists():
            self.content = json.loads(self.file.read_text(encoding="utf-8"))
            if self.content.get("of") != identity:
                raise SystemExit(f"{self.file}: is of other images, models or another preset; name another file.")

    @functools.cached_property
    def facts(self) -> Environment:
        """What the runs are made with; TensorFlow is imported then."""
        threads = machine.thread_count(machine.usable_cores())
        environment.prepare_tensorflow(threads, 0)
        return environment.describe(threads=threads, image="")

    def runs(self, arm: str, trial: Trial, first: int, count: int, *, test: bool) -> list[dict[str, Any]]:
        """Return `count` runs with seeds from `first`; only with `test` do they look at the test images.

        Of each: accuracy and loss on validation, processor seconds of training, accuracy on test or None.
        """
        done: dict[str, Any] = self.content["runs"]
        names = {seed: json.dumps([arm, trial, seed, test]) for seed in range(first, first + count)}
        for seed, name in names.items():
            if name not in done:
                with contextlib.redirect_stdout(io.StringIO()):
                    done[name] = self._train(arm, trial, seed, test)
                write_json(self.file, self.content)
        return [done[name] for name in names.values()]

    def _train(self, arm: str, trial: Trial, seed: int, test: bool) -> dict[str, Any]:
        facts = self.facts
        from headstart.components.training.run import Run

        class Unseen(Run):
            """Does not look at the test images."""

            def _open_data(self) -> None:
                super()._open_data()
                if not test:
                    images, labels = self.images["test"]
                    self.images["test"] = images[:0], labels[:0]

        spec = RunSpecification(
            arm=arm,
            seed=seed,
            preset=self.preset,
            settings={f"target.{setting}": value for setting, value in trial.items()},
            dataset=self.data[seed % len(self.data)].absolute(),
            initial_model=self.models[seed % len(self.models)].absolute() if STAGES[arm].starts_from else None,
            record=self.file,
        )
        record = Unseen(spec, Clock(facts.cores), facts, lambda: False).execute()
        gc.unfreeze()  # each run keeps the collector from what it builds
        gc.collect()
        if record.status != "succeeded":  # an arm is not spared what its recipe does to it
            return {"validation": 0.0, "loss": 99.0, "seconds": record.train_cpu_seconds, "test": 0.0 if test else None}
        best = record.result.best_epoch if record.recipe["restore_best_weights"] else None
        row = record.epochs[(best or len(record.epochs)) - 1]
        return {
            "validation": row.validation_accuracy,
            "loss": row.validation_loss,
            "seconds": record.train_cpu_seconds,
            "test": record.result.test_accuracy,
        }
