"""Standard Gumbel and logistic noise, from uniforms."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ... import random


def gumbel_of_uniform(u: tf.Tensor) -> tf.Tensor:
    """``-log(-log u)``: standard Gumbel numbers of uniforms in (0, 1), by the inverse CDF."""
    return -tf.math.log(-tf.math.log(u))


def logistic_of_uniform(u: tf.Tensor) -> tf.Tensor:
    """``log u - log(1 - u)``: standard logistic numbers of uniforms in (0, 1)."""
    return tf.math.log(u) - tf.math.log1p(-u)


def standard_gumbel(shape: Any, keys: tf.Tensor, dtype: Any = "float32") -> tf.Tensor:
    """Standard Gumbel numbers.

    They are made of uniforms of 52 bits whatever the dtype: of those of 23 bits the largest of many
    thousand would often be equal, and a large vocabulary is just that.

    Args:
        shape, keys: As for ``tfbdl.random.uniform``, and so is the shape returned.
        dtype: A floating-point dtype.
    """
    return tf.cast(gumbel_of_uniform(random.uniform(shape, keys, "float64")), dtype)


def standard_logistic(shape: Any, keys: tf.Tensor, dtype: Any = "float32") -> tf.Tensor:
    """Standard logistic numbers; as ``standard_gumbel``."""
    return tf.cast(logistic_of_uniform(random.uniform(shape, keys, "float64")), dtype)
