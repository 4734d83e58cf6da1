"""The law of a function at rows, given its law at inducing points; in a graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from .families import Family

JITTER = 1e-8
"""Added to the covariance of the inducing points, times the mean of its diagonal."""


class Projection(NamedTuple):
    """``f(x) = A' v + e`` with whitened inducing values v and ``e ~ N(0, left)``.

    Attributes:
        A: ``L^-1 k(Z, x)``, ``[m, n]``, with ``L L' = k(Z, Z)``.
        left: The variance that the inducing points leave, ``[n]``.
    """

    A: tf.Tensor
    left: tf.Tensor


def project(family: Family, params: Mapping[str, Any], Z: tf.Tensor, x: tf.Tensor) -> Projection:
    """The projection of rows on inducing points.

    Args:
        family: Of the kernel.
        params: Its hyperparameters.
        Z: ``[m, d]``.
        x: ``[n, d]``.
    """
    K = family.between(params, Z, Z)
    own = family.between(
        params, Z, Z, paired=True
    )  # what rounding leaves of the diagonal is not it
    L = tf.linalg.cholesky(tf.linalg.set_diag(K, own + JITTER * tf.reduce_mean(own)))
    A = tf.linalg.triangular_solve(L, family.between(params, Z, x))
    left = family.between(params, x, x, paired=True) - tf.reduce_sum(tf.square(A), axis=0)
    return Projection(A, tf.maximum(left, 0.0))


def marginals(
    projection: Projection, mean: tf.Tensor, root: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and variance of f at each row, under ``v_c ~ N(mean_c, root_c root_c')``.

    Args:
        projection: Of the rows.
        mean: ``[m, k]``.
        root: Lower triangular, ``[k, m, m]``.

    Returns:
        ``[n, k]`` and ``[n, k]`` (Hensman et al. 2015, section 3.1, for whitened values).
    """
    spread = tf.matmul(root, projection.A[tf.newaxis], transpose_a=True)  # [k, m, n]
    variance = projection.left + tf.reduce_sum(tf.square(spread), axis=1)
    return tf.matmul(projection.A, mean, transpose_a=True), tf.transpose(variance)


def divergence(mean: tf.Tensor, root: tf.Tensor) -> tf.Tensor:
    """``KL(N(mean, root root') || N(0, I))`` in nats, summed over outputs."""
    size = tf.cast(tf.size(mean), mean.dtype)
    log_det = 2.0 * tf.reduce_sum(tf.math.log(tf.abs(tf.linalg.diag_part(root))))
    squares = tf.reduce_sum(tf.square(root)) + tf.reduce_sum(tf.square(mean))
    return 0.5 * (squares - size - log_det)
