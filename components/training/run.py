"""One run of one arm, inside its own process: from the packed images to the record and the model."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from headstart.components import machine, storage
from headstart.components.datasets.packed import PackedDataset
from headstart.components.errors import HeadstartError
from headstart.components.progress import emit
from headstart.components.records import Environment, FrozenLayer, Given, Phases, Result, RunRecord
from headstart.components.stages import PREPARATION, PRODUCT, STAGES
from headstart.components.stop_rule import StopRule
from headstart.components.training import checkpoint, evaluation, export, freezing, lineage
from headstart.components.training.attempts import Attempts
from headstart.components.training.clock import Clock
from headstart.components.training.curves import Curves
from headstart.components.training.features import Backbone, feature_bytes, frozen_depth, head_of, kept_features
from headstart.components.training.fit import Diverged, Progress, Terminated, fit
from headstart.components.training.initialisation import whiten
from headstart.components.training.layers import settle_statistics
from headstart.components.training.loop import Devices, TrainingLoop
from headstart.components.training.networks import code_digest, registry
from headstart.components.training.networks.blocks import head
from headstart.components.training.specification import RunSpecification

Array = npt.NDArray[Any]


class Run:
    """Holds what the steps of a run share; `execute` goes through them and returns the record."""

    def __init__(
        self, spec: RunSpecification, clock: Clock, facts: Environment, termination: Callable[[], bool]
    ) -> None:
        self.spec, self.clock, self.termination = spec, clock, termination
        self.recipe, self.stage, self.process = spec.resolved()
        self.identity = {"arm": spec.arm, "seed": spec.seed}
        self.folder = checkpoint.Folder(spec.checkpoints)
        self.record = spec.blank_record(facts)
        self.curves = Curves(self.process.tensorboard, self.record.name)

    def execute(self) -> RunRecord:
        """Train, evaluate, write the model; a divergence ends in a record, everything else raises."""
        with self.clock.phase("data"):
            self._open_data()
        # Reading and comparing all of the data takes one processor, and so does building.
        with ThreadPoolExecutor(1) as beside:
            checked = beside.submit(self._check_data)
            with self.clock.phase("compile"):
                self._build()
            with self.clock.phase("data"):
                checked.result()
        self._begin_attempt()
        try:
            self._prepare()
            self._resume()
            if self.termination():
                raise Terminated("terminated before an epoch")
            self.record.stop_reason = fit(
                self.loop,
                self.progress,
                self.clock,
                self.validation,
                identity=self.identity,
                restore_best_weights=self.recipe.restore_best_weights,
                save=self._save,
                termination=self.termination,
            )
            self._evaluate()
            self.record.status, self.record.reason = "succeeded", ""
        except (Diverged, FloatingPointError) as error:
            self.record.status, self.record.reason = "diverged", str(error)
            self.record.stop_reason = "diverged"
        self._check_frozen()
        if self.record.status == "succeeded":
            with self.clock.phase("checkpoint"):
                self._write_models()
        self._complete()
        return self.record

    def _open_data(self) -> None:
        self.data = PackedDataset(self.spec.dataset, checked=False)
        self.record.data = self.data.record()
        self.images = {name: self.data.split(name) for name in ("train", "validation", "test")}
        for name in ("train", "validation"):
            if not len(self.images[name][1]):
                raise HeadstartError(
                    f"{self.spec.dataset}: the split {name} has no images.",
                    "Training needs both train and validation; import the data again.",
                )
        self.recipe = recipe = self.recipe.for_images(len(self.images["train"][1]))
        self.progress = Progress(StopRule(recipe.epochs, recipe.patience, recipe.min_delta, recipe.stop_at_accuracy))

    def _check_data(self) -> None:
        self.data.verify()
        if self.spec.initial_model is not None:
            self.record.seen_before = lineage.seen_before(self.data, self.spec.initial_model)

    def _network(self) -> Any:
        size, classes = self.data.description.image_size, len(self.data.classes)
        return registry.build(self.stage, self.recipe, size, classes, asked=self.spec.settings)

    def _build(self) -> None:
        self.devices = Devices(self.spec.accelerators)
        self.record.environment = self.record.environment.model_copy(update=self.devices.facts())
        keras.utils.set_random_seed(self.spec.seed % 2**32)
        with self.devices.strategy.scope():
            self.model = self._network()
            if self.spec.initial_model is not None:
                # From the file for each run: nothing of an earlier run can be in it.
                initial, description = export.load_weights(self.spec.initial_model)
                freezing.carry_over(initial, self.model, new_head=head(self.model))
                freezing.check_finite(self.model)
                self.record.initial_model = description["weights"]
                self.record.started_from = lineage.chain(description)
                if description.get("given"):
                    self.record.given = Given.model_validate(description["given"])
            elif (start := STAGES[self.spec.arm].starts_from) and self.spec.arm in PREPARATION:
                self.record.given = Given(left_out=[start], hours=0.0)
            elif start:
                raise HeadstartError(f"{self.spec.arm}: it starts from the model of {start} but was given none.")
            if self.spec.initial_model is None and self.recipe.initialisation == "whitened":
                whiten(self.model, self._some_images())
            self.frozen = registry.frozen_layers(self.model, self.stage, self.spec.arm)
            if self.spec.initial_model is None and self.spec.arm in PREPARATION:
                self.frozen = ()  # random weights are not worth keeping
            if self.frozen and self.spec.initial_model is None and self.recipe.batch_norm_statistics == "recomputed":
                settle_statistics(self.model, self._some_images())
            freezing.freeze(self.model, self.frozen)
        self.record.stage["frozen"] = list(self.frozen)
        self.before = freezing.layer_digests(self.model)
        if self.spec.initial_model is not None:
            self.record.initial_weights = freezing.combined(self.before)
        self.record.total_parameters = _size(self.model.weights)
        self.record.trainable_parameters = _size(self.model.trainable_weights)

    def _some_images(self) -> Any:
        """Return a batch of training images from all over the split, which is sorted by class."""
        images, labels = self.images["train"]
        count = min(len(labels), self.recipe.evaluation_batch_size)
        return np.stack([images[row] for row in np.linspace(0, len(labels) - 1, count).astype(int)])

    def _begin_attempt(self) -> None:
        self.fingerprint = self.spec.fingerprint(self.data.description.digest, self.record.initial_model)
        with self.clock.phase("checkpoint"):
            try:
                self._read_attempts()
            except HeadstartError as error:
                # An object store that is away for a while costs a run its checkpoints there, not the run.
                if not storage.is_remote(self.folder.uri):
                    raise
                emit("warning", **self.identity, what="checkpoints", reason=f"not outside the container: {error}")
                self.folder = self.folder.in_container()
                self._read_attempts()
        self.record.attempts = self.attempts.all
        self.record.started_at = self.attempts.all[0].started_at
        self.saved_at = time.monotonic()
        self.prepared = 0.0  # seconds, once they are known: the frozen layers' first pass may end the run

    def _read_attempts(self) -> None:
        self.attempts = Attempts(self.folder, self.fingerprint)
        self.attempts.begin()
        self.kept = self.folder.read(checkpoint.CHECKPOINT) if self.attempts.earlier else None

    def _prepare(self) -> None:
        images, labels = self.images["train"]
        length = frozen_depth(self.model, self.recipe)
        memory = self.record.environment.memory_bytes
        if self.devices.accelerators:  # inputs lie on the device
            memory = min(memory, machine.gpu_memory() or memory)
        limit = self.process.input_memory_share * memory
        if length and feature_bytes(self.model, length, len(labels)) > limit:
            length = 0
        self.backbone = Backbone(self.model, length, self.recipe, self.identity) if length else None
        trained = self.model
        if self.backbone:
            with self.clock.phase("compile"):
                self.backbone.warm_up(images)
            with self.clock.phase("train") as laps:
                images = self.backbone.features(images, training=True)
            self.progress.prefix_seconds = laps[0].wall
            trained = head_of(self.model, length)
        self.record.prefix_cached = self.backbone is not None
        with self.clock.phase("compile"):
            self.loop = TrainingLoop(
                trained,
                self.recipe,
                images,
                labels,
                seed=self.spec.seed,
                strategy=self.devices.strategy,
                resident_bytes=limit,
                whole=self.model,
            )
            self.loop.warm_up()
            gc.freeze()  # what has been built stays; the collector need not look at it again
            gc.enable()
        with self.clock.phase("evaluate"):
            self.validation = self._inputs("validation")
        self.prepared = sum(self.clock.seconds.values())
        self.attempts.prepared(self.prepared)
        emit("start", **self.identity, images=len(labels), epochs=self.recipe.epochs, steps=self.loop.steps)

    def _inputs(self, split: str) -> tuple[Array, Array]:
        images, labels = self.images[split]
        if self.backbone is None:
            return images, labels
        place, digest = self.folder.local, self.data.description.image_digests.get(split)
        # Arms alone: the first run of one that needs them is counted with their time.
        if place is None or digest is None or self.spec.initial_model is None or not STAGES[self.spec.arm].is_arm:
            return self.backbone.features(images), labels
        options = {"dropout", "batch_norm_momentum", "evaluation_batch_size"}  # the network's, and how it is called
        facts = {
            "images": digest,
            "layers": [
                (layer.name, self.before.get(layer.name)) for layer in self.model.layers[: self.backbone.length]
            ],
            "network": self.record.stage | self.recipe.model_dump(include=options),
            "code": code_digest(self.stage.network),
            "environment": self.record.environment.model_dump(exclude={"hostname"}),  # a pod's is its own
        }
        features, read = kept_features(place.parent, facts, images, self.backbone.features)
        if read:
            self.record.kept_features.append(split)
        return features, labels

    def _resume(self) -> None:
        content, self.kept = self.kept, None
        if not content:
            return
        try:
            arrays, stored = checkpoint.unpack(content)
        except ValueError as error:
            # What earlier attempts did is lost, no more: the run starts again from its beginning.
            emit("restart", **self.identity, reason=str(error))
            return
        if stored["fingerprint"] != self.fingerprint:
            return
        self.loop.restore({name[6:]: value for name, value in arrays.items() if name.startswith("state/")})
        self.progress.load(stored["progress"])
        self.progress.best = {name[5:]: value for name, value in arrays.items() if name.startswith("best/")}
        # This attempt's preparation is repeated work (see Attempts); the phases go on from the checkpoint's.
        self.prepared = stored["prepared"]
        self.record.kept_features = stored.get("kept_features", [])
        self.clock.load(stored["clock"])
        emit("resume", **self.identity, epoch=self.progress.epoch)

    def _save(self, forced: bool) -> None:
        row = self.progress.rows[-1]
        self.curves.add(row)
        self.attempts.epoch_done(row.epoch, row.train_seconds)
        now = time.monotonic()
        if not self.folder.uri or (not forced and now - self.saved_at < self.process.checkpoint_seconds):
            return
        self.saved_at = now
        arrays = {f"state/{name}": value for name, value in self.loop.state().items()}
        best = {f"best/{name}": value for name, value in self.progress.best.items()}
        stored = {
            "fingerprint": self.fingerprint,
            "progress": self.progress.dump(),
            "clock": self.clock.dump(),
            "prepared": self.prepared,
            "kept_features": self.record.kept_features,
        }
        with self._storing("checkpoint"):
            self.folder.write(checkpoint.CHECKPOINT, checkpoint.pack(arrays | best, stored))
            self.attempts.note(self.progress.epoch)
            self.attempts.save()

    @contextlib.contextmanager
    def _storing(self, what: str) -> Iterator[None]:
        """Training goes on where a checkpoint cannot be written: what it would save is lost only if it is stopped.

        That the place can be written at all has been found when the attempt began.
        """
        try:
            yield
        except (HeadstartError, OSError) as error:
            emit("warning", **self.identity, what=what, reason=str(error))

    def _evaluate(self) -> None:
        rule = self.progress.rule
        result = Result(best_validation_accuracy=rule.best_accuracy, best_epoch=rule.best_epoch)
        images, labels = self.images["test"]
        if len(labels):
            with self.clock.phase("evaluate"):
                outcome = evaluation.evaluate(self.loop, *self._inputs("test"), identity=self.identity)
            result.test_loss, result.test_accuracy = outcome.loss, outcome.accuracy
            result.set_correct(outcome.probabilities.argmax(axis=1) == labels)
            result.confusion = evaluation.confusion(labels, outcome.probabilities)
            if self.spec.arm == PRODUCT:
                shown = images, labels, outcome.probabilities, self.data.classes, self.process.samples
                self.record.samples = evaluation.samples(*shown, self.spec.seed)
                self.record.mistakes = evaluation.mistakes(*shown)
        self.record.result = result

    def _check_frozen(self) -> None:
        after = freezing.layer_digests(self.model)
        self.record.final_weights = freezing.combined(after)
        self.record.frozen = [
            FrozenLayer(layer=name, before=self.before[name], after=after[name]) for name in self.frozen
        ]
        moved = [layer.layer for layer in self.record.frozen if layer.before != layer.after]
        if moved:
            raise HeadstartError(f"Frozen layers changed while training: {', '.join(moved)}.")

    def _write_models(self) -> None:
        if self.spec.model is None and self.spec.saved_model is None:
            return
        plain = self._network()  # in float32, without a policy, flags or an optimizer
        freezing.carry_over(freezing.weights_of(self.model), plain, new_head="")
        size, classes, reading = self.data.description.image_size, self.data.classes, self.data.description.reading
        if self.spec.model is not None:
            description = {
                **self.identity,
                "run_id": self.spec.run_id,
                "preparation": self.spec.preparation,
                "lineage": [ancestor.model_dump() for ancestor in self.record.started_from],
                **({"given": self.record.given.model_dump()} if self.record.given else {}),
                "classes": classes,
                "image_size": size,
                "reading": asdict(reading),
                "network": self.stage.network,
                **({"first_stride": self.stage.stride(size)} if self.stage.network == "paper" else {}),
                "frozen": list(self.frozen),
                "data": self.data.description.digest,
                "test_accuracy": self.record.result.test_accuracy,
                "versions": self.record.environment.versions,
            }
            export.save_model(plain, self.spec.model, description)
            if self.spec.arm in PREPARATION:
                lineage.write_trained_on(self.spec.model, self.spec.arm, self.data, self.spec.initial_model)
        if self.spec.saved_model is not None:
            export.save_served(plain, self.spec.saved_model, classes, size, reading)

    def _complete(self) -> None:
        self.curves.close()
        record, rows = self.record, self.progress.rows
        record.epochs, record.prefix_seconds = rows, self.progress.prefix_seconds
        repeated = self.attempts.repeated_seconds(sum(row.train_seconds for row in rows), self.prepared)
        record.phases = Phases(**self.clock.seconds, repeated=repeated)
        record.train_cpu_seconds, record.stolen_share = self.clock.train_cpu_seconds, self.clock.stolen_share
        record.peak_memory_bytes = machine.peak_memory_bytes()
        self.attempts.note(self.progress.epoch, "completed" if record.status == "succeeded" else record.status)
        # The result first: an attempt that is killed in between has its run kept, or has not completed it.
        if record.status == "succeeded":
            with self._storing("finished run"):
                outputs = {"model": self.spec.model, "saved_model": self.spec.saved_model}
                checkpoint.keep_finished(self.folder, self.fingerprint, record, outputs)
        with self._storing("attempts"):
            self.attempts.save()


def _size(weights: Any) -> int:
    return sum(int(np.prod(weight.shape)) for weight in weights)


def execute(spec: RunSpecification, clock: Clock, facts: Environment, termination: Callable[[], bool]) -> RunRecord:
    """Run `spec` and return its record; TensorFlow has been imported with its threads set."""
    if not tf.executing_eagerly():
        raise RuntimeError("TensorFlow is in graph mode: something imported it before and changed it")
    return Run(spec, clock, facts, termination).execute()
