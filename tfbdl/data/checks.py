"""Checks of rows against each other, and of new rows against the training data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import DataError, did_you_mean
from .columns import frame_names, is_frame, to_array, to_floats
from .info import DataInfo, Shape
from .targets import to_targets


def check_lengths(rows: Mapping[str, int]) -> None:
    """Raise DataError unless all parts have equally many rows, and at least one.

    Args:
        rows: What a part is called -> its number of rows.
    """
    if len(set(rows.values())) > 1:
        listed = ", ".join(f"{what} has {count}" for what, count in rows.items())
        raise DataError(f"Expected equally many rows in all parts of the data. Received: {listed}.")
    for what, count in rows.items():
        if count == 0:
            raise DataError(f"{what} has no rows. Expected at least one.")


def check_weights(value: Any, what: str, *, dtype: str, whole: bool = True) -> np.ndarray:
    """Sample weights as floats ``[n]``.

    Args:
        value: The weights.
        what: What to call them in an error.
        dtype: A float dtype.
        whole: Whether these are all weights; those of a batch may be zero throughout.

    Raises:
        DataError: If they are no vector, negative, not finite or all zero.
    """
    weights, _ = to_floats(value, what, dtype=dtype)
    if weights.ndim != 1:
        raise DataError(f"{what} must have shape [rows]. Received: shape {weights.shape}.")
    if weights.size and (weights.min() < 0.0 or (whole and weights.max() == 0.0)):
        raise DataError(
            f"{what} must not be negative, nor zero throughout. "
            f"Received: from {weights.min():g} to {weights.max():g}."
        )
    return weights


def check_like(
    info: DataInfo, x: Any, y: Any = None, *, allow_nan: bool = False, suffix: str = ""
) -> tuple[Any, np.ndarray | None]:
    """Turn new rows into arrays of the same form as the training data.

    Args:
        info: Of the training data.
        x: New inputs, of any kind that training takes. A frame's columns are taken by name.
        y: New targets, or None. Texts become the labels of training.
        allow_nan: Admit NaN, for a missing value.
        suffix: Added to "x" and "y" in errors, for example ``"_test"``.

    Returns:
        Clean x, a mapping if training had one, and clean y, or None.

    Raises:
        DataError: If columns are missing or too many, a class is new, the lengths differ, there
            are no rows, or a value is NaN or Inf.
    """
    what = f"x{suffix}"
    clean: Any
    if isinstance(info.x_shape, Mapping):
        clean = _like_mapping(info, x, what, allow_nan)
        rows = {f"{what}[{name!r}]": len(part) for name, part in clean.items() if part.ndim}
    else:
        if isinstance(x, Mapping) and not is_frame(x):
            raise DataError(f"{what} must be one array. Received: a mapping of {len(x)} parts.")
        clean = _like(x, what, info.x_shape, str(info.x_dtype), info.feature_names, allow_nan)
        if clean.ndim == 0:
            raise DataError(f"{what} must have rows. Expected [rows]. Received: {x!r}.")
        rows = {what: len(clean)}
    target = None
    if y is not None:
        target = _like_targets(info, y, f"y{suffix}", allow_nan)
        rows[f"y{suffix}"] = len(target)
    if info.num_rows is not None or target is not None:
        check_lengths(rows)
    return clean, target


def _like_mapping(info: DataInfo, x: Any, what: str, allow_nan: bool) -> dict[str, np.ndarray]:
    shapes: Any = info.x_shape
    dtypes: Any = info.x_dtype
    if not isinstance(x, Mapping):
        raise DataError(
            f"{what} must be a mapping with the parts {', '.join(shapes)}. "
            f"Received: {type(x).__name__}."
        )
    for name in (*shapes, *x):
        if name not in x or name not in shapes:
            hint = did_you_mean(name, x if name in shapes else shapes)
            raise DataError(
                f"{what} {'lacks the' if name in shapes else 'has an unknown'} part {name!r}."
                f"{hint} "
                f"Expected: {', '.join(shapes)}. Received: {', '.join(x) or 'none'}."
            )
    return {
        name: _like(x[name], f"{what}[{name!r}]", shape, dtypes[name], None, allow_nan)
        for name, shape in shapes.items()
    }


def _like(
    x: Any,
    what: str,
    shape: Any,
    dtype: str,
    names: tuple[str, ...] | None,
    allow_nan: bool,
) -> np.ndarray:
    if is_frame(x) and names is not None:
        columns = frame_names(x, what)
        missing = [name for name in names if name not in columns]
        if missing:
            hint = did_you_mean(missing[0], columns)
            raise DataError(
                f"{what} lacks the columns {', '.join(map(repr, missing))}.{hint} "
                f"Received: {', '.join(columns) or 'none'}."
            )
        x = x.iloc[:, [columns.index(name) for name in names]]
    elif not is_frame(x):
        x = to_array(x, what)
    if not _fits(tuple(np.shape(x)[1:]), shape) or (np.ndim(x) == 0 and shape):
        raise DataError(
            f"{what} must have the shape {_shape_text(shape)}, as in training. "
            f"Received: shape {tuple(np.shape(x))}.{_shape_hint(tuple(np.shape(x)), shape)}"
        )
    return to_floats(x, what, dtype=dtype, allow_nan=allow_nan)[0]


def _like_targets(info: DataInfo, y: Any, what: str, allow_nan: bool) -> np.ndarray:
    if info.y_shape is None:
        raise DataError(f"{what} was given, but the training data has no targets.")
    array = to_targets(
        y,
        dtype=info.y_dtype if info.task == "regression" and info.y_dtype else "float32",
        task=info.task,
        num_classes=info.num_classes,
        class_names=info.class_names,
        allow_nan=allow_nan,
        what=what,
    ).array
    if not _fits(array.shape[1:], info.y_shape):
        raise DataError(
            f"{what} must have the shape {_shape_text(info.y_shape)}, as in training. "
            f"Received: shape {array.shape}."
        )
    return array


def _fits(found: tuple[int, ...], shape: Shape) -> bool:
    """Whether a shape without batch axis goes with that of training.

    Columns must agree; the axes between (time steps, pixels) are for the model to judge.
    """
    if len(found) != len(shape):
        return False
    if not shape or shape[-1] is None:
        return True
    return found[-1] == shape[-1]


def _shape_text(shape: Shape) -> str:
    return "[" + ", ".join(["rows", *("any" if n is None else str(n) for n in shape)]) + "]"


def _shape_hint(found: tuple[int, ...], shape: Shape) -> str:
    if found == shape:
        return " For a single row give x[None]."
    if len(found) == 1 and shape == (1,):
        return " Give x[:, None]."
    return ""
