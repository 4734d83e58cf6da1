"""LayerNormalization: units scaled to variance one."""

from __future__ import annotations

from dataclasses import replace

import tensorflow as tf

from .base import Covariances, Flow, Layer, require
from .variances import checked


class LayerNormalization(Layer):
    """``z / sqrt(Var z + epsilon)`` over the infinitely many units of a row (of a place).

    Their mean is 0 and their variance no longer random, so that covariances become correlations
    and the tangent is scaled alike.

    Args:
        epsilon: Added to the variance.
    """

    def __init__(self, epsilon: float = 1e-6) -> None:
        self.epsilon = checked("epsilon", epsilon)

    def flow(self, before: Flow) -> Flow:
        """See Layer."""
        require(
            before.gaussian,
            "Layer normalisation is of units whose mean is 0. Expected: a dense layer or a "
            "convolution before it. Received: the inputs, or an activation.",
        )
        return before

    def __call__(self, before: Covariances) -> Covariances:
        """See Layer."""
        scale = self._scale(*before.variances())
        tangent = before.tangent
        return replace(
            before,
            cross=before.cross * scale,
            first=before.first * self._scale(*before.own_variances(before.first)),
            second=before.second * self._scale(*before.own_variances(before.second)),
            tangent=None if tangent is None else tangent * scale,
        )

    def _scale(self, q1: tf.Tensor, q2: tf.Tensor) -> tf.Tensor:
        return tf.math.rsqrt((q1 + self.epsilon) * (q2 + self.epsilon))
