"""From what is stored of a model to the arguments it was made with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras


def arguments(config: Mapping[str, Any], custom_objects: Any = None) -> dict[str, Any]:
    """The constructor's arguments of ``get_config``'s: nets and other parts are made anew.

    Args:
        config: Name -> plain value, or what Keras serialises an object to.
        custom_objects: Class name -> class, of parts that Keras does not know.
    """
    return {
        name: keras.saving.deserialize_keras_object(value, custom_objects=custom_objects)
        if isinstance(value, dict) and "class_name" in value
        else value
        for name, value in config.items()
    }
