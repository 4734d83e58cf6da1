"""Targets: floats to regress on, or labels 0, 1, ..., K - 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import DataError, did_you_mean
from .columns import frame_names, is_frame, is_series, to_array, to_floats
from .info import Task

MANY_CLASSES = 1000
"""Whole numbers from here on are quantities, unless there are as many rows as classes."""


class Targets(NamedTuple):
    """Clean targets.

    Attributes:
        array: Floats, or int32 labels.
        task: Regression or classification.
        num_classes: None for floats.
        class_names: Where labels have names.
        names: Of the target columns.
    """

    array: np.ndarray
    task: Task
    num_classes: int | None = None
    class_names: tuple[str, ...] | None = None
    names: tuple[str, ...] | None = None


def to_targets(
    value: Any,
    *,
    dtype: str,
    task: Task | None = None,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    allow_nan: bool = False,
    what: str = "y",
) -> Targets:
    """Turn targets into floats or labels.

    Floats are for regression; booleans, texts, pandas categories and whole numbers are classes.
    Whole numbers of 1000 or more, that also outnumber the rows, are taken as quantities. Rows of
    labels that are 0 but for a single 1 count their columns as classes.

    Args:
        value: An array, a tensor, a Series, a DataFrame or nested lists: ``[n]`` or ``[n, ...]``.
        dtype: Of float targets.
        task: Overrides the guess: ``"regression"`` makes whole numbers floats,
            ``"classification"`` makes whole floats labels.
        num_classes: Where known before; labels are then held against it.
        class_names: Where known before; texts are then looked up in it.
        allow_nan: Admit NaN in floats, for a missing value.
        what: What to call the targets in an error.

    Raises:
        DataError: If labels are negative, fractional or out of range, a text is no known class,
            texts stand where numbers were expected, or a value is NaN or Inf.
    """
    if class_names is not None:
        class_names = tuple(str(name) for name in class_names)
        num_classes = len(class_names)
    names: tuple[str, ...] | None = None
    if is_frame(value) and value.shape[1] == 1:
        names = frame_names(value, what)
        inner = _from_column(value.iloc[:, 0], what, class_names)
        raw, class_names = inner[0][:, None], inner[1]
    elif is_frame(value):
        names = frame_names(value, what)
        whole = all(getattr(kind, "kind", "") in "bui" for kind in value.dtypes)
        raw = (
            value.to_numpy()
            if whole
            else to_floats(value, what, dtype=dtype, allow_nan=allow_nan)[0]
        )
    elif is_series(value):
        names = None if value.name is None else (str(value.name),)
        raw, class_names = _from_column(value, what, class_names)
    else:
        raw = to_array(value, what)
    if raw.ndim == 0:
        raise DataError(f"{what} must have one value for each row. Received: {value!r}.")
    if _is_text(raw):
        if task == "regression":
            raise DataError(f"{what} must be numbers for regression. Received: {raw.flat[0]!r}.")
        raw, class_names = _encode(raw, what, class_names)
    if raw.dtype.kind == "b":
        class_names = class_names if class_names is not None else ("False", "True")
        raw = raw.astype("int32")
    if class_names is not None:
        num_classes = len(class_names)
    if raw.dtype.kind == "f" and task == "classification":
        raw = _whole(raw, what)
    if raw.dtype.kind in "ui" and task != "regression":
        quantity = raw.size and int(raw.max()) >= max(MANY_CLASSES, len(raw))
        if not (quantity and task is None and num_classes is None):
            labels, count = _labels(raw, what, num_classes)
            return Targets(labels, "classification", count, class_names, names)
    floats, _ = to_floats(raw, what, dtype=dtype, allow_nan=allow_nan)
    return Targets(floats, "regression", names=names)


def _from_column(
    series: Any, what: str, class_names: tuple[str, ...] | None
) -> tuple[np.ndarray, tuple[str, ...] | None]:
    import pandas as pd

    if isinstance(series.dtype, pd.CategoricalDtype):
        missing = int(series.isna().sum())
        if missing:
            raise DataError(_missing_text(what, missing))
        if class_names is None:
            class_names = tuple(str(category) for category in series.cat.categories)
        return _encode(series.astype(str).to_numpy(dtype=object), what, class_names)
    if pd.api.types.is_string_dtype(series.dtype) or series.dtype == object:
        return series.to_numpy(dtype=object), class_names
    return to_array(series, what), class_names


def _is_text(raw: np.ndarray) -> bool:
    if raw.dtype.kind in "USTO" and not raw.size:
        return False
    return raw.dtype.kind in "UST" or (
        raw.dtype.kind == "O" and any(isinstance(value, (str, bytes)) for value in raw.flat)
    )


def _encode(
    raw: np.ndarray, what: str, class_names: tuple[str, ...] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    texts = [v.decode() if isinstance(v, bytes) else v for v in raw.ravel().tolist()]
    missing = sum(value is None or value != value for value in texts)
    if missing:
        raise DataError(_missing_text(what, missing))
    odd = next((value for value in texts if not isinstance(value, str)), None)
    if odd is not None:
        raise DataError(f"{what} mixes texts and other values. Received: {texts[0]!r} and {odd!r}.")
    names = class_names if class_names is not None else tuple(sorted(set(texts)))
    codes = {name: code for code, name in enumerate(names)}
    unknown = next((text for text in texts if text not in codes), None)
    if unknown is not None:
        raise DataError(
            f"{what} has the class {unknown!r}, which the training data has not."
            f"{did_you_mean(unknown, names)} Known: {', '.join(names)}."
        )
    labels = np.array([codes[text] for text in texts], dtype="int32").reshape(raw.shape)
    return labels, names


def _whole(raw: np.ndarray, what: str) -> np.ndarray:
    odd = raw != np.floor(raw)  # True for NaN; Inf is caught by the range below
    if odd.any() or not np.isfinite(raw).all():
        bad = raw[odd | ~np.isfinite(raw)]
        raise DataError(
            f"The labels in {what} must be whole numbers 0, 1, ..., K - 1. "
            f"Received: {bad.flat[0]!s} (and {bad.size - 1} more such values)."
        )
    return raw.astype("int64")


def _labels(raw: np.ndarray, what: str, num_classes: int | None) -> tuple[np.ndarray, int]:
    if not raw.size:
        return raw.astype("int32"), num_classes or 0
    low, high = int(raw.min()), int(raw.max())
    if low < 0:
        raise DataError(
            f"The labels in {what} must be 0, 1, ..., K - 1. Received: {low} (negative in "
            f"{int((raw < 0).sum())} rows). Recode them, two classes by (y > {low}).astype(int); "
            "for regression give task='regression'."
        )
    if num_classes is not None and high >= num_classes:
        raise DataError(
            f"The labels in {what} must be at most {num_classes - 1}, as there are {num_classes} "
            f"classes. Received: {high}."
        )
    if high > np.iinfo("int32").max:
        raise DataError(f"The labels in {what} must fit 32 bits. Received: {high}.")
    if num_classes is None:
        num_classes = raw.shape[-1] if _is_one_hot(raw) else max(high + 1, 2)
    return raw.astype("int32"), num_classes


def _is_one_hot(raw: np.ndarray) -> bool:
    return (
        raw.ndim > 1
        and raw.shape[-1] > 2
        and int(raw.max()) == 1
        and bool((raw.sum(axis=-1) == 1).all())
    )


def _missing_text(what: str, missing: int) -> str:
    return f"{what} lacks a class in {missing} rows. Expected one for each row: drop those rows."
