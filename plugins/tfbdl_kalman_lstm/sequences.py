"""Sequences and control inputs as arrays ``[n, T, ...]``, checked, and answers back in kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl.errors import DataError

from .system import Observed


def arrange(y: Any, size: int | None, what: str = "Observations") -> tuple[np.ndarray, bool]:
    """Sequences as one array, NaN where nothing was observed.

    Args:
        y: ``[T, m]`` or, where m is 1, ``[T]`` for one sequence; ``[n, T, m]`` for several; or a
            list of arrays ``[T_i, m]``, which are filled up with NaN at their ends.
        size: m; None: any.
        what: What to call them in an error.

    Returns:
        ``[n, T, m]`` float64, and whether one sequence alone was given.

    Raises:
        DataError: If the shape is none of these, or a number is infinite.
    """
    if isinstance(y, Sequence) and len({np.shape(part) for part in y}) > 1:
        return _padded(y, size, what), False
    array = np.asarray(y, np.float64)
    if array.ndim == 1 and size in (1, None):
        array = array[:, np.newaxis]
    single = array.ndim == 2
    if single:
        array = array[np.newaxis]
    if array.ndim != 3 or 0 in array.shape or (size is not None and array.shape[-1] != size):
        width = "m" if size is None else size
        raise DataError(
            f"{what} must be [T, {width}] for one sequence or [n, T, {width}] for several. "
            f"Received: shape {list(np.shape(y))}."
        )
    if np.isinf(array).any():
        raise DataError(f"{what} must be finite, or NaN where one is missing. Received: Inf.")
    return array, single


def observed(values: np.ndarray, chains: int = 0) -> Observed:
    """Sequences ``[n, T, m]`` for the filter; those that miss the same elements share masks.

    Args:
        values: NaN where an element is missing.
        chains: Axes of chains that the parameters have before their own.
    """
    by_time = np.moveaxis(values, 1, 0)
    seen = ~np.isnan(by_time)
    if (seen == seen[:, :1]).all():
        seen = seen[:, :1]
    axes = (slice(None), *(np.newaxis,) * chains)
    return Observed(
        tf.constant(np.nan_to_num(by_time)[axes]), tf.constant(seen.astype(np.float64)[axes])
    )


def prolonged(values: np.ndarray, steps: int) -> np.ndarray:
    """Sequences ``[n, T, m]`` with so many steps more of which nothing was observed."""
    ahead = np.full((len(values), steps, values.shape[-1]), np.nan)
    return np.concatenate([values, ahead], axis=1)


def by_sequence(values: tf.Tensor, count: int | None = None) -> np.ndarray:
    """``[T, n, ...]`` to ``[n, T, ...]``; what ``count`` sequences share is given to each."""
    array = np.moveaxis(values.numpy(), 0, 1)
    if count is not None and len(array) != count:
        array = np.broadcast_to(array, (count, *array.shape[1:])).copy()
    return array


def _padded(y: Sequence[Any], size: int | None, what: str) -> np.ndarray:
    parts = [arrange(part, size, what)[0][0] for part in y]
    widths = {part.shape[-1] for part in parts}
    if len(widths) != 1:
        raise DataError(
            f"{what} of all sequences must have the same size. Received: {sorted(widths)}."
        )
    filled = np.full((len(parts), max(map(len, parts)), widths.pop()), np.nan)
    for row, part in zip(filled, parts, strict=True):
        row[: len(part)] = part
    return filled
