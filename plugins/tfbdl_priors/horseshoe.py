"""The horseshoe, with its local scales integrated out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd
from tensorflow_probability import random as tfp_random

from tfbdl import random
from tfbdl.distributions import Prior, TensorDistribution

from .config import HorseshoeOptions

FLOOR = 1e-24
"""Of u = w^2 / (2 tau^2): the density, which has a pole at zero, is constant below it."""

# By dtype: where the series gives way to the quadrature, and the number of terms of each. The
# error of log(exp(u) E1(u)) is then at the rounding of the dtype.
_PLAN = {"float32": (2.0, 14, 10), "float64": (4.0, 32, 20)}


class Horseshoe(Prior):
    """w | lambda ~ N(0, tau^2 lambda^2), lambda ~ half-Cauchy(0, 1), for each element.

    The local scales lambda are integrated out: p(w) = exp(u) E1(u) / sqrt(2 pi^3 tau^2), with
    u = w^2 / (2 tau^2). Within |w| < 1.4e-12 tau the density is held constant.

    References:
        Carvalho, Polson, Scott 2010, "The horseshoe estimator for sparse signals", theorem 1.
    """

    Options = HorseshoeOptions
    options: HorseshoeOptions

    def element(
        self, shape: tuple[int, ...], dtype: str, name: str | None, **parameters: tf.Tensor
    ) -> tfd.Distribution:
        """The horseshoe distribution of each element."""
        return MarginalHorseshoe(self.options.scale, dtype)


class MarginalHorseshoe(TensorDistribution):
    """A scalar horseshoe.

    Args:
        scale: The global scale tau.
        dtype: Of the values.
    """

    def __init__(self, scale: float, dtype: str = "float32") -> None:
        parameters = dict(locals())
        self.scale = scale
        super().__init__(dtype, parameters)

    def _log_prob(self, w: tf.Tensor) -> tf.Tensor:
        u = 0.5 * tf.square(w * (1.0 / self.scale))
        return log_exp_e1(u) - (0.5 * math.log(2.0 * math.pi**3) + math.log(self.scale))

    def _sample_n(self, n: Any, seed: Any = None) -> tf.Tensor:
        keys = random.split(tfp_random.sanitize_seed(seed), 2)
        local = tf.tan((0.5 * math.pi) * random.uniform([n], keys[0], self.dtype))
        return self.scale * local * random.normal([n], keys[1], self.dtype)


def log_exp_e1(u: tf.Tensor) -> tf.Tensor:
    """log(exp(u) E1(u)), with u held at ``FLOOR`` or above.

    Small u: the series E1(u) = -gamma - log u - sum_k (-u)^k / (k k!) (Abramowitz and Stegun
    5.1.11). Large u: Gauss-Laguerre quadrature of exp(u) E1(u) = int_0^inf exp(-s) / (u + s) ds,
    all of whose terms are positive, so that neither the value nor the gradient loses digits.

    Args:
        u: Non-negative, float32 or float64, of any shape.
    """
    switch, terms, nodes = _PLAN[u.dtype.name]
    small = u < switch
    low = tf.clip_by_value(u, FLOOR, switch)
    power_sum: Any = 0.0
    for k in range(terms, 0, -1):
        power_sum = power_sum * low + (-1) ** (k + 1) / (k * math.factorial(k))
    e1 = low * power_sum - (np.euler_gamma + tf.math.log(low))
    high = tf.maximum(u, switch)
    points, weights = np.polynomial.laguerre.laggauss(nodes)
    quadrature = tf.add_n(
        [float(weight) / (high + float(x)) for x, weight in zip(points, weights, strict=True)]
    )
    return tf.where(small, low, 0.0) + tf.math.log(tf.where(small, e1, quadrature))
