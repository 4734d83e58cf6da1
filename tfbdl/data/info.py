"""What a model may know of its training data, as plain values: shapes, classes, names, moments."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..errors import DataError, did_you_mean

Task = Literal["regression", "classification", "unsupervised"]
Shape = tuple[int | None, ...]
"""Without the batch axis; None where an axis varies between batches."""

_CHUNK = 8192  # rows in float64 at a time, so that moments need little memory


@dataclass(frozen=True, kw_only=True)
class DataInfo:
    """A description of data, which JSON can hold.

    Attributes:
        num_rows: Training rows; None where they cannot be counted.
        x_shape: Without the batch axis; for a mapping, name -> shape.
        x_dtype: For a mapping, name -> dtype.
        y_shape: ``()`` for y ``[n]``, ``(1,)`` for ``[n, 1]``; None without targets.
        y_dtype: None without targets.
        num_classes: Of integer, boolean or text targets; None for other targets, and for a stream
            of unknown length, unless it was given.
        class_names: In the order of the labels 0, 1, ...; None where labels have no names.
        task: What the targets ask for.
        x_mean, x_std: Per feature, over the training rows; None unless x is ``[n, d]``. The
            standard deviation (divisor n) of a constant column is given as 1.0. Of a stream
            without a known end, over its first 16 batches, as y_mean and y_std are.
        y_mean, y_std: The same per target; None unless the targets are floats ``[n]`` or
            ``[n, d]``.
        feature_names, target_names: Names of the columns, where there are any.
    """

    num_rows: int | None
    x_shape: Shape | dict[str, Shape]
    x_dtype: str | dict[str, str]
    y_shape: Shape | None = None
    y_dtype: str | None = None
    num_classes: int | None = None
    class_names: tuple[str, ...] | None = None
    task: Task = "unsupervised"
    x_mean: tuple[float, ...] | None = None
    x_std: tuple[float, ...] | None = None
    y_mean: tuple[float, ...] | None = None
    y_std: tuple[float, ...] | None = None
    feature_names: tuple[str, ...] | None = None
    target_names: tuple[str, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """A mapping of plain values (lists in place of tuples)."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), allow_nan=False))
        return plain

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> DataInfo:
        """The inverse of ``to_json``.

        Raises:
            DataError: If a key is unknown or missing.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for key in values:
            if key not in known:
                hint = did_you_mean(key, known)
                raise DataError(f"A DataInfo has no {key!r}.{hint} Known: {', '.join(known)}.")
        try:
            return cls(**{key: _tuples(value) for key, value in values.items()})
        except TypeError:
            raise DataError(
                "A DataInfo needs at least num_rows, x_shape and x_dtype. "
                f"Received: {', '.join(values) or 'nothing'}."
            ) from None


class Moments:
    """Mean and standard deviation per column, batch by batch.

    References:
        Chan, Golub, LeVeque 1983, "Algorithms for computing the sample variance", eq. 2.1.
    """

    def __init__(self) -> None:
        self.count = 0
        self._counts: Any = 0
        self._mean: Any = 0.0
        self._squares: Any = 0.0
        self._low: Any = np.inf
        self._high: Any = -np.inf

    def update(self, rows: np.ndarray) -> None:
        """Take in rows ``[n]`` or ``[n, d]``; NaN is left out of the mean of its column."""
        for start in range(0, len(rows), _CHUNK):
            part = np.asarray(rows[start : start + _CHUNK], dtype="float64")
            self._add(part.reshape(len(part), -1))

    @property
    def mean(self) -> tuple[float, ...]:
        """Per column."""
        return tuple(float(value) for value in np.atleast_1d(self._mean))

    @property
    def std(self) -> tuple[float, ...]:
        """Per column, with divisor n; 1.0 for a constant column."""
        variance = self._squares / np.maximum(self._counts, 1)
        constant = ~(self._low < self._high)
        std = np.where(constant | (variance <= 0.0), 1.0, np.sqrt(variance))
        return tuple(float(value) for value in np.atleast_1d(std))

    def _add(self, part: np.ndarray) -> None:
        total = part.sum(axis=0)
        if np.isfinite(total).all():  # as a rule: no missing value, which costs more
            counts = np.full(part.shape[1], len(part))
            mean = total / max(len(part), 1)
            centred = part - mean
            squares = np.einsum("ij,ij->j", centred, centred)
            low, high = part.min(axis=0, initial=np.inf), part.max(axis=0, initial=-np.inf)
        else:
            known = ~np.isnan(part)
            counts = known.sum(axis=0)
            mean = np.where(known, part, 0.0).sum(axis=0) / np.maximum(counts, 1)
            squares = (np.where(known, part - mean, 0.0) ** 2).sum(axis=0)
            low = np.where(known, part, np.inf).min(axis=0)
            high = np.where(known, part, -np.inf).max(axis=0)
        before = self._counts
        seen = before + counts
        gap = mean - self._mean
        share = counts / np.maximum(seen, 1)
        self._squares = self._squares + squares + gap**2 * before * share
        self._mean = self._mean + gap * share
        self._low = np.minimum(self._low, low)
        self._high = np.maximum(self._high, high)
        self._counts = seen
        self.count += len(part)


def describe(
    x: np.ndarray | Mapping[str, np.ndarray],
    y: np.ndarray | None = None,
    *,
    task: Task = "unsupervised",
    num_classes: int | None = None,
    class_names: tuple[str, ...] | None = None,
    feature_names: tuple[str, ...] | None = None,
    target_names: tuple[str, ...] | None = None,
) -> DataInfo:
    """Describe clean arrays.

    Shapes:
        x: ``[n, ...]``, or a mapping of such. Parts of different lengths leave ``num_rows`` None.
        y: ``[n]`` or ``[n, ...]``.
    """
    x_mean = x_std = y_mean = y_std = None
    x_shape: Any
    x_dtype: Any
    if isinstance(x, Mapping):
        lengths = {len(part) if part.ndim else None for part in x.values()}
        num_rows = lengths.pop() if len(lengths) == 1 else None
        x_shape = {name: part.shape[1:] for name, part in x.items()}
        x_dtype = {name: part.dtype.name for name, part in x.items()}
    else:
        num_rows, x_shape, x_dtype = len(x), x.shape[1:], x.dtype.name
        if x.ndim == 2:
            x_mean, x_std = _moments(x)
    if y is not None and y.dtype.kind == "f" and y.ndim <= 2:
        y_mean, y_std = _moments(y)
    return DataInfo(
        num_rows=num_rows,
        x_shape=x_shape,
        x_dtype=x_dtype,
        y_shape=None if y is None else y.shape[1:],
        y_dtype=None if y is None else y.dtype.name,
        num_classes=num_classes,
        class_names=class_names,
        task=task,
        x_mean=x_mean,
        x_std=x_std,
        y_mean=y_mean,
        y_std=y_std,
        feature_names=feature_names,
        target_names=target_names,
    )


def _moments(rows: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    moments = Moments()
    moments.update(rows)
    return moments.mean, moments.std


def _tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, Mapping):
        return {key: _tuples(item) for key, item in value.items()}
    return value
