"""Activation: a nonlinearity on normal pre-activations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import tensorflow as tf

from .. import duals
from .base import Covariances, Flow, Layer, require


class Activation(Layer):
    """``a = phi(z)``, elementwise.

    Args:
        activation: A name (``relu``, ``leaky_relu``, ``abs``, ``erf``, ``identity``, ``sin``,
            ``cos``, ``gelu``, ``exp``: closed forms; ``tanh``, ``sigmoid``, ``softplus``, ``silu``,
            ``elu``: quadrature), a Dual, or any function of tensors (quadrature).
        **options: Such as ``negative_slope`` of ``leaky_relu``.

    Raises:
        OptionsError: If the name or an option is not known.
    """

    def __init__(self, activation: Any, **options: Any) -> None:
        self.dual = duals.get(activation, **options)

    def flow(self, before: Flow) -> Flow:
        """See Layer."""
        require(
            before.gaussian,
            "An activation needs normal pre-activations. Expected: a dense layer or a convolution "
            "before it. Received: the inputs, or another activation.",
        )
        return before._replace(gaussian=False)

    def __call__(self, before: Covariances) -> Covariances:
        """See Layer."""
        cross, slope = self.dual(before.cross, *before.variances())
        tangent = before.tangent
        if tangent is not None:
            tangent = tangent * slope
        return replace(
            before,
            cross=cross,
            first=self._own(before, before.first),
            second=self._own(before, before.second),
            tangent=tangent,
        )

    def _own(self, before: Covariances, own: tf.Tensor) -> tf.Tensor:
        return self.dual(own, *before.own_variances(own))[0]
