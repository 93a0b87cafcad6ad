"""The optimizers: Keras's Adam and AdamW, one operation per weight in place of a dozen, and Muon for convolutions."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from headstart.components.training.recipes import Recipe

MUON_MOMENTUM = 0.9
# Muon's learning rate as a multiple of AdamW's, whose updates are about this much longer.
MUON_RATE = 7.0


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


class Muon(FusedAdam):
    """Momentum whose update of a convolution's kernel is made orthogonal first; all other weights by AdamW.

    K. Jordan and others, Muon: an optimizer for hidden layers in neural networks (2024): Nesterov momentum, then
    five steps of their Newton-Schulz iteration. Its learning rate is the scheduled one times `MUON_RATE`. The first
    convolution, with three channels, and depthwise ones are left to AdamW, and so are dense layers, for which the
    iteration costs more than it saves here. (Keras's own Muon takes the dense layers alone.)
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Move `variable`, a weight that the optimizer was built with."""
        if len(variable.shape) != 4 or min(variable.shape[2:]) <= 3:
            super().update_step(gradient, variable, learning_rate)
            return
        momentum = self._momentums[self._get_variable_index(variable)]
        kept = MUON_MOMENTUM * momentum.value + gradient
        momentum.assign(kept)
        wide = tf.reshape(gradient + MUON_MOMENTUM * kept, [-1, variable.shape[-1]])
        ratio = max(1.0, wide.shape[1] / wide.shape[0]) ** 0.5
        update = tf.reshape(_orthogonal(wide), variable.shape) * ratio
        variable.assign_sub(tf.cast(learning_rate, tf.float32) * MUON_RATE * update)


def _orthogonal(matrix: Any) -> Any:
    """Return nearly U Vᵀ of the singular value decomposition U S Vᵀ of `matrix`: its singular values become about 1.

    An iteration multiplies X by P = aI + bG + cG², where G = XXᵀ; that makes G into PGP. So iterations are computed on
    G alone, which is as small as the shorter side, and X is multiplied by the product of several P. Rounding gives G
    negative eigenvalues, which grow twelvefold each time: after three, G is computed from X again, for TF32's ten bits.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    value = matrix / (tf.norm(matrix) + 1e-7)
    identity = tf.eye(min(matrix.shape))
    for iterations in (3, 2):
        gram = tf.matmul(value, value, transpose_a=tall, transpose_b=not tall)
        product = None
        for _ in range(iterations):
            factor = 3.4445 * identity - 4.7750 * gram + 2.0315 * tf.matmul(gram, gram)
            product = factor if product is None else tf.matmul(factor, product)
            gram = tf.matmul(tf.matmul(factor, gram), factor)
        value = tf.matmul(value, product) if tall else tf.matmul(product, value)
    return value


def build_optimizer(recipe: Recipe, variables: list[Any]) -> FusedAdam:
    """Return the recipe's optimizer for `variables` (Keras's); with AdamW and Muon, only kernels decay."""
    decays = recipe.optimizer != "adam" and recipe.weight_decay > 0
    kind = Muon if recipe.optimizer == "muon" else FusedAdam
    optimizer = kind(recipe.learning_rate, weight_decay=recipe.weight_decay if decays else None, name="adam")
    if decays:
        spared = [variable for variable in variables if not variable.name.endswith("kernel")]
        optimizer.exclude_from_weight_decay(var_list=spared)
    optimizer.build(variables)
    return optimizer
