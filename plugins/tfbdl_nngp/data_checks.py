"""What all processes ask of data."""

from __future__ import annotations

import math
from typing import Any

from tfbdl.data import DataInfo
from tfbdl.errors import DataError


def check_info(info: DataInfo) -> None:
    """Refuse data that no process takes.

    Raises:
        DataError: If there are no targets, or inputs are several arrays by name.
    """
    if info.y_shape is None or isinstance(info.x_shape, dict):
        received = "no targets" if info.y_shape is None else "inputs by name"
        raise DataError(
            f"A Gaussian process needs (x, y) with x [n, ...] of numbers. Received: {received}."
        )


def row_size(shape: Any) -> int:
    """How many numbers a row of a shape has."""
    return math.prod(size or 1 for size in shape)


def check_shape(expected: Any, received: Any, what: str = "x") -> None:
    """Refuse rows of another shape than those of training; an axis of None is free.

    Raises:
        DataError: With both shapes.
    """
    expected, received = tuple(expected), tuple(received)
    same = len(expected) == len(received) and all(
        None in (a, b) or a == b for a, b in zip(expected, received, strict=True)
    )
    if not same:
        raise DataError(
            f"Expected {what} of shape [n, {', '.join(map(str, expected))}], as in training. "
            f"Received: rows of shape {list(received)}."
        )
