"""A linear Gaussian state-space model as tensors, and what one step of it does.

``x_1 ~ N(m0, P0)``, ``x_t+1 = A_t x_t + B_t u_t + w_t`` with ``w_t ~ N(0, Q_t)``, and
``y_t = H_t x_t + v_t`` with ``v_t ~ N(0, R_t)``. Throughout, leading axes ``...`` are those of
several chains, ``n`` counts sequences, ``d`` is the size of a state, ``m`` of an observation, and
an axis of time has the length T, or 1 where nothing varies. Means are ``[..., n, d]``.
Covariances are ``[..., s, d, d]`` where s is 1 if all sequences miss the same observations, so
that they share them, and else n.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf

_LOG_2_PI = math.log(2.0 * math.pi)


class System(NamedTuple):
    """The parameters.

    Attributes:
        A: Transition, ``[..., T or 1, d, d]``.
        offset: ``B_t u_t``, or a constant: ``[..., T or 1, n or 1, d]``.
        H: Observation, ``[..., T or 1, m, d]``.
        Q: Covariance of the process noise, ``[..., T or 1, d, d]``.
        R: Covariance of the observation noise, ``[..., T or 1, m, m]``.
        m0, P0: Mean and covariance of the first state before its observation, ``[..., d]`` and
            ``[..., d, d]``.
    """

    A: tf.Tensor
    offset: tf.Tensor
    H: tf.Tensor
    Q: tf.Tensor
    R: tf.Tensor
    m0: tf.Tensor
    P0: tf.Tensor


class Observed(NamedTuple):
    """Observations with time first; axes of length 1 stand in the place of chains.

    Attributes:
        values: ``[T, ..., n, m]``, 0 where one is missing.
        seen: 1 where an element was observed, else 0: ``[T, ..., s, m]``.
    """

    values: tf.Tensor
    seen: tf.Tensor


class Gain(NamedTuple):
    """What one observation does to a prediction.

    Attributes:
        gain: ``K``, ``[..., s, d, m]``.
        whitening: ``W`` with ``W S W' = I`` for the covariance S of what was predicted to be seen,
            ``[..., s, m, m]``.
        half_log_det: ``log det S / 2``, ``[..., s]``.
    """

    gain: tf.Tensor
    whitening: tf.Tensor
    half_log_det: tf.Tensor


def matrix_at(parameter: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """A parameter ``[..., T or 1, a, b]`` at one step, for all sequences: ``[..., 1, a, b]``."""
    index = 0 if parameter.shape[-3] == 1 else step
    return tf.gather(parameter, [index], axis=-3)


def offset_at(offset: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """The offset ``[..., T or 1, n or 1, d]`` at one step: ``[..., n or 1, d]``."""
    index = 0 if offset.shape[-3] == 1 else step
    return tf.gather(offset, index, axis=-3)


def over_time(parameter: tf.Tensor, count: int) -> tf.Tensor:
    """A parameter ``[..., T or 1, a, b]`` with time first: ``[count or 1, ..., 1, a, b]``."""
    first = parameter if parameter.shape[-3] == 1 else parameter[..., :count, :, :]
    return _time_first(first, 3)[..., tf.newaxis, :, :]


def offset_over_time(offset: tf.Tensor, count: int) -> tf.Tensor:
    """The offset ``[..., T or 1, n or 1, d]`` with time first: ``[count or 1, ..., n or 1, d]``."""
    return _time_first(offset if offset.shape[-3] == 1 else offset[..., :count, :, :], 3)


def _time_first(values: tf.Tensor, axis: int) -> tf.Tensor:
    """Move the axis that is ``axis`` from the end to the front."""
    rank = values.shape.rank
    rest = [i for i in range(rank) if i != rank - axis]
    return tf.transpose(values, [rank - axis, *rest])


def seen_part(H: tf.Tensor, R: tf.Tensor, seen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """H and R of the elements that were observed; the others become noise of variance 1 alone.

    Args:
        H: ``[..., s or 1, m, d]``.
        R: ``[..., s or 1, m, m]``.
        seen: ``[..., s, m]``.
    """
    rows = seen[..., tf.newaxis]
    both = rows * seen[..., tf.newaxis, :]
    return H * rows, R * both + tf.linalg.diag(1.0 - seen)


def gain_of(H: tf.Tensor, R: tf.Tensor, predicted: tf.Tensor) -> Gain:
    """The gain of an observation, from the covariance ``[..., s, d, d]`` before it."""
    cross = tf.matmul(H, predicted)  # H P
    S = symmetric(tf.matmul(cross, H, transpose_b=True)) + R  # Sarkka 2013, (4.21)
    factor = tf.linalg.cholesky(S)
    gain = tf.linalg.matrix_transpose(tf.linalg.cholesky_solve(factor, cross))
    return Gain(gain, *whitened(factor))


def whitened(factor: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The inverse of a triangular factor of S, and ``log det S / 2``."""
    identity = tf.eye(factor.shape[-1], batch_shape=tf.shape(factor)[:-2], dtype=factor.dtype)
    diagonal = tf.abs(tf.linalg.diag_part(factor))
    return (
        tf.linalg.triangular_solve(factor, identity),
        tf.reduce_sum(tf.math.log(diagonal), -1),
    )


def updated(H: tf.Tensor, R: tf.Tensor, gain: tf.Tensor, covariance: tf.Tensor) -> tf.Tensor:
    """The covariance after an observation, in Joseph's form: positive whatever the rounding."""
    kept = tf.eye(H.shape[-1], dtype=H.dtype) - tf.matmul(gain, H)
    return symmetric(congruence(kept, covariance) + congruence(gain, R))


def log_density(residual: tf.Tensor, found: Gain, seen: tf.Tensor) -> tf.Tensor:
    """``log N(residual; 0, S)`` of the elements seen, ``[..., n]``, in nats.

    Args:
        residual: ``[..., n, m]``, 0 where an element is missing.
        found: Of the observation.
        seen: ``[..., s, m]``.
    """
    squares = tf.reduce_sum(tf.square(apply(found.whitening, residual)), -1)
    return -0.5 * (squares + _LOG_2_PI * tf.reduce_sum(seen, -1)) - found.half_log_det


def apply(matrix: tf.Tensor, vectors: tf.Tensor) -> tf.Tensor:
    """``matrix [..., s, a, b]`` times each of ``vectors [..., n, b]``: ``[..., n, a]``."""
    if matrix.shape[-3] == 1:  # one matrix for all sequences: a product of matrices
        return tf.matmul(vectors, tf.squeeze(matrix, -3), transpose_b=True)
    return tf.linalg.matvec(matrix, vectors)


def symmetric(matrix: tf.Tensor) -> tf.Tensor:
    """The symmetric part, which rounding leaves."""
    return 0.5 * (matrix + tf.linalg.matrix_transpose(matrix))


def congruence(matrix: tf.Tensor, covariance: tf.Tensor) -> tf.Tensor:
    """``M C M'``."""
    return tf.matmul(tf.matmul(matrix, covariance), matrix, transpose_b=True)
