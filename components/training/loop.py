"""The epoch loop: one call of one compiled function an epoch.

What it promises, whatever is inside: the order of images and their augmentation are drawn from (seed, epoch) alone,
so that an epoch can be repeated and no two epochs are alike; all batches have one size, and the images that do not
fill the last one wait for another epoch; `state` and `restore` carry everything that an epoch depends on.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.training.recipes import Recipe

Array = npt.NDArray[Any]


class TrainingLoop:
    """Trains one Keras model whose `trainable` flags are set; the flags are read once, here."""

    def __init__(self, model: Any, recipe: Recipe, inputs: Array, labels: Array, *, seed: int) -> None:
        """Take `inputs` (uint8 N × H × W × 3, or features float32 N × …) and `labels` (int32 N, below the class count).

        `model` ends in a Dense layer with softmax. Augmentation applies to images alone.
        """
        self.model, self.recipe, self.seed = model, recipe, seed
        self.examples = len(labels)
        self.batch_size = min(recipe.batch_size, self.examples)
        self.steps = self.examples // self.batch_size
        self._inputs, self._labels = tf.constant(np.asarray(inputs)), tf.constant(np.asarray(labels))
        self._augments = inputs.dtype == np.uint8 and (recipe.flip or recipe.shift > 0)
        self._classes = int(model.output_shape[-1])
        self._dropouts = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
        self._variables = model.trainable_variables
        kind = keras.optimizers.AdamW if recipe.optimizer == "adamw" else keras.optimizers.Adam
        decay = {"weight_decay": recipe.weight_decay} if recipe.optimizer == "adamw" else {}
        self.optimizer = kind(learning_rate=recipe.learning_rate, **decay)
        if recipe.optimizer == "adamw":
            self.optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        self.optimizer.build(self._variables)
        jit = {"auto": None, "on": True, "off": False}[recipe.jit_compile]
        self._epoch = tf.function(self._train_steps, jit_compile=jit, reduce_retracing=True)
        self._predict = tf.function(self._predict_batch, jit_compile=jit)

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

    def warm_up(self) -> None:
        """Trace and run everything once, then put every variable back bit by bit."""
        before = self.state()
        self._run(0, self.order(0)[:1], self.learning_rates(1)[:1])
        self._predict(self._inputs[: min(self.recipe.evaluation_batch_size, self.examples)])
        self.restore(before)

    def run_epoch(self, epoch: int) -> tuple[float, float]:
        """Train one epoch (1 is the first); return mean training loss and accuracy, read after the device is done."""
        return self._run(epoch, self.order(epoch), self.learning_rates(epoch))

    def _run(self, epoch: int, order: Array, rates: Array) -> tuple[float, float]:
        for number, layer in enumerate(self._dropouts):
            drawn = np.random.default_rng([self.seed, epoch, number]).integers(0, 2**31, 2)
            layer.seed_generator.state.assign(drawn)
        loss, correct = self._epoch(tf.constant(order), tf.constant(rates), tf.constant([self.seed % 2**31, epoch]))
        return float(loss) / len(order), float(correct) / order.size

    def _train_steps(self, order: Any, rates: Any, key: Any) -> Any:
        loss_sum, correct = tf.constant(0.0), tf.constant(0.0)
        for step in tf.range(tf.shape(order)[0]):
            batch = order[step]
            inputs, labels = tf.gather(self._inputs, batch), tf.gather(self._labels, batch)
            if self._augments:
                inputs = self._augmented(inputs, key, step)
            with tf.GradientTape() as tape:
                logits = self._logits(inputs, training=True)
                target = tf.one_hot(labels, self._classes)
                smoothing = self.recipe.label_smoothing
                target = target * (1 - smoothing) + smoothing / self._classes
                loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(target, logits))
            self.optimizer.learning_rate.assign(rates[step])
            self.optimizer.apply(tape.gradient(loss, self._variables), self._variables)
            loss_sum += loss
            correct += tf.reduce_sum(tf.cast(tf.argmax(logits, -1, tf.int32) == labels, tf.float32))
        return loss_sum, correct

    def _logits(self, inputs: Any, *, training: bool) -> Any:
        value = tf.cast(inputs, self.model.layers[0].compute_dtype)
        for layer in self.model.layers[:-1]:
            value = layer(value, training=training) if layer in self._with_mode else layer(value)
        last = self.model.layers[-1]
        return tf.matmul(tf.cast(value, tf.float32), last.kernel) + last.bias

    @property
    def _with_mode(self) -> list[Any]:
        kinds = (keras.layers.Dropout, keras.layers.BatchNormalization)
        return [layer for layer in self.model.layers if isinstance(layer, kinds)]

    def _augmented(self, images: Any, key: Any, step: Any) -> Any:
        count, size = tf.shape(images)[0], images.shape[1]
        seed = tf.stack([key[0], key[1] * 1_000_003 + step])
        if self.recipe.flip:
            mirrored = tf.random.stateless_uniform([count, 1, 1, 1], seed) < 0.5
            images = tf.where(mirrored, images[:, :, ::-1], images)
        if self.recipe.shift:
            reach = self.recipe.shift
            padded = tf.pad(images, [[0, 0], [reach, reach], [reach, reach], [0, 0]], mode="REFLECT")
            corner = tf.random.stateless_uniform([count, 2], seed + tf.constant([1, 0]), 0, 2 * reach + 1, tf.int32)
            rows = corner[:, :1] + tf.range(size)
            columns = corner[:, 1:] + tf.range(size)
            images = tf.gather(padded, rows, axis=1, batch_dims=1)
            images = tf.gather(images, columns, axis=2, batch_dims=1)
        return images

    def _predict_batch(self, inputs: Any) -> Any:
        return self._logits(inputs, training=False)

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
        return found | {f"optimizer/{slot.path}": slot.numpy().copy() for slot in self.optimizer.variables}

    def restore(self, state: dict[str, Array]) -> None:
        """Put back what `state` returned; KeyError where one is missing."""
        for weight in self.model.weights:
            weight.assign(state[f"model/{weight.path}"])
        for slot in self.optimizer.variables:
            slot.assign(state[f"optimizer/{slot.path}"])
