"""What a file keeps of the arguments of a layer: plain values, and no code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras

from .heads.functions import function_config

# TensorFlow's functions that are Keras' own of the same name: no file finds the former again.
_SAME_ACTIVATIONS = frozenset(
    {"elu", "gelu", "leaky_relu", "log_softmax", "relu", "relu6", "selu", "sigmoid", "silu"}
    | {"softmax", "softplus", "softsign", "swish", "tanh"}
)


def config_of(value: Any, name: str) -> Any:
    """Plain values of a function, or of an object with a configuration.

    Args:
        value: None, one of Keras' own, or a registered one.
        name: Of the argument, for the error.

    Raises:
        ModelError: If it could not be found again: a lambda, or something unregistered.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    kind = value if hasattr(value, "__qualname__") else type(value)
    if (kind.__module__ or "").partition(".")[0] == "keras":
        return keras.saving.serialize_keras_object(value)
    return function_config(value, name)


def configs_of(layer: Any, names: Iterable[str]) -> dict[str, Any]:
    """The configurations of several attributes of a layer."""
    return {name: config_of(getattr(layer, name), name) for name in names}


def activation_from(given: Any) -> Any:
    """An activation as Keras knows it, ``tf.nn.relu`` and its like included."""
    name = getattr(given, "__name__", "").removesuffix("_v2")
    if name in _SAME_ACTIVATIONS and given.__module__.partition(".")[0] == "tensorflow":
        return keras.activations.get(name)
    return keras.activations.get(given)
