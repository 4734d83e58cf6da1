"""Gauss-Wishart distributions of means and precisions: posterior, bound, predictive, draws.

    mu | Lambda ~ N(m, (beta Lambda)^-1)        Lambda ~ W(W, nu), so that E[Lambda] = nu W

Equation numbers are those of Bishop 2006, "Pattern Recognition and Machine Learning", chapter 10
and appendix B. Everything is pure TensorFlow that XLA can compile.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfbdl import random

from .gaussian_features import Sums, features, sums

tfd = tfp.distributions


class GaussWishart(NamedTuple):
    """One distribution, or ``k`` of them along the first axis.

    Attributes:
        beta: Observations that the mean is worth, ``[...]``, above 0.
        nu: Degrees of freedom of the precision, ``[...]``, above ``d - 1``.
        m: The mean of mu, ``[..., d]``.
        W: The scale matrix of the precision, ``[..., d, d]``, positive definite.
    """

    beta: tf.Tensor
    nu: tf.Tensor
    m: tf.Tensor
    W: tf.Tensor


def moments(x: tf.Tensor, weights: tf.Tensor, origin: tf.Tensor) -> Sums:
    """Weighted sums of rows ``x [n, d]``, ``weights [n, k]``, about ``origin [d]``."""
    y = x - origin
    return sums(features(y, "full"), tf.transpose(weights), y, "full")


def posterior(prior: GaussWishart, about_m: Sums) -> GaussWishart:
    """The posterior of ``k`` components with one prior (10.60 to 10.63).

    Args:
        prior: Without a component axis.
        about_m: Sums about the prior's ``m``.
    """
    beta = prior.beta + about_m.count  # 10.60
    shift = about_m.first / beta[:, tf.newaxis]
    m = prior.m + shift  # 10.61, less m0
    nu = prior.nu + about_m.count  # 10.63
    # 10.62 with N S + beta0 N / (beta0 + N) (xbar - m0)(xbar - m0)' written about m0.
    between = beta[:, tf.newaxis, tf.newaxis] * shift[:, :, tf.newaxis] * shift[:, tf.newaxis, :]
    inverse = inverse_of(prior.W) + about_m.second - between
    return GaussWishart(beta, nu, m, inverse_of(inverse))


def inverse_of(matrix: tf.Tensor) -> tf.Tensor:
    """The inverse of a positive definite matrix ``[..., d, d]``, exactly symmetric."""
    symmetric = 0.5 * (matrix + tf.linalg.matrix_transpose(matrix))
    eye = tf.eye(matrix.shape[-1], batch_shape=matrix.shape[:-2], dtype=matrix.dtype)
    root = tf.linalg.triangular_solve(tf.linalg.cholesky(symmetric), eye)
    return tf.matmul(root, root, transpose_a=True)


def log_det(matrix: tf.Tensor) -> tf.Tensor:
    """The log determinant of a positive definite matrix."""
    diagonal = tf.linalg.diag_part(tf.linalg.cholesky(matrix))
    return 2.0 * tf.reduce_sum(tf.math.log(diagonal), axis=-1)


def expected_log_det(q: GaussWishart) -> tf.Tensor:
    """``E ln |Lambda|`` (10.65)."""
    d = q.m.shape[-1]
    halves = 0.5 * (q.nu[..., tf.newaxis] - tf.range(d, dtype=q.nu.dtype))
    return tf.reduce_sum(tf.math.digamma(halves), axis=-1) + d * math.log(2.0) + log_det(q.W)


def mahalanobis(q: GaussWishart, x: tf.Tensor) -> tf.Tensor:
    """``(x - m)' W (x - m)`` of rows ``[n, d]`` under ``k`` distributions: ``[n, k]``."""
    return _quadratic(x, q.m, tf.linalg.cholesky(q.W))


def expected_log_normal(q: GaussWishart, x: tf.Tensor) -> tf.Tensor:
    """``E ln N(x | mu, Lambda^-1)`` of rows ``[n, d]`` under ``k`` distributions: ``[n, k]``."""
    d = x.shape[-1]
    squares = d / q.beta + q.nu * mahalanobis(q, x)  # 10.64
    return 0.5 * (expected_log_det(q) - d * math.log(2.0 * math.pi) - squares)  # 10.46, a summand


def log_normal(means: tf.Tensor, precisions: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """``ln N(x | mu, Lambda^-1)`` of rows ``[n, d]`` under ``k`` normals: ``[n, k]``."""
    return log_normal_by_roots(means, tf.linalg.cholesky(precisions), x)


def log_normal_by_roots(means: tf.Tensor, L: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """``log_normal`` for precisions ``L L'`` given by their Cholesky roots ``[k, d, d]``."""
    half = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(L)), axis=-1)
    return half - 0.5 * (x.shape[-1] * math.log(2.0 * math.pi) + _quadratic(x, means, L))


def student_t_log_prob(q: GaussWishart, x: tf.Tensor) -> tf.Tensor:
    """``ln p(x)`` with mu and Lambda integrated out: a Student t (10.81, 10.82), ``[n, k]``."""
    d = x.shape[-1]
    shrink = q.beta / (1.0 + q.beta)
    spread = tf.math.log1p(shrink * mahalanobis(q, x))
    return student_t_constant(q.beta, q.nu, d) + 0.5 * log_det(q.W) - 0.5 * (q.nu + 1.0) * spread


def student_t_constant(beta: tf.Tensor, nu: tf.Tensor, d: int) -> tf.Tensor:
    """What of ``student_t_log_prob`` depends on neither x nor W."""
    gammas = tf.math.lgamma(0.5 * (nu + 1.0)) - tf.math.lgamma(0.5 * (nu + 1.0 - d))
    return gammas + 0.5 * d * (tf.math.log(beta / (1.0 + beta)) - math.log(math.pi))


