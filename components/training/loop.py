"""The epoch loop for any Keras model: one call of one compiled function for many steps, on one device or several.

What it promises: the order of images, their augmentation and all that layers draw come from (seed, epoch) alone, so
that an epoch can be repeated and no two epochs are alike; all batches have one size, and the images that do not fill
the last one wait for another epoch; `state` and `restore` carry everything that an epoch depends on.

On several devices the batch size is that of all of them together: each takes an equal part of every batch, gradients
and the statistics of batch normalisation are those of the whole batch. Replicas draw the same dropout masks for their
different parts: Keras mirrors the seed.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from headstart.components.datasets.packed import release
from headstart.components.errors import SettingError
from headstart.components.machine import processor
from headstart.components.stop_rule import steps_per_epoch
from headstart.components.training.fit import Terminated
from headstart.components.training.inputs import Resident, Streamed, augmented
from headstart.components.training.layers import computing, logits, trained_normalizations
from headstart.components.training.networks.blocks import up_to_first_trained
from headstart.components.training.optimizer import build_optimizer
from headstart.components.training.recipes import STATISTICS_IMAGES, Recipe

Array = npt.NDArray[Any]
AUTOMATIC_CROP = 0.92  # of an image's side: 48 of 52 pixels
PART_STEPS, PART_SECONDS, LONG_SECONDS = 16, 1.0, 10.0


class Devices:
    """The devices of a run: the processor, one accelerator, or several in step through `tf.distribute`.

    Variables are made in the scope of `strategy`, which is TensorFlow's default on one device.
    """

    def __init__(self, accelerators: int) -> None:
        """`accelerators`: how many the run was given; that TensorFlow sees as many has been checked."""
        self.accelerators = accelerators
        self._gpus = tf.config.list_logical_devices("GPU")[:accelerators] if accelerators else []
        names = [device.name for device in self._gpus]
        self.strategy = tf.distribute.MirroredStrategy(names) if len(names) > 1 else tf.distribute.get_strategy()

    def facts(self) -> dict[str, Any]:
        """Kind, name and number of the devices, for the record."""
        if not self._gpus:
            return {"device_kind": "cpu", "device_name": processor(), "device_count": 1}
        details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
        name = details.get("device_name", self._gpus[0].name)
        return {"device_kind": "gpu", "device_name": name, "device_count": len(self._gpus)}


class TrainingLoop:
    """Trains one Keras model whose `trainable` flags are set; the flags are read once, when it is traced."""

    def __init__(
        self,
        model: Any,
        recipe: Recipe,
        inputs: Array,
        labels: Array,
        *,
        seed: int,
        strategy: Any = None,
        resident_bytes: float = math.inf,
        whole: Any = None,
    ) -> None:
        """Take `inputs` (uint8 N × H × W × 3, or features float32 N × …) and `labels` (int32 N, below the class count).

        `model` is functional or sequential and answers class probabilities, best from a softmax. Augmentation applies
        to images alone. `strategy` (tf.distribute) is the one that the model was built under. Inputs of more than
        `resident_bytes` are streamed. `whole` is the network where `model` is the head of one. Raises SettingError if
        crops of `recipe.crop` pixels do not fit the network, or the batch size is not a multiple of the number of
        devices.
        """
        self.model, self.recipe, self.seed = model, recipe, seed
        self.examples = len(labels)
        self._strategy = strategy or tf.distribute.get_strategy()
        self._replicas = self._strategy.num_replicas_in_sync
        self.batch_size = min(recipe.batch_size, self.examples // self._replicas * self._replicas or self.examples)
        self.steps = steps_per_epoch(self.examples, self.batch_size)
        if self.batch_size % self._replicas:
            # A smaller last part would leave a device with nothing, which TensorFlow does not survive.
            raise SettingError(
                f"batch_size: {self.batch_size} cannot be divided by {self._replicas} devices.",
                f"Choose a multiple of {self._replicas}.",
            )
        images = inputs.dtype == np.uint8
        # Features are kept as they are computed with: bfloat16 takes half the memory and half the reading.
        self._source = inputs if images else np.asarray(inputs, tf.as_dtype(recipe.precision).as_numpy_dtype)
        self.streams = self._source.nbytes > resident_bytes
        self._inputs = (
            Streamed(self._source, labels, self.batch_size) if self.streams else Resident(self._source, labels)
        )
        self._size = int(inputs.shape[1]) if images else 0
        self._crop = checked_crop(model, recipe, self._size) if images else 0
        self._augments = images and (recipe.flip or recipe.shift > 0)
        self._classes = int(model.output_shape[-1])
        self._variables = model.trainable_variables
        with self._strategy.scope():
            self.optimizer = build_optimizer(recipe, self._variables)
        self._later = self._variables if recipe.first_block_share == 1 else self._after_first_block(whole or model)
        weights = {id(weight) for weight in model.weights}
        self._random = [variable for variable in model.variables if id(variable) not in weights]
        self._part_steps = PART_STEPS
        self._recomputes = recipe.batch_norm_statistics == "recomputed" and bool(trained_normalizations(model))
        self._stale = False
        # Without AutoGraph, whose rewriting of the sources took longer than all other tracing: no Python statement
        # here depends on a tensor.
        plain = {"autograph": False}
        one_gpu = self._replicas == 1 and len(tf.config.list_logical_devices("GPU")) == 1
        # On a processor a step that XLA has compiled is slower.
        xla = one_gpu if recipe.jit_compile == "auto" else recipe.jit_compile == "on"
        kind = tf.as_dtype(self._source.dtype)
        signature = [
            tf.TensorSpec(self._inputs.shape, kind),
            tf.TensorSpec([self._inputs.shape[0]], tf.int32),
            tf.TensorSpec([None, self.batch_size], tf.int32),
            tf.TensorSpec([None], tf.float32),
            tf.TensorSpec([2], tf.int32),
            tf.TensorSpec([3], tf.int32),
            tf.TensorSpec([2], tf.float32),
        ]
        self._epochs = {
            kind: tf.function(functools.partial(self._train_steps, kind), signature, jit_compile=xla, **plain)
            for kind in sorted({self._kind(epoch) for epoch in range(1, recipe.epochs + 1)})
        }
        inferred = tf.TensorSpec([None, *inputs.shape[1:]], tf.as_dtype(inputs.dtype))
        self._predict = tf.function(self._logits, [inferred], **plain)
        self._moments = tf.function(self._batch_moments, [tf.TensorSpec([None, *inputs.shape[1:]], kind)], **plain)

    def learning_rates(self, epoch: int) -> Array:
        """Learning rate of each step of `epoch` (1 is the first): float32, one per step."""
        total = self.recipe.epochs * self.steps
        step = np.arange((epoch - 1) * self.steps, epoch * self.steps, dtype=np.float64)
        peak = self.recipe.learning_rate
        if self.recipe.schedule == "constant":
            return np.full(self.steps, peak, np.float32)
        rise = self.recipe.warmup * total if self.recipe.schedule == "one_cycle" else 0.0
        fall = 0.5 * (1 + np.cos(np.pi * np.clip((step - rise) / max(total - rise, 1), 0, 1)))
        climb = 0.5 * (1 - np.cos(np.pi * (step + 1) / max(rise, 1)))
        return (peak * np.where(step < rise, climb, fall)).astype(np.float32)

    def order(self, epoch: int) -> Array:
        """Indices of the images that `epoch` trains on, in order: int32, steps × batch size."""
        drawn = np.random.default_rng([self.seed, epoch]).permutation(self.examples)
        return drawn[: self.steps * self.batch_size].reshape(self.steps, self.batch_size).astype(np.int32)

    def image_size(self, epoch: int) -> int:
        """Height and width of the images that `epoch` trains on: crops first, whole images last; 0 for features."""
        return self._crop if self._crop and epoch <= self.recipe.epochs - self.recipe.whole_epochs else self._size

    def _after_first_block(self, whole: Any) -> list[Any]:
        """Return the variables that learn to the end: all, where only the head learns."""
        first = up_to_first_trained(whole)
        spared = {id(v) for layer in self.model.layers if layer.name in first for v in layer.trainable_variables}
        return [variable for variable in self._variables if id(variable) not in spared] or self._variables

    def _kind(self, epoch: int) -> tuple[int, bool]:
        """What is traced on its own: the size of the images, and whether all blocks learn or all but the first."""
        all_learn = len(self._later) == len(self._variables)
        last = math.ceil(self.recipe.first_block_share * self.recipe.epochs - 1e-9)  # 0.55 × 20 is more than 11
        return self.image_size(epoch), all_learn or epoch <= max(last, 1)

    def warm_up(self) -> None:
        """Trace and run everything once, on a batch of training, then put every variable back bit by bit."""
        before = self.state()
        for kind in self._epochs:
            # In the shapes of an epoch: XLA compiles once per shape.
            self._run(0, kind, steps=1)
        self._part_steps = PART_STEPS
        spec = self._predict.input_signature[0]
        self._predict(tf.zeros([self.batch_size, *spec.shape[1:]], spec.dtype))
        if self._recomputes:
            self._recompute(1)
        self.restore(before)

    def run_epoch(self, epoch: int, interrupted: Callable[[], bool] = lambda: False) -> tuple[float, float]:
        """Train one epoch (1 is the first); return mean training loss and accuracy, read after the device is done.

        Every second or so `interrupted` is called; if it returns true and much of the epoch is left, Terminated is
        raised, and the weights are those of no epoch.
        """
        return self._run(epoch, self._kind(epoch), interrupted)

    def _run(
        self, epoch: int, kind: tuple[int, bool], interrupted: Callable[[], bool] = lambda: False, steps: int = 0
    ) -> tuple[float, float]:
        steps = steps or self.steps
        for number, variable in enumerate(self._random):
            drawn = np.random.default_rng([self.seed, epoch, 2, number])
            variable.assign(drawn.integers(0, 2**31, variable.shape).astype(variable.dtype))
        key = tf.constant(np.random.default_rng([self.seed, epoch, 1]).integers(0, 2**31, 2, dtype=np.int32))
        # An epoch may take a minute; Python, which handles signals, gets its turn between parts of it. Sums are
        # carried through the parts, so that where they are divided changes no bit.
        sums, done, rates = tf.zeros(2), 0, tf.constant(self.learning_rates(max(epoch, 1)))
        for chunk in self._inputs.chunks(self.order(epoch), steps):
            while done < chunk.first_step + chunk.steps:
                end = min(done + self._part_steps, chunk.first_step + chunk.steps)
                began = time.perf_counter()
                part = tf.constant([done, end, chunk.first_step])
                sums = self._epochs[kind](chunk.inputs, chunk.labels, chunk.order, rates, key, part, sums)
                total = sums.numpy()
                pace = (time.perf_counter() - began) / (end - done)
                self._part_steps = max(1, min(4 * self._part_steps, int(PART_SECONDS / max(pace, 1e-9))))
                done = end
                if (steps - done) * pace > LONG_SECONDS and interrupted():
                    raise Terminated(f"interrupted after {done} of {steps} steps of epoch {epoch}")
        self._stale = self._recomputes
        return float(total[0]) / steps, float(total[1]) / (steps * self.batch_size)

    def _train_steps(
        self, kind: tuple[int, bool], inputs: Any, labels: Any, order: Any, rates: Any, key: Any, part: Any, sums: Any
    ) -> Any:
        def step(number: Any, sums: Any) -> tuple[Any, Any]:
            # By gather: an index in brackets would be a constant to XLA, which would compile every part of an epoch.
            self.optimizer.learning_rate.assign(tf.gather(rates, number))
            given = (inputs, labels, tf.gather(order, number - part[2]), key, number, kind)
            found = self._strategy.run(self._train_step, args=given)
            return number + 1, sums + self._strategy.reduce(tf.distribute.ReduceOp.SUM, found, axis=None)

        with computing(self.model, self.recipe.precision, replicas=self._replicas):
            return tf.while_loop(lambda number, _: number < part[1], step, (part[0], sums))[1]

    def _train_step(self, images: Any, labels: Any, batch: Any, key: Any, number: Any, kind: tuple[int, bool]) -> Any:
        """Train on one device's part of a batch (indices); return its shares of mean loss and of right answers."""
        size, all_learn = kind
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        if self._replicas > 1:
            batch = tf.reshape(batch, [self._replicas, -1])[replica]
        targets = tf.gather(labels, batch)
        if self._augments or size != self._size:
            place = key + tf.stack([1 + replica, number * 104_729])
            inputs = augmented(images, batch, place, size=size, shift=self.recipe.shift, flip=self.recipe.flip)
        else:
            inputs = tf.gather(images, batch)
        smoothing = self.recipe.label_smoothing
        wanted = tf.one_hot(targets, self._classes) * (1 - smoothing) + smoothing / self._classes
        learning = self._variables if all_learn else self._later
        values = [variable.value for variable in learning]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            answers = self._answers(inputs, training=True)
            losses = tf.nn.softmax_cross_entropy_with_logits(wanted, answers)
            loss = tf.reduce_sum(losses) / self.batch_size
            total = tf.add_n([loss, *(extra / self._replicas for extra in self.model.losses)])
        self.optimizer.apply(tape.gradient(total, values), learning)
        right = tf.cast(tf.argmax(answers, -1, tf.int32) == targets, tf.float32)
        return tf.stack([loss, tf.reduce_sum(right)])

    def _answers(self, inputs: Any, *, training: bool) -> Any:
        # `__call__` refuses images of another size than the model was built for, though its layers take them.
        expected = self.model.input_shape[1:]
        call = self.model if tuple(inputs.shape[1:]) == tuple(expected) else self.model.call
        return logits(call(inputs, training=training))

    def _logits(self, inputs: Any) -> Any:
        # What is measured is what is saved: evaluation computes in float32 whatever training did.
        with computing(self.model, "float32"):
            return self._answers(inputs, training=False)

    def _batch_moments(self, inputs: Any) -> list[Any]:
        found: list[Any] = []
        with computing(self.model, "float32", collected=found):
            self._answers(inputs, training=False)
        self._normalized = [layer for layer, _, _ in found]
        return [tf.stack([mean, variance + mean * mean]) for _, mean, variance in found]

    def _recompute(self, count: int) -> None:
        """Set the statistics of batch normalisation to those of `count` batches under the weights as they are.

        Moving averages lag behind the weights by 1 / (1 - momentum) steps, which with few steps per epoch is most of
        the training. Images come as they are, nothing is dropped, and layers see each batch's own moments, as while
        training; mean and variance are those of all batches together.
        """
        found = []
        for row in self.order(0)[:count]:
            batch = tf.constant(self._source[np.sort(row)])
            release(self._source)
            found.append([np.asarray(moment, np.float64) for moment in self._moments(batch)])
        sums = [functools.reduce(np.add, moments) for moments in zip(*found, strict=True)]
        for layer in {id(layer): layer for layer in self._normalized}.values():
            own = [total for owner, total in zip(self._normalized, sums, strict=True) if owner is layer]
            mean, square = np.mean(own, axis=0) / len(found)
            layer.moving_mean.assign(mean.astype(np.float32))
            layer.moving_variance.assign(np.maximum(square - mean**2, 0).astype(np.float32))

    def evaluate(self, inputs: Array, labels: Array) -> tuple[float, float, Array]:
        """Return mean cross-entropy, accuracy and probabilities (float32, N × classes) on other inputs.

        After an epoch, the first call brings the statistics of batch normalisation up to date (see the recipe).
        """
        if self._stale:
            self._recompute(max(1, min(self.examples, STATISTICS_IMAGES) // self.batch_size))
            self._stale = False
        size = self.recipe.evaluation_batch_size
        parts = [
            self._predict(tf.constant(np.asarray(inputs[start : start + size]))).numpy()
            for start in range(0, len(labels), size)
        ]
        answers = np.concatenate(parts).astype(np.float64)
        answers -= answers.max(axis=1, keepdims=True)
        logarithms = answers - np.log(np.exp(answers).sum(axis=1, keepdims=True))
        loss = float(-logarithms[np.arange(len(labels)), labels].mean())
        accuracy = float((logarithms.argmax(axis=1) == labels).mean())
        return (loss if math.isfinite(loss) else math.nan), accuracy, np.exp(logarithms).astype(np.float32)

    def weights(self) -> dict[str, Array]:
        """Return copies of the variables of the model, by their place and path."""
        return {name: np.asarray(each.numpy()) for name, each in self._named() if name.startswith("model/")}

    def state(self) -> dict[str, Array]:
        """Return copies of all variables of the model and of the optimizer, by their place and path."""
        return {name: np.asarray(each.numpy()) for name, each in self._named()}

    def restore(self, state: dict[str, Array]) -> None:
        """Put back what `state` returned; KeyError if one is missing."""
        # By place: Keras numbers layers without a name per process.
        values = {tuple(name.split("/", 2)[:2]): value for name, value in state.items()}
        for name, variable in self._named():
            variable.assign(values[tuple(name.split("/", 2)[:2])])
        self._stale = False

    def _named(self) -> list[tuple[str, Any]]:
        groups = (("model", self.model.weights), ("optimizer", self.optimizer.variables))
        # Paths alone are not unique where models are nested.
        return [(f"{kind}/{at}/{each.path}", each) for kind, group in groups for at, each in enumerate(group)]


def checked_crop(model: Any, recipe: Recipe, size: int) -> int:
    """Return the size of crops in pixels, 0 for none; SettingError if the network does not take them."""
    if recipe.crop in (0, size):
        return 0
    if recipe.crop == "auto":
        sizes = range(math.ceil(AUTOMATIC_CROP * size), size)
        return next((crop for crop in sizes if takes(model, crop)), 0)
    if recipe.crop > size or not takes(model, recipe.crop):
        fits = [crop for crop in range(max(1, size - 16), size) if takes(model, crop)]
        raise SettingError(
            f"crop: {recipe.crop} pixels of images of {size} do not fit the network; "
            f"{'these do: ' + ', '.join(map(str, fits)) if fits else 'no size a little smaller does'}, and 0 for none."
        )
    return recipe.crop


def takes(model: Any, size: int) -> bool:
    """Whether the layers of `model` take images of `size` pixels, though it was built for another size."""
    traced = tf.function(lambda images: model.call(images, training=False), autograph=False)
    try:
        traced.get_concrete_function(tf.TensorSpec([1, size, size, 3], tf.float32))
    except Exception:  # layers raise nearly anything for a shape that they do not take
        return False
    return True
