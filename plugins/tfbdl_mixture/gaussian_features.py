"""The normal density as a linear function of features, so that EM is two matrix products.

``log w_k + log N(u | mu_k, S_k)`` is linear in the features ``[1, u, u_i u_j]``: all components
against all rows are one product of a ``[k, p]`` with a ``[p, n]`` matrix, and the sufficient
statistics of all components are another, ``[k, n]`` with ``[n, p]``. The quadratic features are
those that the form of the covariance needs: none but a sum for one matrix that all share. Rows
run along the last axis, so that what is done to each of them is one long vector operation.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

Form = Literal["full", "tied", "diagonal", "spherical"]


class Sums(NamedTuple):
    """Sufficient statistics of K components.

    Attributes:
        count: ``[k]``: expected rows of each.
        first: ``[k, d]``: their sums.
        second: Sums of ``u u'`` as ``[k, d, d]``; over all components together ``[d, d]`` if
            tied; of ``u_i^2`` ``[k, d]``; of ``|u|^2`` ``[k]``.
    """

    count: tf.Tensor
    first: tf.Tensor
    second: tf.Tensor


def num_features(form: Form, d: int) -> int:
    """Columns of the feature matrix."""
    return 1 + d + {"full": d * (d + 1) // 2, "tied": 0, "diagonal": d, "spherical": 1}[form]


def features(rows: tf.Tensor, form: Form) -> tf.Tensor:
    """``[p, n]``: one, the rows ``[n, d]`` themselves, and their products."""
    columns = tf.transpose(rows)
    parts = [tf.ones_like(columns[:1]), columns]
    if form == "full":  # the upper triangle, row by row
        left, right = np.triu_indices(rows.shape[1])
        parts.append(tf.gather(columns, left) * tf.gather(columns, right))
    elif form == "diagonal":
        parts.append(columns**2)
    elif form == "spherical":
        parts.append(tf.reduce_sum(columns**2, axis=0, keepdims=True))
    return tf.concat(parts, axis=0)


def coefficients(
    log_weights: tf.Tensor, means: tf.Tensor, precisions: tf.Tensor, log_det: tf.Tensor, form: Form
) -> tf.Tensor:
    """``[k, p]``: this times the features is ``log w_k + log N(u | mu_k, S_k)``.

    Where the precision is tied the quadratic term, which is the same for all components, is left
    out: ``- tr(P u u') / 2``.

    Shapes:
        log_weights: ``[k]``; means: ``[k, d]``; precisions: as the covariances of ``form``;
        log_det: log determinants of the precisions, ``[k]`` (tied: scalar).
    """
    d = means.shape[1]
    if form == "full":
        linear = tf.linalg.matvec(precisions, means)
        # products i < j stand once for both halves of the symmetric matrix
        half = tf.where(np.eye(d, dtype=bool), -0.5 * precisions, -precisions)
        upper = np.ravel_multi_index(np.triu_indices(d), (d, d))
        quadratic = tf.gather(tf.reshape(half, (-1, d * d)), upper, axis=1)
    elif form == "tied":
        linear, quadratic = tf.matmul(means, precisions), means[:, :0]
    elif form == "diagonal":
        linear, quadratic = precisions * means, -0.5 * precisions
    else:
        linear = precisions[:, tf.newaxis] * means
        quadratic = -0.5 * precisions[:, tf.newaxis]
    mahalanobis = tf.reduce_sum(linear * means, axis=1)
    constant = log_weights + 0.5 * (log_det - mahalanobis - d * math.log(2.0 * math.pi))
    return tf.concat([constant[:, tf.newaxis], linear, quadratic], axis=1)


def sums(phi: tf.Tensor, responsibilities: tf.Tensor, rows: tf.Tensor, form: Form) -> Sums:
    """Expected statistics: the second product.

    Args:
        phi: ``[p, n]``, the features of ``rows``.
        responsibilities: ``[k, n]``.
        rows: ``[n, d]``.
        form: Of the covariances.
    """
    d = rows.shape[1]
    total = tf.matmul(responsibilities, phi, transpose_b=True)  # [k, p]
    count, first, rest = total[:, 0], total[:, 1 : d + 1], total[:, d + 1 :]
    if form == "full":
        places = np.zeros((d, d), np.int32)
        places[np.triu_indices(d)] = np.arange(d * (d + 1) // 2)
        places = np.maximum(places, places.T)
        second = tf.reshape(tf.gather(rest, places.ravel(), axis=1), (-1, d, d))
    elif form == "tied":
        second = tf.matmul(rows, rows, transpose_a=True)
    else:
        second = rest if form == "diagonal" else rest[:, 0]
    return Sums(count, first, second)


def maximum(statistics: Sums, floor: tf.Tensor, form: Form) -> tuple[tf.Tensor, ...]:
    """Weights, means and covariances that maximise the expected complete log likelihood.

    Among all covariances ``S - diag(floor) >= 0`` (Bishop 9.24 to 9.26 where none is below it): in
    coordinates in which the floor is the identity, the best matrix keeps the eigenvectors of the
    sample covariance and raises eigenvalues below one to one. So EM under the floor never falls.

    Args:
        statistics: What the E-step expects.
        floor: ``[d]``: smallest variance along each axis.
        form: Of the covariances.

    Returns:
        ``[k]``, ``[k, d]`` and the covariances of ``form``.
    """
    count, first, second = statistics
    tiny = 10.0 * np.finfo(count.dtype.as_numpy_dtype).tiny
    rows = tf.maximum(count, tiny)
    weights = count / tf.reduce_sum(count)  # 9.26
    means = first / rows[:, tf.newaxis]  # 9.24
    if form == "full":
        outer = means[:, :, tf.newaxis] * means[:, tf.newaxis, :]
        sample = second / rows[:, tf.newaxis, tf.newaxis] - outer  # 9.25
        return weights, means, raised(sample, floor)
    if form == "tied":
        between = tf.matmul(means, means * count[:, tf.newaxis], transpose_a=True)
        return weights, means, raised((second - between) / tf.reduce_sum(count), floor)
    if form == "diagonal":
        sample = second / rows[:, tf.newaxis] - means**2
        return weights, means, tf.maximum(sample, floor)
    sample = (second / rows - tf.reduce_sum(means**2, axis=1)) / first.shape[1]
    return weights, means, tf.maximum(sample, tf.reduce_max(floor))


def raised(matrices: tf.Tensor, floor: tf.Tensor) -> tf.Tensor:
    """Symmetric matrices ``[..., d, d]`` with no direction below the floor ``[d]``."""
    root = tf.sqrt(floor)
    unit = matrices / (root[:, tf.newaxis] * root[tf.newaxis, :])
    unit = 0.5 * (unit + tf.linalg.matrix_transpose(unit))
    values, vectors = tf.linalg.eigh(unit)
    # only the part that is missing is added: where none is, no digit changes
    missing = tf.maximum(1.0 - values, 0.0)
    added = tf.matmul(vectors * missing[..., tf.newaxis, :], vectors, transpose_b=True)
    return (unit + added) * (root[:, tf.newaxis] * root[tf.newaxis, :])


def inverse(covariances: tf.Tensor, form: Form, d: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Precisions, and the logarithms of their determinants."""
    if form in ("full", "tied"):
        factor = tf.linalg.cholesky(covariances)
        eye = tf.eye(d, batch_shape=covariances.shape[:-2], dtype=covariances.dtype)
        whiten = tf.linalg.triangular_solve(factor, eye)
        log_det = -2.0 * tf.reduce_sum(tf.math.log(tf.linalg.diag_part(factor)), axis=-1)
        return tf.matmul(whiten, whiten, transpose_a=True), log_det
    log_det = -tf.math.log(covariances)
    if form == "diagonal":
        return 1.0 / covariances, tf.reduce_sum(log_det, axis=-1)
    return 1.0 / covariances, d * log_det
