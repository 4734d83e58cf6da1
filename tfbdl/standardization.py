"""Columns of mean 0 and standard deviation 1, in arrays and in graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf


def column_moments(rows: Any) -> tuple[Any, Any]:
    """Mean and standard deviation of each column, ``[d]`` of rows ``[n, d]``.

    The deviation of a column that does not vary is 1, so that it can be divided by.

    Args:
        rows: An array, or a tensor.
    """
    if tf.is_tensor(rows):
        deviation = tf.math.reduce_std(rows, axis=0)
        scale = tf.where(deviation > 0.0, deviation, tf.ones_like(deviation))
        return tf.reduce_mean(rows, axis=0), scale
    deviation = rows.std(axis=0)
    return rows.mean(axis=0), np.where(deviation > 0.0, deviation, 1.0)


def standardised(rows: Any) -> Any:
    """Columns with mean 0 and standard deviation 1; those that do not vary are 0."""
    mean, scale = column_moments(rows)
    return (rows - mean) / scale
