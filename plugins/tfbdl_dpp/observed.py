"""Items and observed subsets from a table: rows are items, 0/1 targets say who was chosen."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfbdl.errors import DataError


def items_of(x: Any) -> np.ndarray:
    """Rows as vectors, float64 ``[n, d]``.

    Raises:
        DataError: If x is no array with rows, or holds values that are not finite.
    """
    array = np.asarray(x, np.float64) if not isinstance(x, dict) else np.empty(())
    if array.ndim < 2 or 0 in array.shape:
        raise DataError(f"x must be items [n, d]. Received: shape {array.shape}.")
    if not np.isfinite(array).all():
        raise DataError("x must be finite. Received: NaN or infinite values.")
    return array.reshape(len(array), -1)


def subsets_of(y: Any, n: int, k: int | None) -> np.ndarray:
    """Observed subsets, zeros and ones ``[m, n]``.

    Args:
        y: ``[n]`` or ``[n, m]``: column t is 1 for the items of subset t.
        n: Items.
        k: Items of each subset; None: any number.

    Raises:
        DataError: If there are other numbers than 0 and 1, or a subset has not k items.
    """
    array = np.asarray(y, np.float64)
    array = array.reshape(n, -1).T
    if not np.isin(array, (0.0, 1.0)).all():
        raise DataError(
            "Targets of a DPP say which items each observed subset has: a column of 0 and 1 for "
            f"each subset. Received: values from {array.min():g} to {array.max():g}. "
            "With ignore_targets=True labelled data are items alone."
        )
    sizes = array.sum(axis=1)
    if k is not None and (sizes != k).any():
        wrong = int(np.flatnonzero(sizes != k)[0])
        raise DataError(
            f"Each observed subset must have k = {k} items. "
            f"Received: {int(sizes[wrong])} items in subset {wrong}."
        )
    return array
