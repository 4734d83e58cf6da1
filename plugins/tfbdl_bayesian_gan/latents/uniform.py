"""Uniform noise, as in most generative adversarial networks."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

from tfbdl import random

from .base import LatentPrior


@keras.saving.register_keras_serializable(package="tfbdl_bayesian_gan")
class UniformLatents(LatentPrior):
    """``p(z) = 2^-d`` on the cube from -1 to 1."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__("uniform", latent_dim)
        self.bijector = tfb.Sigmoid(low=-1.0, high=1.0)

    def sample(self, n: Any, keys: tf.Tensor) -> tf.Tensor:
        """See LatentPrior."""
        return 2.0 * random.uniform([n, self.latent_dim], keys, self.dtype) - 1.0

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """See LatentPrior; minus infinity outside."""
        inside = tf.reduce_all(tf.abs(z) <= 1.0, axis=-1)
        height = tf.constant(-self.latent_dim * math.log(2.0), z.dtype)
        return tf.where(inside, height, tf.constant(-math.inf, z.dtype))
