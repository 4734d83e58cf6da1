"""The class that all data becomes: clean arrays or batches, with a description."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from ..errors import DataError
from .batches import epochs_of_batches
from .info import DataInfo, describe


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Clean data: finite floats as inputs, floats or int32 labels as targets.

    Make one with ``as_dataset``, which checks and converts.

    Attributes:
        x: ``[n, ...]``, or a mapping of such; None for a stream.
        y: ``[n]`` or ``[n, ...]``; None for a stream or without targets.
        sample_weight: ``[n]``, or None.
        x_test, y_test: Rows held out, or None.
        name: What to call the data.
        info: Its description.
        stream: Batches, where rows are not held as arrays.
    """

    x: Any = None
    y: np.ndarray | None = None
    sample_weight: np.ndarray | None = None
    x_test: Any = None
    y_test: np.ndarray | None = None
    name: str = "data"
    info: DataInfo
    stream: tf.data.Dataset | None = None

    @property
    def num_rows(self) -> int | None:
        """Training rows; None where they cannot be counted."""
        return self.info.num_rows

    def batches(
        self,
        batch_size: int,
        *,
        seed: int,
        shuffle: bool = True,
        start_epoch: int = 0,
        skip: int = 0,
        repeat: bool = True,
    ) -> tf.data.Dataset:
        """Batches ``x``, ``(x, y)`` or ``(x, y, sample_weight)``.

        The order of an epoch is a function of (seed, epoch) alone, so a run that starts at
        ``start_epoch=k`` sees what it would have seen after k epochs. Each epoch has every row
        once; its last batch may be smaller. A stream keeps its own batches and order, and
        ``batch_size``, ``seed`` and ``shuffle`` do not touch it.

        Args:
            batch_size: At least 1.
            seed: From 0 to 2**63 - 1.
            shuffle: Whether to draw a new order for each epoch; a batch of all rows keeps theirs.
            start_epoch: The first epoch, from 0.
            skip: Batches of it to leave out.
            repeat: Whether to go on for ever; otherwise one epoch.

        Raises:
            DataError: If the rows cannot be batched.
        """
        if self.stream is not None:
            return self._stream_batches(batch_size, start_epoch, skip, repeat)
        return epochs_of_batches(
            self._tensors,
            self._counted_rows(),
            _check_batch_size(batch_size),
            seed=seed,
            shuffle=shuffle,
            start_epoch=start_epoch,
            skip=skip,
            repeat=repeat,
        )

    def steps_per_epoch(self, batch_size: int) -> int:
        """How many batches an epoch has.

        Raises:
            DataError: If the rows are not counted.
        """
        if self.stream is None:
            return math.ceil(self._counted_rows() / _check_batch_size(batch_size))
        length: int = int(self.stream.cardinality())
        if length >= 0:
            return length
        size: int | None = tf.nest.flatten(self.stream.element_spec)[0].shape[0]
        if size is None:
            size = len(tf.nest.flatten(next(iter(self.stream)))[0])
        return math.ceil(self._counted_rows() / size)

    def in_memory(self, batches: int | None = None) -> Dataset:
        """The same data with all rows held as arrays; a stream is gathered.

        Args:
            batches: Of a stream: how many to take; None: all.

        Raises:
            DataError: If all rows of a stream without an end are asked for, or it has no rows.
        """
        if self.stream is None:
            return self
        stream: Any = self.stream
        if batches is None and int(stream.cardinality()) == tf.data.INFINITE_CARDINALITY:
            raise DataError(
                "All rows are needed at once. Expected arrays, or a stream that ends. "
                "Received: an endless stream."
            )
        parts = list(stream.take(-1 if batches is None else batches).as_numpy_iterator())
        if not parts:
            raise DataError("The data have no rows. Received: a stream without batches.")
        joined = tf.nest.map_structure(lambda *rows: np.concatenate(rows), *parts)
        x, y, weight, *_ = (*(joined if isinstance(joined, tuple) else (joined,)), None, None)
        rows = len(tf.nest.flatten(x)[0])
        info = dataclasses.replace(self.info, num_rows=rows)
        return dataclasses.replace(self, x=x, y=y, sample_weight=weight, info=info, stream=None)

    def validation_split(self, fraction: float) -> tuple[Dataset, Dataset]:
        """(train, validation): the last rows become validation data, as in Keras.

        Args:
            fraction: Of the rows, strictly between 0 and 1; rounded as Keras does.

        Raises:
            DataError: If the rows are not held as arrays, or a part would be empty.
        """
        if not 0.0 < fraction < 1.0:
            raise DataError(f"fraction must be between 0 and 1. Received: {fraction!r}.")
        rows = self._held_rows("validation_split")
        at = math.floor(rows * (1.0 - fraction))
        if not 0 < at < rows:
            raise DataError(
                f"{rows} rows cannot be split with fraction {fraction:g}: one part would be empty."
            )
        train = self._described(*self._rows(slice(0, at)))
        x, y, weight = self._rows(slice(at, rows))
        info = dataclasses.replace(train.info, num_rows=rows - at)
        return train, Dataset(x=x, y=y, sample_weight=weight, name=self.name, info=info)

    def hold_out(self, test: Sequence[int] | np.ndarray) -> Dataset:
        """The same data with some rows set apart as ``x_test``, ``y_test``.

        Args:
            test: Indices of rows, each from 0 to n - 1; the others keep their order.

        Raises:
            DataError: If the rows are not held as arrays, an index is out of range, or no
                training row is left.
        """
        rows = self._held_rows("hold_out")
        index = np.asarray(test, dtype="int64")
        if index.size and not (index.min() >= 0 and index.max() < rows):
            raise DataError(
                f"Test rows must be from 0 to {rows - 1}. Received: {index.min()} to {index.max()}."
            )
        keep = np.ones(rows, bool)
        keep[index] = False
        if not keep.any():
            raise DataError("No training rows are left. Hold out fewer.")
        x_test, y_test, _ = self._rows(index)
        train = self._described(*self._rows(keep))
        return dataclasses.replace(train, x_test=x_test, y_test=y_test)

    def part(self, index: slice) -> Dataset:
        """Some of the training rows, with the description of all but for their number.

        Args:
            index: Which rows.

        Raises:
            DataError: If the rows are not held as arrays.
        """
        self._held_rows("part")
        x, y, weight = self._rows(index)
        info = dataclasses.replace(self.info, num_rows=len(tf.nest.flatten(x)[0]))
        return Dataset(x=x, y=y, sample_weight=weight, name=self.name, info=info)

    def inputs(self) -> Dataset:
        """The same data without targets."""
        info = dataclasses.replace(
            self.info,
            y_shape=None,
            y_dtype=None,
            y_mean=None,
            y_std=None,
            num_classes=None,
            class_names=None,
            target_names=None,
            task="unsupervised",
        )
        stream: Any = self.stream
        if stream is not None and isinstance(stream.element_spec, tuple):
            stream = stream.map(lambda x, *_: x)
        return dataclasses.replace(self, y=None, y_test=None, info=info, stream=stream)

    def fingerprint(self) -> str:
        """A sha256 of the training rows with their shapes and dtypes, as hex digits.

        For a stream, whose batches may be shuffled anew at each pass or made on the way, of its
        element spec, length and rows alone: two of one form are not told apart.
        """
        digest = hashlib.sha256()
        parts: Any = (self.x, self.y, self.sample_weight)
        if self.stream is not None:
            form = (self.stream.element_spec, int(self.stream.cardinality()), self.num_rows)
            digest.update(repr(form).encode())
            parts = ()
        for path, leaf in _leaves(parts):
            array = np.ascontiguousarray(leaf)
            digest.update(f"{path} {array.dtype.str} {np.shape(leaf)};".encode())
            digest.update(array.data)
        return digest.hexdigest()

    @cached_property
    def _tensors(self) -> Any:
        """The training rows as tensors in main memory, made once."""
        parts = [part for part in (self.x, self.y, self.sample_weight) if part is not None]
        with tf.device("CPU:0"):
            tensors = tf.nest.map_structure(tf.convert_to_tensor, tuple(parts))
        return tensors if len(tensors) > 1 else tensors[0]

    def _stream_batches(
        self, batch_size: int, start_epoch: int, skip: int, repeat: bool
    ) -> tf.data.Dataset:
        stream: Any = self.stream
        if int(stream.cardinality()) != tf.data.INFINITE_CARDINALITY:  # each pass is an epoch
            stream = stream.repeat() if repeat else stream
            return stream.skip(skip) if skip else stream
        if start_epoch or not repeat:
            steps = self.steps_per_epoch(batch_size)
            skip += start_epoch * steps
        stream = stream.skip(skip) if skip else stream
        return stream if repeat else stream.take(steps)

    def _rows(self, index: Any) -> tuple[Any, Any, Any]:
        return tuple(  # type: ignore[return-value]
            None if part is None else tf.nest.map_structure(lambda a: a[index], part)
            for part in (self.x, self.y, self.sample_weight)
        )

    def _described(self, x: Any, y: Any, weight: Any) -> Dataset:
        info = describe(
            x,
            y,
            task=self.info.task,
            num_classes=self.info.num_classes,
            class_names=self.info.class_names,
            feature_names=self.info.feature_names,
            target_names=self.info.target_names,
        )
        return dataclasses.replace(self, x=x, y=y, sample_weight=weight, info=info)

    def _held_rows(self, action: str) -> int:
        if self.stream is not None:
            raise DataError(f"{action} needs rows held as arrays. Received: a stream of batches.")
        return self._counted_rows()

    def _counted_rows(self) -> int:
        if self.num_rows is None:
            raise DataError(
                "The rows of this stream are not counted. Expected: as_dataset(stream, "
                "num_rows=N), or in model.fit steps_per_epoch."
                if self.stream is not None
                else "Parts of different lengths cannot be batched or split by rows."
            )
        return self.num_rows


def _leaves(parts: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The arrays of a nest with their places, in an order that no dict decides."""
    if isinstance(parts, Mapping):
        for key in sorted(parts):
            yield from _leaves(parts[key], f"{path}/{key}")
    elif isinstance(parts, tuple):
        for i, part in enumerate(parts):
            yield from _leaves(part, f"{path}/{i}")
    elif parts is not None:
        yield path, parts


def _check_batch_size(batch_size: int) -> int:
    if batch_size < 1:
        raise DataError(f"batch_size must be at least 1. Received: {batch_size!r}.")
    return batch_size
