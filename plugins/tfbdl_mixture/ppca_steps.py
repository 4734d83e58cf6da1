"""The maths of probabilistic PCA: ``x = W z + mean + noise``, its latents, density and EM steps.

Rows are a tensor ``[n, d]``, or a pair: rows with the gaps filled by anything finite, and a mask
that is 1 where a value was observed and 0 elsewhere, both ``[n, d]``. What was not observed is
integrated out: a row's own W is that of the columns observed in it.

References:
    Tipping & Bishop 1999, "Probabilistic Principal Component Analysis"; Bishop 2006, section 12.2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import tensorflow as tf

from tfbdl import random

Rows: TypeAlias = tf.Tensor | tuple[tf.Tensor, tf.Tensor]


class Latents(NamedTuple):
    """``p(z | x) = N(mean, noise_variance inv(M))`` of each row, and ``log p(x)``.

    Attributes:
        mean: ``[n, k]``.
        root: Lower Cholesky root of M: ``[k, k]``, or ``[n, k, k]`` where values are missing.
        log_prob: Of the observed values, ``[n]``, in nats.
    """

    mean: tf.Tensor
    root: tf.Tensor
    log_prob: tf.Tensor


def latents(params: Mapping[str, tf.Tensor], rows: Rows) -> Latents:
    """The posterior of the latents (Bishop 12.42) and the marginal density (12.35).

    With ``M = W'W + s I`` (12.41), s the noise variance: ``x' inv(C) x = min_z |x - W z|^2 / s +
    |z|^2``, a sum of squares in which nothing cancels, and ``|C| = s^(d - k) |M|``.
    """
    W, noise = params["W"], params["noise_variance"]
    k = W.shape[1]
    eye = tf.eye(k, dtype=W.dtype)
    if isinstance(rows, tuple):
        x, observed = rows
        residual = observed * (x - params["mean"])
        products = tf.reshape(W[:, :, tf.newaxis] * W[:, tf.newaxis, :], (-1, k * k))
        gram = tf.reshape(tf.matmul(observed, products), (-1, k, k))  # W'W of each row's own W
        root = tf.linalg.cholesky(gram + noise * eye)
        right = tf.matmul(residual, W)[:, :, tf.newaxis]
        mean = tf.linalg.cholesky_solve(root, right)[:, :, 0]
        left = residual - observed * tf.matmul(mean, W, transpose_b=True)
        dimension = tf.reduce_sum(observed, axis=1)
    else:
        residual = rows - params["mean"]
        root = tf.linalg.cholesky(tf.matmul(W, W, transpose_a=True) + noise * eye)
        right = tf.matmul(W, residual, transpose_a=True, transpose_b=True)
        mean = tf.transpose(tf.linalg.cholesky_solve(root, right))
        left = residual - tf.matmul(mean, W, transpose_b=True)
        dimension = tf.constant(W.shape[0], W.dtype)
    distance = tf.reduce_sum(left**2, axis=1) / noise + tf.reduce_sum(mean**2, axis=1)
    log_det = (dimension - k) * tf.math.log(noise) + _log_det(root)
    log_prob = -0.5 * (dimension * math.log(2.0 * math.pi) + log_det + distance)
    return Latents(mean, root, log_prob)


def expected(params: Mapping[str, tf.Tensor], rows: Rows) -> dict[str, tf.Tensor]:
    """Moments of the latents under their posterior (Bishop 12.54, 12.55), summed over rows."""
    found = latents(params, rows)
    covariance = posterior_covariance(params, found)
    return _statistics(rows, found.mean, covariance, found.log_prob)


def sampled(params: Mapping[str, tf.Tensor], rows: Rows, keys: tf.Tensor) -> dict[str, tf.Tensor]:
    """The same moments at one draw of each row's latents from their posterior."""
    found = latents(params, rows)
    noise = random.normal(tf.shape(found.mean), keys, found.mean.dtype)
    spread = tf.sqrt(params["noise_variance"])
    if isinstance(rows, tuple):
        turned = tf.linalg.triangular_solve(found.root, noise[:, :, tf.newaxis], adjoint=True)
        z = found.mean + spread * turned[:, :, 0]
    else:
        turned = tf.linalg.triangular_solve(found.root, tf.transpose(noise), adjoint=True)
        z = found.mean + spread * tf.transpose(turned)
    return _statistics(rows, z, tf.zeros_like(found.root), found.log_prob)


