"""How much the divergences of layers count beside a loss that Keras averages over rows."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from .. import functional
from ..errors import ModelError, OptionsError, TfbdlWarning
from .divergences import KLDivergence


def check_num_data(num_data: Any) -> float | int | None:
    """The number of training rows as it was given, or None.

    Raises:
        OptionsError: If it is no finite number above zero.
    """
    if num_data is None:
        return None
    number = isinstance(num_data, numbers.Real) and not isinstance(num_data, bool)
    if not number or not 0 < num_data < float("inf"):
        raise OptionsError(f"num_data must be a number of rows above 0. Received: {num_data!r}.")
    return int(num_data) if float(num_data).is_integer() else float(num_data)


def set_num_data(model: keras.Model, num_data: int) -> None:
    """Tell all layers of a model by how many training rows to divide their divergences.

    Keras averages a loss over the rows of a batch. Beside that average belongs ``KL / num_data``:
    their sum is then the negative ELBO, divided by the number of rows.

    Args:
        model: Whose layers, nested ones too, are told.
        num_data: The number of training rows; 1 leaves divergences unscaled.

    Raises:
        OptionsError: If it is no number above zero.
        ModelError: If no layer of the model has a divergence.

    Example:
        ```python
        tfbdl.layers.set_num_data(model, len(x))
        model.fit(x, y, epochs=100)
        ```
    """
    number = check_num_data(num_data)
    told = [layer for layer in (model, *functional.layers_of(model)) if has_num_data(layer)]
    if not told:
        raise ModelError(
            f"No layer of {model.name!r} has a divergence to scale. Expected layers of "
            "tfbdl.layers, such as DenseReparameterization."
        )
    for layer in told:
        layer.num_data = number
    model.train_function = model.test_function = None  # traced with the number before


def has_num_data(layer: Any) -> bool:
    """Whether a layer scales a divergence by the number of rows."""
    return isinstance(layer, keras.layers.Layer) and hasattr(type(layer), "divergence_functions")


def add_divergences(layer: Any, divergences: Iterable[Any], training: bool | None) -> None:
    """Add what is there to the losses of a layer, divided by its ``num_data`` if that is given.

    Args:
        layer: With ``num_data`` and ``divergence_functions``.
        divergences: Scalars, or None.
        training: Whether this is a step of training, which warns of what is unscaled.
    """
    found = [divergence for divergence in divergences if divergence is not None]
    if training and found and layer.num_data is None:
        _warn_unscaled(layer)
    for divergence in found:
        scale = 1.0 if layer.num_data is None else 1.0 / float(layer.num_data)
        layer.add_loss(divergence * tf.constant(scale, divergence.dtype))


def _warn_unscaled(layer: Any) -> None:
    """Say that a divergence is about to be weighed as if there were one row of data.

    A ``divergence_fn`` of the user's own is taken to scale itself, as is usual with TFP.
    """
    if any(isinstance(function, KLDivergence) for function in layer.divergence_functions()):
        warnings.warn(
            f"The layer {layer.name!r} adds its KL divergence unscaled to a loss that Keras "
            "averages over rows, as if there were one row of data. Give the number of training "
            "rows: tfbdl.layers.set_num_data(model, len(x)), or num_data=len(x) for each layer. "
            "If you scale it yourself, say num_data=1.",
            TfbdlWarning,
            stacklevel=2,
        )
