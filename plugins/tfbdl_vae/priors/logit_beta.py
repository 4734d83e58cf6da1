"""LogitBeta: the distribution of the logit of a Beta(1, b) variable."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
from tensorflow_probability import random as tfp_random

from tfbdl import random
from tfbdl.distributions import TensorDistribution


class LogitBeta(TensorDistribution):
    """``l = log(v / (1 - v))`` with ``v ~ Beta(1, b)``: ``p(l) = b v (1 - v)^b``.

    The Jacobian ``v (1 - v)`` makes the density bounded for every b; its mode is at
    ``v = 1 / (1 + b)``, the mean of v.

    Args:
        concentration: The second parameter b of the Beta distribution, above 0.
        dtype: Of the values.
    """

    def __init__(self, concentration: float, dtype: str = "float32") -> None:
        parameters = dict(locals())
        self.concentration = concentration
        super().__init__(dtype, parameters)

    def _log_prob(self, logit: tf.Tensor) -> tf.Tensor:
        b = self.concentration
        return math.log(b) + tf.math.log_sigmoid(logit) + b * tf.math.log_sigmoid(-logit)

    def _sample_n(self, n: Any, seed: Any = None) -> tf.Tensor:
        u = random.uniform([n], tfp_random.sanitize_seed(seed), self.dtype)
        log_rest = tf.math.log(u) / self.concentration  # log(1 - v): P(1 - v < t) = t^b
        return tf.math.log(-tf.math.expm1(log_rest)) - log_rest

    def _mode(self) -> tf.Tensor:
        return tf.constant(-math.log(self.concentration), self.dtype)
