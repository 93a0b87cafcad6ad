"""The epoch loop: one call of one compiled function an epoch.

What it promises, whatever is inside: the order of images and their augmentation are drawn from (seed, epoch) alone, so
that an epoch can be repeated and no two epochs are alike; all batches have one size, and the images that do not fill
the last one wait for another epoch; `state` and `restore` carry everything that an epoch depends on.

The inputs are resident on the device as they come (images as uint8), batches are gathered there, and Python is left
for a whole epoch.
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

from headstart.components.errors import SettingError
from headstart.components.training.augmentation import augmented
from headstart.components.training.fused_operations import Adam, ForwardPass, keep_moments
from headstart.components.training.interruption import Interrupted
from headstart.components.training.recipes import Recipe

Array = npt.NDArray[Any]
ITERATIONS = "optimizer/iterations"
AUTOMATIC_CROP = 0.92  # of an image's side: 48 of 52 pixels
PART_SECONDS, LONG_SECONDS = 1.0, 10.0


class TrainingLoop:
    """Trains one Keras model whose `trainable` flags are set; the flags are read once, here."""

    def __init__(self, model: Any, recipe: Recipe, inputs: Array, labels: Array, *, seed: int) -> None:
        """Take `inputs` (uint8 N × H × W × 3, or features float32 N × …) and `labels` (int32 N, below the class count).

        `model` ends in a Dense layer with softmax. Augmentation applies to images alone. Raises SettingError where
        crops of `recipe.crop` pixels do not fit the network.
        """
        self.model, self.recipe, self.seed = model, recipe, seed
        self.examples = len(labels)
        self.batch_size = min(recipe.batch_size, self.examples)
        self.steps = self.examples // self.batch_size
        images = inputs.dtype == np.uint8
        self._inputs = tf.constant(np.asarray(inputs) if images else self._narrowed(inputs))
        self._labels = tf.constant(np.asarray(labels))
        self._size = int(inputs.shape[1]) if images else 0
        self._crop = checked_crop(model, recipe, self._size) if images else 0
        self._augments = images and (recipe.flip or recipe.shift > 0)
        self._classes = int(model.output_shape[-1])
        self._variables = model.trainable_variables
        self._adam = Adam(self._variables, recipe.weight_decay if recipe.optimizer == "adamw" else 0.0)
        self._iterations = 0
        self._part_steps = 16
        self._trained = ForwardPass(model.layers, recipe.precision)
        # What is measured is what is saved: evaluation computes in float32 whatever training did.
        self._evaluated = ForwardPass(model.layers, "float32")
        jit = compiled_by_xla(recipe)
        signature = [
            tf.TensorSpec([None, self.batch_size], tf.int32),
            tf.TensorSpec([None], tf.float32),
            tf.TensorSpec([2], tf.int32),
            tf.TensorSpec([], tf.float32),
            tf.TensorSpec([2], tf.int32),
            tf.TensorSpec([2], tf.float32),
        ]
        # Without AutoGraph, whose rewriting of the sources took longer than all other tracing: no Python statement
        # here depends on a tensor.
        plain = {"jit_compile": jit, "autograph": False}
        self._epochs = {
            size: tf.function(functools.partial(self._train_steps, size), signature, **plain)
            for size in {self._size, self._crop or self._size}
        }
        inferred = tf.TensorSpec([None, *inputs.shape[1:]], tf.as_dtype(inputs.dtype))
        self._predict = tf.function(self._evaluated, [inferred], **plain)

    def _narrowed(self, features: Array) -> Array:
        # Features are kept as they are computed with: bfloat16 takes half the memory and half the reading.
        if self.recipe.precision != "bfloat16":
            return np.asarray(features, np.float32)
        narrow = np.empty(features.shape, tf.bfloat16.as_numpy_dtype)
        for start in range(0, len(features), 4096):
            narrow[start : start + 4096] = features[start : start + 4096]
        return narrow

    def learning_rates(self, epoch: int) -> Array:
        """Learning rate of each step of `epoch` (1 is the first): float32, one a step."""
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

    def warm_up(self) -> None:
        """Trace and run everything once, then put every variable back bit by bit."""
        before = self.state()
        for size in self._epochs:
            self._run(0, self.order(0)[:1], self.learning_rates(1)[:1], size)
        self._predict(tf.constant(self._example()))
        self.restore(before)

    def _example(self) -> Array:
        spec = self._predict.input_signature[0]
        count = min(self.recipe.evaluation_batch_size, self.examples)
        return np.zeros([count, *spec.shape[1:]], spec.dtype.as_numpy_dtype)

    def run_epoch(self, epoch: int, interrupted: Callable[[], bool] = lambda: False) -> tuple[float, float]:
        """Train one epoch (1 is the first); return mean training loss and accuracy, read after the device is done.

        Every second or so `interrupted` is asked; where it says so and much of the epoch is left, Interrupted is
        raised, and the weights are those of no epoch.
        """
        return self._run(epoch, self.order(epoch), self.learning_rates(epoch), self.image_size(epoch), interrupted)

    def _run(
        self, epoch: int, order: Array, rates: Array, size: int, interrupted: Callable[[], bool] = lambda: False
    ) -> tuple[float, float]:
        key = np.random.default_rng([self.seed, epoch, 1]).integers(0, 2**31, 2, dtype=np.int32)
        first = np.float32(self._iterations + 1)
        given = [tf.constant(value) for value in (order, rates, key, first)]
        # An epoch may take a minute; Python, which hears signals, gets its turn between parts of it. Sums are carried
        # through the parts, so that where they are divided changes no bit.
        sums, done = tf.zeros(2), 0
        while done < len(order):
            end = min(done + self._part_steps, len(order))
            began = time.perf_counter()
            sums = self._epochs[size](*given, tf.constant([done, end]), sums)
            total = sums.numpy()
            pace = (time.perf_counter() - began) / (end - done)
            self._part_steps = max(1, min(4 * self._part_steps, int(PART_SECONDS / max(pace, 1e-9))))
            done = end
            if (len(order) - done) * pace > LONG_SECONDS and interrupted():
                raise Interrupted(f"interrupted after {done} of {len(order)} steps of epoch {epoch}")
        self._iterations += len(order)
        return float(total[0]) / len(order), float(total[1]) / order.size

    def _train_steps(self, size: int, order: Any, rates: Any, key: Any, first: Any, part: Any, sums: Any) -> Any:
        def step(number: Any, sums: Any) -> tuple[Any, Any]:
            drawn = key + tf.stack([0, number * 104_729])
            iteration = first + tf.cast(number, tf.float32)
            found = self._train_step(order[number], rates[number], drawn, iteration, size)
            return number + 1, sums + tf.stack(found)

        return tf.while_loop(lambda number, _: number < part[1], step, (part[0], sums))[1]

    def _train_step(self, batch: Any, rate: Any, key: Any, number: Any, size: int) -> Any:
        """Train on one batch (indices); return its mean loss and how many answers were right."""
        labels = tf.gather(self._labels, batch)
        if self._augments or size != self._size:
            place = key + tf.constant([1, 0])
            inputs = augmented(self._inputs, batch, place, size=size, shift=self.recipe.shift, flip=self.recipe.flip)
        else:
            inputs = tf.gather(self._inputs, batch)
        moments: list[Any] = []
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in self._variables])
            logits = self._trained(inputs, key=key, moments=moments)
            target = tf.one_hot(labels, self._classes)
            smoothing = self.recipe.label_smoothing
            target = target * (1 - smoothing) + smoothing / self._classes
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(target, logits))
        gradients = tape.gradient(loss, [variable.value for variable in self._variables])
        self._adam.apply(gradients, rate, number)
        keep_moments(moments)
        return loss, tf.reduce_sum(tf.cast(tf.argmax(logits, -1, tf.int32) == labels, tf.float32))

    def evaluate(self, inputs: Array, labels: Array) -> tuple[float, float, Array]:
        """Return mean cross-entropy, accuracy and probabilities (float32, N × classes) on other inputs."""
        size = self.recipe.evaluation_batch_size
        parts = [
            self._predict(tf.constant(np.asarray(inputs[start : start + size]))).numpy()
            for start in range(0, len(labels), size)
        ]
        logits = np.concatenate(parts).astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        logarithms = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        loss = float(-logarithms[np.arange(len(labels)), labels].mean())
        accuracy = float((logarithms.argmax(axis=1) == labels).mean())
        return (loss if math.isfinite(loss) else math.nan), accuracy, np.exp(logarithms).astype(np.float32)

    def state(self) -> dict[str, Array]:
        """Return copies of all variables of the model and of the optimizer, by their paths."""
        found = {f"model/{weight.path}": weight.numpy().copy() for weight in self.model.weights}
        slots = {f"optimizer/{name}": slot.numpy().copy() for name, slot in self._adam.slots.items()}
        return found | slots | {ITERATIONS: np.asarray(self._iterations, np.int64)}

    def restore(self, state: dict[str, Array]) -> None:
        """Put back what `state` returned; KeyError where one is missing."""
        for weight in self.model.weights:
            weight.assign(state[f"model/{weight.path}"])
        for name, slot in self._adam.slots.items():
            slot.assign(state[f"optimizer/{name}"])
        self._iterations = int(state[ITERATIONS])


def compiled_by_xla(recipe: Recipe) -> bool | None:
    """Whether XLA compiles the epoch: as the recipe says; `auto` means on one GPU, since on a CPU it is slower."""
    if recipe.jit_compile == "auto":
        return len(tf.config.list_logical_devices("GPU")) == 1
    return recipe.jit_compile == "on"


def checked_crop(model: Any, recipe: Recipe, size: int) -> int:
    """Return the size of crops in pixels, 0 for none; SettingError where they do not fit the network's dense layers."""
    if not recipe.crop or recipe.crop == size:
        return 0
    fits = [crop for crop in range(1, size) if _flat_size(model, crop) == _flat_size(model, size)]
    if recipe.crop == "auto":
        return next((crop for crop in fits if crop >= AUTOMATIC_CROP * size), 0)
    if recipe.crop not in fits:
        raise SettingError(
            f"crop: {recipe.crop} pixels of images of {size} do not fit the network's dense layers; "
            f"{'these do: ' + ', '.join(map(str, fits)) if fits else 'no smaller size does'}, and 0 for none."
        )
    return recipe.crop


def _flat_size(model: Any, size: int) -> int:
    for layer in model.layers:
        if hasattr(layer, "kernel_size"):
            size = (size - layer.kernel_size[0]) // layer.strides[0] + 1
        elif hasattr(layer, "pool_size"):
            size = size // layer.pool_size[0]
    return size
