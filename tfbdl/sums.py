"""Sums over all elements of a tensor that keep their digits under XLA."""

from __future__ import annotations

import math

import tensorflow as tf

_PART = 512


def event_sum(values: tf.Tensor, rank: int | None = None) -> tf.Tensor:
    """The sum over the last ``rank`` axes, in parts of 512.

    XLA on a CPU adds a tensor's elements one by one: in float32 the sum of 300,000 like numbers,
    such as the entropies of weights with one scale, is then wrong in the fourth digit, and XLA
    merges a sum of sums into one. Products with ones stay apart, and cost less.

    Args:
        values: Of static shape along these axes; others are added as TensorFlow does it.
        rank: How many axes; None: all.

    Shapes:
        values: ``[..., *event_shape]``

    Returns:
        ``[...]``
    """
    values = tf.convert_to_tensor(values)
    if rank is None and values.shape.rank is None:
        return tf.reduce_sum(values)
    rank = values.shape.rank if rank is None else rank
    if rank == 0:
        return values
    axes = values.shape.rank - rank
    if None in values.shape[axes:]:
        return tf.reduce_sum(values, axis=tf.range(-rank, 0))
    leading, size = tf.shape(values)[:axes], math.prod(values.shape[axes:])
    values = tf.reshape(values, tf.concat([leading, [size]], axis=0))
    while size > _PART:
        parts = -(-size // _PART)
        values = tf.pad(values, [[0, 0]] * axes + [[0, parts * _PART - size]])
        table = tf.reshape(values, tf.concat([leading, [parts, _PART]], axis=0))
        values = tf.linalg.matvec(table, tf.ones([_PART], values.dtype))
        size = parts
    return tf.reduce_sum(values, axis=-1)
