"""The Kalman filter, one step after another, with covariances or with their square roots.

References:
    Kalman 1960; Sarkka 2013, "Bayesian Filtering and Smoothing", section 4.3 (his equations are
    cited as S); the square-root form after Kailath, Sayed & Hassibi 2000, "Linear Estimation",
    section 12.3.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from .system import (
    Gain,
    Observed,
    System,
    apply,
    congruence,
    gain_of,
    log_density,
    matrix_at,
    offset_at,
    seen_part,
    symmetric,
    updated,
    whitened,
)


class Filtered(NamedTuple):
    """What the filter gives, with time first.

    Attributes:
        means: ``E[x_t | y_1..t]``, ``[T, ..., n, d]``.
        covariances: ``Cov[x_t | y_1..t]``, ``[T, ..., s, d, d]``.
        predicted_means: ``E[x_t | y_1..t-1]``, ``[T, ..., n, d]``.
        predicted_covariances: ``[T, ..., s, d, d]``.
        increments: ``log p(y_t | y_1..t-1)``, ``[T, ..., n]``, in nats.
        gains: ``K_t``, ``[T, ..., s, d, m]``.
    """

    means: tf.Tensor
    covariances: tf.Tensor
    predicted_means: tf.Tensor
    predicted_covariances: tf.Tensor
    increments: tf.Tensor
    gains: tf.Tensor


class _Carry(NamedTuple):
    mean: tf.Tensor
    spread: tf.Tensor  # the covariance, or its square root


def filter_sequentially(system: System, observed: Observed, *, square_root: bool) -> Filtered:
    """Run the filter over all steps.

    Args:
        system: The model.
        observed: The observations.
        square_root: Carry ``U`` with ``P = U U'`` instead of P: half the digits are lost where P
            is all but singular.
    """
    steps, num_sequences = observed.values.shape[0], tf.shape(observed.values)[-2]
    dtype, size = system.A.dtype, system.m0.shape[-1]
    chains = tf.shape(system.m0)[:-1]
    shared = tf.shape(observed.seen)[-2]
    mean = tf.broadcast_to(
        system.m0[..., tf.newaxis, :], tf.concat([chains, [num_sequences, size]], 0)
    )
    start = root(system.P0) if square_root else system.P0
    spread = tf.broadcast_to(
        start[..., tf.newaxis, :, :], tf.concat([chains, [shared, size, size]], 0)
    )
    measure = _update_root if square_root else _update
    move = _predict_root if square_root else _predict
    written = [tf.TensorArray(dtype, steps) for _ in Filtered._fields]

    def step(
        t: tf.Tensor, carry: _Carry, arrays: list[tf.TensorArray]
    ) -> tuple[tf.Tensor, _Carry, list[tf.TensorArray]]:
        after, increment, gain = measure(system, observed, carry, t)
        found = (after.mean, after.spread, carry.mean, carry.spread, increment, gain)
        arrays = [array.write(t, value) for array, value in zip(arrays, found, strict=True)]
        return t + 1, move(system, after, t), arrays

    _, _, written = tf.while_loop(
        lambda t, *_: t < steps,
        step,
        (tf.constant(0), _Carry(mean, spread), written),
        maximum_iterations=steps,
        parallel_iterations=1,
    )
    result = Filtered(*(array.stack() for array in written))
    if square_root:
        result = result._replace(
            covariances=tf.matmul(result.covariances, result.covariances, transpose_b=True),
            predicted_covariances=tf.matmul(
                result.predicted_covariances, result.predicted_covariances, transpose_b=True
            ),
        )
    return result


def root(covariance: tf.Tensor) -> tf.Tensor:
    """A square root ``U`` with ``U U' = C``, of a singular covariance too."""
    values, vectors = tf.linalg.eigh(symmetric(covariance))
    return vectors * tf.sqrt(tf.maximum(values, 0.0))[..., tf.newaxis, :]


def _residual(system: System, observed: Observed, mean: tf.Tensor, t: tf.Tensor) -> tf.Tensor:
    """``v_t = y_t - H_t m_t`` (S 4.21), 0 where nothing was seen."""
    values, seen = observed.values[t], observed.seen[t]
    return seen * (values - apply(matrix_at(system.H, t), mean))


def _update(
    system: System, observed: Observed, carry: _Carry, t: tf.Tensor
) -> tuple[_Carry, tf.Tensor, tf.Tensor]:
    seen = observed.seen[t]
    H, R = seen_part(matrix_at(system.H, t), matrix_at(system.R, t), seen)
    residual = _residual(system, observed, carry.mean, t)
    found = gain_of(H, R, carry.spread)
    after = _Carry(
        carry.mean + apply(found.gain, residual), updated(H, R, found.gain, carry.spread)
    )
    return after, log_density(residual, found, seen), found.gain


def _predict(system: System, carry: _Carry, t: tf.Tensor) -> _Carry:
    A = matrix_at(system.A, t)
    mean = apply(A, carry.mean) + offset_at(system.offset, t)  # (S 4.20)
    return _Carry(mean, symmetric(congruence(A, carry.spread)) + matrix_at(system.Q, t))


def _update_root(
    system: System, observed: Observed, carry: _Carry, t: tf.Tensor
) -> tuple[_Carry, tf.Tensor, tf.Tensor]:
    """One QR of ``[[R^1/2, H U], [0, U]]'`` holds S^1/2, the gain and the new root."""
    seen, U = observed.seen[t], carry.spread
    H, R = seen_part(matrix_at(system.H, t), matrix_at(system.R, t), seen)
    residual = _residual(system, observed, carry.mean, t)
    noise = root(R) + tf.zeros_like(tf.matmul(H, H, transpose_b=True))
    above = tf.concat([noise, tf.matmul(H, U)], -1)
    below = tf.concat([tf.zeros_like(tf.matmul(U, H, transpose_b=True)), U], -1)
    triangle = tf.linalg.matrix_transpose(
        _upper(tf.linalg.matrix_transpose(tf.concat([above, below], -2)))
    )
    size = R.shape[-1]
    factor, scaled_gain = triangle[..., :size, :size], triangle[..., size:, :size]
    whitening, half_log_det = whitened(factor)
    found = Gain(tf.matmul(scaled_gain, whitening), whitening, half_log_det)
    after = _Carry(carry.mean + apply(found.gain, residual), triangle[..., size:, size:])
    return after, log_density(residual, found, seen), found.gain


def _predict_root(system: System, carry: _Carry, t: tf.Tensor) -> _Carry:
    A = matrix_at(system.A, t)
    moved = tf.matmul(A, carry.spread)
    noise = root(matrix_at(system.Q, t)) + tf.zeros_like(moved)
    stacked = tf.linalg.matrix_transpose(tf.concat([moved, noise], -1))
    mean = apply(A, carry.mean) + offset_at(system.offset, t)
    return _Carry(mean, tf.linalg.matrix_transpose(_upper(stacked)))


def _upper(matrix: tf.Tensor) -> tf.Tensor:
    """The triangle of a QR decomposition."""
    return tf.linalg.qr(matrix, full_matrices=False).r
