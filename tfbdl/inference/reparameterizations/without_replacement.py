"""Gumbel-top-k: draws without replacement from a categorical distribution.

The k largest of ``log p + g`` with Gumbel noise g, in their order, are distributed as items drawn
one after the other, each in proportion to its probability among those left (Plackett-Luce).

References:
    Yellott 1977. Vieira 2014, "Gumbel-max trick and weighted reservoir sampling".
    Kool, van Hoof & Welling 2019, "Stochastic beams and where to find them", section 2.2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from ...errors import DataError, OptionsError
from .discrete import checked_logits
from .noise import standard_gumbel

NEVER = float("-inf")


class TopK(NamedTuple):
    """Draws without replacement, in the order in which they were drawn.

    Attributes:
        indices: ``[..., k]``, int32; -1 where fewer than k have a probability.
        log_probs: Of each, normalised: ``[..., k]``.
        perturbed: ``log p + g`` of each, falling: ``[..., k]``.
        threshold: The next perturbed one, ``[...]``; minus infinity where there is none.
    """

    indices: tf.Tensor
    log_probs: tf.Tensor
    perturbed: tf.Tensor
    threshold: tf.Tensor


def gumbel_top_k(logits: Any, k: int, key: tf.Tensor) -> TopK:
    """Draw k of n items without replacement.

    Args:
        logits: ``[..., n]``; minus infinity is never drawn.
        k: From 1 to n.
        key: ``[2]``, of ``tfbdl.random.key``.

    Raises:
        DataError: If logits are NaN.
        OptionsError: If k is out of its range.
    """
    logits = checked_logits(logits)
    n = logits.shape[-1]
    if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= n:
        raise OptionsError(f"k is a whole number from 1 to {n}, of the items. Received: {k!r}.")
    log_probs = tf.nn.log_softmax(logits)
    g = log_probs + standard_gumbel(tf.shape(logits), key, logits.dtype)
    best, indices = tf.math.top_k(g, min(k + 1, n))
    threshold = best[..., k] if k < n else tf.fill(tf.shape(best)[:-1], _never(logits))
    best, indices = best[..., :k], indices[..., :k]
    chosen = tf.gather(log_probs, indices, batch_dims=logits.shape.rank - 1)
    return TopK(tf.where(best > NEVER, indices, -1), chosen, best, threshold)


def plackett_luce_log_prob(logits: Any, order: Any) -> tf.Tensor:
    """``log prod_i p_i / (1 - sum of those before)`` of items drawn in an order.

    Args:
        logits: ``[..., n]``.
        order: Whole numbers below n, all different, ``[..., k]``.

    Returns:
        ``[...]``.

    Raises:
        DataError: If logits are NaN, or the order names an item twice or one there is not.
    """
    logits, order = checked_logits(logits), tf.convert_to_tensor(order)
    static = tf.get_static_value(order)
    if static is not None:
        _check_order(static, logits.shape[-1])
    chosen = tf.one_hot(order, logits.shape[-1], dtype=logits.dtype)
    gone = tf.cumsum(chosen, axis=-2, exclusive=True) > 0.5
    left = tf.where(gone, _never(logits), logits[..., tf.newaxis, :])
    own = tf.reduce_sum(tf.where(chosen > 0.5, logits[..., tf.newaxis, :], 0.0), axis=-1)
    return tf.reduce_sum(own - tf.reduce_logsumexp(left, axis=-1), axis=-1)


def _check_order(order: Any, n: int) -> None:
    if order.ndim < 1 or order.dtype.kind not in "iu":
        raise DataError(f"An order is whole numbers [..., k]. Received: {order!r}.")
    ascending = order.copy()
    ascending.sort(axis=-1)
    twice = (ascending[..., 1:] == ascending[..., :-1]).any()
    if twice or (order < 0).any() or (order >= n).any():
        raise DataError(
            f"An order names different items, each from 0 to {n - 1}. Received: {order.tolist()}."
        )


def _never(like: tf.Tensor) -> tf.Tensor:
    return tf.constant(NEVER, like.dtype)
