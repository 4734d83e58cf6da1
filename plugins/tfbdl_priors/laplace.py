"""Independent Laplace elements."""

from __future__ import annotations

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfbdl.distributions import Prior

from .config import LaplaceOptions


class Laplace(Prior):
    """p(w) = exp(-|w| / scale) / (2 scale) for each element.

    References:
        Tibshirani 1996, "Regression shrinkage and selection via the lasso", section 5.
    """

    Options = LaplaceOptions
    options: LaplaceOptions

    def element(
        self, shape: tuple[int, ...], dtype: str, name: str | None, **parameters: tf.Tensor
    ) -> tfd.Distribution:
        """The Laplace distribution of each element."""
        return tfd.Laplace(tf.constant(0.0, dtype), tf.constant(self.options.scale, dtype))
