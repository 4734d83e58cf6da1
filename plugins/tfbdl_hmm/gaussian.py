"""Gaussian observations: densities, statistics and the M-step (Rabiner 1989, section IV.A)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import tensorflow as tf

Arrays = Mapping[str, tf.Tensor]


def observed(y: tf.Tensor) -> tf.Tensor:
    """Which observations of ``y [n, T, d]`` are there: ``[n, T]``."""
    return tf.reduce_all(~tf.math.is_nan(y), -1)


def log_prob(y: tf.Tensor, means: tf.Tensor, covariances: tf.Tensor, diagonal: bool) -> tf.Tensor:
    """``log N(y_t | mean_k, covariance_k)``; 0 for a missing observation.

    Shapes:
        y: ``[n, T, d]``; means: ``[..., k, d]``; covariances: ``[..., k, d, d]``.

    Returns:
        ``[..., n, T, k]``.
    """
    seen = observed(y)
    y = tf.where(seen[..., tf.newaxis], y, tf.zeros_like(y))
    # About the centre of the states, so that data far from zero keep their digits.
    centre = tf.reduce_mean(means, -2, keepdims=True)
    y = y - centre[..., tf.newaxis, :, :]
    means = means - centre
    if diagonal:
        deviations = tf.sqrt(tf.linalg.diag_part(covariances))
        gaps = y[..., tf.newaxis, :] - means[..., tf.newaxis, tf.newaxis, :, :]
        whitened = gaps / deviations[..., tf.newaxis, tf.newaxis, :, :]
    else:
        factor = tf.linalg.cholesky(covariances)
        deviations = tf.linalg.diag_part(factor)
        identity = tf.eye(y.shape[-1], dtype=y.dtype) + tf.zeros_like(factor)
        inverse = tf.linalg.triangular_solve(factor, identity)
        whitened = tf.einsum("...ntj,...kij->...ntki", y, inverse)
        whitened -= tf.linalg.matvec(inverse, means)[..., tf.newaxis, tf.newaxis, :, :]
    constant = tf.reduce_sum(tf.math.log(deviations), -1) + 0.5 * y.shape[-1] * math.log(
        2.0 * math.pi
    )
    density = -0.5 * tf.reduce_sum(whitened**2, -1) - constant[..., tf.newaxis, tf.newaxis, :]
    return tf.where(seen[..., tf.newaxis], density, tf.zeros_like(density))


def statistics(y: tf.Tensor, weights: tf.Tensor, origin: tf.Tensor) -> dict[str, tf.Tensor]:
    """Weighted sums over all observations that are there, about ``origin [d]``.

    Shapes:
        y: ``[n, T, d]``; weights: ``[n, T, k]``.

    Returns:
        ``count [k]``, ``total [k, d]`` and ``squares [k, d, d]``.
    """
    seen = observed(y)[..., tf.newaxis]
    size, states = y.shape[-1], weights.shape[-1]
    flat = tf.reshape(tf.where(seen, y - origin, tf.zeros_like(y)), (-1, size))
    weights = tf.reshape(tf.where(seen, weights, tf.zeros_like(weights)), (-1, states))
    weighted = tf.reshape(weights[:, :, tf.newaxis] * flat[:, tf.newaxis, :], (-1, states * size))
    squares = tf.matmul(weighted, flat, transpose_a=True)
    return {
        "count": tf.reduce_sum(weights, 0),
        "total": tf.matmul(weights, flat, transpose_a=True),
        "squares": tf.reshape(squares, (states, size, size)),
    }


def m_step(
    sums: Arrays, origin: tf.Tensor, floor: float, diagonal: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """The means ``[k, d]`` and covariances ``[k, d, d]`` of largest expected likelihood.

    Covariances are the best of those with no eigenvalue below ``floor``: the eigenvalues of the
    weighted scatter, clipped. A state that explains nothing gets the moments of all data.
    """
    count, total, squares = sums["count"], sums["total"], sums["squares"]
    nobody = count <= 0.0
    everyone = tf.reduce_sum(count)
    count = tf.where(nobody, everyone, count)
    total = tf.where(nobody[:, tf.newaxis], tf.reduce_sum(total, 0), total)
    empty = nobody[:, tf.newaxis, tf.newaxis]
    squares = tf.where(empty, tf.reduce_sum(squares, 0), squares)
    means = total / count[:, tf.newaxis]  # Rabiner (53)
    scatter = squares / count[:, tf.newaxis, tf.newaxis]
    scatter -= means[:, :, tf.newaxis] * means[:, tf.newaxis, :]  # Rabiner (54)
    if diagonal:
        variances = tf.maximum(tf.linalg.diag_part(scatter), floor)
        return means + origin, tf.linalg.diag(variances)
    values, vectors = tf.linalg.eigh(0.5 * (scatter + tf.linalg.matrix_transpose(scatter)))
    clipped = tf.maximum(values, tf.cast(floor, values.dtype))
    mended = tf.matmul(vectors * clipped[:, tf.newaxis, :], vectors, transpose_b=True)
    below = tf.reduce_any(values < floor, -1)[:, tf.newaxis, tf.newaxis]
    return means + origin, tf.where(below, mended, scatter)
