"""Variational Bayes of linear regression: ``q(w) q(alpha) q(beta)``, its updates and its bound.

The intercept, under a flat prior, is integrated out: of N rows N - 1 are left, centred, and a
constant ``-log(N) / 2`` for each target.

References:
    Bishop 2006, section 10.3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import tensorflow as tf

Tensors = Mapping[str, tf.Tensor]
LOG_2PI = math.log(2.0 * math.pi)


class Hyperpriors(NamedTuple):
    """Gamma priors: shape a0 and rate b0 of alpha, shape c0 and rate d0 of beta."""

    a0: float
    b0: float
    c0: float
    d0: float
    intercept: bool


def statistics(rows: Tensors, alpha: tf.Tensor, beta: tf.Tensor) -> dict[str, tf.Tensor]:
    """Sums over rows: products of columns and targets; precisions, once for each row."""
    columns, targets = tf.convert_to_tensor(rows["columns"]), tf.convert_to_tensor(rows["targets"])
    count = tf.cast(tf.shape(columns)[0], columns.dtype)
    return {
        "gram": tf.matmul(columns, columns, transpose_a=True),
        "cross": tf.matmul(columns, targets, transpose_a=True),
        "square": tf.reduce_sum(targets**2),
        "columns": tf.reduce_sum(columns, axis=0),
        "targets": tf.reduce_sum(targets, axis=0),
        "count": count,
        "alpha": count * alpha,
        "beta": count * beta,
    }


def update(
    totals: Tensors, hyper: Hyperpriors, column_shift: Any, target_shift: Any
) -> dict[str, tf.Tensor]:
    """One round of coordinate ascent: each factor given the others.

    Args:
        totals: The statistics of all rows.
        hyper: The priors.
        column_shift, target_shift: What was subtracted from columns and targets: ``[M]``, ``[k]``.
    """
    gram, cross, square, rows = _centred(totals, hyper)
    m, k = cross.shape
    alpha, beta = totals["alpha"] / totals["count"], totals["beta"] / totals["count"]
    precision = alpha * tf.eye(m, dtype=gram.dtype) + beta * gram
    root = tf.linalg.cholesky(precision)
    covariance = tf.linalg.cholesky_solve(root, tf.eye(m, dtype=gram.dtype))  # S_N, (10.101)
    covariance = 0.5 * (covariance + tf.transpose(covariance))
    weights = beta * tf.linalg.cholesky_solve(root, cross)  # m_N, (10.100)
    squares, misfit = _expected_squares(weights, covariance, gram, cross, square)
    column_means = totals["columns"] / totals["count"] + column_shift
    target_means = totals["targets"] / totals["count"] + target_shift
    means = (
        (column_means, target_means) if hyper.intercept else (0 * column_means, 0 * target_means)
    )
    return {
        "weights": weights,
        "covariance": covariance,
        "intercept": means[1] - tf.linalg.matvec(weights, means[0], transpose_a=True),
        "alpha_shape": tf.constant(hyper.a0 + 0.5 * m * k, gram.dtype),  # a_N, (10.94)
        "alpha_rate": hyper.b0 + 0.5 * squares,  # b_N, (10.95)
        "beta_shape": hyper.c0 + 0.5 * k * rows,
        "beta_rate": hyper.d0 + 0.5 * misfit,
        "column_means": means[0],
        "count": totals["count"],
    }


def elbo(params: Tensors, totals: Tensors, hyper: Hyperpriors) -> tf.Tensor:
    """The lower bound of ``log p(t)``, in nats (Bishop 2006, 10.107, with a factor for beta)."""
    gram, cross, square, rows = _centred(totals, hyper)
    m, k = cross.shape
    a, b, c, d = (params[name] for name in ("alpha_shape", "alpha_rate", "beta_shape", "beta_rate"))
    squares, misfit = _expected_squares(
        params["weights"], params["covariance"], gram, cross, square
    )
    log_alpha = tf.math.digamma(a) - tf.math.log(b)
    log_beta = tf.math.digamma(c) - tf.math.log(d)
    likelihood = 0.5 * (k * rows * (log_beta - LOG_2PI) - c / d * misfit)
    if hyper.intercept:
        likelihood -= 0.5 * k * tf.math.log(totals["count"])
    prior = 0.5 * (m * k * (log_alpha - LOG_2PI) - a / b * squares)
    log_det = 2.0 * tf.reduce_sum(
        tf.math.log(tf.linalg.diag_part(tf.linalg.cholesky(params["covariance"])))
    )
    entropy = 0.5 * k * (log_det + m * (1.0 + LOG_2PI))
    return (
        likelihood
        + prior
        + entropy
        - _gamma_divergence(a, b, hyper.a0, hyper.b0)
        - _gamma_divergence(c, d, hyper.c0, hyper.d0)
    )


def _centred(totals: Tensors, hyper: Hyperpriors) -> tuple[tf.Tensor, ...]:
    """Products of centred columns and targets, and the rows that count."""
    gram, cross, square = totals["gram"], totals["cross"], totals["square"]
    if not hyper.intercept:
        return gram, cross, square, totals["count"]
    columns, targets, count = totals["columns"], totals["targets"], totals["count"]
    gram -= columns[:, tf.newaxis] * columns / count
    cross -= columns[:, tf.newaxis] * targets / count
    square -= tf.reduce_sum(targets**2) / count
    return gram, cross, square, count - 1.0


def _expected_squares(
    weights: tf.Tensor, covariance: tf.Tensor, gram: tf.Tensor, cross: tf.Tensor, square: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """``E[w' w]`` and ``E[||t - Phi w||^2]`` under q(w), over all targets."""
    k = float(weights.shape[1])
    squares = tf.reduce_sum(weights**2) + k * tf.linalg.trace(covariance)
    fitted = tf.reduce_sum(weights * tf.matmul(gram, weights)) + k * tf.reduce_sum(
        gram * covariance
    )
    return squares, square - 2.0 * tf.reduce_sum(weights * cross) + fitted


def _gamma_divergence(shape: tf.Tensor, rate: tf.Tensor, shape0: float, rate0: float) -> tf.Tensor:
    """``KL(Gamma(shape, rate) || Gamma(shape0, rate0))``; both with rates."""
    return (
        (shape - shape0) * tf.math.digamma(shape)
        - tf.math.lgamma(shape)
        + math.lgamma(shape0)
        + shape0 * (tf.math.log(rate) - math.log(rate0))
        + shape * (rate0 / rate - 1.0)
    )
