"""The check of a data set, and simulated data on which models are checked."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from .. import registry
from ..config import make
from ..data import Dataset, as_dataset
from ..specs import ModelSpec
from .expect import require, require_finite

ROWS = 24


def check_dataset(name: str, **options: Any) -> None:
    """A data set's factory gives a clean Dataset, the same each time.

    Args:
        name: Of the data set.
        **options: Those without a default, or others than the defaults.

    Raises:
        AssertionError: If it is no Dataset, has numbers that are not finite, or differs the second
            time.
        DataError: If the data is not on this machine.
    """
    spec = registry.registry().datasets[name]
    chosen = make(spec.config, options, f"dataset options of {name!r}")
    factory = registry.resolve(spec.factory)
    first, second = factory(chosen), factory(chosen)
    who = f"Data set {name!r}"
    require(
        isinstance(first, Dataset),
        f"{who}: the factory must return a tfbdl.Dataset. Received: {type(first).__name__}.",
    )
    require(first.fingerprint() == second.fingerprint(), f"{who} differs the second time.")
    parts = {"x": first.x, "y": first.y, "x_test": first.x_test, "y_test": first.y_test}
    arrays = {
        f"{part}{i or ''}": array
        for part, value in parts.items()
        for i, array in enumerate(tf.nest.flatten(value))
        if array is not None
    }
    require(arrays or first.stream is not None, f"{who} holds no data.")
    require_finite(who, arrays)
    if spec.task in ("regression", "classification"):
        require(
            first.info.task == spec.task,
            f"{who} is said to be for {spec.task}, but its targets ask for {first.info.task}.",
        )


def regression_data() -> Dataset:
    """Three inputs, one target that is linear in them with noise: 24 rows."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 3))
    y = x @ [1.0, -0.5, 0.25] + 0.1 * rng.normal(size=ROWS)
    return as_dataset((x.astype("float32"), y.astype("float32")), name="simulated_regression")


def classification_data() -> Dataset:
    """Three inputs, three classes by the largest of them: 24 rows."""
    x = np.random.default_rng(1).normal(size=(ROWS, 3)).astype("float32")
    return as_dataset((x, x.argmax(axis=1).astype("int32")), name="simulated_classification")


def binary_data() -> Dataset:
    """Three inputs, two classes with noise, which every classifier takes: 24 rows."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(ROWS, 3)).astype("float32")
    y = x[:, 0] - x[:, 1] + 0.5 * rng.normal(size=ROWS) > 0
    return as_dataset((x, y.astype("int32")), name="simulated_binary")


def unsupervised_data() -> Dataset:
    """Two clusters of four numbers in (0, 1), by turns: 24 rows."""
    rng = np.random.default_rng(2)
    centres = np.where(np.arange(ROWS)[:, np.newaxis] % 2, 0.25, 0.75)
    x = np.clip(centres + 0.05 * rng.normal(size=(ROWS, 4)), 0.01, 0.99)
    return as_dataset(x.astype("float32"), name="simulated_clusters")


def symbol_data() -> Dataset:
    """Sequences of three symbols, each as a rule followed by the next: 8 rows of 13."""
    rng = np.random.default_rng(4)
    steps = rng.choice([1, 0], p=[0.8, 0.2], size=(8, 13))
    x = np.cumsum(steps, axis=1) % 3
    made = as_dataset(x[..., np.newaxis].astype("float32"), name="simulated_symbols")
    info = dataclasses.replace(made.info, num_classes=3, class_names=("a", "b", "c"))
    return dataclasses.replace(made, info=info)


def data_for(spec: ModelSpec) -> list[Dataset]:
    """The simulated data on which a model is checked: those of its task, or symbols."""
    task = spec.task
    if spec.symbols:
        return [symbol_data()]
    if task == "supervised":
        return [regression_data(), classification_data()]
    if task == "regression":
        return [regression_data()]
    return [binary_data() if task == "classification" else unsupervised_data()]
