"""Whether rows are such as a generator can give: their shape, and the range of their values."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tfbdl.errors import DataError, TfbdlWarning

RANGES = {"sigmoid": (0.0, 1.0), "hard_sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}
ROUNDING = 1e-3
_SHAPERS = (keras.layers.Reshape, keras.layers.Flatten, keras.layers.Cropping2D)


def output_range(generator: keras.Model) -> tuple[str, tuple[float, float]] | None:
    """The bounded activation in which a generator ends, and its range; None without one."""
    for layer in reversed(getattr(generator, "layers", [])):
        if isinstance(layer, _SHAPERS):
            continue
        if isinstance(layer, keras.Model):
            return output_range(layer)
        name = getattr(getattr(layer, "activation", None), "__name__", "")
        return (name, RANGES[name]) if name in RANGES else None
    return None


def check_shape(x: Any, row_shape: Sequence[int], what: str = "x") -> None:
    """Refuse rows of another shape than the generator gives.

    Raises:
        DataError: With both shapes.
    """
    if isinstance(x, Mapping):
        raise DataError(f"Expected {what} as one array. Received: the arrays {sorted(x)}.")
    shape = np.shape(x)
    if tuple(shape[1:]) != tuple(row_shape):
        wanted = ", ".join(map(str, ("n", *row_shape)))
        raise DataError(
            f"Expected {what} of shape [{wanted}], as the generator gives rows. "
            f"Received: shape {list(shape)}."
        )


def check_range(x: Any, generator: keras.Model, what: str = "x") -> None:
    """Refuse values that the generator can never give; warn if they leave half its range empty.

    Raises:
        DataError: With both ranges.
    """
    found = output_range(generator)
    values = np.asarray(x)
    if found is None or not values.size:
        return
    name, (low, high) = found
    least, most = float(values.min()), float(values.max())
    if least < low - ROUNDING or most > high + ROUNDING:
        raise DataError(
            f"The generator ends in {name} and gives values from {low:g} to {high:g}. Scale "
            f"{what} to this range, or choose another output. "
            f"Received: values from {least:g} to {most:g}."
        )
    if low < 0 and least >= 0:
        warnings.warn(
            f"The generator ends in {name} and gives values from {low:g} to {high:g}, but no "
            f"value of {what} is below 0. If they go from 0 to 1, give 2 * {what} - 1.",
            TfbdlWarning,
            stacklevel=4,
        )