def factorised(params: Mapping[str, tf.Tensor], rows: Rows) -> dict[str, tf.Tensor]:
    """The same moments under the best ``q(z) = prod_j q(z_j)``, and the bound that it gives.

    The best q has the posterior's mean and the variances ``s / M_jj`` (Bishop 10.1.2); its distance
    from the posterior is ``KL = 1/2 (sum_j log M_jj - log |M|)``.
    """
    found = latents(params, rows)
    precision = tf.linalg.diag_part(tf.matmul(found.root, found.root, transpose_b=True))
    covariance = tf.linalg.diag(params["noise_variance"] / precision)
    distance = 0.5 * (tf.reduce_sum(tf.math.log(precision), axis=-1) - _log_det(found.root))
    return _statistics(rows, found.mean, covariance, found.log_prob - distance)


def maximised(
    statistics: Mapping[str, tf.Tensor], origin: tf.Tensor, noise_floor: float
) -> dict[str, tf.Tensor]:
    """W, mean and noise variance that maximise the expected log density (Bishop 12.56, 12.57).

    W and the mean are one regression of the rows on ``(z, 1)``, so that the mean is right with
    missing values too. Of a column without any observation W is zero.

    Args:
        statistics: What ``expected`` gave.
        origin: Column means or the like, ``[d]``: where the statistics are centred.
        noise_floor: The smallest noise variance.
    """
    gram, products = statistics["latents"], statistics["products"]
    if gram.shape.rank == 3:  # of each column the rows in which it was observed
        seen = gram[:, -1:, -1:] > 0.0
        gram = tf.where(seen, gram, tf.eye(gram.shape[-1], dtype=gram.dtype))
        right = products[:, :, tf.newaxis]
        weights = tf.linalg.cholesky_solve(tf.linalg.cholesky(gram), right)[:, :, 0]
    else:
        solved = tf.linalg.cholesky_solve(tf.linalg.cholesky(gram), tf.transpose(products))
        weights = tf.transpose(solved)
    left = statistics["squares"] - tf.reduce_sum(weights * products)
    floor = tf.constant(noise_floor, left.dtype)
    return {
        "W": weights[:, :-1],
        "mean": weights[:, -1] + origin,
        "noise_variance": tf.maximum(left / statistics["values"], floor),
    }


def posterior_covariance(params: Mapping[str, tf.Tensor], found: Latents) -> tf.Tensor:
    """``s inv(M)``: ``[k, k]``, or ``[n, k, k]`` where values are missing."""
    eye = tf.eye(found.mean.shape[1], dtype=found.root.dtype)
    eye = tf.broadcast_to(eye, tf.shape(found.root))
    return params["noise_variance"] * tf.linalg.cholesky_solve(found.root, eye)


def centred(rows: Rows, origin: tf.Tensor) -> Rows:
    """The rows seen from another origin ``[d]``; a gap stays filled."""
    return (rows[0] - origin, rows[1]) if isinstance(rows, tuple) else rows - origin


def _statistics(
    rows: Rows, z: tf.Tensor, covariance: tf.Tensor, log_prob: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Sums over rows of ``(z, 1)(z, 1)'`` and ``x (z, 1)'``; by column where values are missing."""
    value = tf.reduce_sum(tf.cast(log_prob, tf.float64))
    ones = tf.ones_like(z[:, :1])
    extended = tf.concat([z, ones], axis=1)  # [n, k + 1]
    if not isinstance(rows, tuple):
        number = tf.reduce_sum(ones)
        gram = tf.matmul(extended, extended, transpose_a=True)
        return {
            "latents": gram + number * tf.pad(covariance, [[0, 1], [0, 1]]),
            "products": tf.matmul(rows, extended, transpose_a=True),
            "squares": tf.reduce_sum(rows**2),
            "values": number * tf.cast(tf.shape(rows)[1], z.dtype),
            "value": value,
        }
    x, observed = rows
    size = extended.shape[1]
    outer = extended[:, :, tf.newaxis] * extended[:, tf.newaxis, :]
    outer += tf.pad(covariance, [[0, 0], [0, 1], [0, 1]])
    gram = tf.matmul(observed, tf.reshape(outer, (-1, size * size)), transpose_a=True)
    return {
        "latents": tf.reshape(gram, (-1, size, size)),
        "products": tf.matmul(observed * x, extended, transpose_a=True),
        "squares": tf.reduce_sum(observed * x**2),
        "values": tf.reduce_sum(observed),
        "value": value,
    }


def _log_det(root: tf.Tensor) -> tf.Tensor:
    return 2.0 * tf.reduce_sum(tf.math.log(tf.linalg.diag_part(root)), axis=-1)
