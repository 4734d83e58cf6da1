"""Part of a net: from its inputs to something inside it."""

from __future__ import annotations

from typing import Any

import keras


def submodel(model: keras.Model, outputs: Any) -> keras.Model:
    """The model with other outputs, which takes inputs as the given one does.

    Args:
        model: Sequential or functional, built.
        outputs: Tensors of its graph.
    """
    sequential = isinstance(model, keras.Sequential)  # has no input until it is called
    return keras.Model(model.inputs[0] if sequential else model.input, outputs)
