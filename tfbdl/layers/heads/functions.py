"""Functions as plain values: those alone that are registered, and found again by their name."""

from __future__ import annotations

from typing import Any

import keras

from ...errors import ModelError


def function_config(function: Any, role: str) -> Any:
    """What a file keeps of a function, or of an object that is called like one.

    Args:
        function: A function, or an object with ``get_config``.
        role: The argument's name, for the error.

    Raises:
        ModelError: If it could not be found again: a lambda, or something unregistered.
    """
    kind = function if hasattr(function, "__qualname__") else type(function)
    name = keras.saving.get_registered_name(kind)
    known = keras.saving.get_registered_object(name) is kind
    if not known or not (kind is function or hasattr(function, "get_config")):
        shown = getattr(function, "__qualname__", None) or repr(function)
        raise ModelError(
            f"{role}={shown} cannot be stored, since a file keeps no code. Give it a name: write "
            "@keras.saving.register_keras_serializable(package='mine') above a function of a "
            "module (no lambda, no method), and import that module before loading. "
            "save_weights works without."
        )
    return keras.saving.serialize_keras_object(function)


def found_function(config: Any) -> Any:
    """The inverse of ``function_config``; a function itself is returned as it is."""
    return keras.saving.deserialize_keras_object(config) if isinstance(config, dict) else config
