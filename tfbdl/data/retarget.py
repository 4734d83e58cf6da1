"""Clean data whose targets a model takes otherwise than they were taken when it was made."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..errors import DataError
from .dataset import Dataset
from .info import Task, describe
from .targets import Targets, to_targets

_BOOLEANS = ("False", "True")  # the names that booleans get; as numbers they are 0 and 1


def retarget(
    data: Dataset,
    *,
    task: Task | None = None,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
) -> Dataset:
    """The same data, with its targets as a model takes them.

    Args:
        data: Clean data; without targets it is returned as it is.
        task: ``"regression"`` makes labels floats, ``"classification"`` whole floats labels.
        num_classes: Of the labels; None: those that the data knows.
        class_names: Labels that have names are coded by their places here.

    Raises:
        DataError: If the targets are not of that kind, a class is unknown, or a stream would have
            to be read to tell.
    """
    info = data.info
    if info.task == "unsupervised" or task == "unsupervised" or info.y_shape is None:
        return data
    task = task or info.task
    names = None if class_names is None else tuple(map(str, class_names))
    if task != "classification" or names == info.class_names:
        names = None
    if data.stream is not None:
        return _stream(data, task, num_classes)
    known = num_classes if names is None else len(names)
    if task == info.task and names is None and (known is None or known == info.num_classes):
        return data
    y = _targets(data, data.y, task, known, names, "y")
    changed: dict[str, Any] = {"y": y.array}
    classes = y.num_classes
    if data.y_test is not None:
        test = _targets(data, data.y_test, task, known, names, "y_test")
        changed["y_test"] = test.array
        classes = None if classes is None else max(classes, test.num_classes or 0)
    described = describe(
        data.x,
        y.array,
        task=task,
        num_classes=classes,
        class_names=y.class_names,
        feature_names=info.feature_names,
        target_names=info.target_names,
    )
    return dataclasses.replace(data, info=described, **changed)


def labels_as_given(data: Dataset) -> np.ndarray | None:
    """The targets, with the names of labels that have some in the place of their codes."""
    if data.y is None or data.info.class_names is None:
        return data.y
    return np.asarray(data.info.class_names, dtype=object)[data.y]


def labels_by_name(y: np.ndarray, source: Any) -> np.ndarray:
    """The codes of labels that are given by name; numbers stay as they are.

    Args:
        y: Names or numbers.
        source: What may know the ``class_names`` of training: a DataInfo or a model.

    Raises:
        DataError: If it knows none, or not these.
    """
    if y.dtype.kind in "biuf":
        return y
    names = getattr(source, "class_names", None)
    if names is None:
        raise DataError(f"Expected targets that are numbers. Received: {y.ravel()[:1].tolist()}.")
    return to_targets(y, dtype="float64", task="classification", class_names=names).array


def _targets(
    data: Dataset,
    y: Any,
    task: Task,
    num_classes: int | None,
    names: tuple[str, ...] | None,
    what: str,
) -> Targets:
    known = data.info.class_names
    numbers = task == "regression" and known != _BOOLEANS
    if known is not None and (names is not None or numbers):
        y = np.asarray(known, dtype=object)[y]  # so that texts are looked up, or refused
    elif names is None and task == "classification":
        names = known
    dtype = data.info.y_dtype if data.info.task == "regression" else keras.config.floatx()
    return to_targets(
        y,
        dtype=dtype or keras.config.floatx(),
        task=task,
        num_classes=num_classes,
        class_names=names,
        allow_nan=True,
        what=what,
    )


def _stream(data: Dataset, task: Task, num_classes: int | None) -> Dataset:
    info = data.info
    if task == info.task:
        if task == "classification" and num_classes is not None:
            info = dataclasses.replace(info, num_classes=num_classes)
        return dataclasses.replace(data, info=info)
    if task == "classification":
        raise DataError(
            "The targets of this stream are floats, and a likelihood of classes takes labels. "
            "Expected whole numbers, or as_dataset(..., task='classification'). "
            f"Received: dtype {info.y_dtype}."
        )
    dtype = keras.config.floatx()

    def floats(x: Any, y: tf.Tensor, *weight: tf.Tensor) -> Any:
        return (x, tf.cast(y, dtype), *weight)

    stream: Any = data.stream
    info = dataclasses.replace(info, task=task, y_dtype=dtype, num_classes=None, class_names=None)
    return dataclasses.replace(data, stream=stream.map(floats), info=info)
