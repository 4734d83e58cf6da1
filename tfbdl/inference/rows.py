"""How many rows of data a model's likelihood stands for: one rule for all engines."""

from __future__ import annotations

from typing import Any


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
