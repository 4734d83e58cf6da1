"""Turn whatever holds numbers into a clean float array, or say which column is at fault."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ..errors import DataError

_LISTED = 5  # columns that an error names


def is_frame(value: Any) -> bool:
    """Whether ``value`` is a pandas DataFrame (pandas is imported if it is)."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)


def is_series(value: Any) -> bool:
    """Whether ``value`` is a pandas Series."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.Series)


def to_array(value: Any, what: str) -> np.ndarray:
    """``value`` as an array of any dtype.

    Args:
        value: An array, a tensor, a Series or nested lists.
        what: What to call it in an error, for example ``"x"``.

    Raises:
        DataError: If nested lists have different lengths, or nothing in ``value`` is an array.
    """
    if is_series(value):
        return _series_values(value, what)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        raise DataError(_ragged(value, what, error)) from None
    if array.ndim == 0 and array.dtype.kind == "O":
        raise DataError(
            f"{what} cannot be read as numbers. Expected an array, a tensor, a pandas frame or "
            f"nested lists. Received: {type(value).__name__}."
        )
    return array


def to_floats(
    value: Any,
    what: str,
    *,
    dtype: str,
    names: tuple[str, ...] | None = None,
    allow_nan: bool = False,
) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """``value`` as finite floats, and the names of its columns.

    Booleans and integers become floats unscaled; float64 is rounded to ``dtype``.

    Args:
        value: An array, a tensor, a DataFrame, a Series or nested lists.
        what: What to call it in an error.
        dtype: A float dtype.
        names: Of the columns of an array ``[n, d]``; a frame brings its own.
        allow_nan: Admit NaN, which then stands for a missing value.

    Raises:
        DataError: If a column holds text, objects, dates or complex numbers; if a value is NaN or
            Inf; or if a number does not fit ``dtype``.
    """
    if is_frame(value):
        columns = frame_names(value, what)
        parts = [_series_values(value.iloc[:, i], what) for i in range(len(columns))]
        clean = [
            _column_to_floats(part, f"{what} column {name!r}", dtype)
            for part, name in zip(parts, columns, strict=True)
        ]
        array = np.stack(clean, axis=1) if clean else np.empty((len(value), 0), dtype)
        check_finite(array, what, columns, allow_nan)
        return array, columns
    array = to_array(value, what)
    if names is not None and (array.ndim != 2 or len(names) != array.shape[1]):
        raise DataError(
            f"{what} has {len(names)} column names. Expected one for each column of an array "
            f"[rows, columns]. Received: shape {array.shape}."
        )
    if array.dtype.kind not in "buif":
        raise DataError(_not_numbers(array, what, names))
    check_finite(array, what, names, allow_nan)
    if array.dtype.kind in "ui" and array.ndim == 2:
        for i in range(array.shape[1]):  # so that an error names the column
            _check_integers(array[:, i], f"{what} column {_label(i, names)}", dtype)
    return _column_to_floats(array, what, dtype), names


def frame_names(frame: Any, what: str) -> tuple[str, ...]:
    """The names of a frame's columns.

    Raises:
        DataError: If a name occurs twice.
    """
    names = tuple(str(name) for name in frame.columns)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{what} has two columns of one name: {', '.join(map(repr, twice))}.")
    return names


def check_finite(
    array: np.ndarray, what: str, names: tuple[str, ...] | None = None, allow_nan: bool = False
) -> None:
    """Raise DataError where a value is Inf or (unless ``allow_nan``) NaN, and say where."""
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return
    nans = np.zeros(array.shape, bool) if allow_nan else np.isnan(array)
    infs = np.isinf(array)
    bad = nans | infs
    if not bad.any():
        return
    kind = " and ".join(word for word, flags in (("NaN", nans), ("Inf", infs)) if flags.any())
    if array.ndim == 2:
        columns = np.flatnonzero(bad.any(axis=0))
        listed = [
            f"{_label(i, names)} ({_count(nans[:, i], infs[:, i])})" for i in columns[:_LISTED]
        ]
        more = f" and {len(columns) - _LISTED} more" if len(columns) > _LISTED else ""
        where = f"in {len(columns)} of {array.shape[1]} columns: {', '.join(listed)}{more}"
    else:
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        where = f"({_count(nans, infs)}), the first in row {first[0] if first else 0}"
    raise DataError(
        f"{what} has {kind} {where}. Expected finite numbers: drop those rows or fill the gaps."
    )


def _column_to_floats(array: np.ndarray, what: str, dtype: str) -> np.ndarray:
    _check_integers(array, what, dtype)
    with np.errstate(over="ignore"):
        floats = np.ascontiguousarray(array, dtype=dtype)
    if array.dtype.kind == "f" and array.dtype.itemsize > floats.dtype.itemsize:
        over = np.isinf(floats) & np.isfinite(array)
        if over.any():
            raise DataError(
                f"{what} has a number too large for {dtype}. Expected at most "
                f"{np.finfo(dtype).max:.3g} in size: rescale it. Received: {array[over][0]!s}."
            )
    return floats


def _check_integers(array: np.ndarray, what: str, dtype: str) -> None:
    if array.dtype.kind not in "ui" or not array.size:
        return
    limit = 2 ** (np.finfo(dtype).nmant + 1)  # the last integer before gaps open
    low, high = int(array.min()), int(array.max())
    if low < -limit or high > limit:
        raise DataError(
            f"{what} has whole numbers that {dtype} cannot tell apart. Expected at most {limit} "
            "in size: subtract an offset, or give floats. "
            f"Received: {high if high > limit else low}."
        )


def _series_values(series: Any, what: str) -> np.ndarray:
    import pandas as pd

    kind = series.dtype
    if isinstance(kind, np.dtype) and kind.kind in "buif":
        return np.asarray(series)
    if pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_complex_dtype(kind):
        return np.asarray(series.to_numpy(dtype="float64", na_value=np.nan))  # nullable numbers
    known = series.dropna()
    example = f", for example {known.iloc[0]!r}" if len(known) else ""
    raise DataError(
        f"{what} column {str(series.name)!r} is not numeric: dtype {kind}{example}. Expected "
        "numbers: leave the column out, or encode it, for example with pandas.get_dummies."
    )


def _not_numbers(array: np.ndarray, what: str, names: tuple[str, ...] | None) -> str:
    if array.dtype.kind == "c":
        return (
            f"{what} is complex ({array.dtype}). Expected real numbers: give the real and the "
            "imaginary part as two columns."
        )
    where, example = "", array.flat[0] if array.size else None
    if array.ndim == 2 and array.size:
        for i, column in enumerate(array.T):
            odd = next((v for v in column if not isinstance(v, (int, float, np.number))), None)
            if odd is not None:
                where, example = f" column {_label(i, names)}", odd
                break
    return (
        f"{what}{where} is not numeric: dtype {array.dtype}, for example {_plain(example)!r}. "
        "Expected numbers: leave it out, or encode it."
    )


def _ragged(value: Any, what: str, error: Exception) -> str:
    if isinstance(value, (list, tuple)) and "inhomogeneous" in str(error):
        sizes = sorted({len(row) if hasattr(row, "__len__") else 0 for row in value})
        if len(sizes) > 1:
            return (
                f"{what} has rows of different lengths. Expected one length: pad the rows, with "
                "NaN where the model takes missing values. "
                f"Received: lengths {sizes[0]} to {sizes[-1]}."
            )
    return f"{what} cannot be read as an array: {error}"


def _label(index: int, names: tuple[str, ...] | None) -> str:
    return repr(names[index]) if names is not None else str(int(index))


def _count(nans: np.ndarray, infs: np.ndarray) -> str:
    counts = (("NaN", int(nans.sum())), ("Inf", int(infs.sum())))
    return ", ".join(f"{count} {word}" for word, count in counts if count)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
