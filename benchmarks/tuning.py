"""Tunes the recipe of the target stage for each arm, on validation, with the same trials and the same limit of cost.

`python -m benchmarks.tuning --target PACKED --prepared MODEL --output FILE.json` trains every arm with the recipe of
the preset and with eleven others, drawn from a fixed seed: of no more epochs than the preset's, which is the limit
of cost. The best of an arm has the highest mean validation accuracy, and of equals the lowest mean loss. Test accuracy
is looked at once, at the end, with new seeds: of what was chosen and of the preset. The same command goes on where it
was stopped.

`--momenta` asks something else: what the baseline of the preset, whose statistics of batch normalization are computed
from training images, loses to moving averages of any momentum. Test accuracy then stands beside each.

Several `--target` (draws of its training images) and `--prepared` (models) take turns from seed to seed.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gc
import hashlib
import io
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.components import machine
from headstart.components.atomic_files import write_json
from headstart.components.records import Environment
from headstart.components.stages import STAGES
from headstart.components.training import environment
from headstart.components.training.clock import Clock
from headstart.components.training.prepared_models import find_models
from headstart.components.training.settings import resolve
from headstart.components.training.specification import RunSpecification

MOMENTA = (0.5, 0.7, 0.9, 0.97, 0.99, 0.999)
LOOKED_AT = 1000  # seeds of the runs whose test accuracy is looked at: no trial has any of them
# Settings of the target stage that differ from the preset's.
Trial = dict[str, Any]


class Trainer:
    """Trains runs one after the other in this process, as the component does, and keeps each in the file.

    Without a process of its own for each run, which costs seconds, a trial costs what its training does. Times are
    processor seconds of training alone.
    """

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


def drawn(count: int, epochs: int, seed: int = 20) -> list[Trial]:
    """Return the preset's own recipe ({}) and `count` − 1 others, none of more than `epochs` epochs.

    `least_steps` is the preset's in all of them.
    """
    rng, trials = np.random.default_rng(seed), [Trial()]
    least_steps = resolve("fast", "baseline").recipe.least_steps
    while len(trials) < count:
        trials.append(
            {
                "optimizer": str(rng.choice(["adamw", "muon"])),
                "initialisation": str(rng.choice(["drawn", "whitened"])),
                "learning_rate": float(f"{10 ** rng.uniform(-3.5, -2):.1e}"),
                "batch_size": int(rng.choice([16, 32, 64])),
                "weight_decay": float(rng.choice([0.0, 0.005, 0.02, 0.05])),
                "dropout": float(rng.choice([0.0, 0.2, 0.35, 0.5])),
                "batch_norm_momentum": float(rng.choice([0.9, 0.99])),
                "epochs": round(epochs * rng.choice([0.5, 0.75, 1.0])),
                "least_steps": least_steps,
            }
        )
    return trials


def momenta() -> list[Trial]:
    moving = ({"batch_norm_statistics": "moving", "batch_norm_momentum": momentum} for momentum in MOMENTA)
    return [{}, *moving]


def mean_of(runs: Sequence[dict[str, Any]], key: str, scale: float = 1.0) -> str:
    values = [scale * run[key] for run in runs]
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.2f} ± {error:.2f}"


def rank(runs: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """Return what the best trial has the least of."""
    return -statistics.fmean(run["validation"] for run in runs), statistics.fmean(run["loss"] for run in runs)


def say(arm: str, trial: Trial, runs: Sequence[dict[str, Any]], test: bool) -> None:
    recipe = ", ".join(f"{name} {value}" for name, value in trial.items()) or "the preset's"
    cells = [arm, recipe, mean_of(runs, "validation", 100), mean_of(runs, "loss"), mean_of(runs, "seconds")]
    print(f"| {' | '.join([*cells, mean_of(runs, 'test', 100) if test else '–'])} |", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what has not been trained and print the table; each figure is a mean over seeds ± its standard error."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tuning", description=__doc__.split("\n")[0])
    parser.add_argument("--target", type=Path, nargs="+", required=True, help="packed target sets")
    parser.add_argument("--prepared", nargs="*", default=[], help="output folder of a run, or NAME.keras")
    parser.add_argument("--output", type=Path, required=True, help="file of the results, JSON")
    parser.add_argument("--arms", nargs="+", default=["baseline", "transfer"])
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--trials", type=int, default=12, help="of each arm, the preset's own recipe among them")
    parser.add_argument("--seeds", type=int, default=3, help="of each trial, and of what is tested")
    parser.add_argument("--momenta", action="store_true", help="the baseline with moving averages instead")
    chosen = parser.parse_args(arguments)
    arms = ["baseline"] if chosen.momenta else chosen.arms
    models = [Path(model) for uri in chosen.prepared for model in find_models(uri)]
    if not models and any(STAGES[arm].starts_from for arm in arms):
        parser.error(f"--prepared: {', '.join(arm for arm in arms if STAGES[arm].starts_from)} start from a model")
    trainer = Trainer(chosen.output, chosen.preset, chosen.target, models)
    epochs = resolve(chosen.preset, "baseline").recipe.epochs
    trials = momenta() if chosen.momenta else drawn(chosen.trials, epochs)
    print("| arm | recipe | validation, % | its loss | processor seconds | test, % |\n|---|---|---:|---:|---:|---:|")
    best: dict[str, Trial] = {}
    for arm in arms:
        ranks = []
        for trial in trials:
            runs = trainer.runs(arm, trial, 1, chosen.seeds, test=chosen.momenta)
            say(arm, trial, runs, chosen.momenta)
            ranks.append(rank(runs))
        best[arm] = trials[ranks.index(min(ranks))]
    for arm in () if chosen.momenta else arms:
        for trial in [best[arm], {}] if best[arm] else [{}]:
            say(arm, trial, trainer.runs(arm, trial, LOOKED_AT + 1, chosen.seeds, test=True), test=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
