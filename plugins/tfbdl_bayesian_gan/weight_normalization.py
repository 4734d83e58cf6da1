"""NormalizedDense: a dense layer whose weights are a direction and a length."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="tfbdl_bayesian_gan")
class NormalizedDense(keras.layers.Dense):
    """``y = x (g V / |V|) + b``: the columns of the kernel have the lengths g.

    Args:
        units: Of the output.
        **kwargs: As for ``keras.layers.Dense``.

    References:
        Salimans & Kingma 2016, "Weight Normalization", eq. 2.
    """

    def build(self, input_shape: Any) -> None:
        """Make V, g (all 1) and b."""
        super().build(input_shape)
        self.length = self.add_weight(name="length", shape=(self.units,), initializer="ones")

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """``[n, features]`` to ``[n, units]``."""
        V = tf.convert_to_tensor(self.kernel)
        squares = tf.reduce_sum(tf.square(V), axis=0) + keras.config.epsilon()
        outputs = inputs @ (V * (self.length * tf.math.rsqrt(squares)))  # eq. 2
        if self.use_bias:
            outputs += self.bias
        return outputs if self.activation is None else self.activation(outputs)
