"""Expectations of activations under a bivariate normal, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfbdl.errors import OptionsError, did_you_mean

from .base import Dual
from .erf import Erf
from .exponential import Exponential
from .gelu import Gelu
from .hermite import HermiteSeries
from .piecewise_linear import PiecewiseLinear
from .sine import Sine

__all__ = [
    "Dual",
    "Erf",
    "Exponential",
    "Gelu",
    "HermiteSeries",
    "PiecewiseLinear",
    "Sine",
    "get",
    "names",
]

LEAKY_SLOPE = 0.2
"""Of Keras' function ``leaky_relu``."""

_CLOSED: dict[str, Callable[..., Dual]] = {
    "abs": lambda: PiecewiseLinear(-1.0, 1.0),
    "cos": lambda: Sine(cosine=True),
    "erf": Erf,
    "exp": Exponential,
    "gelu": Gelu,
    "identity": lambda: PiecewiseLinear(1.0, 1.0),
    "leaky_relu": lambda negative_slope=LEAKY_SLOPE: PiecewiseLinear(negative_slope, 1.0),
    "relu": PiecewiseLinear,
    "sin": Sine,
}
_ALIASES = {"exponential": "exp", "linear": "identity"}
_SERIES: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "elu": tf.nn.elu,
    "sigmoid": tf.sigmoid,
    "silu": tf.nn.silu,
    "softplus": tf.nn.softplus,
    "tanh": tf.tanh,
}


def names() -> tuple[str, ...]:
    """The activations that have a name."""
    return tuple(sorted({*_CLOSED, *_SERIES, *_ALIASES}))


def get(activation: Any, **options: Any) -> Dual:
    """The dual of an activation.

    Args:
        activation: A name; a Dual; or a function of tensors, for a Hermite series.
        **options: Of the dual, such as ``negative_slope`` of ``leaky_relu``.

    Raises:
        OptionsError: If the name or an option is not known.
    """
    if isinstance(activation, Dual):
        return activation
    if callable(activation):
        return HermiteSeries(activation, **options)
    name = _ALIASES.get(activation, activation)
    if name in _SERIES:
        return HermiteSeries(_SERIES[name], **options)
    if name not in _CLOSED:
        raise OptionsError(
            f"No activation is named {activation!r}.{did_you_mean(str(activation), names())} "
            f"Known: {', '.join(names())}; or a function of tensors."
        )
    factory = _CLOSED[name]
    for option in options:
        if option not in inspect.signature(factory).parameters or name == "relu":
            raise OptionsError(f"The activation {name!r} has no option {option!r}.")
    return factory(**options)
