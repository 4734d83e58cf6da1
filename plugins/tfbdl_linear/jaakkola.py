"""The variational bound of Jaakkola and Jordan for logistic regression.

References:
    Jaakkola & Jordan 2000, "Bayesian parameter estimation via variational methods"; Bishop 2006,
    section 10.6.
"""

from __future__ import annotations

import tensorflow as tf

from .polya_gamma import mean as polya_gamma_mean


def bound_weight(xi: tf.Tensor) -> tf.Tensor:
    """``lambda(xi) = tanh(xi / 2) / (4 xi)`` (Bishop 10.150), 1/8 at zero."""
    return 0.5 * polya_gamma_mean(xi)


def expected_statistics(
    columns: tf.Tensor, labels: tf.Tensor, mean: tf.Tensor, covariance: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Sums over rows at the tightest bound for ``q(w) = N(mean, covariance)``.

    Shapes:
        columns: ``[n, M]``.
        labels: ``[n]``, zeros and ones.
        mean, covariance: ``[M]``, ``[M, M]``.

    Returns:
        ``precision``: ``2 sum lambda(xi) phi phi'``; ``linear``: ``sum (t - 1/2) phi``; ``slack``:
        ``sum log sigmoid(xi) - xi / 2``.
    """
    squares = tf.reduce_sum(tf.matmul(columns, covariance) * columns, axis=1)
    xi = tf.sqrt(tf.maximum(squares + tf.linalg.matvec(columns, mean) ** 2, 0.0))  # (10.163)
    weights = 2.0 * bound_weight(xi)
    return {
        "precision": tf.matmul(columns * weights[:, tf.newaxis], columns, transpose_a=True),
        "linear": tf.linalg.matvec(columns, labels - 0.5, transpose_a=True),
        "slack": tf.reduce_sum(tf.math.log_sigmoid(xi) - 0.5 * xi),
    }


def updated(
    statistics: dict[str, tf.Tensor], prior_mean: tf.Tensor, prior_precision: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and covariance of q given the bound: Bishop 10.157 and 10.158."""
    factor = tf.linalg.cholesky(prior_precision + statistics["precision"])  # (10.158)
    linear = tf.linalg.matvec(prior_precision, prior_mean) + statistics["linear"]
    identity = tf.eye(linear.shape[0], dtype=linear.dtype)
    covariance = tf.linalg.cholesky_solve(factor, identity)
    return tf.linalg.matvec(covariance, linear), covariance  # (10.157)


def bound(
    statistics: dict[str, tf.Tensor],
    mean: tf.Tensor,
    covariance: tf.Tensor,
    prior_mean: tf.Tensor,
    prior_precision: tf.Tensor,
) -> tf.Tensor:
    """The lower bound on the log evidence, in nats: Bishop 10.159.

    Of any q and the bound that is tightest for it; there ``xi^2 = E[(w' phi)^2]``, and the terms
    with lambda cancel. For the q of ``updated`` it is Bishop 10.164.
    """
    shift = mean - prior_mean
    trace = tf.reduce_sum(prior_precision * covariance)
    distance = tf.reduce_sum(shift * tf.linalg.matvec(prior_precision, shift))
    log_det = _log_det(prior_precision) + _log_det(covariance)
    size = tf.cast(tf.shape(mean)[0], mean.dtype)
    divergence = 0.5 * (trace + distance - size - log_det)  # KL(q || p)
    return statistics["slack"] + tf.reduce_sum(statistics["linear"] * mean) - divergence


def _log_det(matrix: tf.Tensor) -> tf.Tensor:
    return 2.0 * tf.reduce_sum(tf.math.log(tf.linalg.diag_part(tf.linalg.cholesky(matrix))))
