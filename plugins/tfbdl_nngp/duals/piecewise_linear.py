"""The dual of ReLU, leaky ReLU, the absolute value and the identity."""

from __future__ import annotations

import math

import tensorflow as tf

from .base import Dual, safe_sqrt


class PiecewiseLinear(Dual):
    """``phi(z) = positive * z`` for z > 0 and ``negative * z`` for z < 0.

    With ``s = (positive - negative) / 2``, ``m = (positive + negative) / 2`` it is ``s |z| + m z``,
    whose cross terms vanish: ``E = s^2 E|u||v| + m^2 k``.

    Args:
        negative: Slope below zero.
        positive: Slope above zero.

    References:
        Cho & Saul 2009, "Kernel methods for deep learning", (4) to (6): arc-cosine kernels of
        order 0 and 1 are twice the expectations of the step and of ReLU.
    """

    def __init__(self, negative: float = 0.0, positive: float = 1.0) -> None:
        self.negative, self.positive = float(negative), float(positive)

    def __call__(self, k: tf.Tensor, q1: tf.Tensor, q2: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See Dual."""
        fold = 0.5 * (self.positive - self.negative)
        slope = 0.5 * (self.positive + self.negative)
        if fold == 0.0:
            return slope**2 * k, slope**2 * tf.ones_like(k)
        expectation, sine = _absolute(k, q1 * q2)
        # E|u||v| = 2 / pi (r + k asin(rho)); E[sign u sign v] = 2 / pi asin(rho)
        scale = fold**2 * 2.0 / math.pi
        derivative = scale * sine
        if slope == 0.0:
            return scale * expectation, derivative
        return scale * expectation + slope**2 * k, derivative + slope**2


@tf.custom_gradient
def _absolute(k: tf.Tensor, product: tf.Tensor) -> tuple[tuple[tf.Tensor, tf.Tensor], object]:
    """``r + k asin(rho)`` and ``asin(rho)``, with ``r = sqrt(q1 q2 - k^2)``.

    Their derivatives by k are ``asin(rho)`` and ``1 / r``, by ``p = q1 q2`` they are
    ``r / (2 p)`` and ``-k / (2 p r)``; the ones that are infinite at ``rho = 1`` count as 0.
    """
    r = tf.sqrt(tf.maximum(product - k * k, 0.0))
    angle = tf.atan2(k, r)

    def gradient(upstream: tf.Tensor, upstream_angle: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # written anew from k and p, so that second derivatives go through the same rule
        inverse = tf.math.reciprocal_no_nan(safe_sqrt(product - k * k))
        _, sine = _absolute(k, product)
        half = tf.math.divide_no_nan(tf.constant(0.5, k.dtype), product)
        by_k = upstream * sine + upstream_angle * inverse
        by_product = half * (upstream * safe_sqrt(product - k * k) - upstream_angle * k * inverse)
        return by_k, by_product

    return (r + k * angle, angle), gradient
