"""Rows that come as batches: tf.data.Dataset and keras.utils.PyDataset."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..errors import DataError
from .columns import check_finite
from .info import DataInfo, Moments, Task

_EXAMPLES = 2  # batches from which a PyDataset's shapes are inferred


def is_stream(data: Any) -> bool:
    """Whether ``data`` yields batches."""
    return isinstance(data, (tf.data.Dataset, keras.utils.PyDataset))


def open_stream(
    data: Any,
    *,
    dtype: str,
    num_rows: int | None = None,
    task: Task | None = None,
    class_names: Sequence[str] | None = None,
    allow_nan: bool = False,
) -> tuple[tf.data.Dataset, DataInfo]:
    """Bring batches into one form, check and count them.

    Floats are cast to ``dtype``, inputs of other dtypes too; whole targets become int32 labels. A
    finite stream is read once; of one whose length is infinite or unknown, only the first batch
    is checked, and ``num_rows`` is what was given.

    Args:
        data: Of batches ``x``, ``(x, y)`` or ``(x, y, sample_weight)``; x may be a mapping.
        dtype: A float dtype.
        num_rows: The number of training rows, where the stream cannot tell.
        task: Overrides the guess from the dtype of the targets.
        class_names: Names of the labels.
        allow_nan: Admit NaN, for a missing value.

    Raises:
        DataError: If elements are not batches, or contain what arrays must not contain.
    """
    stream = from_py_dataset(data) if isinstance(data, keras.utils.PyDataset) else data
    task = _check_spec(stream.element_spec, task)
    stream = stream.map(
        lambda *parts: _cast(parts, dtype, task),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    finite = int(stream.cardinality()) >= 0
    batches = iter(stream.as_numpy_iterator())
    summary = _Summary(task, class_names, allow_nan)
    for batch in batches if finite else itertools.islice(batches, 1):
        summary.update(batch)
    if not summary.rows:
        raise DataError("The data has no rows. Expected at least one batch that is not empty.")
    return stream, summary.info(stream.element_spec, num_rows, finite)


def from_py_dataset(data: keras.utils.PyDataset) -> tf.data.Dataset:
    """The batches of a PyDataset, in its order; its epoch hooks are called at each pass.

    Raises:
        DataError: If it has no batches.
    """
    count = data.num_batches
    if count == 0:
        raise DataError("The PyDataset has no batches. Expected at least one.")
    shown = range(_EXAMPLES if count is None else min(count, _EXAMPLES))
    examples = [_as_elements(data[i]) for i in shown]
    signature = tf.nest.map_structure(_spec, *examples)

    def batches() -> Iterator[Any]:
        data.on_epoch_begin()
        for i in itertools.count() if count is None else range(count):
            yield _as_elements(data[i])
        data.on_epoch_end()

    stream = tf.data.Dataset.from_generator(batches, output_signature=signature)
    length = tf.data.INFINITE_CARDINALITY if count is None else count
    return stream.apply(tf.data.experimental.assert_cardinality(length))


def split_element(element: Any) -> tuple[Any, Any, Any]:
    """An element as (x, y, sample_weight), with None for what is absent."""
    parts = element if isinstance(element, tuple) else (element,)
    padded = (*parts, None, None)
    return padded[0], padded[1], padded[2]


class _Summary:
    """What one pass learns."""

    def __init__(self, task: Task, class_names: Sequence[str] | None, allow_nan: bool) -> None:
        self.rows = 0
        self._task, self._allow_nan = task, allow_nan
        self._class_names = None if class_names is None else tuple(map(str, class_names))
        self._top = -1
        self._x, self._y = Moments(), Moments()

    def update(self, batch: Any) -> None:
        x, y, weight = split_element(batch)
        parts = {f"x[{key!r}]": part for key, part in x.items()} if _is_map(x) else {"x": x}
        for what, part in parts.items():
            check_finite(part, what, allow_nan=self._allow_nan)
        counts = {len(part) for part in (*parts.values(), y, weight) if part is not None}
        if len(counts) > 1:
            raise DataError(
                "Expected equally many rows in all parts of a batch. "
                f"Received: {', '.join(map(str, sorted(counts)))}."
            )
        self.rows += counts.pop()
        if not _is_map(x) and x.ndim == 2:
            self._x.update(x)
        if y is None or not y.size:
            return
        if self._task == "classification":
            self._check_labels(y)
        else:
            check_finite(y, "y", allow_nan=self._allow_nan)
            if y.ndim <= 2:
                self._y.update(y)
        if weight is not None:
            check_finite(weight, "sample_weight")

    def info(self, spec: Any, num_rows: int | None, finite: bool) -> DataInfo:
        x, y, _ = split_element(spec)
        classes = self._task == "classification"
        num_classes = None if not classes or not finite else max(self._top + 1, 2)
        if self._class_names is not None and classes:
            num_classes = len(self._class_names)
        x_shape: Any = {k: _shape(v) for k, v in x.items()} if _is_map(x) else _shape(x)
        x_dtype: Any = {k: v.dtype.name for k, v in x.items()} if _is_map(x) else x.dtype.name
        return DataInfo(
            num_rows=num_rows if num_rows is not None else (self.rows if finite else None),
            x_shape=x_shape,
            x_dtype=x_dtype,
            y_shape=None if y is None else _shape(y),
            y_dtype=None if y is None else y.dtype.name,
            num_classes=num_classes,
            class_names=self._class_names if classes else None,
            task=self._task,
            x_mean=self._x.mean if self._x.count else None,
            x_std=self._x.std if self._x.count else None,
            y_mean=self._y.mean if self._y.count else None,
            y_std=self._y.std if self._y.count else None,
        )

    def _check_labels(self, y: np.ndarray) -> None:
        low, high = int(y.min()), int(y.max())
        most = len(self._class_names) - 1 if self._class_names is not None else None
        if low < 0 or (most is not None and high > most):
            raise DataError(
                f"The labels in y must be 0, 1, ..., {'K - 1' if most is None else most}. "
                f"Received: {low if low < 0 else high}. For regression give floats, or "
                "task='regression'."
            )
        self._top = max(self._top, high)


def _check_spec(spec: Any, task: Task | None) -> Task:
    parts = spec if isinstance(spec, tuple) else (spec,)
    if len(parts) > 3:
        raise DataError(
            "Expected batches x, (x, y) or (x, y, sample_weight). "
            f"Received: tuples of {len(parts)} parts."
        )
    for part in tf.nest.flatten(parts):
        if not isinstance(part, tf.TensorSpec):
            raise DataError(f"Expected batches of dense tensors. Received: {part}.")
        if part.shape.rank == 0:
            raise DataError(
                "Expected batches, each part with a first axis of rows: call .batch(size) on the "
                f"data set. Received: elements {spec}."
            )
        if not (part.dtype.is_floating or part.dtype.is_integer or part.dtype.is_bool):
            raise DataError(f"Expected batches of real numbers. Received: {part}.")
    if len(parts) == 1:
        return "unsupervised"
    if not isinstance(parts[1], tf.TensorSpec):
        raise DataError(f"Expected one tensor of targets. Received: {parts[1]}.")
    return task or ("regression" if parts[1].dtype.is_floating else "classification")


def _cast(parts: tuple[Any, ...], dtype: str, task: Task) -> Any:
    x, y, weight = split_element(parts)
    x = tf.nest.map_structure(lambda part: tf.cast(part, dtype), x)
    if y is None:
        return x
    y = tf.cast(y, "int32" if task == "classification" else dtype)
    return (x, y) if weight is None else (x, y, tf.cast(weight, dtype))


def _as_elements(batch: Any) -> Any:
    parts = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
    while len(parts) > 1 and parts[-1] is None:
        parts = parts[:-1]
    arrays = tuple(tf.nest.map_structure(np.asarray, part) for part in parts)
    return arrays if len(arrays) > 1 else arrays[0]


def _spec(*arrays: np.ndarray) -> tf.TensorSpec:
    shapes = [array.shape[1:] for array in arrays]
    inner = [sizes[0] if len(set(sizes)) == 1 else None for sizes in zip(*shapes, strict=True)]
    return tf.TensorSpec([None, *inner], arrays[0].dtype)


def _shape(spec: tf.TensorSpec) -> tuple[int | None, ...]:
    return tuple(spec.shape[1:]) if spec.shape.rank is not None else ()


def _is_map(x: Any) -> bool:
    return isinstance(x, Mapping)
