"""Arrays, data frames, tf.data and PyDataset in one shape: ``as_dataset`` checks and converts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from ..errors import DataError, did_you_mean
from .checks import check_lengths, check_like, check_weights
from .columns import frame_names, is_frame, to_floats
from .dataset import Dataset
from .info import DataInfo, Task, describe
from .reading import current
from .retarget import retarget
from .streams import LOOK, CheckTargets, is_stream, open_stream
from .targets import to_targets


def as_dataset(
    data: Any,
    *,
    target: str | Sequence[str] | None = None,
    features: Sequence[str] | None = None,
    x_test: Any = None,
    y_test: Any = None,
    name: str | None = None,
    task: Task | None = None,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    feature_names: Sequence[str] | None = None,
    target_names: Sequence[str] | None = None,
    num_rows: int | None = None,
    dtype: str | None = None,
    allow_nan: bool = False,
    check_targets: CheckTargets | None = None,
) -> Dataset:
    """Check data and bring it into one shape.

    Args:
        data: A Dataset (returned as it is, but for what is asked of its targets), ``(x, y)``,
            ``(x, y, sample_weight)``, x alone, a mapping of arrays (x in several parts), a pandas
            DataFrame with ``target``, a Series, nested lists, a batched ``tf.data.Dataset`` or a
            ``keras.utils.PyDataset``.
        target: The target column or columns of a frame; the others are features.
        features: The feature columns of a frame, if not all others.
        x_test: Held-out inputs, in any of the forms that x may have.
        y_test: Held-out targets, in any of the forms that y may have.
        name: What to call the data.
        task: Overrides the guess from the targets' dtype (floats: regression; whole numbers,
            booleans, texts: classification).
        num_classes: Of the labels, where they need not all occur; a stream of unknown length
            cannot tell.
        class_names: Names of the labels 0, 1, ...; for texts this sets their order.
        feature_names: Names of the columns of an array x.
        target_names: Names of the columns of an array y.
        num_rows: Training rows of a stream that cannot tell.
        dtype: Of floats; None: as the run's model asks, else ``keras.config.floatx()``.
        allow_nan: Admit NaN in x and in float targets, where it stands for a missing value; so
            does a run whose model can do without a value.
        check_targets: Called with the clean targets, batch by batch where they are a stream's; it
            raises DataError where a model cannot have produced them.

    Returns:
        A Dataset whose x is float and whose y is float, or int32 for classes.

    Raises:
        DataError: If the data cannot be trained on; the message says where the fault is.
    """
    if isinstance(data, Dataset):
        if target is not None or features is not None:
            raise DataError("target and features choose columns of a frame. Received: a Dataset.")
        data = retarget(data, task=task, num_classes=num_classes, class_names=class_names)
        if check_targets is not None:
            _check_dataset(data, check_targets)
        if num_rows is not None and data.num_rows is None:
            data = dataclasses.replace(data, info=dataclasses.replace(data.info, num_rows=num_rows))
        return data if name is None else dataclasses.replace(data, name=name)
    if data is None or isinstance(data, (str, bytes)):
        raise DataError(
            "Expected arrays, a frame or batches. The name of a data set or file is for "
            f"tfbdl.fit to resolve. Received: {data!r}."
        )
    floats = dtype or current().dtype or keras.config.floatx()
    allow_nan = allow_nan or current().allow_nan
    if is_stream(data):
        stream, info = open_stream(
            data,
            dtype=floats,
            num_rows=num_rows,
            task=task,
            num_classes=num_classes,
            class_names=class_names,
            allow_nan=allow_nan,
            check_targets=check_targets,
        )
        made = Dataset(name=name or "data", info=info, stream=stream)
    else:
        made = _from_arrays(
            *_parts(data, target, features),
            dtype=floats,
            task=task,
            num_classes=num_classes,
            class_names=class_names,
            feature_names=None if feature_names is None else tuple(map(str, feature_names)),
            target_names=None if target_names is None else tuple(map(str, target_names)),
            allow_nan=allow_nan,
            name=name or "data",
        )
        if check_targets is not None and made.y is not None:
            check_targets(made.y)
    if x_test is None:
        if y_test is not None:
            raise DataError("y_test was given without x_test.")
        return made
    if y_test is not None:
        made = dataclasses.replace(made, info=_with_test_classes(made.info, y_test))
    clean_x, clean_y = check_like(made.info, x_test, y_test, allow_nan=allow_nan, suffix="_test")
    return dataclasses.replace(made, x_test=clean_x, y_test=clean_y)


def clean_inputs(x: Any) -> Any:
    """Inputs in memory as ``as_dataset`` would check and bring them, without a description.

    Args:
        x: Arrays, a frame, a Series, nested lists, or a mapping of arrays; of ``(x, y)`` the first.

    Returns:
        An array ``[n, ...]``, or a mapping of such.

    Raises:
        DataError: If they cannot be inputs; the message says where the fault is.
    """
    dtype = current().dtype or keras.config.floatx()
    given, *_ = _parts(x, None, None)
    return _inputs(given, dtype, current().allow_nan, None, aligned=False)[0]


def _check_dataset(data: Dataset, check_targets: CheckTargets) -> None:
    """Check the targets, of a stream those of its first batches: it was read when it was made."""
    if data.y is not None:
        check_targets(data.y)
    if data.stream is not None and data.info.y_shape is not None:
        for batch in data.stream.take(LOOK).as_numpy_iterator():
            check_targets(batch[1])


def _parts(
    data: Any, target: str | Sequence[str] | None, features: Sequence[str] | None
) -> tuple[Any, Any, Any]:
    """(x, y, sample_weight) as they were given."""
    if is_frame(data):
        return (*_split_frame(data, target, features), None)
    if target is not None or features is not None:
        raise DataError(
            "target and features choose columns of a pandas frame. "
            f"Received: {type(data).__name__}."
        )
    if not isinstance(data, tuple):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise DataError(
            f"Expected x, (x, y) or (x, y, sample_weight). Received: a tuple of {len(data)} parts."
        )
    x, y, weight = (*data, None, None)[:3]
    if y is None and weight is not None:
        raise DataError("sample_weight weighs the targets. Expected y beside it. Received: None.")
    return x, y, weight


def _split_frame(
    frame: Any, target: str | Sequence[str] | None, features: Sequence[str] | None
) -> tuple[Any, Any]:
    columns = frame_names(frame, "The frame")
    targets = (target,) if isinstance(target, str) else tuple(target or ())
    chosen = (features,) if isinstance(features, str) else features
    inputs = [n for n in columns if n not in targets] if chosen is None else list(chosen)
    for column in (*targets, *inputs):
        if column not in columns:
            raise DataError(
                f"The frame has no column {column!r}.{did_you_mean(column, columns)} "
                f"Known: {', '.join(columns)}."
            )
    both = [column for column in inputs if column in targets]
    if both or not inputs:
        fault = f"{both[0]!r} is a feature and a target" if both else "No feature columns are left"
        raise DataError(f"{fault}. Expected features beside the target. Received: {targets}.")
    x = frame.iloc[:, [columns.index(name) for name in inputs]]
    if not targets:
        return x, None
    places = [columns.index(name) for name in targets]
    return x, frame.iloc[:, places[0] if len(places) == 1 else places]


def _from_arrays(
    x: Any,
    y: Any,
    weight: Any,
    *,
    dtype: str,
    task: Task | None,
    num_classes: int | None,
    class_names: Sequence[str] | None,
    feature_names: tuple[str, ...] | None,
    target_names: tuple[str, ...] | None,
    allow_nan: bool,
    name: str,
) -> Dataset:
    clean, rows = _inputs(x, dtype, allow_nan, feature_names, aligned=y is not None)
    names = feature_names
    if is_frame(x):
        names = frame_names(x, "x")
    info_of_targets: dict[str, Any] = {}
    target = weights = None
    if y is not None:
        found = to_targets(
            y,
            dtype=dtype,
            task=task,
            num_classes=num_classes,
            class_names=class_names,
            allow_nan=allow_nan,
        )
        target = found.array
        rows["y"] = len(target)
        info_of_targets = {
            "task": found.task,
            "num_classes": found.num_classes,
            "class_names": found.class_names,
            "target_names": target_names or found.names,
        }
    if weight is not None:
        weights = check_weights(weight, "sample_weight", dtype=dtype)
        rows["sample_weight"] = len(weights)
    check_lengths(rows)
    info = describe(clean, target, feature_names=names, **info_of_targets)
    return Dataset(x=clean, y=target, sample_weight=weights, name=name, info=info)


def _inputs(
    x: Any, dtype: str, allow_nan: bool, names: tuple[str, ...] | None, *, aligned: bool
) -> tuple[Any, dict[str, int]]:
    """Clean inputs, and the rows of the parts that must agree."""
    if isinstance(x, Mapping) and not is_frame(x):
        if not x:
            raise DataError("x has no parts. Expected a mapping with at least one array.")
        clean = {
            str(key): to_floats(part, f"x[{key!r}]", dtype=dtype, allow_nan=allow_nan)[0]
            for key, part in x.items()
        }
        empty = {f"x[{key!r}]": 0 for key, part in clean.items() if not part.size}
        check_lengths(empty)
        sizes = {f"x[{key!r}]": len(part) if part.ndim else 0 for key, part in clean.items()}
        return clean, sizes if aligned else {}
    array, _ = to_floats(x, "x", dtype=dtype, names=names, allow_nan=allow_nan)
    if array.ndim == 0:
        raise DataError(f"x must have rows. Expected an array [rows, ...]. Received: {x!r}.")
    return array, {"x": len(array)}


def _with_test_classes(info: DataInfo, y_test: Any) -> DataInfo:
    """Count the labels that occur in the test rows alone."""
    if info.num_classes is None or info.class_names is not None:
        return info
    found = to_targets(y_test, dtype="float32", task="classification", what="y_test")
    return dataclasses.replace(info, num_classes=max(info.num_classes, found.num_classes or 0))
