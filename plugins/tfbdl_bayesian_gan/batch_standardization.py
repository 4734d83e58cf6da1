"""BatchStandardization: rows that are made together, to mean 0 and deviation 1, without a state."""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="tfbdl_bayesian_gan")
class BatchStandardization(keras.layers.Layer):
    """``(h - mean) / sd`` by unit over the rows of a batch, then a learned scale and shift.

    As ``keras.layers.BatchNormalization`` in training, and the same in predictions: no moving
    averages. The generator is then a function of the whole set of noise of a batch, and so is its
    posterior (eq. 1 of Saatchi & Wilson 2017); it should make many rows together.

    References:
        Ioffe & Szegedy 2015, "Batch Normalization", algorithm 1.
    """

    is_vectorizable = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the scale, 1, and the shift, 0, of each unit."""
        units = (input_shape[-1],)
        self.gamma = self.add_weight(name="gamma", shape=units, initializer="ones")
        self.beta = self.add_weight(name="beta", shape=units, initializer="zeros")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """``[n, units]``: the same shape."""
        mean, variance = tf.nn.moments(inputs, axes=[0])
        standard = (inputs - mean) * tf.math.rsqrt(variance + keras.config.epsilon())
        return standard * self.gamma + self.beta
