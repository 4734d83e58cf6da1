"""The dual of the exponential function."""

from __future__ import annotations

import tensorflow as tf

from .base import Dual


class Exponential(Dual):
    """``E[exp(u + v)] = exp(k + (q1 + q2) / 2)``, which is its own derivative by k.

    Depth makes it overflow soon: the variance of a layer is the exponential of that before.
    """

    def __call__(self, k: tf.Tensor, q1: tf.Tensor, q2: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See Dual."""
        value = tf.exp(k + 0.5 * (q1 + q2))
        return value, value
