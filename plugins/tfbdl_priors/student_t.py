"""Independent Student t elements."""

from __future__ import annotations

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfbdl.distributions import Prior

from .config import StudentTOptions


class StudentT(Prior):
    """A Student t distribution about zero, with ``df`` degrees of freedom, for each element."""

    Options = StudentTOptions
    options: StudentTOptions

    def element(
        self, shape: tuple[int, ...], dtype: str, name: str | None, **parameters: tf.Tensor
    ) -> tfd.Distribution:
        """The Student t distribution of each element."""
        df, scale = (tf.constant(v, dtype) for v in (self.options.df, self.options.scale))
        return tfd.StudentT(df, tf.constant(0.0, dtype), scale)
