"""The E-step of a linear Gaussian model: expected moments of states, and of what is missing.

References:
    Shumway & Stoffer 1982, "An approach to time series smoothing and forecasting using the EM
    algorithm"; Shumway & Stoffer 2017, "Time Series Analysis", section 6.4 (missing observations).
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from .regression import Moments
from .sequential import filter_sequentially
from .smoothing import Smoothed, smooth
from .system import Observed, System, apply, congruence, seen_part


class Origin(NamedTuple):
    """What is taken off before squares are summed: of states ``[d]``, of observations ``[m]``."""

    x: tf.Tensor
    y: tf.Tensor


class Expected(NamedTuple):
    """Sums over sequences.

    Attributes:
        log_likelihood: ``log p(y)`` in nats.
        motion: Moments of a state and the one before it.
        seen: Moments of an observation and its state, over steps where anything was observed.
        first: Moments of the first state as target, with 1 alone beside it:
            ``yz`` is ``[d, 1]``, ``zz`` ``[1, 1]``.
    """

    log_likelihood: tf.Tensor
    motion: Moments
    seen: Moments
    first: Moments


def expect(system: System, observed: Observed, origin: Origin) -> Expected:
    """Expected moments given the observations, under the system's parameters.

    Transitions count up to the last observation of a sequence: those after it tell nothing, and
    a sequence that is filled up with NaN counts as the shorter one.

    Args:
        system: Of constant parameters, without axes of chains.
        observed: ``values [T, n, m]``, ``seen [T, s, m]``.
        origin: Of the moments.
    """
    filtered = filter_sequentially(system, observed, square_root=False)
    smoothed = smooth(system, filtered)
    return Expected(
        tf.reduce_sum(filtered.increments),
        _motion(smoothed, observed, origin),
        _seen(system, smoothed, observed, origin),
        _first(smoothed, origin),
    )


def _motion(smoothed: Smoothed, observed: Observed, origin: Origin) -> Moments:
    weight = _counted(observed.seen)[1:]
    mean, weights = smoothed.means - origin.x, _weights(weight, smoothed)
    before, after = _with_one(mean[:-1]), mean[1:]
    now, ahead = smoothed.covariances[:-1], smoothed.covariances[1:]
    return Moments(
        _second(weights.means, after, after) + _spread(weights.covariances, ahead),
        _second(weights.means, after, before)
        + _padded(_spread(weights.covariances, smoothed.lag_covariances), rows=False),
        _second(weights.means, before, before)
        + _padded(_spread(weights.covariances, now), rows=True),
    )


def _seen(system: System, smoothed: Smoothed, observed: Observed, origin: Origin) -> Moments:
    """An observation given all others and its state is ``J (y_seen - H_seen x) + H x + noise``."""
    seen, H, R = observed.seen, system.H[0], system.R[0]
    weights = _weights(tf.reduce_max(seen, -1), smoothed)
    states = _with_one(smoothed.means - origin.x)
    H_seen, R_seen = seen_part(H, R, seen)
    across = R * seen[..., tf.newaxis, :]  # Cov[noise, noise that was seen]
    J = tf.linalg.matrix_transpose(
        tf.linalg.cholesky_solve(tf.linalg.cholesky(R_seen), tf.linalg.matrix_transpose(across))
    )
    follows = H - tf.matmul(J, H_seen)  # what moves with the state: 0 where y was seen
    left = R - tf.matmul(J, across, transpose_b=True)
    mean = apply(follows, smoothed.means) + apply(J, observed.values) - origin.y
    cross = tf.matmul(follows, smoothed.covariances)
    own = congruence(follows, smoothed.covariances) + left
    spread = _spread(weights.covariances, smoothed.covariances)
    return Moments(
        _second(weights.means, mean, mean) + _spread(weights.covariances, own),
        _second(weights.means, mean, states)
        + _padded(_spread(weights.covariances, cross), rows=False),
        _second(weights.means, states, states) + _padded(spread, rows=True),
    )


def _first(smoothed: Smoothed, origin: Origin) -> Moments:
    mean = smoothed.means[:1] - origin.x
    one = tf.ones_like(mean[..., :1])
    weights = _weights(one[..., 0], smoothed)
    return Moments(
        _second(weights.means, mean, mean) + _spread(weights.covariances, smoothed.covariances[:1]),
        _second(weights.means, mean, one),
        _second(weights.means, one, one),
    )


class _Weights(NamedTuple):
    means: tf.Tensor  # [T, n]
    covariances: tf.Tensor  # [T, s]: a covariance that sequences share counts for each


def _weights(weight: tf.Tensor, smoothed: Smoothed) -> _Weights:
    """Of steps ``[T, s or n]``, for sums over means and over covariances."""
    count, shared = smoothed.means.shape[1], smoothed.covariances.shape[1]
    steps = weight.shape[0]
    means = tf.broadcast_to(weight, (steps, count))
    return _Weights(means, means if shared == count else tf.reduce_sum(means, -1, keepdims=True))


def _counted(seen: tf.Tensor) -> tf.Tensor:
    """1 up to the last observation of a sequence, ``[T, s]``."""
    there = tf.reduce_max(seen, -1)
    return tf.minimum(tf.cumsum(there, reverse=True), 1.0)


def _with_one(mean: tf.Tensor) -> tf.Tensor:
    return tf.concat([mean, tf.ones_like(mean[..., :1])], -1)


def _second(weights: tf.Tensor, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    return tf.einsum("tni,tnj->ij", weights[..., tf.newaxis] * a, b)


def _spread(weights: tf.Tensor, covariances: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(weights[..., tf.newaxis, tf.newaxis] * covariances, [0, 1])


def _padded(matrix: tf.Tensor, *, rows: bool) -> tf.Tensor:
    """With a column of zeros for the constant, and a row of them."""
    return tf.pad(matrix, [[0, int(rows)], [0, 1]])
