"""A mixture of a wide and a narrow normal for each element."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd
from tensorflow_probability import random as tfp_random

from tfbdl import random
from tfbdl.distributions import Prior, TensorDistribution

from .config import ScaleMixtureOptions


class ScaleMixture(Prior):
    """p(w) = pi N(w; 0, sigma1^2) + (1 - pi) N(w; 0, sigma2^2) for each element.

    References:
        Blundell et al. 2015, "Weight uncertainty in neural networks", eq. 7.
    """

    Options = ScaleMixtureOptions
    options: ScaleMixtureOptions

    def element(
        self, shape: tuple[int, ...], dtype: str, name: str | None, **parameters: tf.Tensor
    ) -> tfd.Distribution:
        """The mixture of each element."""
        options = self.options
        return NormalScaleMixture(options.pi, options.sigma1, options.sigma2, dtype)


class NormalScaleMixture(TensorDistribution):
    """A scalar mixture of two normals about zero.

    Args:
        pi: Weight of the first component.
        sigma1, sigma2: Standard deviations.
        dtype: Of the values.
    """

    def __init__(self, pi: float, sigma1: float, sigma2: float, dtype: str = "float32") -> None:
        parameters = dict(locals())
        self.pi, self.sigma1, self.sigma2 = pi, sigma1, sigma2
        super().__init__(dtype, parameters)

    def _log_prob(self, w: tf.Tensor) -> tf.Tensor:
        """Eq. 7 as the wide component's log density + log(1 + ratio of narrow to wide).

        The logarithm of that ratio is greatest at w = 0, where it is moderate, so that its
        exponential cannot overflow.
        """
        wide, narrow = (self.pi, self.sigma1), (1.0 - self.pi, self.sigma2)
        if self.sigma1 < self.sigma2:
            wide, narrow = narrow, wide
        square = tf.square(w)
        log_wide = math.log(wide[0] / wide[1]) - 0.5 * math.log(2.0 * math.pi)
        log_ratio = math.log(narrow[0] / narrow[1]) - math.log(wide[0] / wide[1])
        precisions = 0.5 / wide[1] ** 2, 0.5 / narrow[1] ** 2
        ratio = tf.exp(log_ratio - (precisions[1] - precisions[0]) * square)
        return (log_wide - precisions[0] * square) + tf.math.log(1.0 + ratio)

    def _sample_n(self, n: Any, seed: Any = None) -> tf.Tensor:
        keys = random.split(tfp_random.sanitize_seed(seed), 2)
        first = random.uniform([n], keys[0], self.dtype) < self.pi
        scale = tf.where(
            first, tf.constant(self.sigma1, self.dtype), tf.constant(self.sigma2, self.dtype)
        )
        return scale * random.normal([n], keys[1], self.dtype)

    def _mean(self) -> tf.Tensor:
        return tf.constant(0.0, self.dtype)

    def _variance(self) -> tf.Tensor:
        variance = self.pi * self.sigma1**2 + (1.0 - self.pi) * self.sigma2**2
        return tf.constant(variance, self.dtype)
