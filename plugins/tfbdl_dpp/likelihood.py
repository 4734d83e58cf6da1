"""The log likelihood of observed subsets, as a function of quality and diversity.

``L_ij = q_i S_ij q_j`` with ``q_i = exp((theta'x_i + b) / 2)`` (Kulesza & Taskar 2012, eq. 98 and
section 4.1.1), and a similarity S of columns that are scaled by their relevances.

References:
    Kulesza & Taskar 2012, section 4.
    Affandi, Fox, Adams, Taskar 2014, "Learning the parameters of determinantal point process
    kernels", ICML (relevances of an RBF kernel, and their posterior).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

NUGGET = 1e-6
"""On the diagonal of S: items that equal one another keep a determinant above zero."""
_NOTHING = -1e30  # log 0 with a gradient


def similarity(x: tf.Tensor, relevance: tf.Tensor, kernel: str) -> tf.Tensor:
    """S, ``[n, n]``.

    Args:
        x: Standardised items, ``[n, d]``.
        relevance: Factor of each column, above 0: ``[d]``. For ``rbf`` it is one over a length
            scale.
        kernel: ``rbf`` or ``linear``.
    """
    scaled = x * relevance
    S = tf.matmul(scaled, scaled, transpose_b=True)
    if kernel == "rbf":
        squares = tf.reduce_sum(scaled**2, axis=-1)
        S = tf.exp(S - 0.5 * (squares[..., :, tf.newaxis] + squares[..., tf.newaxis, :]))
    return S + NUGGET * tf.eye(x.shape[0], dtype=x.dtype)


def log_quality(x: tf.Tensor, params: Mapping[str, Any]) -> tf.Tensor:
    """``log q_i = (theta'x_i + b) / 2``, ``[n]``."""
    score = tf.linalg.matvec(x, params["quality"])
    return 0.5 * (score + params["intercept"] if "intercept" in params else score)


def log_likelihood(
    params: Mapping[str, Any], x: tf.Tensor, masks: tf.Tensor, kernel: str, k: int | None
) -> tf.Tensor:
    """``sum_t log P(Y_t)`` of subsets, in nats.

    Args:
        params: ``quality [d]``, ``relevance [d]``, and of a DPP ``intercept``.
        x: Standardised items, ``[n, d]``.
        masks: Which items each subset has, zeros and ones ``[m, n]``.
        kernel: ``rbf`` or ``linear``.
        k: Of a k-DPP; None: the size varies.
    """
    S, log_q = similarity(x, params["relevance"], kernel), log_quality(x, params)
    q = tf.exp(log_q)
    L = S * q[:, tf.newaxis] * q
    inside = S * masks[:, :, tf.newaxis] * masks[:, tf.newaxis, :]
    minors = _log_det(inside + tf.linalg.diag(1.0 - masks))
    observed = tf.reduce_sum(minors) + 2.0 * tf.reduce_sum(tf.linalg.matvec(masks, log_q))
    count = tf.cast(tf.shape(masks)[0], x.dtype)
    if k is None:
        normalizer = _log_det(L + tf.eye(x.shape[0], dtype=x.dtype))
    else:
        normalizer = _log_polynomial(L, k)
    return observed - count * normalizer


def _log_det(matrix: tf.Tensor) -> tf.Tensor:
    factor = tf.linalg.cholesky(matrix)
    return 2.0 * tf.reduce_sum(tf.math.log(tf.linalg.diag_part(factor)), axis=-1)


def _log_polynomial(L: tf.Tensor, k: int) -> tf.Tensor:
    """``log e_k`` of the eigenvalues; only they are used, so that equal ones do no harm."""
    values = tf.linalg.eigvalsh(L)
    logs = tf.math.log(tf.maximum(values, 1e-14 * tf.reduce_max(values)))
    row = tf.concat([tf.zeros([1], L.dtype), tf.fill([k], tf.constant(_NOTHING, L.dtype))], 0)
    for m in range(L.shape[0]):
        both = tf.stack([row[1:], logs[m] + row[:-1]])
        row = tf.concat([row[:1], tf.reduce_logsumexp(both, axis=0)], 0)
    return row[k]
