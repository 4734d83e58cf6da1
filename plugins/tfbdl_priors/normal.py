"""Independent normal elements."""

from __future__ import annotations

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfbdl.distributions import Prior

from .config import NormalOptions


class Normal(Prior):
    """p(w) = N(w; loc, scale^2) for each element."""

    Options = NormalOptions
    options: NormalOptions

    def element(
        self, shape: tuple[int, ...], dtype: str, name: str | None, **parameters: tf.Tensor
    ) -> tfd.Distribution:
        """The normal distribution of each element."""
        loc = tf.constant(self.options.loc, dtype)
        return tfd.Normal(loc, tf.constant(self.options.scale, dtype))
