"""The Cauchy prior."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

from tfbdl.distributions import Prior

from .config import Options

tfd = tfp.distributions


class Cauchy(Prior):
    """p(w) = 1 / (pi gamma (1 + (w / gamma)^2)) for each element."""

    Options = Options
    options: Options

    def element(
        self, shape: tuple[int, ...], dtype: str, name: str | None, **parameters: tf.Tensor
    ) -> tfd.Distribution:
        """The Cauchy distribution of each element."""
        return tfd.Cauchy(tf.constant(0.0, dtype), tf.constant(self.options.scale, dtype))
