"""The dual of the error function, a sigmoid from -1 to 1."""

from __future__ import annotations

import math

import tensorflow as tf

from .base import Dual


class Erf(Dual):
    """``E = 2 / pi asin(2 k / sqrt((1 + 2 q1) (1 + 2 q2)))``.

    References:
        Williams 1997, "Computing with infinite networks", (11).
    """

    def __call__(self, k: tf.Tensor, q1: tf.Tensor, q2: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See Dual."""
        product = (1.0 + 2.0 * q1) * (1.0 + 2.0 * q2)
        double = 2.0 * k
        # above 1 for any covariance: no gradient is infinite
        root = tf.sqrt(tf.maximum(product - double * double, 1.0))
        return (2.0 / math.pi) * tf.atan2(double, root), (4.0 / math.pi) / root
