"""Dropout as a draw from a posterior: one mask for all rows, a function of a seed.

With masks ``z`` a dropout net is a net with random weights ``diag(z) M``, so a draw is a seed of
the masks. All rows of a draw share its masks, as they share its weights: the draw is one function,
and what it says of a row does not depend on the rows beside it. All other layers run as they do in
inference; batch normalisation keeps its moving statistics.

References:
    Gal & Ghahramani 2016, "Dropout as a Bayesian Approximation", equation (2); 2016, "A
    Theoretically Grounded Application of Dropout in Recurrent Neural Networks", section 4 (masks
    of a recurrent layer are shared by all time steps, as Keras has them).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import tensorflow as tf

from .. import functional

SITE = "dropout.seed"
"""The name, among the draws of a posterior, of the masks' seed: an int64 scalar."""

_MULTIPLICATIVE = (keras.layers.Dropout, keras.layers.GaussianDropout)
_APART = 2**20  # between the counters of two layers' generators
_CALLS = 2**32  # between the counts of two layers, which may have one name in different nets
_LOCK = threading.RLock()


def layers(net: keras.Model) -> list[keras.layers.Layer]:
    """The layers of ``net`` that drop something: their rate is above zero.

    Those that multiply by noise (Dropout, the spatial ones, GaussianDropout, and those whose class
    says ``multiplies_by_noise``), and the cells of recurrent layers with ``dropout`` or
    ``recurrent_dropout``.
    """
    return [
        layer
        for layer in functional.layers_of(net)
        if (_is_multiplicative(layer) and layer.rate > 0) or _is_cell(layer)
    ]


def rates(net: keras.Model) -> dict[str, float]:
    """Site name -> the share of the inputs of that weight that is dropped; zero where none is.

    A layer's kernel takes the rate of the dropout right before it in the order of the layers, that
    of a recurrent cell its own.
    """
    names = {id(variable): name for name, variable in functional.site_names(net).items()}
    found: dict[str, float] = dict.fromkeys(names.values(), 0.0)
    before = 0.0
    for layer in functional.layers_of(net):
        if _is_multiplicative(layer):
            before = float(layer.rate)
        elif not list(functional.layers_of(layer)):
            own = {"kernel": before, "embeddings": 0.0, "bias": 0.0}
            if _is_cell(layer):
                own |= {"kernel": layer.dropout, "recurrent_kernel": layer.recurrent_dropout}
            for variable in layer.trainable_variables:
                found[names[id(variable)]] = float(own.get(variable.name, 0.0))
            before = 0.0 if layer.trainable_variables else before
    return found


def apply(
    net: keras.Model,
    values: Iterable[tuple[keras.Variable, tf.Tensor]],
    inputs: Any,
    seed: tf.Tensor,
) -> Any:
    """Run ``net`` with given weights and the masks that belong to ``seed``.

    Args:
        net: A built Keras net.
        values: Pairs (variable of the net, tensor of its shape).
        inputs: What the net takes.
        seed: An int64 scalar, from 0 to 2**31 - 1.

    Returns:
        The outputs.
    """
    active = layers(net)
    seed = tf.cast(seed, "int64")
    states = [_state_of(layer, i, seed) for i, layer in enumerate(active)]
    with _masking(net, active):
        return functional.apply(net, [*values, *states], inputs)[0]


def _state_of(layer: Any, position: int, seed: tf.Tensor) -> tuple[keras.Variable, tf.Tensor]:
    """What the noise of a layer's next call is a function of, and its value for a seed."""
    if _counts_calls(layer):
        return layer.rng_step, seed + position * _CALLS
    return layer.seed_generator.state, tf.stack([seed, tf.constant(position * _APART, "int64")])


def _counts_calls(layer: Any) -> bool:
    """Whether a layer's noise is a function of its name and of ``rng_step``."""
    return bool(getattr(type(layer), "multiplies_by_noise", False))


def _is_multiplicative(layer: Any) -> bool:
    return isinstance(layer, _MULTIPLICATIVE) or _counts_calls(layer)


@contextlib.contextmanager
def _masking(net: keras.Model, active: list[keras.layers.Layer]) -> Iterator[None]:
    """Let the dropout layers alone run as in training, with one mask for all rows."""
    cells = {id(layer) for layer in active if _is_cell(layer)}
    replaced: list[tuple[Any, str]] = []

    def replace(owner: Any, name: str, function: Callable[..., Any]) -> None:
        owner.__dict__[name] = function  # an attribute of the instance hides the method
        replaced.append((owner, name))

    with _LOCK:
        try:
            for layer in active:
                if id(layer) in cells:
                    replace(layer, "_create_dropout_mask", _mask_of_one_row(layer))
                else:
                    replace(layer, "call", _same_for_all_rows(layer.call))
            for layer in functional.layers_of(net):
                if isinstance(layer, keras.layers.RNN) and _holds(layer, cells):
                    replace(layer, "call", _as_in_training(layer.call))
            yield
        finally:
            for owner, name in reversed(replaced):
                del owner.__dict__[name]


def _same_for_all_rows(call: Callable[..., Any]) -> Callable[..., Any]:
    def masked(inputs: tf.Tensor, training: Any = None) -> tf.Tensor:
        return inputs * call(tf.ones_like(inputs[:1]), training=True)

    return masked


def _mask_of_one_row(cell: Any) -> Callable[..., Any]:
    create = cell._create_dropout_mask
    return lambda step_input, rate: create(step_input[:1], rate)


def _as_in_training(call: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **kwargs: call(*args, **{**kwargs, "training": True})


def _holds(layer: keras.layers.Layer, cells: set[int]) -> bool:
    return any(id(part) in cells for part in functional.layers_of(layer))


def _is_cell(layer: Any) -> bool:
    """Whether ``layer`` is a recurrent cell that drops inputs or states."""
    rate = max(getattr(layer, "dropout", 0.0) or 0.0, getattr(layer, "recurrent_dropout", 0.0) or 0)
    return rate > 0 and hasattr(layer, "_create_dropout_mask")