def kl_divergence(q: GaussWishart, p: GaussWishart) -> tf.Tensor:
    """``KL(q || p)`` in nats, of each of ``k`` distributions from one: ``[k]``.

    It is minus the terms of 10.74 and 10.77 in the bound.
    """
    d = q.m.shape[-1]
    shift = _quadratic(p.m[tf.newaxis], q.m, tf.linalg.cholesky(q.W))[0]
    ratio = p.beta / q.beta
    of_mean = 0.5 * (d * (ratio - 1.0 - tf.math.log(ratio)) + p.beta * q.nu * shift)
    trace = tf.reduce_sum(inverse_of(p.W) * q.W, axis=(-2, -1))
    of_precision = (
        wishart_log_constant(q)
        - wishart_log_constant(p)
        + 0.5 * (q.nu - p.nu) * expected_log_det(q)
        + 0.5 * q.nu * (trace - d)
    )
    return of_mean + of_precision


def wishart_log_constant(q: GaussWishart) -> tf.Tensor:
    """``ln B(W, nu)`` (B.79): what makes the Wishart density integrate to one."""
    d = q.m.shape[-1]
    halves = 0.5 * (q.nu[..., tf.newaxis] - tf.range(d, dtype=q.nu.dtype))
    gammas = tf.reduce_sum(tf.math.lgamma(halves), axis=-1) + 0.25 * d * (d - 1) * math.log(math.pi)
    return -0.5 * q.nu * (log_det(q.W) + d * math.log(2.0)) - gammas


def sample(q: GaussWishart, key: tf.Tensor, draws: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Draw means ``[draws, k, d]`` and precisions ``[draws, k, d, d]``."""
    return sample_with_weights(q, tf.ones((1,), q.m.dtype), key, draws)[1:]


def sample_with_weights(
    q: GaussWishart, alpha: tf.Tensor, key: tf.Tensor, draws: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Draw weights ``[draws, j]`` from a Dirichlet, means and precisions, by Bartlett's product.

    ``Lambda = L A A' L'`` with ``L L' = W`` and A lower triangular: chi variables of ``nu - i``
    degrees on its diagonal, standard normals below.

    All gamma variables are drawn at once, as XLA takes a second to compile their sampler.

    Args:
        q: Of ``k`` components.
        alpha: Of the Dirichlet, ``[j]``.
        key: ``[2]``.
        draws: How many.
    """
    k, d = q.m.shape
    keys = tf.bitcast(random.split(key, 3), tf.int32)
    degrees = q.nu[:, tf.newaxis] - tf.range(d, dtype=q.nu.dtype)
    shapes = tf.concat([alpha, tf.reshape(0.5 * degrees, (k * d,))], axis=0)
    gammas = log_gammas(shapes, keys[0], draws)
    weights = tf.nn.softmax(gammas[:, : alpha.shape[0]], axis=-1)
    chi = tf.exp(0.5 * (math.log(2.0) + gammas[:, alpha.shape[0] :]))  # the rate is a half
    chi = tf.reshape(chi, (draws, k, d))
    below = random.normal((draws, k, d, d), keys[1], q.m.dtype)
    A = tf.linalg.set_diag(tf.linalg.band_part(below, -1, 0), chi)
    root = tf.matmul(tf.linalg.cholesky(q.W)[tf.newaxis], A)
    noise = random.normal((draws, k, d, 1), keys[2], q.m.dtype)
    scaled = tf.linalg.triangular_solve(root, noise, adjoint=True)[..., 0]
    means = q.m + scaled / tf.sqrt(q.beta)[:, tf.newaxis]
    return weights, means, tf.matmul(root, root, transpose_b=True)


def log_gammas(shapes: tf.Tensor, key: tf.Tensor, draws: int) -> tf.Tensor:
    """Logarithms ``[draws, j]`` of gamma variables of rate 1, which do not underflow."""
    return tfd.ExpGamma(shapes, tf.constant(1.0, shapes.dtype)).sample(draws, seed=key)


def sample_student_t(q: GaussWishart, key: tf.Tensor) -> np.ndarray:
    """A row ``[n, d]`` from each of ``n`` distributions, means and precisions integrated out."""
    keys = random.split(key, 2)
    means, precisions = (part[0] for part in sample(q, keys[0], 1))
    return sample_rows(means, precisions, keys[1])


def sample_rows(means: tf.Tensor, precisions: tf.Tensor, key: tf.Tensor) -> np.ndarray:
    """A row ``[n, d]`` from each of ``n`` normals: ``means [n, d]``, ``precisions [n, d, d]``."""
    noise = random.normal((*means.shape, 1), key, means.dtype)
    root = tf.linalg.cholesky(precisions)
    return np.asarray(means + tf.linalg.triangular_solve(root, noise, adjoint=True)[..., 0])


def _quadratic(x: tf.Tensor, m: tf.Tensor, L: tf.Tensor) -> tf.Tensor:
    """``|L'(x - m)|^2`` of rows ``[n, d]`` for ``m [k, d]`` and ``L [k, d, d]``: ``[n, k]``.

    One product of ``[n, d]`` and ``[d, k d]``. All is seen from the middle of the means, and
    squares are taken of differences, so that few digits are lost for rows far from the origin and
    tight components far from one another.
    """
    k, d = m.shape
    middle = tf.reduce_mean(m, axis=0)
    beside = tf.reshape(tf.transpose(L, (1, 0, 2)), (d, k * d))
    origin = tf.reshape(tf.linalg.matvec(L, m - middle, transpose_a=True), (k * d,))
    scaled = tf.matmul(x - middle, beside) - origin
    return tf.reduce_sum(tf.reshape(scaled, (-1, k, d)) ** 2, axis=-1)
