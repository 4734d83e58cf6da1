"""What engines compute in: a precision, into which a network is copied, and sums in order."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfbdl import functional
from tfbdl.data import Dataset
from tfbdl.errors import ModelError
from tfbdl.inference.compilation import sums_in_order
from tfbdl.inference.rows import set_num_data


@contextlib.contextmanager
def computing_in(
    dtype: str, model: Any, data: Dataset | None
) -> Iterator[tuple[Any, Dataset | None]]:
    """The model and data of a run whose state, data and log joint have ``dtype``.

    A BayesianNetwork is copied: its net and learned parameters have ``dtype`` there, and while the
    context lasts it is Keras' default, of which the density's own constants are made. The model
    itself stays as it is, but is told the number of rows. Any other model decides for itself.
    Sums are made in order (``sums_in_order``), so that the same seed gives the same bits.

    Args:
        dtype: ``auto``, ``float32`` or ``float64``; ``auto`` changes nothing.
        model: What is sampled.
        data: Its data, or None.

    Raises:
        ModelError: If the model is no network and has sites of another precision.
    """
    with sums_in_order(), _in_precision(dtype, model, data) as given:
        yield given


@contextlib.contextmanager
def _in_precision(
    dtype: str, model: Any, data: Dataset | None
) -> Iterator[tuple[Any, Dataset | None]]:
    if dtype == "auto":
        yield model, data
        return
    rows = None if data is None else _cast(data.in_memory(), dtype)
    if not hasattr(model, "net"):
        _require(dtype, model)
        yield model, rows
        return
    if rows is not None:
        set_num_data(model, rows.num_rows)
    before = keras.config.floatx()
    keras.config.set_floatx(dtype)
    try:
        net = functional.clone(model.net, adjust=lambda config: with_dtype(config, dtype))
        yield model.clone(net=net), rows
    finally:
        keras.config.set_floatx(before)


def with_dtype(config: Any, dtype: str) -> Any:
    """A stored configuration in which all that is floating has ``dtype``, policies included."""
    if isinstance(config, Mapping):
        if str(config.get("class_name", "")).endswith("DTypePolicy"):
            return {**config, "class_name": "DTypePolicy", "config": {"name": dtype}}
        return {
            name: dtype if name == "dtype" and _is_floating(value) else with_dtype(value, dtype)
            for name, value in config.items()
        }
    if isinstance(config, (list, tuple)):
        return type(config)(with_dtype(part, dtype) for part in config)
    return config


def _is_floating(value: Any) -> bool:
    return isinstance(value, str) and value.removeprefix("mixed_") in (
        "bfloat16",
        "float16",
        "float32",
        "float64",
    )


def _require(dtype: str, model: Any) -> None:
    kinds = {site.name: site.dtype for site in model.sites}
    other = {n: k for n, k in kinds.items() if tf.as_dtype(k).is_floating and k != dtype}
    if other:
        listed = ", ".join(f"{name} {kind}" for name, kind in other.items())
        raise ModelError(
            f"dtype={dtype!r} cannot change the precision of a {type(model).__name__}, which its "
            f"sites decide. Build it in {dtype}: LogDensity(..., dtype={dtype!r}), or a joint "
            f"distribution whose parameters are {dtype}. Received: {listed}."
        )


def _cast(data: Dataset, dtype: str) -> Dataset:
    """The data with all floating inputs and targets in ``dtype``."""

    def cast(part: Any) -> Any:
        return part.astype(dtype) if np.issubdtype(part.dtype, np.floating) else part

    x, y = tf.nest.map_structure(cast, data.x), data.y
    return dataclasses.replace(data, x=x, y=None if y is None else cast(y))
