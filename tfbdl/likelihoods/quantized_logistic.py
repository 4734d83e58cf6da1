"""A logistic distribution whose draws are rounded to a grid of levels, as a tfd distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd
from tensorflow_probability import random as tfp_random
from tensorflow_probability import util

from .. import random
from .base import Tensor

NEAR = 1e-3
"""How far from a level, in spacings, a value may be through rounding."""


@dataclass(frozen=True)
class Grid:
    """Levels ``low + k * spacing`` for k = 0, ..., ``levels - 1``; the last is ``high``."""

    levels: int
    low: float
    high: float

    @property
    def spacing(self) -> float:
        """The distance between two levels."""
        return (self.high - self.low) / (self.levels - 1)

    @property
    def last(self) -> float:
        """The index of the last level."""
        return float(self.levels - 1)

    def index(self, y: Any) -> Any:
        """Where values lie, in spacings from ``low``."""
        return (y - self.low) / self.spacing

    def value(self, index: Any) -> Any:
        """The inverse of ``index``."""
        return self.low + self.spacing * index

    def near(self, dtype: Any) -> float:
        """The rounding error of an index that comes from numbers of a precision."""
        largest = max(abs(self.low), abs(self.high)) / self.spacing
        return max(NEAR, 4.0 * largest * float(tf.experimental.numpy.finfo(dtype).eps))


class QuantizedLogistic(tfd.Distribution):
    """``P(y_k) = sigmoid((k + 1/2 - loc) / scale) - sigmoid((k - 1/2 - loc) / scale)``.

    The first and the last level take the tails.

    Args:
        loc: Of the logistic distribution, in spacings from the first level: ``[...]``.
        scale: Of it, in spacings, above 0: ``[...]``.
        grid: The levels.

    References:
        Kingma et al. 2016, "Improving variational inference with inverse autoregressive flow";
        Salimans et al. 2017, "PixelCNN++", eq. 2.
    """

    def __init__(
        self, loc: Tensor, scale: Tensor, grid: Grid, name: str = "QuantizedLogistic"
    ) -> None:
        parameters = dict(locals())
        self.loc = tf.convert_to_tensor(loc)
        self.scale = tf.convert_to_tensor(scale, self.loc.dtype)
        self.grid = grid
        super().__init__(
            dtype=self.loc.dtype,
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: Any = None) -> dict[str, Any]:
        properties = util.ParameterProperties
        return {"loc": properties(), "scale": properties()}

    def _event_shape(self) -> tf.TensorShape:
        return tf.TensorShape([])

    def _log_prob(self, y: Tensor) -> Tensor:
        """``log(sigmoid(a) - sigmoid(b))``, exact at any distance.

        With ``a - b = 1 / scale``, ``sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b)
        (1 - exp(b - a))``: each factor has a logarithm that neither overflows nor cancels, and
        gradients that stay finite.
        """
        index = self.grid.index(y)
        k = tf.round(index)
        upper = tf.math.log_sigmoid((k + 0.5 - self.loc) / self.scale)
        lower = tf.math.log_sigmoid((self.loc - k + 0.5) / self.scale)
        between = tf.math.log(-tf.math.expm1(-1.0 / self.scale))
        zero = tf.zeros_like(between)
        first, last = k <= 0.0, k >= self.grid.last
        value = tf.where(last, zero, upper) + tf.where(first, zero, lower)
        value += tf.where(first | last, zero, between)
        there = (tf.abs(index - k) <= self.grid.near(y.dtype)) & (k >= 0.0) & (k <= self.grid.last)
        return tf.where(there, value, tf.constant(float("-inf"), value.dtype))

    def _cdf(self, y: Tensor) -> Tensor:
        k = tf.floor(self.grid.index(y) + self.grid.near(y.dtype))
        value = tf.sigmoid((k + 0.5 - self.loc) / self.scale)
        value = tf.where(k < 0.0, tf.zeros_like(value), value)
        return tf.where(k >= self.grid.last, tf.ones_like(value), value)

    def _quantile(self, p: Tensor) -> Tensor:
        return self._level(self.loc + self.scale * (tf.math.log(p) - tf.math.log1p(-p)))

    def _sample_n(self, n: Any, seed: Any = None) -> Tensor:
        shape = tf.concat([[n], self.batch_shape_tensor()], axis=0)
        u = random.uniform(shape, tfp_random.sanitize_seed(seed), self.dtype)
        value = self._quantile(u)
        return tf.ensure_shape(value, tf.TensorShape([None]).concatenate(self.batch_shape))

    def _mean(self) -> Tensor:
        first, _ = self._moments()
        return self.grid.value(first)

    def _variance(self) -> Tensor:
        first, second = self._moments()
        return self.grid.spacing**2 * tf.maximum(second - tf.square(first), 0.0)

    def _level(self, position: Tensor) -> Tensor:
        """The level of a number of the logistic distribution."""
        k = tf.clip_by_value(tf.math.ceil(position - 0.5), 0.0, self.grid.last)
        return self.grid.value(k)

    def _moments(self) -> tuple[Tensor, Tensor]:
        """``E[k]`` and ``E[k^2]``: sums over j of ``P(k >= j)`` and of ``(2 j - 1) P(k >= j)``."""

        def add(j: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            index = tf.cast(j, self.dtype)
            at_least = tf.sigmoid((self.loc - index + 0.5) / self.scale)
            return j + 1, first + at_least, second + (2.0 * index - 1.0) * at_least

        zeros = tf.zeros(self.batch_shape_tensor(), self.dtype)
        zeros = tf.ensure_shape(zeros, self.batch_shape)
        last = self.grid.levels - 1
        _, first, second = tf.while_loop(
            lambda j, *_: j <= last,
            add,
            (tf.constant(1), zeros, zeros),
            maximum_iterations=last,
            parallel_iterations=1,
        )
        return first, second
