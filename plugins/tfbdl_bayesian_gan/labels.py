"""Labels of some rows: which classes are known, and which rows keep theirs."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfbdl.errors import DataError

UNKNOWN = -1


def classes_of(y: Any, rows: int, num_classes: int) -> np.ndarray:
    """Checked labels ``[n]`` int32: from 0 to K - 1, or -1 where a row has none.

    Args:
        y: The labels as they were given.
        rows: n.
        num_classes: K.

    Raises:
        DataError: If they are missing, of another length, or out of range; or none is known.
    """
    wanted = (
        f"Semi-supervised learning takes y [{rows}], whole numbers from 0 to {num_classes - 1}, "
        "and -1 where a row has no label."
    )
    if y is None:
        raise DataError(f"{wanted} Received: no y.")
    labels = np.asarray(y)
    if labels.shape != (rows,) or not np.issubdtype(labels.dtype, np.number):
        raise DataError(f"{wanted} Received: {labels.dtype} {list(labels.shape)}.")
    whole = labels.astype("int32")
    if (whole != labels).any() or whole.min() < UNKNOWN or whole.max() >= num_classes:
        raise DataError(f"{wanted} Received: numbers from {labels.min()} to {labels.max()}.")
    if (whole == UNKNOWN).all():
        raise DataError(f"{wanted} Received: no row with a label.")
    return whole


def keep_some(y: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Labels of ``count`` rows, of each class alike; -1 for all others.

    Args:
        y: ``[n]`` labels from 0.
        count: How many keep theirs; where it does not divide, the first classes have one more.
        seed: Of the choice.

    Raises:
        DataError: If a class has too few rows, or not every class can keep one.
    """
    rng = np.random.default_rng(seed)
    classes = np.unique(y[y >= 0])
    if count < len(classes):
        raise DataError(
            f"Every class keeps labels. Expected: at least {len(classes)} rows, one of each "
            f"class. Received: {count}."
        )
    kept = np.full(len(y), UNKNOWN, "int32")
    for i, label in enumerate(classes):
        rows = np.flatnonzero(y == label)
        share = count // len(classes) + (i < count % len(classes))
        if share > len(rows):
            raise DataError(
                f"{count} rows of {len(classes)} classes should keep their labels: {share} of "
                f"class {label}. Received: {len(rows)} rows of it."
            )
        chosen = rng.choice(rows, share, replace=False)
        kept[chosen] = label
    return kept
