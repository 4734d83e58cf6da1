"""Control variates c(z) that are learned: the relaxed objective, and a remainder."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from ...errors import OptionsError
from .concrete import checked_temperature
from .discrete import family
from .estimate import Objective


class ControlVariate(keras.layers.Layer):
    """``c(z) = beta + eta f(s) + r(s)`` with ``s = soft(z, temperature)``, all learned but f.

    Args:
        f: The objective, differentiable and defined between the corners; None leaves r alone, for
            an f of which only the values at corners are known.
        remainder: r, a Keras layer or model from ``[..., d]`` to ``[..., 1]``, such as
            ``Quadratic()`` or ``neural()``, where d counts the numbers of one draw; None leaves it
            out, which is REBAR with eta, the temperature and a baseline beta tuned.
        event_rank: How many of the last axes are one draw's.
        law: ``"categorical"`` or ``"bernoulli"``.
        scale, temperature: Where eta and the temperature begin.
        **kwargs: Of ``keras.layers.Layer``; ``dtype="float64"`` for logits in double precision.

    Raises:
        OptionsError: If neither f nor a remainder is given, or the temperature is not positive.
        UnknownNameError: If no law has that name.

    References:
        Grathwohl et al. 2018, section 3.1: ``c(z) = f(soft(z)) + r(z)``.
    """

    def __init__(
        self,
        f: Objective | None = None,
        remainder: keras.layers.Layer | None = None,
        *,
        event_rank: int = 1,
        law: str = "categorical",
        scale: float = 1.0,
        temperature: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if f is None and remainder is None:
            raise OptionsError("A control variate needs f, a remainder or both. Received: neither.")
        if isinstance(event_rank, bool) or not isinstance(event_rank, int) or event_rank < 1:
            raise OptionsError(f"event_rank is at least 1. Received: {event_rank!r}.")
        checked_temperature(temperature, tf.float64)
        self.f, self.remainder, self.event_rank = f, remainder, event_rank
        self.discrete = family(law)
        constant = keras.initializers.Constant
        self.log_temperature = self.add_weight(
            name="log_temperature", shape=(), initializer=constant(math.log(temperature))
        )
        self.baseline = self.add_weight(name="baseline", shape=(), initializer="zeros")
        if f is not None:
            self.scale = self.add_weight(name="scale", shape=(), initializer=constant(scale))

    def build(self, input_shape: Any) -> None:
        """Make the weights of the remainder."""
        if self.remainder is not None and not self.remainder.built:
            self.remainder.build((None, math.prod(input_shape[-self.event_rank :])))
        super().build(input_shape)

    @property
    def temperature(self) -> tf.Tensor:
        """The learned temperature, a scalar."""
        return tf.exp(tf.convert_to_tensor(self.log_temperature))

    def call(self, z: tf.Tensor) -> tf.Tensor:
        """From perturbed logits ``[S, *batch, *event]`` to ``[S, *batch]``."""
        s = self.discrete.soft(z, self.temperature)
        total = tf.convert_to_tensor(self.baseline)
        if self.f is not None:
            total += tf.convert_to_tensor(self.scale) * tf.cast(self.f(s), z.dtype)
        if self.remainder is not None:
            leading = z.shape[: z.shape.rank - self.event_rank]
            flat = tf.reshape(s, (-1, math.prod(z.shape[z.shape.rank - self.event_rank :])))
            total += tf.reshape(self.remainder(flat), leading)
        return total


class Quadratic(keras.layers.Layer):
    """``r(s) = w's + s'Q s``, from ``[n, d]`` to ``[n, 1]``; zero at first."""

    def build(self, input_shape: Any) -> None:
        """Make w and Q."""
        d = input_shape[-1]
        self.linear = self.add_weight(name="linear", shape=(d, 1), initializer="zeros")
        self.square = self.add_weight(name="square", shape=(d, d), initializer="zeros")

    def call(self, s: tf.Tensor) -> tf.Tensor:
        """Values ``[n, 1]`` of rows ``[n, d]``."""
        bent = tf.reduce_sum(s * tf.matmul(s, self.square), axis=-1, keepdims=True)
        return tf.matmul(s, self.linear) + bent


def neural(units: tuple[int, ...] = (32,), seed: int = 0, dtype: str = "float32") -> keras.Model:
    """A net r from ``[n, d]`` to ``[n, 1]`` with tanh layers; zero at first."""
    dense = keras.layers.Dense
    seeds = [keras.initializers.GlorotUniform(seed + i) for i in range(len(units))]
    hidden = [
        dense(size, "tanh", kernel_initializer=start, dtype=dtype)
        for size, start in zip(units, seeds, strict=True)
    ]
    return keras.Sequential([*hidden, dense(1, kernel_initializer="zeros", dtype=dtype)])
