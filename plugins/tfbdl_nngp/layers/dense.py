"""Dense: a fully connected layer of infinitely many units."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import tensorflow as tf

from .base import Covariances, Flow, Layer
from .variances import checked


class Dense(Layer):
    """``z = b + W a``, ``W ~ N(0, weight_variance / width)``, ``b ~ N(0, bias_variance)``.

    On images the same weights act at each place, as a convolution of one pixel does.

    Args:
        weight_variance: sigma_w^2, above 0.
        bias_variance: sigma_b^2, at least 0.

    Raises:
        OptionsError: If a variance is not admitted.

    References:
        Lee et al. 2018, (5); Jacot et al. 2018, theorem 1.
    """

    def __init__(self, weight_variance: Any = 1.0, bias_variance: Any = 0.0) -> None:
        self.weight_variance = checked("weight_variance", weight_variance, positive=True)
        self.bias_variance = checked("bias_variance", bias_variance)

    def flow(self, before: Flow) -> Flow:
        """See Layer."""
        return before._replace(gaussian=True)

    def __call__(self, before: Covariances) -> Covariances:
        """See Layer."""
        return weighted(before, self.weight_variance, self.bias_variance)


def weighted(before: Covariances, weight_variance: Any, bias_variance: Any) -> Covariances:
    """``K -> sigma_b^2 + sigma_w^2 K`` and ``T -> sigma_w^2 T + K`` with the new K."""

    def change(covariance: tf.Tensor) -> tf.Tensor:
        return bias_variance + weight_variance * covariance

    cross = change(before.cross)
    tangent = before.tangent
    if tangent is not None:
        tangent = weight_variance * tangent + cross  # T^l = K^l + sigma_w^2 T^(l-1) o E[phi' phi']
    return replace(
        before,
        cross=cross,
        first=change(before.first),
        second=change(before.second),
        tangent=tangent,
    )
