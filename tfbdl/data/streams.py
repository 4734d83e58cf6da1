"""Rows that come as batches: tf.data.Dataset and keras.utils.PyDataset."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..errors import DataError
from .checks import check_weights
from .columns import to_floats
from .info import DataInfo, Moments, Task
from .targets import to_targets

_EXAMPLES = 2  # batches from which a PyDataset's shapes are inferred
LOOK = 16  # batches of a stream without a known end that are checked and described

CheckTargets = Callable[[np.ndarray], None]
"""Raises DataError where a model cannot have produced the targets ``[n, ...]``."""


def is_stream(data: Any) -> bool:
    """Whether ``data`` yields batches."""
    return isinstance(data, (tf.data.Dataset, keras.utils.PyDataset))


def open_stream(
    data: Any,
    *,
    dtype: str,
    num_rows: int | None = None,
    task: Task | None = None,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    allow_nan: bool = False,
    check_targets: CheckTargets | None = None,
) -> tuple[tf.data.Dataset, DataInfo]:
    """Bring batches into one form, check and count them.

    Batches are checked as they are given, as arrays are; then floats are cast to ``dtype``, inputs
    of other dtypes too, and whole targets become int32 labels. A finite stream is read once. Of
    one whose length is infinite or unknown the first 16 batches are checked and described, and
    ``num_rows`` is what was given.

    Args:
        data: Of batches ``x``, ``(x, y)`` or ``(x, y, sample_weight)``; x may be a mapping.
        dtype: A float dtype.
        num_rows: The number of training rows, where the stream cannot tell.
        task: Overrides the guess from the dtype of the targets.
        num_classes: Where known before; labels are then held against it.
        class_names: Names of the labels.
        allow_nan: Admit NaN, for a missing value.
        check_targets: Called with the clean targets of each batch that is checked.

    Raises:
        DataError: If elements are not batches, or contain what arrays must not contain.
    """
    raw = from_py_dataset(data) if isinstance(data, keras.utils.PyDataset) else data
    task = _check_spec(raw.element_spec, task)
    stream = raw.map(
        lambda *parts: _cast(parts, dtype, task),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    finite = int(raw.cardinality()) >= 0
    if class_names is not None:
        class_names = tuple(map(str, class_names))
        num_classes = len(class_names)
    summary = _Summary(task, dtype, num_classes, allow_nan, check_targets)
    for batch in itertools.islice(raw.as_numpy_iterator(), None if finite else LOOK):
        summary.update(batch)
    if not summary.rows:
        raise DataError("The data has no rows. Expected at least one batch that is not empty.")
    info = summary.info(stream.element_spec, num_rows, finite)
    if info.task == "classification":
        info = dataclasses.replace(info, class_names=class_names)
    return stream, info


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

    def __init__(
        self,
        task: Task,
        dtype: str,
        num_classes: int | None,
        allow_nan: bool,
        check_targets: CheckTargets | None,
    ) -> None:
        self.rows = 0
        self._task, self._dtype, self._allow_nan = task, dtype, allow_nan
        self._num_classes, self._check_targets = num_classes, check_targets
        self._seen_classes = 2
        self._x, self._y = Moments(), Moments()

    def update(self, batch: Any) -> None:
        x, y, weight = split_element(batch)
        parts = {f"x[{key!r}]": part for key, part in x.items()} if _is_map(x) else {"x": x}
        for what, part in parts.items():
            parts[what] = to_floats(part, what, dtype=self._dtype, allow_nan=self._allow_nan)[0]
        counts = {len(part) for part in (*parts.values(), y, weight) if part is not None}
        if len(counts) > 1:
            raise DataError(
                "Expected equally many rows in all parts of a batch. "
                f"Received: {', '.join(map(str, sorted(counts)))}."
            )
        self.rows += counts.pop()
        if not _is_map(x) and x.ndim == 2:
            self._x.update(parts["x"])
        if weight is not None:
            check_weights(weight, "sample_weight", dtype=self._dtype, whole=False)
        if y is not None and y.size:
            self._add_targets(y)

    def info(self, spec: Any, num_rows: int | None, finite: bool) -> DataInfo:
        x, y, _ = split_element(spec)
        num_classes = self._num_classes
        if num_classes is None and finite:
            num_classes = self._seen_classes
        x_shape: Any = {k: _shape(v) for k, v in x.items()} if _is_map(x) else _shape(x)
        x_dtype: Any = {k: v.dtype.name for k, v in x.items()} if _is_map(x) else x.dtype.name
        return DataInfo(
            num_rows=num_rows if num_rows is not None else (self.rows if finite else None),
            x_shape=x_shape,
            x_dtype=x_dtype,
            y_shape=None if y is None else _shape(y),
            y_dtype=None if y is None else y.dtype.name,
            num_classes=num_classes if self._task == "classification" else None,
            task=self._task,
            x_mean=self._x.mean if self._x.count else None,
            x_std=self._x.std if self._x.count else None,
            y_mean=self._y.mean if self._y.count else None,
            y_std=self._y.std if self._y.count else None,
        )

    def _add_targets(self, y: np.ndarray) -> None:
        found = to_targets(
            y,
            dtype=self._dtype,
            task=self._task,
            num_classes=self._num_classes,
            allow_nan=self._allow_nan,
        )
        if self._check_targets is not None:
            self._check_targets(found.array)
        self._seen_classes = max(self._seen_classes, found.num_classes or 0)
        if self._task == "regression" and y.ndim <= 2:
            self._y.update(found.array)


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
