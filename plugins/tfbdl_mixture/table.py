"""Rows in and out: a table of numbers for training, one for a question, and work in blocks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl.data import Dataset
from tfbdl.data.columns import to_floats
from tfbdl.errors import DataError, OptionsError

BLOCK_BYTES = 32 * 2**20


def training_table(data: Dataset, dtype: str) -> np.ndarray:
    """The inputs of a data set as ``[n, d]``; targets are left aside.

    Raises:
        DataError: If they are no table, or rows have weights.
    """
    data = data.in_memory()
    if data.sample_weight is not None:
        raise DataError("Each row counts once here. Expected no weights. Received: sample_weight.")
    return _as_table(data.x, "x").astype(dtype, copy=False)


def query_table(x: Any, num_columns: int, dtype: str, *, allow_nan: bool = False) -> np.ndarray:
    """Rows to ask a fitted model about, as ``[n, d]``.

    Raises:
        DataError: If they are no table with the columns of training, or not finite (NaN stands
            for a missing value where ``allow_nan``).
    """
    table = _as_table(to_floats(x, "x", dtype=dtype, allow_nan=allow_nan)[0], "x")
    if table.shape[1] != num_columns:
        raise DataError(
            f"x must have {num_columns} columns, as in training. Received: shape {table.shape}."
        )
    return table


def in_blocks(fn: Callable[[Any], Any], rows: Any, row_bytes: int) -> Any:
    """``fn`` of all rows, computed for some at a time, so that memory stays small.

    Args:
        fn: From rows ``[m, ...]`` to a nest of tensors ``[m, ...]``.
        rows: ``[n, ...]``, or a nest of such.
        row_bytes: What ``fn`` needs for a row.

    Returns:
        The nest with arrays ``[n, ...]``.
    """
    size = max(1, BLOCK_BYTES // max(row_bytes, 1))
    total = len(tf.nest.flatten(rows)[0])
    parts = []
    for at in range(0, max(total, 1), size):
        block = tf.nest.map_structure(lambda part, at=at: part[at : at + size], rows)
        parts.append(tf.nest.map_structure(lambda part: part.numpy(), fn(block)))
    return tf.nest.map_structure(lambda *blocks: np.concatenate(blocks), *parts)


def digest_of(rows: np.ndarray) -> np.ndarray:
    """A SHA-256 of rows ``[n, d]`` and their shape, by which they are known again: 32 bytes."""
    found = hashlib.sha256(str((rows.shape, rows.dtype.name)).encode())
    found.update(np.ascontiguousarray(rows).data)
    return np.frombuffer(found.digest(), np.uint8)


def check_count(n: Any) -> int:
    """How many rows to draw, checked.

    Raises:
        OptionsError: If it is no whole number of at least 1.
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
        raise OptionsError(f"n must be a whole number of at least 1. Received: {n!r}.")
    return int(n)


def _as_table(x: Any, what: str) -> np.ndarray:
    if not isinstance(x, np.ndarray) or x.ndim != 2 or x.shape[1] == 0:
        shape = tuple(x.shape) if isinstance(x, np.ndarray) else type(x).__name__
        raise DataError(f"{what} must have the shape [rows, columns]. Received: {shape}.")
    return x
