"""Observed sequences as one tensor: shapes told apart, missing values and symbols checked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tfbdl.errors import DataError

SHAPES = {
    "gaussian": "[T] or [T, d] for one sequence, [n, T, d] for several",
    "categorical": "[T] for one sequence, [n, T] for several",
}


def pad(sequences: Iterable[Any]) -> np.ndarray:
    """Sequences of unequal length as one array, filled up with NaN at the end.

    Shapes:
        sequences: each ``[T_i]`` or ``[T_i, d]``.

    Returns:
        ``[n, T]`` or ``[n, T, d]`` with the longest T.

    Raises:
        DataError: If there are none, or their observations have different shapes.
    """
    arrays = [np.asarray(sequence, np.float64) for sequence in sequences]
    shapes = {array.shape[1:] for array in arrays}
    if len(shapes) != 1 or any(array.ndim not in (1, 2) for array in arrays):
        raise DataError(
            "Expected sequences [T] or [T, d], all with the same d. "
            f"Received: {[list(array.shape) for array in arrays[:5]]}."
        )
    filled = np.full((len(arrays), max(map(len, arrays)), *shapes.pop()), np.nan)
    for row, array in zip(filled, arrays, strict=True):
        row[: len(array)] = array
    return filled


def arrange(y: Any, emission: str, size: int | None, dtype: str) -> tuple[np.ndarray, bool]:
    """Sequences as an array with all its axes.

    Args:
        y: Observations; NaN where one is missing.
        emission: ``gaussian`` or ``categorical``.
        size: The dimension d, or the number of symbols; None: any.
        dtype: Of the result.

    Returns:
        ``[n, T, d]`` or ``[n, T]``, and whether one sequence alone was given.

    Raises:
        DataError: If the shape is none of these, or an observation is not finite, missing in
            part, no whole number, out of range, or missing throughout a sequence.
    """
    array = np.asarray(y, dtype)
    single = array.ndim == 1 or (array.ndim == 2 and emission == "gaussian")
    if emission == "gaussian" and array.ndim == 1:
        array = array[:, np.newaxis]
    if single:
        array = array[np.newaxis]
    if array.ndim != (3 if emission == "gaussian" else 2) or 0 in array.shape:
        raise DataError(
            f"Observations of a {emission} model must be {SHAPES[emission]}. "
            f"Received: shape {np.shape(y)}."
        )
    if emission == "gaussian":
        _check_vectors(array, size, np.shape(y))
    else:
        _check_symbols(array, size)
    empty = np.flatnonzero(np.isnan(array).reshape(len(array), -1).all(axis=1))
    if empty.size:
        which = "all are missing" if single else f"all of sequence {empty[0]} are missing"
        raise DataError(f"Each sequence needs an observation. Received: {which} (NaN).")
    return array, single


def _check_vectors(array: np.ndarray, size: int | None, given: tuple[int, ...]) -> None:
    if size is not None and array.shape[-1] != size:
        hint = " Give [n, T, 1] for several sequences of numbers." if size == 1 else ""
        raise DataError(
            f"Each observation must have {size} dimensions, as in training.{hint} "
            f"Received: shape {given}."
        )
    if np.isinf(array).any():
        raise DataError("Observations must be finite, or NaN for a missing one. Received: Inf.")
    missing = np.isnan(array)
    partly = missing.any(axis=-1) & ~missing.all(axis=-1)
    if partly.any():
        sequence, step = np.argwhere(partly)[0]
        raise DataError(
            "An observation is there or missing as a whole: NaN in all its dimensions or in none. "
            f"Received: {partly.sum()} in part, first at step {step} of sequence {sequence}."
        )


def _check_symbols(array: np.ndarray, size: int | None) -> None:
    seen = array[~np.isnan(array)]
    wrong = seen[(seen != np.floor(seen)) | (seen < 0) | ~np.isfinite(seen)]
    if size is not None and not wrong.size:
        wrong = seen[seen >= size]
    if wrong.size:
        bound = "0 or above" if size is None else f"from 0 to {size - 1}"
        raise DataError(
            f"Symbols must be whole numbers {bound}, or NaN for a missing one. "
            f"Received: {wrong[0]:g}."
        )
