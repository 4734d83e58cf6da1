"""lstm_Q and lstm_R: variances of noise that depend on what a filter has seen."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfbdl.inference.surrogate import read

from .lstm_net import LSTMNet, Memory, Weights

LEAST = 1e-6
"""The smallest variance, beside the squared scale: what keeps covariances positive in float32."""

LARGEST_LOG = 15.0
OUTPUT_SCALE = 0.1


@keras.saving.register_keras_serializable(package="tfbdl_kalman_lstm")
class NoiseNet(LSTMNet):
    """A diagonal covariance ``diag(scale^2 exp(lstm(x)))`` (Coskun et al. 2017, section 3.2).

    Args:
        size: Of an input and of the noise.
        units: Of each LSTM.
        variance: Where the variances start, in squared scales: the output's bias is its logarithm,
            and the kernel is small.
        **kwargs: As LSTMNet.
    """

    def __init__(self, size: int, units: Any, variance: float, **kwargs: Any) -> None:
        self.size, self.variance = size, variance
        super().__init__(
            size, units, size, output_scale=OUTPUT_SCALE, output_bias=math.log(variance), **kwargs
        )

    def covariance(
        self, x: tf.Tensor, memory: Memory, scale: tf.Tensor, weights: Weights
    ) -> tuple[tf.Tensor, Memory]:
        """The covariance ``[..., n, size, size]`` at inputs of a size near one.

        Args:
            x: ``[..., n, size]``.
            memory: Of the step before.
            scale: Standard deviations that a variance of 1 stands for, ``[size]``.
            weights: As ``current_weights`` gives them.
        """
        log_variance, after = self.step(x, memory, weights)
        log_variance = tf.clip_by_value(log_variance, -LARGEST_LOG, LARGEST_LOG)
        return tf.linalg.diag(tf.square(scale) * (tf.exp(log_variance) + LEAST)), after

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = super().get_config()
        for name in ("inputs", "outputs", "output_scale", "output_bias"):
            del config[name]
        return {**config, "size": self.size, "variance": self.variance}


@keras.saving.register_keras_serializable(package="tfbdl_kalman_lstm")
class ConstantNoise(keras.layers.Layer):
    """A covariance that is given, in the place of a net.

    Args:
        covariance: ``[a, a]``.
        **kwargs: Of ``keras.layers.Layer``.
    """

    def __init__(self, covariance: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.given = np.asarray(covariance, np.float64)
        self.value = self.add_weight(
            name="covariance",
            shape=self.given.shape,
            initializer="zeros",
            trainable=False,
            autocast=False,
        )
        self.value.assign(self.given)
        self.built = True

    def initial_memory(self, shape: Any) -> Memory:
        """There is none."""
        return ()

    def covariance(
        self, x: tf.Tensor, memory: Memory, scale: tf.Tensor, weights: Weights
    ) -> tuple[tf.Tensor, Memory]:
        """The covariance for each row of ``x``; memory and scale play no part."""
        return weights[0] + tf.zeros_like(x)[..., tf.newaxis, :1], memory

    def current_weights(self) -> Weights:
        """The covariance."""
        return [read(self.value)]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "covariance": self.given.tolist()}
