"""One run of one arm, inside its own process: from the packed images to the record and the model."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.datasets.packed import PackedDataset
from components.errors import HeadstartError
from components.progress import emit
from components.records import Environment, FrozenLayer, Phases, Result, RunRecord
from components.training import checkpoint, environment, export, freezing, samples
from components.training.clock import Clock
from components.training.fitting import Diverged, Progress, Throttle, fit
from components.training.loop import TrainingLoop
from components.training.network import build_network
from components.training.prefix import Prefix, feature_bytes, prefix_length, suffix
from components.training.specification import RunSpecification
from components.training.stage_settings import HEAD
from components.training.stop_rule import StopRule

Array = npt.NDArray[Any]
CONFUSION_CLASSES = 20


class Run:
    """Holds what the steps of a run share; `execute` goes through them and returns the record."""

    def __init__(
        self, spec: RunSpecification, clock: Clock, facts: Environment, termination: Callable[[], bool]
    ) -> None:
        self.spec, self.clock, self.facts, self.termination = spec, clock, facts, termination
        self.recipe, self.stage, self.process = spec.resolved()
        self.frozen = self.stage.frozen_layers(spec.arm)
        self.began = time.perf_counter()
        rule = StopRule(
            self.recipe.epochs, self.recipe.patience, self.recipe.minimum_improvement, self.recipe.stop_at_accuracy
        )
        self.progress = Progress(rule)
        self.folder = checkpoint.Folder(spec.checkpoints)
        self.repeated = 0.0
        self.record = RunRecord(
            arm=spec.arm,
            seed=spec.seed,
            run_id=spec.run_id,
            status="failed",
            preset=spec.preset,
            recipe=self.recipe.model_dump(mode="json"),
            stage=self.stage.model_dump(mode="json") | {"frozen": list(self.frozen)},
            environment=facts,
        )

    def execute(self) -> RunRecord:
        """Train, evaluate, write the model; a divergence ends in a record, everything else raises."""
        with self.clock.phase("data"):
            self._open_data()
        with self.clock.phase("compile"):
            self._build()
        self._start_attempt()
        try:
            self._prepare_loop()
            self._resume()
            identity = {"arm": self.spec.arm, "seed": self.spec.seed}
            self.record.stop_reason = fit(
                self.loop,
                self.progress,
                self.clock,
                self.validation,
                identity=identity,
                save=self._save,
                termination=self.termination,
            )
            self._finish()
        except (Diverged, FloatingPointError) as error:
            self.record.status, self.record.reason = "diverged", str(error)
            self.record.stop_reason = "diverged"
        self._fill()
        return self.record

    def _open_data(self) -> None:
        self.data = PackedDataset(self.spec.dataset)
        self.record.data = self.data.description.record()
        self.train, self.validation_images = self.data.split("train"), self.data.split("validation")
        for name, (_, labels) in (("train", self.train), ("validation", self.validation_images)):
            if not len(labels):
                raise HeadstartError(
                    f"{self.spec.dataset}: the split {name} has no images.", "The stop rule needs both; import again."
                )

    def _network(self, dtype: str = "float32") -> Any:
        size, classes = self.data.description.image_size, len(self.data.classes)
        stride = self.stage.stride(size)
        return build_network(size, classes, first_stride=stride, dropout=self.recipe.dropout, dtype=dtype)

    def _build(self) -> None:
        keras.utils.set_random_seed(self.spec.seed % 2**32)
        self.model = self._network("mixed_bfloat16" if self.recipe.precision == "bfloat16" else "float32")
        if self.spec.initial_model is not None:
            initial, description = export.load_model(self.spec.initial_model)
            freezing.carry_over(initial, self.model, new_head=HEAD)
            self.record.initial_model = description["weights"]
            self.record.initial_weights = freezing.weights_digest(self.model)
        elif self.frozen:
            raise HeadstartError(f"{self.spec.arm}: freezes layers but was given no initial model.")
        freezing.freeze(self.model, self.frozen)
        self.before = freezing.layer_digests(self.model)
        self.record.total_parameters = sum(int(np.prod(weight.shape)) for weight in self.model.weights)
        self.record.trainable_parameters = sum(int(np.prod(weight.shape)) for weight in self.model.trainable_weights)

    def _start_attempt(self) -> None:
        started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self.fingerprint = self.spec.fingerprint(self.data.description.digest, self.record.initial_model)
        self.attempts = checkpoint.Attempts(self.folder, self.fingerprint, started_at=started, host=self.facts.hostname)
        self.record.started_at = self.attempts.all[0].started_at
        self.record.attempts = self.attempts.all
        with self.clock.phase("checkpoint"):
            self.attempts.save()
        self._throttle = Throttle(self.process.checkpoint_seconds)

    def _prepare_loop(self) -> None:
        length = prefix_length(self.model, self.recipe)
        images, labels = self.train
        limit = self.process.prefix_memory_share * self.facts.memory_bytes
        if length and feature_bytes(self.model, length, len(labels)) > limit:
            length = 0
        self.prefix = Prefix(self.model, length, self.recipe) if length else None
        self.record.prefix_cached = self.prefix is not None
        if self.prefix:
            with self.clock.phase("compile"):
                self.prefix.warm_up(images)
            with self.clock.phase("train") as laps:
                images = self.prefix.features(images)
            self.progress.prefix_seconds = laps[0].wall
            trained = suffix(self.model, length)
        else:
            trained = self.model
        with self.clock.phase("compile"):
            self.loop = TrainingLoop(trained, self.recipe, images, labels, seed=self.spec.seed)
            self.loop.warm_up()
        with self.clock.phase("evaluate"):
            self.validation = self._inputs(*self.validation_images)

    def _inputs(self, images: Array, labels: Array) -> tuple[Array, Array]:
        return (self.prefix.features(images) if self.prefix else images), labels

    def _resume(self) -> None:
        content = self.folder.read("checkpoint.npz") if self.attempts.continues else None
        if content is None:
            return
        try:
            arrays, progress = checkpoint.unpack(content)
        except ValueError:
            # What it took until here is all that is lost: the run starts again from its beginning.
            return
        self.loop.restore({name[6:]: value for name, value in arrays.items() if name.startswith("state/")})
        self.progress.best = {name[5:]: value for name, value in arrays.items() if name.startswith("best/")}
        self.repeated = sum(self.clock.seconds.values()) + progress["repeated"]
        self.clock.seconds = dict(progress["phases"])
        self.clock.train_cpu_seconds = progress["train_cpu_seconds"]
        self.progress.load(progress["progress"])
        emit("resume", arm=self.spec.arm, seed=self.spec.seed, epoch=self.progress.epoch)

    def _save(self, forced: bool) -> None:
        if not self.folder.uri:
            return
        self.folder.journal(f"{self.progress.epoch} {self.progress.rows[-1].train_seconds:.6f}")
        if not self._throttle.due(forced):
            return
        state = {f"state/{name}": value for name, value in self.loop.state().items()}
        best = {f"best/{name}": value for name, value in self.progress.best.items()}
        progress = {
            "progress": self.progress.dump(),
            "phases": self.clock.seconds,
            "train_cpu_seconds": self.clock.train_cpu_seconds,
            "repeated": self.repeated,
        }
        self.folder.write("checkpoint.npz", checkpoint.pack(state | best, progress))
        self._note_attempt("")
        self.attempts.save()

    def _note_attempt(self, ended: str) -> None:
        current = self.attempts.current
        current.epochs = self.progress.epoch - sum(attempt.epochs for attempt in self.attempts.earlier)
        current.wall_seconds = time.perf_counter() - self.began
        current.ended = ended

    def _finish(self) -> None:
        after = freezing.layer_digests(self.model)
        self.record.frozen = [
            FrozenLayer(layer=name, before=self.before[name], after=after[name]) for name in self.frozen
        ]
        moved = [layer.layer for layer in self.record.frozen if layer.before != layer.after]
        if moved:
            raise HeadstartError(f"Frozen layers changed while training: {', '.join(moved)}.")
        images, labels = self.data.split("test")
        result = Result(
            best_validation_accuracy=self.progress.rule.best_accuracy, best_epoch=self.progress.rule.best_epoch
        )
        if len(labels):
            with self.clock.phase("evaluate"):
                loss, accuracy, probabilities = self.loop.evaluate(*self._inputs(images, labels))
            result.test_loss, result.test_accuracy = loss, accuracy
            if len(self.data.classes) <= CONFUSION_CLASSES:
                result.confusion = samples.confusion(labels, probabilities)
            if self.spec.arm == "final":
                self.record.samples = samples.choose(
                    images, labels, probabilities, self.data.classes, self.process.samples, self.spec.seed
                )
        self.record.result = result
        with self.clock.phase("checkpoint"):
            self._write_models()
        self.record.status = "succeeded"

    def _write_models(self) -> None:
        self.record.final_weights = freezing.weights_digest(self.model)
        if self.spec.model is None and self.spec.saved_model is None:
            return
        plain = export.plain_copy(self.model, self._network)
        size = self.data.description.image_size
        if self.spec.model is not None:
            description = {
                "arm": self.spec.arm,
                "seed": self.spec.seed,
                "run_id": self.spec.run_id,
                "classes": self.data.classes,
                "image_size": size,
                "first_stride": self.stage.stride(size),
                "frozen": list(self.frozen),
                "data": self.data.description.digest,
                "test_accuracy": self.record.result.test_accuracy,
                "versions": self.facts.versions,
            }
            export.save_model(plain, self.spec.model, description)
        if self.spec.saved_model is not None:
            export.save_served(plain, self.spec.saved_model, self.data.classes, size)

    def _fill(self) -> None:
        self.record.epochs = self.progress.rows
        self.record.prefix_seconds = self.progress.prefix_seconds
        self.record.phases = Phases(**self.clock.seconds, repeated=self.repeated)
        self.record.train_cpu_seconds = self.clock.train_cpu_seconds
        self.record.stolen_share = self.clock.stolen_share
        self.record.peak_memory_bytes = environment.peak_memory_bytes()
        self._note_attempt("completed" if self.record.status == "succeeded" else self.record.status)
        self.attempts.save()
        outputs = {"model": self.spec.model, "saved_model": self.spec.saved_model}
        if self.record.status == "succeeded":
            checkpoint.keep_finished(self.folder, self.fingerprint, self.record, outputs)


def execute(spec: RunSpecification, clock: Clock, facts: Environment, termination: Callable[[], bool]) -> RunRecord:
    """Run `spec`; TensorFlow has been imported with its threads set."""
    facts = facts.model_copy(update=environment.device_facts(tf, spec.accelerators))
    return Run(spec, clock, facts, termination).execute()
