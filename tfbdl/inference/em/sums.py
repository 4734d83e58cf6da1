"""Sums over rows, taken part by part, so that memory does not grow with the rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

PART_BYTES = 8 * 2**20  # of the rows that are held at once


def over_rows(fn: Callable[[Any, tf.Tensor], Any], rows: Any, row_bytes: int) -> Any:
    """The sum of ``fn(part, number)`` over parts of the rows.

    Args:
        fn: From some rows, and the number of the part (int64), to a nest of sums over these rows.
        rows: A tensor ``[n, ...]`` or a nest of such, of known n.
        row_bytes: What ``fn`` needs for a row; a part is as many as go into 8 MiB.
    """
    total = int(tf.nest.flatten(rows)[0].shape[0])
    size = min(total, max(1, PART_BYTES // max(1, row_bytes)))
    whole = math.ceil(total / size) - 1
    rest = total - whole * size
    first = fn(tf.nest.map_structure(lambda part: part[:rest], rows), tf.constant(0, tf.int64))
    if not whole:
        return first
    others = tf.nest.map_structure(
        lambda part: tf.reshape(part[rest:], (whole, size, *part.shape[1:])), rows
    )

    def body(i: tf.Tensor, sums: Any) -> tuple[tf.Tensor, Any]:
        part = tf.nest.map_structure(lambda part: part[i], others)
        more = fn(part, tf.cast(i, tf.int64) + 1)
        return i + 1, tf.nest.map_structure(tf.add, sums, more)

    loop = (tf.constant(0), first)
    return tf.while_loop(lambda i, _: i < whole, body, loop, parallel_iterations=1)[1]


def sum_over_rows(fn: Callable[[Any], Any], rows: Any, row_bytes: int) -> Any:
    """The sum of ``fn(part)`` over parts of the rows, computed at once.

    Args:
        fn: From some rows to a nest of sums over these rows.
        rows: A tensor or array ``[n, ...]``, or a nest of such.
        row_bytes: What ``fn`` needs for a row.
    """
    tensors = tf.nest.map_structure(tf.convert_to_tensor, rows)
    if int(tf.nest.flatten(tensors)[0].shape[0]) * row_bytes <= PART_BYTES:
        return fn(tensors)

    @tf.function(autograph=False)
    def total(tensors: Any) -> Any:
        return over_rows(lambda part, _: fn(part), tensors, row_bytes)

    return total.get_concrete_function(tensors)(tensors)
