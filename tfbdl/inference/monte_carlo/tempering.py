"""The path from what can be drawn from to the posterior, and how far to go along it at once.

    log pi_t(z) = (1 - t) log q(z) + t log p(z),  t from 0 to 1

References:
    Neal 2001, "Annealed Importance Sampling"; Jasra, Stephens, Doucet & Tsagaris 2011, "Inference
    for Levy-Driven Stochastic Volatility Models via Adaptive Sequential Monte Carlo", section 3.3,
    for steps chosen by the effective sample size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

HALVINGS = 60
LEAST = 2.0**-50


class Path(NamedTuple):
    """Both ends of the path, as functions of states ``[n, D]``.

    Attributes:
        reference: To the log density of q, ``[n]``.
        target: To the log density of p, ``[n]``.
        reference_and_gradient, target_and_gradient: And to the gradients, ``[n, D]``; None where
            no gradient is used.
    """

    reference: Callable[[tf.Tensor], tf.Tensor]
    target: Callable[[tf.Tensor], tf.Tensor]
    reference_and_gradient: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]] | None = None
    target_and_gradient: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]] | None = None

    def tempered(self, z: tf.Tensor, t: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """``log pi_t`` and its gradient; zeros for the gradient where none is used."""
        t = tf.cast(t, z.dtype)
        if self.reference_and_gradient is None or self.target_and_gradient is None:
            return self._mixed(self.reference(z), self.target(z), t), tf.zeros_like(z)
        ends = self.reference_and_gradient(z), self.target_and_gradient(z)
        (low, low_slope), (high, high_slope) = ends
        return self._mixed(low, high, t), (1.0 - t) * low_slope + t * high_slope

    @staticmethod
    def _mixed(low: tf.Tensor, high: tf.Tensor, t: tf.Tensor) -> tf.Tensor:
        return (1.0 - t) * tf.cast(low, t.dtype) + t * tf.cast(high, t.dtype)


def next_temperature(log_ratio: tf.Tensor, t: tf.Tensor, share: float) -> tf.Tensor:
    """How far to go: as far as the weights ``(p / q)^(t' - t)`` are worth a share of the particles.

    Args:
        log_ratio: ``log p - log q`` of each particle, ``[n]``, float64; minus infinity where p is
            zero, and such particles do not count for the share.
        t: Where the particles are.
        share: Of the particles, the effective sample size that is aimed at, in (0, 1).

    Returns:
        t', found by bisection; 1 where the weights are worth more even there.
    """
    alive = tf.reduce_sum(tf.cast(log_ratio > -float("inf"), log_ratio.dtype))
    aim = share * alive

    def worth(step: tf.Tensor) -> tf.Tensor:
        scaled = step * log_ratio
        return tf.exp(2.0 * tf.reduce_logsumexp(scaled) - tf.reduce_logsumexp(2.0 * scaled))

    def halve(i: tf.Tensor, low: tf.Tensor, high: tf.Tensor) -> tuple[tf.Tensor, ...]:
        middle = 0.5 * (low + high)
        enough = worth(middle) >= aim
        return i + 1, tf.where(enough, middle, low), tf.where(enough, high, middle)

    rest = 1.0 - t
    start = (tf.constant(0), tf.zeros_like(rest), rest)
    *_, step = tf.while_loop(lambda i, *_: i < HALVINGS, halve, start)
    further = tf.minimum(t + tf.maximum(step, LEAST), 1.0)
    return tf.where(worth(rest) >= aim, tf.ones_like(t), further)
