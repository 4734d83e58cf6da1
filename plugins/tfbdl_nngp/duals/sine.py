"""The duals of the sine and the cosine."""

from __future__ import annotations

import tensorflow as tf

from .base import Dual


class Sine(Dual):
    """``E[sin u sin v] = (exp(k - s) - exp(-k - s)) / 2`` with ``s = (q1 + q2) / 2``.

    Args:
        cosine: Take the cosine, whose expectation is the sum of the two.

    References:
        Pearce et al. 2019, "Expressive priors in Bayesian neural networks", appendix B.
    """

    def __init__(self, *, cosine: bool = False) -> None:
        self.cosine = cosine

    def __call__(self, k: tf.Tensor, q1: tf.Tensor, q2: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See Dual."""
        level = 0.5 * (q1 + q2)
        rising, falling = 0.5 * tf.exp(k - level), 0.5 * tf.exp(-k - level)
        odd, even = rising - falling, rising + falling
        return (even, odd) if self.cosine else (odd, even)
