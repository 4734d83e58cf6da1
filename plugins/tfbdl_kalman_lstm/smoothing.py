"""The Rauch-Tung-Striebel smoother, with the covariances of neighbouring states.

References:
    Rauch, Tung & Striebel 1965; Sarkka 2013, section 8.2 (cited as S); Shumway & Stoffer 1982 for
    the covariances of neighbours.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from .sequential import Filtered
from .system import System, apply, congruence, over_time, symmetric


class Smoothed(NamedTuple):
    """What the smoother gives, with time first.

    Attributes:
        means: ``E[x_t | y]``, ``[T, ..., n, d]``.
        covariances: ``Cov[x_t | y]``, ``[T, ..., s, d, d]``.
        lag_covariances: ``Cov[x_t+1, x_t | y]``, ``[T - 1, ..., s, d, d]``.
    """

    means: tf.Tensor
    covariances: tf.Tensor
    lag_covariances: tf.Tensor


class Backward(NamedTuple):
    """A state given its successor: ``x_t = G_t x_t+1 + e_t``, with time first.

    Attributes:
        gains: ``G_t``, ``[T - 1, ..., s, d, d]``.
        offsets: ``E[e_t]``, ``[T - 1, ..., n, d]``.
        covariances: ``Cov[e_t]``, ``[T - 1, ..., s, d, d]``.
    """

    gains: tf.Tensor
    offsets: tf.Tensor
    covariances: tf.Tensor


def backward(system: System, filtered: Filtered) -> Backward:
    """The distribution of each state but the last given its successor and ``y_1..t``."""
    count = filtered.means.shape[0] - 1
    A, Q = (over_time(matrix, count) for matrix in (system.A, system.Q))
    now, ahead = filtered.covariances[:-1], filtered.predicted_covariances[1:]
    cross = tf.matmul(A, now)  # Cov[x_t+1, x_t | y_1..t]
    gains = tf.linalg.matrix_transpose(tf.matmul(pseudo_inverse(ahead), cross))  # (S 8.6)
    kept = tf.eye(A.shape[-1], dtype=A.dtype) - tf.matmul(gains, A)
    # P - G P_ahead G', as a sum of squares
    covariances = symmetric(congruence(kept, now) + congruence(gains, Q))
    offsets = filtered.means[:-1] - apply(gains, filtered.predicted_means[1:])
    return Backward(gains, offsets, covariances)


def smooth(system: System, filtered: Filtered) -> Smoothed:
    """Run backward from the last filtered state."""
    steps = backward(system, filtered)

    def step(
        after: tuple[tf.Tensor, tf.Tensor], now: tuple[tf.Tensor, tf.Tensor, tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        gain, offset, covariance = now
        mean, spread = after
        return apply(gain, mean) + offset, symmetric(congruence(gain, spread) + covariance)

    last = filtered.means[-1], filtered.covariances[-1]
    means, covariances = last[0][tf.newaxis], last[1][tf.newaxis]
    if filtered.means.shape[0] > 1:
        earlier = tf.scan(step, steps, last, reverse=True, parallel_iterations=1)
        means = tf.concat([earlier[0], means], 0)
        covariances = tf.concat([earlier[1], covariances], 0)
    return Smoothed(means, covariances, lag_one(steps.gains, covariances))


def lag_one(gains: tf.Tensor, covariances: tf.Tensor) -> tf.Tensor:
    """``Cov[x_t+1, x_t | y] = P_t+1 G_t'``, ``[T - 1, ..., s, d, d]``."""
    return tf.matmul(covariances[1:], gains, transpose_b=True)


def pseudo_inverse(covariance: tf.Tensor) -> tf.Tensor:
    """The inverse on the span of a covariance, which may be singular."""
    values, vectors = tf.linalg.eigh(symmetric(covariance))
    least = values[..., -1:] * values.dtype.as_numpy_dtype(4e-16) * values.shape[-1]
    inverse = tf.where(values > least, tf.math.reciprocal_no_nan(values), tf.zeros_like(values))
    return tf.matmul(vectors * inverse[..., tf.newaxis, :], vectors, transpose_b=True)
