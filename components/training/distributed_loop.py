"""The epoch loop on several devices in step, through `tf.distribute`.

The same promises as `loop.py`: order and augmentation from (seed, epoch), one batch size, all state
in `state`. The batch size is that of all devices together, so that the work is the same as on one; each device takes an
equal part of every batch, gradients and the statistics of batch normalisation are those of the whole batch. Replicas
draw the same dropout masks for their different parts: Keras mirrors the seed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from headstart.components.errors import SettingError
from headstart.components.training.augmentation import augmented
from headstart.components.training.loop import TrainingLoop, checked_crop
from headstart.components.training.recipes import Recipe

Array = npt.NDArray[Any]


class DistributedLoop(TrainingLoop):
    """Trains a model whose variables a `tf.distribute` strategy has mirrored; it shares only order and rates."""

    def __init__(self, strategy: Any, model: Any, recipe: Recipe, inputs: Array, labels: Array, *, seed: int) -> None:
        """As TrainingLoop; SettingError where the batch size is not a multiple of the number of devices."""
        self.model, self.recipe, self.seed = model, recipe, seed
        self.examples = len(labels)
        self.batch_size = min(recipe.batch_size, self.examples)
        self.steps = self.examples // self.batch_size
        self._strategy, self._replicas = strategy, strategy.num_replicas_in_sync
        if self.batch_size % self._replicas:
            # A smaller last part would leave a device with nothing, which TensorFlow does not survive.
            raise SettingError(
                f"batch_size: {self.batch_size} cannot be divided by {self._replicas} devices.",
                f"Choose a multiple of {self._replicas}.",
            )
        self._images, self._targets = tf.constant(np.asarray(inputs)), tf.constant(np.asarray(labels))
        images = inputs.dtype == np.uint8
        self._augmenting = images and (recipe.flip or recipe.shift > 0)
        self._size = int(inputs.shape[1]) if images else 0
        self._crop = checked_crop(model, recipe, self._size) if images else 0
        self._droppers = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
        with strategy.scope():
            if recipe.optimizer == "adamw":
                self.optimizer = keras.optimizers.AdamW(recipe.learning_rate, weight_decay=recipe.weight_decay)
                self.optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
            else:
                self.optimizer = keras.optimizers.Adam(recipe.learning_rate)
            self.optimizer.build(model.trainable_variables)
        self._train = {
            size: tf.function(functools.partial(self._steps_of, size), reduce_retracing=True)
            for size in {self._size, self._crop or self._size}
        }
        self._answer = tf.function(lambda batch: model(batch, training=False), reduce_retracing=True)

    def warm_up(self) -> None:
        """Trace and run everything once, then put every variable back bit by bit."""
        before = self.state()
        for size in self._train:
            self._epoch_of(0, self.order(0)[:1], self.learning_rates(1)[:1], size)
        self._answer(self._images[: min(self.recipe.evaluation_batch_size, self.examples)])
        self.restore(before)

    def run_epoch(self, epoch: int, interrupted: Callable[[], bool] = lambda: False) -> tuple[float, float]:
        """Train one epoch (1 is the first); return mean training loss and accuracy, read after the devices are done.

        `interrupted` is not asked: on several accelerators an epoch is short.
        """
        return self._epoch_of(epoch, self.order(epoch), self.learning_rates(epoch), self.image_size(epoch))

    def _epoch_of(self, epoch: int, order: Array, rates: Array, size: int) -> tuple[float, float]:
        for number, layer in enumerate(self._droppers):
            layer.seed_generator.state.assign(np.random.default_rng([self.seed, epoch, number]).integers(0, 2**31, 2))
        key = np.random.default_rng([self.seed, epoch, 1]).integers(0, 2**31, 2, dtype=np.int32)
        loss, correct = self._train[size](tf.constant(order), tf.constant(rates), tf.constant(key))
        return float(loss) / len(order), float(correct) / order.size

    def _steps_of(self, size: int, order: Any, rates: Any, key: Any) -> Any:
        loss_sum, correct_sum = tf.constant(0.0), tf.constant(0.0)
        total = tf.distribute.ReduceOp.SUM
        for step in tf.range(tf.shape(order)[0]):
            self.optimizer.learning_rate.assign(rates[step])
            loss, correct = self._strategy.run(self._part, args=(order[step], key, step, size))
            loss_sum += self._strategy.reduce(total, loss, axis=None)
            correct_sum += self._strategy.reduce(total, correct, axis=None)
        return loss_sum, correct_sum

    def _part(self, batch: Any, key: Any, step: Any, size: int) -> Any:
        """One device's part of a step: its share of the loss, so that the sum over devices is the batch's mean."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        share = self.batch_size // self._replicas
        mine = tf.reshape(batch, [self._replicas, share])[replica]
        labels = tf.gather(self._targets, mine)
        if self._augmenting or size != self._size:
            place = key + tf.stack([replica, step * 104_729])
            shift = self.recipe.shift
            inputs = augmented(self._images, mine, place, size=size, shift=shift, flip=self.recipe.flip)
        else:
            inputs = tf.gather(self._images, mine)
        smoothing = self.recipe.label_smoothing
        target = tf.one_hot(labels, self.model.output_shape[-1]) * (1 - smoothing)
        target += smoothing / self.model.output_shape[-1]
        with tf.GradientTape() as tape:
            probabilities = self.model(inputs, training=True)
            loss = tf.reduce_sum(keras.losses.categorical_crossentropy(target, probabilities)) / self.batch_size
        gradients = tape.gradient(loss, self.model.trainable_variables)
        self.optimizer.apply(gradients, self.model.trainable_variables)
        right = tf.argmax(probabilities, -1, tf.int32) == labels
        return loss, tf.reduce_sum(tf.cast(right, tf.float32))

    def evaluate(self, inputs: Array, labels: Array) -> tuple[float, float, Array]:
        """Return mean cross-entropy, accuracy and probabilities (float32, N × classes) on other inputs."""
        size = self.recipe.evaluation_batch_size
        parts = [
            self._answer(tf.constant(np.asarray(inputs[start : start + size]))).numpy()
            for start in range(0, len(labels), size)
        ]
        found = np.concatenate(parts)
        with np.errstate(divide="ignore"):
            loss = -np.log(found[np.arange(len(labels)), labels].astype(np.float64)).mean()
        return float(loss), float((found.argmax(axis=1) == labels).mean()), found

    def state(self) -> dict[str, Array]:
        """Return copies of all variables of the model and of the optimizer, by their paths."""
        found = {f"model/{weight.path}": np.array(weight.numpy()) for weight in self.model.weights}
        return found | {f"optimizer/{slot.path}": np.array(slot.numpy()) for slot in self.optimizer.variables}

    def restore(self, state: dict[str, Array]) -> None:
        """Put back what `state` returned; KeyError where one is missing."""
        for weight in self.model.weights:
            weight.assign(state[f"model/{weight.path}"])
        for slot in self.optimizer.variables:
            slot.assign(state[f"optimizer/{slot.path}"])
