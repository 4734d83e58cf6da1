"""The rows that a page asks predictions of: held-out ones where there are any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from ..data import Dataset
from ..errors import DataError, ModelError

MOST_ROWS = 2_000
MOST_TRAINING_ROWS = 50_000
MOST_TRAINING_NUMBERS = 4_000_000
"""Of the inputs to which distances are taken: 16 MB of float32, and a tenth of a second."""


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of a data set.

    Attributes:
        x: ``[n, ...]``, or a mapping of such.
        y: ``[n, ...]``, or None.
        index: Their places among all rows of their kind, ``[n]``.
        kind: ``"test rows"`` or ``"training rows"``.
    """

    x: Any
    y: Any
    index: np.ndarray
    kind: str


def rows_of(dataset: Dataset | None, most: int = MOST_ROWS) -> Rows:
    """Evenly spaced test rows, or training rows where none were held out.

    Raises:
        DataError: If the run's data cannot be read again.
    """
    if dataset is None:
        raise DataError(
            "The data of this run were given as objects, so they cannot be read again. Predict in "
            "Python, with tfbdl.load and fit.predict, or start the run from a data set's name or "
            "a file."
        )
    dataset = dataset.in_memory()
    if dataset.x_test is not None:
        x, y, kind = dataset.x_test, dataset.y_test, "test rows"
    else:
        x, y, kind = dataset.x, dataset.y, "training rows"
    count = len(tf.nest.flatten(x)[0])
    index = np.arange(min(count, most)) * count // max(1, min(count, most))
    chosen = tf.nest.map_structure(lambda part: np.asarray(part)[index], x)
    return Rows(x=chosen, y=None if y is None else np.asarray(y)[index], index=index, kind=kind)


def training_inputs(
    dataset: Dataset, most_numbers: int = MOST_TRAINING_NUMBERS, most: int = MOST_TRAINING_ROWS
) -> np.ndarray:
    """Inputs of evenly spaced training rows, ``[n, ...]``.

    Args:
        dataset: The data of a run.
        most_numbers: Of all inputs together.
        most: Rows.

    Raises:
        DataError: If the inputs are several arrays by name.
    """
    dataset = dataset.in_memory()
    require_one_array(dataset.x)
    x = np.asarray(dataset.x)
    count = min(len(x), most, max(1, most_numbers // max(1, x[:1].size)))
    return x[np.arange(count) * len(x) // max(1, count)]


def require_one_array(x: Any) -> None:
    """Raise unless inputs are one array.

    Raises:
        DataError: If they are several arrays by name.
    """
    if isinstance(x, Mapping):
        raise DataError(
            f"One array of inputs is expected here. Received: inputs by name ({', '.join(x)})."
        )


def require_targets(fit: Any, rows: Rows) -> None:
    """Raise unless the run is one of targets that its model predicts.

    Raises:
        ModelError: If it predicts none.
    """
    if rows.y is None or fit.posterior is None or not hasattr(fit.model, "likelihood"):
        name = fit.spec.model or type(fit.model).__name__
        raise ModelError(
            f"The model {name!r} has no predictive distribution of targets: it describes the rows "
            "themselves."
        )
