"""LearnedPrior: the frame of a prior over a whole tensor that is a function of learned values."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfbdl import random
from tfbdl.distributions import Prior
from tfbdl.learned import initial_value
from tfbdl.protocols import Parameter

MIN_SCALE = 1e-3
"""No standard deviation becomes smaller, so that no component shrinks onto one code."""


class LearnedPrior(Prior):
    """A prior with ``parameters``, whose subclass has ``joint``."""

    def distribution(
        self, shape: Any, dtype: str = "float32", name: str | None = None, **parameters: tf.Tensor
    ) -> tfd.Distribution:
        """See Prior."""
        shape, dtype = self.checked(shape, dtype, name, parameters)
        values = {}
        for key, definition in self.parameters(shape, name, dtype).items():
            if key in parameters:
                values[key] = tf.cast(parameters[key], dtype)
            else:
                with tf.init_scope():  # a constant, which no graph should compute again
                    values[key] = initial_value(definition, dtype, name=key)
        return self.joint(shape, dtype, **values)

    def joint(self, shape: tuple[int, ...], dtype: str, **values: tf.Tensor) -> tfd.Distribution:
        """The distribution of the whole tensor.

        Args:
            shape: Of the tensor.
            dtype: Of ``values`` and the distribution.
            **values: Of all parameters.

        Returns:
            A distribution of event shape ``shape`` and batch shape ``()``.
        """
        raise NotImplementedError


def drawn(shape: tuple[int, ...], spread: float, dtype: str, prior: Any = None) -> Parameter:
    """A parameter that ranges over all numbers and starts at draws of N(0, spread^2)."""

    def start(key: tf.Tensor) -> tf.Tensor:
        return spread * random.normal(shape, key, dtype)

    return Parameter(shape=shape, initial=start, prior=prior)


def positive(shape: tuple[int, ...], initial: float, dtype: str, prior: Any = None) -> Parameter:
    """Standard deviations of at least ``MIN_SCALE``."""
    bijector = tfb.Softplus(low=np.asarray(MIN_SCALE, dtype))
    return Parameter(shape=shape, bijector=bijector, initial=initial, prior=prior)
