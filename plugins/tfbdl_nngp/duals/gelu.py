"""The dual of GELU, ``z Phi(z)`` with the normal distribution function Phi."""

from __future__ import annotations

import math

import tensorflow as tf

from .base import Dual


class Gelu(Dual):
    """The exact GELU (not its approximation by tanh).

    With ``p = (1 + q1) (1 + q2)``, ``d = sqrt(p - k^2)`` and ``a = asin(k / sqrt(p))``

    - ``E = k / 4 + (k a + (k^2 + q1 q2 d^2) / (p d)) / (2 pi)``,
    - its derivative by k is ``1 / 4 + (a + k (1 / d^2 + (1 - q1 q2) / p + 1) / d) / (2 pi)``.

    References:
        Tsuchida, Pearce, van der Heide, Roosta & Gallagher 2021, "Avoiding kernel fixed points:
        computing with ELU and GELU infinite networks".
    """

    def __call__(self, k: tf.Tensor, q1: tf.Tensor, q2: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See Dual."""
        product, p = q1 * q2, (1.0 + q1) * (1.0 + q2)
        square = tf.maximum(p - k * k, 1.0)  # at least 1 + q1 + q2
        d = tf.sqrt(square)
        angle = tf.atan2(k, d)
        value = k * angle + (k * k + product * square) / (p * d)
        slope = angle + k * (1.0 / square + (1.0 - product) / p + 1.0) / d
        return 0.25 * k + value / (2.0 * math.pi), 0.25 + slope / (2.0 * math.pi)
