"""Matrices of pairs, block by block: bounded memory, and one half of what is symmetric."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl.errors import DataError

ELEMENTS = 2**18
"""Numbers of a block: its temporaries stay near the processor."""

PAIRED_ROWS = 4_096


def fill(
    compute: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    x1: np.ndarray,
    x2: np.ndarray | None,
    rows: int,
    dtype: str,
) -> np.ndarray:
    """``compute`` of all pairs, ``[n1, n2]``; of x1 with itself, the upper half alone is computed.

    Args:
        compute: From rows ``[a, ...]`` and ``[b, ...]`` to ``[a, b]``.
        x1: ``[n1, ...]``.
        x2: ``[n2, ...]``, or None for x1.
        rows: Rows of a block.
        dtype: Of the result.
    """
    symmetric = x2 is None
    other = x1 if x2 is None else x2
    found = np.empty((len(x1), len(other)), dtype)
    first = [tf.constant(x1[part]) for part in slices(len(x1), rows)]
    second = first if symmetric else [tf.constant(other[part]) for part in slices(len(other), rows)]
    for i, part in enumerate(slices(len(x1), rows)):
        for j, against in enumerate(slices(len(other), rows)):
            if symmetric and j < i:
                continue
            block = compute(first[i], second[j]).numpy()
            found[part, against] = block
            if symmetric and j > i:
                found[against, part] = block.T
    return found


def slices(n: int, rows: int) -> Iterator[slice]:
    """Consecutive parts of n rows, of about equal size."""
    count = max(1, -(-n // rows))
    edges = np.linspace(0, n, count + 1).astype(int)
    for start, stop in itertools.pairwise(edges):
        yield slice(int(start), int(stop))


def finite(x: Any, dtype: str) -> np.ndarray:
    """An array of numbers.

    Raises:
        DataError: If it has no rows, or a number is missing or infinite.
    """
    try:
        array = np.ascontiguousarray(x, dtype)
    except (TypeError, ValueError):
        raise DataError(
            f"Inputs must be an array of numbers. Received: a {type(x).__name__}."
        ) from None
    if array.ndim == 0 or not len(array):
        raise DataError(f"Inputs must be rows [n, ...]. Received: shape {list(array.shape)}.")
    if not np.isfinite(array).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise DataError(f"Inputs must be finite. Received: {array[where]} at index {list(where)}.")
    return array
