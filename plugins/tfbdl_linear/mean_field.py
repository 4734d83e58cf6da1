"""Variational Bayes of linear regression: ``q(w) q(alpha) q(beta)``, its updates and its bound.

The columns come turned and scaled, ``Phi = U diag(s) V'`` with U orthonormal up to rounding, and
the targets less what the columns can fit, ``t = U c + r``: then no step takes differences of large
numbers, whatever the units of the columns. The intercept, under a flat prior, is integrated out:
of N rows N - 1 are left, centred, and a constant ``-log(N) / 2`` for each target.

References:
    Bishop 2006, section 10.3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from .ridge import Ridge

Tensors = Mapping[str, tf.Tensor]
LOG_2PI = math.log(2.0 * math.pi)


class Hyperpriors(NamedTuple):
    """Gamma priors: shape a0 and rate b0 of alpha, shape c0 and rate d0 of beta."""

    a0: float
    b0: float
    c0: float
    d0: float
    intercept: bool


class Turned(NamedTuple):
    """What was taken out of columns and targets.

    Attributes:
        values: s, ``[M]``, zeros beyond the rank.
        directions: V', ``[M, M]``.
        fitted: c, ``[M, k]``.
        column_means, target_means: ``[M]`` and ``[k]``; zeros without an intercept.
    """

    values: np.ndarray
    directions: np.ndarray
    fitted: np.ndarray
    column_means: np.ndarray
    target_means: np.ndarray

    def rows(self, columns: np.ndarray, targets: np.ndarray) -> dict[str, np.ndarray]:
        """``U`` and ``r`` of rows ``[n, M]`` and ``[n, k]``."""
        inverse = np.divide(1.0, self.values, out=np.zeros_like(self.values), where=self.values > 0)
        U = (columns - self.column_means) @ self.directions.T * inverse
        return {"columns": U, "targets": targets - self.target_means - U @ self.fitted}


def turn(ridge: Ridge, column_means: np.ndarray, target_means: np.ndarray) -> Turned:
    """Of columns and targets that were decomposed under a prior of mean zero."""
    size, rank = len(ridge.directions), len(ridge.spectrum.values)
    values, fitted = np.zeros(size), np.zeros((size, ridge.spectrum.targets))
    values[:rank] = ridge.spectrum.values
    fitted[:rank] = np.where(values[:rank, np.newaxis] > 0.0, ridge.spectrum.projected, 0.0)
    return Turned(values, ridge.directions, fitted, column_means, target_means)


def statistics(rows: Tensors, alpha: tf.Tensor, beta: tf.Tensor) -> dict[str, tf.Tensor]:
    """Sums over rows: products of columns and targets; precisions, once for each row."""
    columns, targets = tf.convert_to_tensor(rows["columns"]), tf.convert_to_tensor(rows["targets"])
    count = tf.cast(tf.shape(columns)[0], columns.dtype)
    return {
        "gram": tf.matmul(columns, columns, transpose_a=True),
        "cross": tf.matmul(columns, targets, transpose_a=True),
        "square": tf.reduce_sum(targets**2),
        "count": count,
        "alpha": count * alpha,
        "beta": count * beta,
    }


class Weights(NamedTuple):
    """q(w) along the directions, and what the other factors ask of it.

    Attributes:
        mean: ``[M, k]``.
        root: L, lower triangular: the precision is ``L L'``.
        squares: ``E[w' w]``, over all targets.
        misfit: ``E[||t - Phi w||^2]``, over all targets.
    """

    mean: tf.Tensor
    root: tf.Tensor
    squares: tf.Tensor
    misfit: tf.Tensor


def weights_given(totals: Tensors, turned: Turned, alpha: tf.Tensor, beta: tf.Tensor) -> Weights:
    """The best q(w) where alpha and beta are expected to be these (10.100 and 10.101)."""
    gram, cross = totals["gram"], totals["cross"]
    s, c = tf.constant(turned.values), tf.constant(turned.fitted)
    k = tf.cast(cross.shape[1], gram.dtype)
    identity = tf.eye(len(turned.values), dtype=gram.dtype)
    scaled = s[:, tf.newaxis] * gram * s
    root = tf.linalg.cholesky(alpha * identity + beta * scaled)  # of S_N^-1, (10.101)
    pull = s[:, tf.newaxis] * (tf.matmul(gram, c) + cross)
    mean = beta * tf.linalg.cholesky_solve(root, pull)  # m_N, (10.100)
    covariance = tf.linalg.cholesky_solve(root, identity)
    left = c - s[:, tf.newaxis] * mean
    squares = tf.reduce_sum(mean**2) + k * tf.linalg.trace(covariance)
    misfit = totals["square"] + tf.reduce_sum(left * (2.0 * cross + tf.matmul(gram, left)))
    return Weights(mean, root, squares, misfit + k * tf.reduce_sum(scaled * covariance))


def update(totals: Tensors, turned: Turned, hyper: Hyperpriors) -> dict[str, tf.Tensor]:
    """One round of coordinate ascent: q(alpha) and q(beta), then q(w) given these.

    Args:
        totals: The statistics of all rows.
        turned: What was taken out of the rows.
        hyper: The priors.
    """
    m, k = totals["cross"].shape
    dtype = totals["gram"].dtype
    before = weights_given(
        totals, turned, totals["alpha"] / totals["count"], totals["beta"] / totals["count"]
    )
    rates = {
        "alpha_shape": tf.constant(hyper.a0 + 0.5 * m * k, dtype),  # a_N, (10.94)
        "alpha_rate": hyper.b0 + 0.5 * before.squares,  # b_N, (10.95)
        "beta_shape": hyper.c0 + 0.5 * k * _counted(totals, hyper),
        "beta_rate": hyper.d0 + 0.5 * before.misfit,
    }
    found = weights_given(totals, turned, *_means(rates))
    V = tf.constant(turned.directions)
    weights = tf.matmul(V, found.mean, transpose_a=True)
    whole = tf.linalg.triangular_solve(found.root, V)  # L^-1 V'
    column_means, target_means = (tf.constant(part) for part in turned[3:])
    return rates | {
        "weights": weights,
        "root": tf.transpose(whole),
        "intercept": target_means - tf.linalg.matvec(weights, column_means, transpose_a=True),
        "column_means": column_means,
        "count": totals["count"],
    }


def elbo(params: Tensors, totals: Tensors, turned: Turned, hyper: Hyperpriors) -> tf.Tensor:
    """The lower bound of ``log p(t)``, in nats (Bishop 2006, 10.107, with a factor for beta).

    Of q(alpha) and q(beta), and the q(w) that is best beside them.
    """
    m, k = totals["cross"].shape
    rows = _counted(totals, hyper)
    a, b, c, d = (params[name] for name in ("alpha_shape", "alpha_rate", "beta_shape", "beta_rate"))
    found = weights_given(totals, turned, *_means(params))
    log_alpha = tf.math.digamma(a) - tf.math.log(b)
    log_beta = tf.math.digamma(c) - tf.math.log(d)
    likelihood = 0.5 * (k * rows * (log_beta - LOG_2PI) - c / d * found.misfit)
    if hyper.intercept:
        likelihood -= 0.5 * k * tf.math.log(totals["count"])
    prior = 0.5 * (m * k * (log_alpha - LOG_2PI) - a / b * found.squares)
    log_det = -2.0 * tf.reduce_sum(tf.math.log(tf.linalg.diag_part(found.root)))
    entropy = 0.5 * k * (log_det + m * (1.0 + LOG_2PI))
    return (
        likelihood
        + prior
        + entropy
        - _gamma_divergence(a, b, hyper.a0, hyper.b0)
        - _gamma_divergence(c, d, hyper.c0, hyper.d0)
    )


def _means(params: Tensors) -> tuple[tf.Tensor, tf.Tensor]:
    """The expected alpha and beta."""
    return (
        params["alpha_shape"] / params["alpha_rate"],
        params["beta_shape"] / params["beta_rate"],
    )


def _counted(totals: Tensors, hyper: Hyperpriors) -> tf.Tensor:
    return totals["count"] - float(hyper.intercept)


def _gamma_divergence(shape: tf.Tensor, rate: tf.Tensor, shape0: float, rate0: float) -> tf.Tensor:
    """``KL(Gamma(shape, rate) || Gamma(shape0, rate0))``; both with rates."""
    return (
        (shape - shape0) * tf.math.digamma(shape)
        - tf.math.lgamma(shape)
        + math.lgamma(shape0)
        + shape0 * (tf.math.log(rate) - math.log(rate0))
        + shape * (rate0 / rate - 1.0)
    )
