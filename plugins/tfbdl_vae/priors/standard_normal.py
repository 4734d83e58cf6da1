"""The prior of Kingma & Welling 2014: N(0, I)."""

from __future__ import annotations

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfbdl.distributions import Prior


class StandardNormal(Prior):
    """p(z) = N(z; 0, I)."""

    def element(
        self, shape: tuple[int, ...], dtype: str, name: str | None, **parameters: tf.Tensor
    ) -> tfd.Distribution:
        """The standard normal distribution of each element."""
        return tfd.Normal(tf.constant(0.0, dtype), tf.constant(1.0, dtype))
