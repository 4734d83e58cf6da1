"""Divide rows into training and test rows."""

from __future__ import annotations

import numpy as np
from sklearn.model_selection import train_test_split

from tfbdl.data import Dataset
from tfbdl.errors import DataError


def random_split(data: Dataset, test_fraction: float, seed: int) -> Dataset:
    """Hold out a random share of the rows, rounded up; classes keep their shares.

    Classes are balanced where each has at least two rows and both parts can hold them all.

    Args:
        data: Rows held as arrays.
        test_fraction: From 0 (nothing is held out) to below 1.
        seed: Of the division.

    Raises:
        DataError: If no training row would be left.
    """
    rows = data.num_rows
    if test_fraction == 0.0 or rows is None:
        return data
    num_test = int(np.ceil(rows * test_fraction))
    if num_test >= rows:
        raise DataError(
            f"{rows} rows cannot be divided with test_fraction {test_fraction:g}: "
            "no training row would be left."
        )
    labels = data.y if data.info.task == "classification" else None
    if labels is not None:
        labels = labels.reshape(rows, -1)[:, 0]
        _, counts = np.unique(labels, return_counts=True)
        if counts.min() < 2 or len(counts) > min(num_test, rows - num_test):
            labels = None
    _, test = train_test_split(
        np.arange(rows), test_size=num_test, random_state=seed, stratify=labels
    )
    return data.hold_out(np.sort(test))
