"""One step of plain gradient descent, with the noise frozen where replicas are compared."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from .. import functional, random
from ..data import Dataset
from .expect import require, require_finite

LEARNING_RATE = 0.1
_RATES = ("rate", "dropout", "recurrent_dropout")


@contextlib.contextmanager
def frozen_noise() -> Iterator[None]:
    """Every draw of ``tfbdl.random`` is its centre: normals 0, uniforms 0.5, signs +1.

    It acts where a function is traced: build and compile the model inside. Noise that a model
    draws elsewhere, from TensorFlow or Keras, is not frozen.

    Example:
        ```python
        with tfbdl.testing.frozen_noise():
            model.compile(optimizer="sgd")
            model.fit(x, y, epochs=1)
        ```
    """
    with random.frozen():
        yield


def without_dropout(model: keras.Model) -> None:
    """Set every rate of dropout in a model to zero."""
    for layer in functional.layers_of(model):
        for attribute in _RATES:
            is_rate = attribute != "rate" or "Dropout" in type(layer).__name__
            if isinstance(getattr(type(layer), attribute, None), property):
                continue  # a recurrent layer shows the rates of its cell, which is a layer too
            if is_rate and isinstance(getattr(layer, attribute, None), float):
                setattr(layer, attribute, 0.0)


def without_xla(model: Any) -> Any:
    """Tell Keras' ``jit_compile="auto"`` not to compile a model for the few steps of a check."""
    if isinstance(model, keras.Model):
        for layer in functional.layers_of(model):
            layer.supports_jit = False
    return model


def train_one_step(who: str, model: keras.Model, data: Dataset) -> list[tuple[str, np.ndarray]]:
    """Train one step on all rows: (path, change) of each trainable variable.

    Args:
        who: What to call the model in an error.
        model: Built; compiled here with plain SGD and without XLA.
        data: All its rows are one batch.

    Raises:
        AssertionError: If a metric or a weight is not finite.
    """
    arguments: dict[str, Any] = {
        name: keras.optimizers.SGD(LEARNING_RATE)
        for name in inspect.signature(model.compile).parameters
        if name.endswith("optimizer")
    }
    if "jit_compile" in inspect.signature(model.compile).parameters:
        arguments["jit_compile"] = False
    model.compile(**arguments)
    before = [value_of(variable) for variable in model.trainable_variables]
    rows = data.num_rows or 1
    if getattr(model, "takes_datasets", False):
        inputs: dict[str, Any] = {"x": data, "batch_size": rows, "shuffle": False}
    else:
        inputs = {"x": data.batches(rows, seed=0, shuffle=False), "steps_per_epoch": 1}
    history = model.fit(epochs=1, verbose=0, **inputs)
    require_finite(f"{who} after one step", getattr(history, "history", {}))
    after = [value_of(variable) for variable in model.trainable_variables]
    paths = [variable.path for variable in model.trainable_variables]
    require(paths, f"{who} has no trainable variables: a tf.Variable is none to Keras.")
    require_finite(f"{who} after one step", dict(zip(paths, after, strict=True)))
    return [(p, new - old) for p, new, old in zip(paths, after, before, strict=True)]


def require_equal_steps(
    who: str, first: list[tuple[str, np.ndarray]], second: list[tuple[str, np.ndarray]]
) -> None:
    """Raise AssertionError unless both steps changed each variable alike.

    The tolerance, a thousandth of the largest change, leaves room for another order of summation
    in float32; a term counted twice is off by much more.
    """
    for (path, one), (_, other) in zip(first, second, strict=True):
        difference, size = float(np.abs(one - other).max()), float(np.abs(one).max())
        require(
            difference <= 1e-3 * size + 1e-6,
            f"{who}: one step changes {path!r} by up to {size:.3g}, but the other by up to "
            f"{float(np.abs(other).max()):.3g}; they differ by {difference:.3g}.",
        )


def value_of(variable: keras.Variable) -> np.ndarray:
    """A variable's value; of a mirrored one, the first replica's."""
    value: np.ndarray = tf.convert_to_tensor(variable).numpy()
    return value
