"""Noise of draws, by keys that all rows of a draw share or that each row has for itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfbdl import random
from tfbdl.inference.reparameterizations import gumbel_of_uniform


def standard_normal(keys: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Standard normal noise ``[S, n, d]`` for rows ``like [n, d]``.

    Args:
        keys: ``[S, 2]`` or ``[S, n, 2]``; with the latter a row's noise does not depend on the
            other rows.
        like: Of the shape and dtype of a draw.
    """
    return _of_rows(random.normal, keys, like)


def standard_gumbel(keys: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """Standard Gumbel noise ``-log(-log u)``, ``[S, n, d]``; see ``standard_normal``."""
    return gumbel_of_uniform(_of_rows(random.uniform, keys, like))


def log_standard_normal(eps: tf.Tensor) -> tf.Tensor:
    """``sum_j log N(eps_j; 0, 1)`` over the last axis."""
    return -0.5 * tf.reduce_sum(tf.square(eps) + math.log(2.0 * math.pi), axis=-1)


def _of_rows(
    generator: Callable[[Any, tf.Tensor, Any], tf.Tensor], keys: tf.Tensor, like: tf.Tensor
) -> tf.Tensor:
    rows, size = like.shape
    if keys.shape.rank == 2:
        noise = generator(tf.shape(like), keys, like.dtype)
    else:
        flat = generator((size,), tf.reshape(keys, [-1, 2]), like.dtype)
        noise = tf.reshape(flat, [-1, tf.shape(like)[0], size])
    return tf.ensure_shape(noise, (keys.shape[0], rows, size))
