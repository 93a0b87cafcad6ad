"""The optimizer: Keras's Adam and AdamW with one operation per weight in place of a dozen."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from headstart.components.training.recipes import Recipe


class FusedAdam(keras.optimizers.Adam):  # type: ignore[misc]
    """Keras's Adam through `ResourceApplyAdam`, which computes the same formula; with `weight_decay` it is AdamW.

    D. P. Kingma, J. Ba, Adam (arXiv 1412.6980), in the form with epsilon outside the bias correction;
    I. Loshchilov, F. Hutter, AdamW (arXiv 1711.05101): weights shrink by rate × decay before the step.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Move `variable`, a weight that the optimizer was built with."""
        if self.amsgrad or variable.dtype != tf.float32 or not isinstance(gradient, tf.Tensor):
            super().update_step(gradient, variable, learning_rate)
            return
        index, step = self._get_variable_index(variable), tf.cast(self.iterations.value + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(self.beta_1, step),
            beta2_power=tf.pow(self.beta_2, step),
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


def build_optimizer(recipe: Recipe, variables: list[Any]) -> FusedAdam:
    """Return the recipe's optimizer for `variables` (Keras's); with AdamW, only kernels decay."""
    decays = recipe.optimizer == "adamw" and recipe.weight_decay > 0
    optimizer = FusedAdam(recipe.learning_rate, weight_decay=recipe.weight_decay if decays else None, name="adam")
    if decays:
        spared = [variable for variable in variables if not variable.name.endswith("kernel")]
        optimizer.exclude_from_weight_decay(var_list=spared)
    optimizer.build(variables)
    return optimizer
