"""Categorical observations: probabilities, counts and shares (Rabiner 1989, eq. 40c)."""

from __future__ import annotations

import tensorflow as tf


def observed(y: tf.Tensor) -> tf.Tensor:
    """Which observations of ``y [n, T]`` are there: ``[n, T]``."""
    return ~tf.math.is_nan(y)


def one_hot(y: tf.Tensor, num_symbols: int) -> tf.Tensor:
    """``[n, T, symbols]``; zero throughout where the observation is missing."""
    symbols = tf.where(observed(y), y, -tf.ones_like(y))
    return tf.one_hot(tf.cast(symbols, tf.int32), num_symbols, dtype=y.dtype)


def log_prob(y: tf.Tensor, probs: tf.Tensor) -> tf.Tensor:
    """``log p(y_t | state k)``; 0 for a missing observation.

    Shapes:
        y: ``[n, T]``, whole numbers; probs: ``[..., k, symbols]``.

    Returns:
        ``[..., n, T, k]``.
    """
    symbols = tf.where(observed(y), y, tf.zeros_like(y))
    by_symbol = tf.linalg.matrix_transpose(tf.math.log(probs))  # [..., symbols, k]
    found = tf.gather(by_symbol, tf.cast(symbols, tf.int32), axis=-2)
    return tf.where(observed(y)[..., tf.newaxis], found, tf.zeros_like(found))


def statistics(y: tf.Tensor, weights: tf.Tensor, num_symbols: int) -> dict[str, tf.Tensor]:
    """Expected counts ``symbols [k, symbols]`` of ``y [n, T]`` with weights ``[n, T, k]``."""
    return {"symbols": tf.einsum("ntk,nts->ks", weights, one_hot(y, num_symbols))}


def normalised(counts: tf.Tensor) -> tf.Tensor:
    """Rows in proportion to counts (Rabiner 40c); a row of zeros becomes uniform."""
    total = tf.reduce_sum(counts, -1, keepdims=True)
    uniform = tf.ones_like(counts) / tf.cast(tf.shape(counts)[-1], counts.dtype)
    share = counts / tf.where(total > 0.0, total, tf.ones_like(total))
    return tf.where(total > 0.0, share, uniform)
