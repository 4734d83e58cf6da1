"""How many rows of data a model's likelihood stands for: one rule for all engines."""

from __future__ import annotations

from typing import Any

import keras


class CountedRows:
    """The part of a model that knows how many rows it was trained on.

    Attributes:
        num_data_seen: Training rows, as a weight; 0 where they are not known.
    """

    num_data_seen: keras.Variable

    @property
    def num_data(self) -> int | None:
        """Number of training rows, or None if it is not known yet."""
        return int(self.num_data_seen.numpy()) or None

    @num_data.setter
    def num_data(self, rows: int) -> None:
        self.num_data_seen.assign(rows)
        for part in self.counted_parts():
            part.num_data = rows

    def counted_parts(self) -> tuple[Any, ...]:
        """Models inside this one that count the same rows."""
        return ()


def set_num_data(model: Any, rows: int | None) -> int | None:
    """Tell a network the number of rows that its likelihood stands for.

    A number that the model was given (``BayesianNetwork(..., num_data=N)``) takes precedence over
    the rows seen.
    A model without ``given_num_data`` knows its own number and is left as it is.

    Args:
        model: Any model.
        rows: The rows seen; None where they cannot be counted.

    Returns:
        The number that counts for ``model``; None where nobody knows it.
    """
    if not hasattr(model, "given_num_data"):
        return getattr(model, "num_data", None) or rows
    number: int | None = model.given_num_data or rows
    if number is not None:
        model.num_data = number
    return number
