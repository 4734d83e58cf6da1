"""The logistic prior."""

from __future__ import annotations

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfbdl.distributions import Prior

from .config import LogisticOptions


class Logistic(Prior):
    """p(w) = sech^2(w / (2 s)) / (4 s) for each element."""

    Options = LogisticOptions
    options: LogisticOptions

    def element(
        self, shape: tuple[int, ...], dtype: str, name: str | None, **parameters: tf.Tensor
    ) -> tfd.Distribution:
        """The logistic distribution of each element."""
        return tfd.Logistic(tf.constant(0.0, dtype), tf.constant(self.options.scale, dtype))
