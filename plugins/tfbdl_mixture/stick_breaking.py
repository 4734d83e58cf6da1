"""Truncated stick-breaking weights with beta posteriors: expectations, bound, draws.

``pi_t = v_t prod_{s<t} (1 - v_s)`` with ``v_t ~ Beta(1, alpha)`` under the prior and
``v_t ~ Beta(gamma1_t, gamma2_t)`` under q for ``t < T``; ``v_T = 1`` under q.

Equation numbers are those of Blei & Jordan 2006, section 3.2 and appendix.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions

HALVINGS = 60  # of the interval of ln alpha, to the last digit of a double
LOG_RANGE = 40.0


class Sticks(NamedTuple):
    """Beta posteriors of the sticks but the last: ``gamma1 [T - 1]`` and ``gamma2 [T - 1]``."""

    gamma1: Any
    gamma2: Any


def update(count: tf.Tensor, alpha: tf.Tensor) -> Sticks:
    """The best q(v) for expected counts ``[T]`` (18, 19)."""
    after = tf.cumsum(count, exclusive=True, reverse=True)
    return Sticks(1.0 + count[:-1], alpha + after[:-1])


def expected_logs(sticks: Sticks) -> tuple[tf.Tensor, tf.Tensor]:
    """``E ln v`` and ``E ln (1 - v)``: ``[T - 1]`` each."""
    whole = tf.math.digamma(sticks.gamma1 + sticks.gamma2)
    return tf.math.digamma(sticks.gamma1) - whole, tf.math.digamma(sticks.gamma2) - whole


def expected_log_weights(sticks: Sticks) -> tf.Tensor:
    """``E ln pi``: ``[T]``."""
    log_v, log_rest = expected_logs(sticks)
    zero = tf.zeros((1,), log_v.dtype)
    return tf.concat([log_v, zero], 0) + tf.concat([zero, tf.cumsum(log_rest)], 0)


def expected_weights(sticks: Sticks) -> np.ndarray:
    """``E pi``: ``[T]``, summing to one."""
    v = sticks.gamma1 / (sticks.gamma1 + sticks.gamma2)
    return np.append(v, 1.0) * np.cumprod(np.insert(1.0 - v, 0, 1.0))


def weights_stddev(sticks: Sticks) -> np.ndarray:
    """The standard deviation of each weight: ``[T]``."""
    a, b = sticks.gamma1, sticks.gamma2
    whole = (a + b) * (a + b + 1.0)
    squares = np.append(a * (a + 1.0) / whole, 1.0) * np.cumprod(
        np.insert(b * (b + 1.0) / whole, 0, 1.0)
    )
    return np.sqrt(np.maximum(squares - expected_weights(sticks) ** 2, 0.0))


def kl_divergence(sticks: Sticks, alpha: tf.Tensor, log_alpha: tf.Tensor) -> tf.Tensor:
    """``E KL(q(v) || p(v | alpha))`` in nats, for ``E alpha`` and ``E ln alpha``."""
    log_v, log_rest = expected_logs(sticks)
    log_beta = tf.math.lbeta(tf.stack([sticks.gamma1, sticks.gamma2], axis=-1))
    log_q = (sticks.gamma1 - 1.0) * log_v + (sticks.gamma2 - 1.0) * log_rest - log_beta
    return tf.reduce_sum(log_q - log_alpha - (alpha - 1.0) * log_rest)


def best_concentration(count: tf.Tensor, shape: float, rate: float) -> tf.Tensor:
    """The gamma posterior ``[shape, rate]`` of alpha at its best together with q(v).

    For q(v) by ``update`` at ``alpha = E alpha``, ``w1 = s1 + T - 1`` and
    ``w2 = s2 - sum_t E ln (1 - v_t)`` (appendix) hold where ``alpha w2(alpha) = w1``. The left
    side grows with alpha, so there is one such point; it is found by halving.
    """
    w1 = tf.constant(shape + count.shape[0] - 1.0, count.dtype)

    def w2(alpha: tf.Tensor) -> tf.Tensor:
        return rate - tf.reduce_sum(expected_logs(update(count, alpha))[1])

    def halve(i: tf.Tensor, low: tf.Tensor, high: tf.Tensor) -> tuple[tf.Tensor, ...]:
        middle = 0.5 * (low + high)
        below = tf.exp(middle) * w2(tf.exp(middle)) < w1
        return i + 1, tf.where(below, middle, low), tf.where(below, high, middle)

    ends = (tf.constant(-LOG_RANGE, count.dtype), tf.constant(LOG_RANGE, count.dtype))
    _, low, high = tf.while_loop(lambda i, *_: i < HALVINGS, halve, (tf.constant(0), *ends))
    return tf.stack([w1, w2(tf.exp(0.5 * (low + high)))])


def sample(sticks: Sticks, key: tf.Tensor, draws: int) -> tf.Tensor:
    """Draws ``[draws, T]`` of the weights."""
    v = tfd.Beta(sticks.gamma1, sticks.gamma2).sample(draws, seed=key)
    one = tf.ones((draws, 1), v.dtype)
    return tf.concat([v, one], 1) * tf.math.cumprod(tf.concat([one, 1.0 - v], 1), axis=1)
