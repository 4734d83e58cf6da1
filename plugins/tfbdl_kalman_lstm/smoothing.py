"""The Rauch-Tung-Striebel smoother, with the covariances of neighbouring states.

References:
    Rauch, Tung & Striebel 1965; Sarkka 2013, section 8.2 (cited as S); Shumway & Stoffer 1982 for
    the covariances of neighbours.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from .sequential import Filtered
from .system import System, apply, congruence, over_time, symmetric

LEAST = 4e-15
"""For each row of a matrix of units, what rounding may leave of an eigenvalue that is 0."""


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


def backward(system: System, filtered: Filtered, *, in_parallel: bool = False) -> Backward:
    """The distribution of each state but the last given its successor and ``y_1..t``."""
    count = filtered.means.shape[0] - 1
    A, Q = (over_time(matrix, count) for matrix in (system.A, system.Q))
    now, ahead = filtered.covariances[:-1], filtered.predicted_covariances[1:]
    cross = tf.matmul(A, now)  # Cov[x_t+1, x_t | y_1..t]
    inverse = _inverse(ahead, filtered.predicted_covariances, in_parallel)
    gains = tf.linalg.matrix_transpose(tf.matmul(inverse, cross))  # (S 8.6)
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


def _inverse(ahead: tf.Tensor, predicted: tf.Tensor, in_parallel: bool) -> tf.Tensor:
    """The inverse of predictions on their span, without what rounding left of wider ones.

    A direction that is known for certain keeps some variance, of the size of the rounding of the
    covariances so far. Where it is inverted, errors grow from step to step backwards.

    Args:
        ahead: Of the steps after the first, ``[T - 1, ..., s, d, d]``.
        predicted: Of all steps, ``[T, ..., s, d, d]``.
        in_parallel: Look for the widest in log T steps rather than T.
    """
    variances = tf.linalg.diag_part(predicted)
    if in_parallel:
        widest = tfp.math.scan_associative(tf.maximum, variances, axis=0)[1:]
    else:
        widest = tf.scan(tf.maximum, variances, parallel_iterations=1)[1:]
    unit = tf.sqrt(tf.where(widest > 0.0, widest, tf.ones_like(widest)))
    scale = unit[..., :, tf.newaxis] * unit[..., tf.newaxis, :]  # states may have any units
    return pseudo_inverse(ahead / scale, LEAST * ahead.shape[-1]) / scale


def pseudo_inverse(covariance: tf.Tensor, least: float | None = None) -> tf.Tensor:
    """The inverse on the span of a covariance, which may be singular.

    Args:
        covariance: ``[..., d, d]``.
        least: Eigenvalues that are not above it count as 0; None: those that are rounding beside
            the largest.
    """
    values, vectors = tf.linalg.eigh(symmetric(covariance))
    if least is None:
        least = values[..., -1:] * values.dtype.as_numpy_dtype(4e-16) * values.shape[-1]
    inverse = tf.where(values > least, tf.math.reciprocal_no_nan(values), tf.zeros_like(values))
    return tf.matmul(vectors * inverse[..., tf.newaxis, :], vectors, transpose_b=True)
