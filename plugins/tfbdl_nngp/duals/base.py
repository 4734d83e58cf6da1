"""Dual: what an activation makes of two jointly normal pre-activations, in expectation."""

from __future__ import annotations

import abc

import tensorflow as tf


class Dual(abc.ABC):
    """``E[phi(u) phi(v)]`` and ``E[phi'(u) phi'(v)]`` for ``(u, v) ~ N(0, [[q1, k], [k, q2]])``.

    The second is the derivative of the first by ``k`` (Price's theorem), and what the neural
    tangent kernel is multiplied by.

    References:
        Lee et al. 2018, "Deep neural networks as Gaussian processes"; Jacot et al. 2018.
    """

    @abc.abstractmethod
    def __call__(self, k: tf.Tensor, q1: tf.Tensor, q2: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Both expectations, elementwise.

        Args:
            k: Covariance of u and v; ``|k| <= sqrt(q1 q2)`` up to rounding.
            q1: Variance of u, above 0; it broadcasts against ``k``.
            q2: Variance of v, likewise.
        """


def safe_sqrt(x: tf.Tensor) -> tf.Tensor:
    """``sqrt(max(x, 0))`` whose gradient is 0 where x is not above 0.

    At equal inputs ``q1 q2 - k^2`` vanishes; a gradient of infinity times 0 would be NaN there.
    """
    positive = x > 0.0
    root = tf.sqrt(tf.where(positive, x, tf.ones_like(x)))
    return tf.where(positive, root, tf.zeros_like(x))
