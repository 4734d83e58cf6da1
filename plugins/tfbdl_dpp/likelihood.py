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

import numpy as np
import tensorflow as tf

from .determinants import log_det, log_dets_by_sweeps, log_polynomial

NUGGET = 1e-6
"""On the diagonal of S: items that equal one another keep a determinant above zero."""


def similarity(x: tf.Tensor, relevance: tf.Tensor, kernel: str) -> tf.Tensor:
    """S, ``[..., n, n]``.

    Args:
        x: Standardised items, ``[n, d]``.
        relevance: Factor of each column, above 0: ``[..., d]``. For ``rbf`` it is one over a length
            scale.
        kernel: ``rbf`` or ``linear``.
    """
    scaled = x * relevance[..., tf.newaxis, :]
    S = tf.matmul(scaled, scaled, transpose_b=True)
    if kernel == "rbf":
        squares = tf.reduce_sum(scaled**2, axis=-1)
        S = tf.exp(S - 0.5 * (squares[..., :, tf.newaxis] + squares[..., tf.newaxis, :]))
    return S + NUGGET * tf.eye(x.shape[0], dtype=x.dtype)


def log_quality(x: tf.Tensor, params: Mapping[str, Any]) -> tf.Tensor:
    """``log q_i = (theta'x_i + b) / 2``, ``[..., n]``."""
    score = tf.linalg.matvec(x, params["quality"])
    if "intercept" in params:
        score += params["intercept"][..., tf.newaxis]
    return 0.5 * score


def log_likelihood(
    params: Mapping[str, Any],
    x: tf.Tensor,
    masks: tf.Tensor,
    kernel: str,
    k: int | None,
    largest: int | None = None,
) -> tf.Tensor:
    """``sum_t log P(Y_t)`` of subsets, in nats: ``[...]``, one for each state of the parameters.

    Args:
        params: ``quality [..., d]``, ``relevance [..., d]``, and of a DPP ``intercept [...]``.
        x: Standardised items, ``[n, d]``.
        masks: Which items each subset has, zeros and ones ``[m, n]``.
        kernel: ``rbf`` or ``linear``.
        k: Of a k-DPP; None: the size varies.
        largest: Items of the largest subset, where that is known: smaller determinants do.
    """
    S, log_q = similarity(x, params["relevance"], kernel), log_quality(x, params)
    q = tf.exp(log_q)
    minors = log_minors(S, masks, k or largest or x.shape[0])
    chosen = tf.reduce_sum(masks, axis=0)  # how often each item came
    observed = tf.reduce_sum(minors, axis=-1) + 2.0 * tf.reduce_sum(log_q * chosen, axis=-1)
    L = S * q[..., :, tf.newaxis] * q[..., tf.newaxis, :]
    if k is None:
        normalizer = log_det(L + tf.eye(x.shape[0], dtype=x.dtype))
    else:
        normalizer = log_polynomial(L, k)
    return observed - tf.cast(tf.shape(masks)[0], x.dtype) * normalizer


def largest_of(y: Any) -> int | None:
    """Items of the largest observed subset, at least 1; None where a graph will know y later."""
    known = tf.get_static_value(y) if tf.is_tensor(y) else y
    if known is None:
        return None
    return max(1, int(np.asarray(known).reshape(len(known), -1).sum(axis=0).max()))


def log_minors(S: tf.Tensor, masks: tf.Tensor, largest: int) -> tf.Tensor:
    """``log det S_Y`` of each subset: blocks of equal size, filled up by the identity.

    Args:
        S: ``[..., n, n]``.
        masks: Zeros and ones ``[m, n]``, none with more than ``largest`` ones.
        largest: Rows of a block.

    Returns:
        ``[..., m]``.
    """
    shape, n = tf.shape(S), S.shape[-1]
    items = tf.argsort(masks, direction="DESCENDING", stable=True)[:, :largest]
    inside = tf.transpose(tf.gather(masks, items, batch_dims=1)) > 0.0  # [s, m]
    rows = tf.transpose(items)
    places = n * rows[:, tf.newaxis] + rows  # [s, s, m]
    blocks = tf.gather(tf.reshape(S, [-1, n * n]), places, axis=1)  # [states, s, s, m]
    both = inside[:, tf.newaxis] & inside
    identity = tf.eye(places.shape[0], dtype=S.dtype)[:, :, tf.newaxis]
    blocks = tf.transpose(tf.where(both, blocks, identity), [1, 2, 0, 3])
    count = tf.shape(masks)[0]
    blocks = tf.reshape(blocks, [places.shape[0], places.shape[0], -1])
    return tf.reshape(log_dets_by_sweeps(blocks), tf.concat([shape[:-2], [count]], 0))
