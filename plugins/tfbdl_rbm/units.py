"""The two kinds of visible units: what the energy, a Gibbs step and annealing need of each.

Units work on *codes* ``u``: a binary unit's own value, a real one's standardised. ``field`` is the
part of their input that comes from the hidden units, ``W h``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.errors import DataError

MARGIN = 0.01  # between a base rate and 0 or 1, so that no bias is infinite


class BinaryUnits:
    """Units of 0 or 1 with the energy ``-b'v``.

    Args:
        mean: Share of ones per unit in the data, ``[d]``: the base rate of annealing.
        size: Number of units.
    """

    def __init__(self, mean: Sequence[float] | None, size: int) -> None:
        rate = np.full(size, 0.5) if mean is None else np.asarray(mean, np.float64)
        rate = np.clip(rate, MARGIN, 1.0 - MARGIN)
        self.base_bias = np.log(rate) - np.log1p(-rate)

    def check(self, x: np.ndarray, what: str = "x") -> None:
        """Refuse values that are no probabilities.

        Raises:
            DataError: If a value is below 0 or above 1.
        """
        low, high = float(np.min(x)), float(np.max(x))
        if low < 0.0 or high > 1.0:
            raise DataError(
                f"Binary visible units take {what} from 0 to 1. Received: values from {low:g} to "
                f"{high:g}. Divide by the largest value (255 for pixels), or choose "
                "visible='gaussian' for real numbers."
            )

    def encode(self, x: tf.Tensor) -> tf.Tensor:
        """From data to codes: the same."""
        return x

    def decode(self, u: tf.Tensor) -> tf.Tensor:
        """From codes to data: the same."""
        return u

    @property
    def log_volume(self) -> float:
        """Logarithm of the volume that a unit of code volume has in the data: zero."""
        return 0.0

    def first_bias(self) -> np.ndarray:
        """Biases under which the units, without hidden ones, have the base rates: ``[d]``."""
        return self.base_bias

    def to_hidden(self, u: tf.Tensor) -> tf.Tensor:
        """What the weights are multiplied with."""
        return u

    def energy(self, u: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        """``-b'v``: ``[n]``."""
        return -tf.linalg.matvec(u, b)

    def mean(self, b: tf.Tensor, field: tf.Tensor) -> tf.Tensor:
        """``p(v = 1 | h) = sigmoid(b + W h)``."""
        return tf.sigmoid(b + field)

    def draw(self, b: tf.Tensor, field: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """Draw the units given the hidden ones: ``[n, d]`` of zeros and ones."""
        return bernoulli(self.mean(b, field), key)

    def log_integral(self, b: tf.Tensor, field: tf.Tensor) -> tf.Tensor:
        """``log sum_v exp(b'v + v'W h)``: ``[n]``."""
        return tf.reduce_sum(tf.nn.softplus(b + field), axis=-1)

    # -- annealing from the base-rate model (Salakhutdinov & Murray 2008, section 4.1) ----------

    def base_draw(self, n: int, key: tf.Tensor, dtype: Any) -> tf.Tensor:
        """Draw ``n`` rows of the base-rate model."""
        rates = tf.sigmoid(tf.constant(self.base_bias, dtype))
        return bernoulli(tf.broadcast_to(rates, [n, len(self.base_bias)]), key)

    def base_energy(self, u: tf.Tensor) -> tf.Tensor:
        """Energy of the base-rate model: ``[n]``."""
        return self.energy(u, tf.constant(self.base_bias, u.dtype))

    @property
    def log_base(self) -> float:
        """``log sum_v exp(-base energy)``."""
        return float(np.logaddexp(0.0, self.base_bias).sum())

    def tempered_draw(
        self, beta: tf.Tensor, b: tf.Tensor, field: tf.Tensor, key: tf.Tensor
    ) -> tf.Tensor:
        """Draw given the hidden units at inverse temperature ``beta`` (their eq. 17)."""
        base = tf.constant(self.base_bias, b.dtype)
        return bernoulli(tf.sigmoid((1.0 - beta) * base + beta * (b + field)), key)


class GaussianUnits:
    """Real units with the energy ``|u - b|² / (2 s²)``, where ``u = (v - offset) / scale``.

    Args:
        noise_scale: Standard deviation ``s`` of ``u`` given the hidden units.
        offset: Mean per unit in the data, ``[d]``; None: 0.
        scale: Standard deviation per unit in the data, ``[d]``; None: 1.
        size: Number of units.
    """

    def __init__(
        self,
        noise_scale: float,
        offset: Sequence[float] | None,
        scale: Sequence[float] | None,
        size: int,
    ) -> None:
        self.s = float(noise_scale)
        self.offset = np.zeros(size) if offset is None else np.asarray(offset, np.float64)
        self.scale = np.ones(size) if scale is None else np.asarray(scale, np.float64)

    def check(self, x: np.ndarray, what: str = "x") -> None:
        """Any finite number will do."""

    def encode(self, x: tf.Tensor) -> tf.Tensor:
        """From data to codes: standardised."""
        return (x - tf.constant(self.offset, x.dtype)) / tf.constant(self.scale, x.dtype)

    def decode(self, u: tf.Tensor) -> tf.Tensor:
        """From codes to data."""
        return tf.constant(self.offset, u.dtype) + tf.constant(self.scale, u.dtype) * u

    @property
    def log_volume(self) -> float:
        """``sum log scale``: what log Z gains in the units of the data."""
        return float(np.log(self.scale).sum())

    def first_bias(self) -> np.ndarray:
        """Zeros ``[d]``: the mean of the data."""
        return np.zeros(len(self.offset))

    def to_hidden(self, u: tf.Tensor) -> tf.Tensor:
        """What the weights are multiplied with: ``u / s``."""
        return u / self.s

    def energy(self, u: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        """``|u - b|² / (2 s²)``: ``[n]`` (Hinton 2010, eq. 17, on standardised data)."""
        return tf.reduce_sum(tf.square(u - b), axis=-1) / (2.0 * self.s**2)

    def mean(self, b: tf.Tensor, field: tf.Tensor) -> tf.Tensor:
        """``E[u | h] = b + s W h``."""
        return b + self.s * field

    def draw(self, b: tf.Tensor, field: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """Draw the units given the hidden ones: ``[n, d]``."""
        return self.mean(b, field) + self.s * random.normal(tf.shape(field), key, field.dtype)

    def log_integral(self, b: tf.Tensor, field: tf.Tensor) -> tf.Tensor:
        """``log of the integral of exp(-|u - b|² / (2 s²) + u'W h / s) du``: ``[n]``.

        Completing the square: each unit gives ``log(2 pi s²) / 2 + b a / s + a² / 2`` with
        ``a = (W h)_i``.
        """
        constant = 0.5 * math.log(2.0 * math.pi * self.s**2)
        return tf.reduce_sum(constant + b * field / self.s + 0.5 * tf.square(field), axis=-1)

    # -- annealing from independent standard normal codes ---------------------------------------

    def base_draw(self, n: int, key: tf.Tensor, dtype: Any) -> tf.Tensor:
        """Draw ``n`` rows of the base model."""
        return random.normal((n, len(self.offset)), key, dtype)

    def base_energy(self, u: tf.Tensor) -> tf.Tensor:
        """Energy of the base model, ``|u|² / 2``: ``[n]``."""
        return 0.5 * tf.reduce_sum(tf.square(u), axis=-1)

    @property
    def log_base(self) -> float:
        """Logarithm of the integral of ``exp(-|u|² / 2)``."""
        return 0.5 * len(self.offset) * math.log(2.0 * math.pi)

    def tempered_draw(
        self, beta: tf.Tensor, b: tf.Tensor, field: tf.Tensor, key: tf.Tensor
    ) -> tf.Tensor:
        """Draw given the hidden units at inverse temperature ``beta``.

        The exponent is ``-(1 - beta) u² / 2 - beta (u - b)² / (2 s²) + beta u a / s``.
        """
        precision = (1.0 - beta) + beta / self.s**2
        mean = beta * (b / self.s**2 + field / self.s) / precision
        noise = random.normal(tf.shape(field), key, field.dtype)
        return mean + noise / tf.sqrt(precision)


Units = BinaryUnits | GaussianUnits


def bernoulli(probs: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """Draw zeros and ones with these probabilities."""
    uniform = random.uniform(tf.shape(probs), key, probs.dtype)
    return tf.cast(uniform < probs, probs.dtype)
