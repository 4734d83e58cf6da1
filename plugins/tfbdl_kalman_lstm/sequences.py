"""Sequences as arrays ``[n, T, m]``, checked, and answers back in kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl.data import Dataset
from tfbdl.errors import DataError, OptionsError

from .system import Observed


def numbers(
    what: str, values: Any, error: type[DataError] | type[OptionsError] = DataError
) -> np.ndarray:
    """An array in float64.

    Raises:
        error: If there is text in it, or rows differ in length.
    """
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError) as reason:
        raise error(
            f"{what} must be numbers in an array with rows of one length. Received: {reason}"
        ) from None


def unequal(y: Any, what: str) -> bool:
    """Whether it is a list of sequences of unequal length."""
    if not isinstance(y, Sequence):
        return False
    try:
        return len({np.shape(part) for part in y}) > 1
    except ValueError:  # a part has rows of unequal length itself
        raise DataError(
            f"{what} must be [T, m], [n, T, m], or a list of sequences [T_i, m] of numbers. "
            "Received: a list with parts that are no arrays."
        ) from None


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
        DataError: If the shape is none of these, or a number is infinite or none.
    """
    if unequal(y, what):
        return _padded(y, size, what), False
    array = numbers(what, y)
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


def sequences_of(data: Dataset, num_rows: int | None = None) -> np.ndarray:
    """A data set's inputs as ``[n, T, m]``.

    Args:
        data: Rows are sequences, or the steps of one.
        num_rows: Steps that one sequence must have; None: any.

    Raises:
        DataError: If they are no array of sequences, or steps of one sequence are set apart.
    """
    x: Any = data.x
    if isinstance(x, dict):
        raise DataError(f"Expected one array of sequences. Received: a mapping of {len(x)} parts.")
    array = numbers("Observations", x)
    y, single = arrange(array, 1 if array.ndim == 1 else None)
    apart = 0 if data.x_test is None else len(np.asarray(data.x_test))
    apart += max((num_rows or 0) - y.shape[1], 0)
    if single and apart:
        raise DataError(
            "Steps that are held out at random tear a sequence apart. Expected all steps in "
            "order (of a file with the data option test_fraction=0, with an engine's "
            f"validation_split=0). Received: {apart} steps set apart."
        )
    return y


def timed(name: str, value: np.ndarray, steps: int) -> np.ndarray:
    """A parameter ``[a, b]`` or ``[T, a, b]`` with an axis of time, of length 1 or ``steps``.

    Raises:
        DataError: If it varies and is given for fewer steps.
    """
    if value.ndim == 2:
        return value[np.newaxis]
    if len(value) < steps:
        raise DataError(
            f"{name} varies with time and is given for {len(value)} steps. "
            f"Expected: at least {steps}."
        )
    return value[:steps]


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


def following(ends: np.ndarray, steps: int) -> np.ndarray:
    """Indices ``[n, steps]`` of the steps after the end of each sequence."""
    return np.asarray(ends[:, np.newaxis] + np.arange(steps))


def at_steps(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Of ``[n or 1, T or 1, ...]`` the steps ``index [n, steps]``: ``[n, steps, ...]``."""
    rows = np.arange(len(index))[:, np.newaxis] if len(values) > 1 else 0 * index
    return values[rows, index if values.shape[1] > 1 else 0 * index]


def by_sequence(values: tf.Tensor, count: int | None = None) -> np.ndarray:
    """``[T, n, ...]`` to ``[n, T, ...]``; what ``count`` sequences share is given to each."""
    array = np.moveaxis(values.numpy(), 0, 1)
    if count is not None and len(array) != count:
        array = np.broadcast_to(array, (count, *array.shape[1:])).copy()
    return array


def _padded(y: Sequence[Any], size: int | None, what: str) -> np.ndarray:
    parts = []
    for part in y:
        values, single = arrange(part, size, what)
        if not single:
            width = "m" if size is None else size
            raise DataError(
                f"{what} in a list must be one sequence each, [T_i, {width}]. "
                f"Received: a part of shape {list(np.shape(part))}."
            )
        parts.append(values[0])
    widths = {part.shape[-1] for part in parts}
    if len(widths) != 1:
        raise DataError(
            f"{what} of all sequences must have the same size. Received: {sorted(widths)}."
        )
    filled = np.full((len(parts), max(map(len, parts)), widths.pop()), np.nan)
    for row, part in zip(filled, parts, strict=True):
        row[: len(part)] = part
    return filled
