"""A Gaussian process that is known at inducing points alone: its law elsewhere, and its KL.

Of a process with the kernel k and the mean m, inducing points Z and q(f(Z)) = N(loc, S S'), with
``L L' = k(Z, Z)``, everything is said by ``delta = inv(L) (loc - m(Z))`` and ``F = inv(L) S``, the
law of ``inv(L) (f(Z) - m(Z))``, which is N(0, I) under the prior.

References:
    Titsias 2009, "Variational learning of inducing variables in sparse Gaussian processes".
    Hensman, Fusi & Lawrence 2013, "Gaussian processes for big data", eqs. 2 to 4.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from ...likelihoods.base import Tensor

LEAST_VARIANCE = 1e-12
"""Below it a variance is rounding."""


class Inducing(NamedTuple):
    """The law of ``f(Z)``, relative to the prior.

    Attributes:
        points: Z, ``[..., M, *features]``, in the kernel's dtype.
        L: Cholesky factor of ``k(Z, Z)``, ``[..., M, M]``, float64, like what follows.
        delta: ``[..., M]``.
        F: ``[..., M, M]``, lower triangular.
    """

    points: Tensor
    L: Tensor
    delta: Tensor
    F: Tensor


def inducing(
    kernel: Any,
    points: Tensor,
    mean: Tensor,
    loc: Tensor,
    scale: Tensor,
    jitter: float,
    whitened: bool,
) -> Inducing:
    """From the variational parameters to what the other functions use.

    Args:
        kernel: One of ``tfp.math.psd_kernels``.
        points: Z.
        mean: m(Z), which broadcasts against ``loc``.
        loc: ``[..., M]``, of f(Z), or of ``inv(L) f(Z)``.
        scale: ``[..., M, M]``, of the same; its upper triangle is not used.
        jitter: Added to the diagonal of k(Z, Z).
        whitened: Whether loc and scale are those of ``inv(L) f(Z)``.
    """
    K = tf.cast(kernel.matrix(points, points), tf.float64)
    L = tf.linalg.cholesky(K + jitter * tf.eye(tf.shape(K)[-1], dtype=tf.float64))
    mean, loc = tf.cast(mean, tf.float64), tf.cast(loc, tf.float64)
    S = tf.linalg.band_part(tf.cast(scale, tf.float64), -1, 0)
    L = tf.broadcast_to(L, tf.shape(S))
    if whitened:
        return Inducing(points, L, loc - _solve_vector(L, mean + tf.zeros_like(loc)), S)
    F = tf.linalg.triangular_solve(L, S)
    return Inducing(points, L, _solve_vector(L, loc - mean), F)


def marginals(kernel: Any, q: Inducing, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean, less m(x), and variance of f at points ``[n, *features]``: ``[..., n]`` each."""
    A, FA = _projections(kernel, q, x)
    prior = tf.cast(kernel.apply(x, x, example_ndims=1), tf.float64)
    variance = prior - tf.reduce_sum(A**2, axis=-2) + tf.reduce_sum(FA**2, axis=-2)
    return _mean(q, A), tf.maximum(variance, LEAST_VARIANCE)


def joint(kernel: Any, q: Inducing, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean, less m(x), and covariance of f over points: ``[..., n]`` and ``[..., n, n]``."""
    A, FA = _projections(kernel, q, x)
    prior = tf.cast(kernel.matrix(x, x), tf.float64)
    covariance = prior - tf.matmul(A, A, transpose_a=True) + tf.matmul(FA, FA, transpose_a=True)
    return _mean(q, A), covariance


def kl_divergence(q: Inducing) -> Tensor:
    """KL(q(f(Z)) || p(f(Z))), summed over batches: a scalar, in nats.

    ``(|F|^2 + |delta|^2 - M) / 2 - log |det F|``.
    """
    count = tf.cast(tf.size(q.delta), tf.float64)
    squares = tf.reduce_sum(q.F**2) + tf.reduce_sum(q.delta**2)
    log_det = tf.reduce_sum(tf.math.log(tf.abs(tf.linalg.diag_part(q.F))))
    return 0.5 * (squares - count) - log_det


def _projections(kernel: Any, q: Inducing, x: Tensor) -> tuple[Tensor, Tensor]:
    """``A = inv(L) k(Z, x)`` and ``F' A``: ``[..., M, n]``."""
    cross = tf.cast(kernel.matrix(q.points, x), tf.float64)
    shape = tf.concat([tf.shape(q.L)[:-1], tf.shape(cross)[-1:]], axis=0)
    A = tf.linalg.triangular_solve(q.L, tf.broadcast_to(cross, shape))
    return A, tf.matmul(q.F, A, transpose_a=True)


def _mean(q: Inducing, A: Tensor) -> Tensor:
    return tf.linalg.matvec(A, q.delta, transpose_a=True)


def _solve_vector(L: Tensor, vector: Tensor) -> Tensor:
    return tf.linalg.triangular_solve(L, vector[..., tf.newaxis])[..., 0]
