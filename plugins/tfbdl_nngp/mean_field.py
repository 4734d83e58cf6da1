"""Mean-field theory of deep random networks: how variances and correlations go through layers.

References:
    Poole et al. 2016, "Exponential expressivity in deep neural networks through transient chaos";
    Schoenholz et al. 2017, "Deep information propagation"; Huang, Xu, Du, Zeng & Zhao 2020, "Mean
    field theory for deep dropout networks" (keep_prob).
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf
from scipy import optimize

from tfbdl.errors import ModelError, OptionsError

from .duals.traced import traced
from .layers.variances import checked

LARGEST_VARIANCE = 1e8
LEAST_VARIANCE = 1e-10
NEAR = 1e-7
"""Nearer to 1 than this, rounding decides on which side a correlation or a rate lies."""


class MeanField:
    """One layer, ``z' = W phi(z) + b``, as maps of a variance and of a correlation.

    Args:
        activation: See ``layers.Activation``.
        weight_variance: sigma_w^2, above 0.
        bias_variance: sigma_b^2, at least 0.
        keep_prob: Of dropout with rescaling before the weights; 1: none.

    Raises:
        OptionsError: If an argument is not admitted.

    Example:
        ```python
        field = MeanField("tanh", weight_variance=1.76, bias_variance=0.05)
        field.variance, field.slope, field.correlation_depth  # how deep signals reach
        ```
    """

    def __init__(
        self,
        activation: Any = "tanh",
        weight_variance: float = 1.5,
        bias_variance: float = 0.05,
        keep_prob: float = 1.0,
    ) -> None:
        self.dual = traced(activation)
        self.weight_variance = checked("weight_variance", weight_variance, positive=True)
        self.bias_variance = checked("bias_variance", bias_variance)
        if not 0.0 < keep_prob <= 1.0:
            raise OptionsError(f"keep_prob must be in (0, 1]. Received: {keep_prob!r}.")
        self.keep_prob = float(keep_prob)

    def variance_map(self, q: Any) -> np.ndarray:
        """``V(q) = sigma_w^2 / keep E[phi(sqrt(q) x)^2] + sigma_b^2``, elementwise."""
        q = np.asarray(q, np.float64)
        value = self._expectations(q, q, q)[0]
        return self.weight_variance / self.keep_prob * value + self.bias_variance

    def correlation_map(self, c: Any, q: float | None = None) -> np.ndarray:
        """The correlation after a layer of two inputs whose correlation before it was ``c``.

        Args:
            c: From -1 to 1.
            q: The variance of both; None: the fixed one.

        Raises:
            ModelError: If there is no fixed variance.
        """
        q = self.variance if q is None else float(q)
        c = np.asarray(c, np.float64)
        value = self._expectations(c * q, np.full_like(c, q), np.full_like(c, q))[0]
        covariance = self.weight_variance * value + self.bias_variance
        return np.asarray(covariance / self.variance_map(q))

    def variances(self, q: float, depth: int) -> np.ndarray:
        """The variance at layers 0 to ``depth``: ``[depth + 1]``."""
        found = [float(q)]
        for _ in range(depth):
            found.append(float(self.variance_map(found[-1])))
        return np.array(found)

    def correlations(self, c: float, depth: int) -> np.ndarray:
        """The correlation at layers 0 to ``depth``, at the fixed variance: ``[depth + 1]``."""
        found = [float(c)]
        for _ in range(depth):
            found.append(float(self.correlation_map(found[-1])))
        return np.array(found)

    @cached_property
    def variance(self) -> float:
        """``q* = V(q*)``, the fixed point that is next to 1 on the way there.

        Raises:
            ModelError: If variances grow without an end, or vanish.
        """
        low = high = 1.0
        rises = self._excess(1.0) > 0.0
        while (self._excess(high) > 0.0) if rises else (self._excess(low) < 0.0):
            low, high = (high, 2.0 * high) if rises else (0.5 * low, low)
            if high > LARGEST_VARIANCE:
                raise ModelError(
                    "Variances grow from layer to layer without an end: there is no fixed point. "
                    "Expected: a smaller weight_variance."
                )
            if low < LEAST_VARIANCE:
                raise ModelError(
                    "Variances vanish from layer to layer: the fixed point is 0. Expected: a "
                    "larger weight_variance, or a bias_variance above 0."
                )
        if low == high:
            return low
        return float(optimize.brentq(self._excess, low, high, xtol=1e-14, rtol=1e-14))

    @cached_property
    def correlation(self) -> float:
        """``c*``, where correlations of different inputs end: 1 in the ordered phase."""
        if self.keep_prob == 1.0 and self.slope <= 1.0:
            return 1.0

        def excess(c: float) -> float:
            return float(self.correlation_map(c)) - c

        if excess(0.0) <= 0.0:  # an odd activation without biases
            return 0.0
        if excess(1.0 - NEAR) >= 0.0:  # chaos by rounding alone
            return 1.0
        return float(optimize.brentq(excess, 0.0, 1.0 - NEAR, xtol=1e-14))

    @property
    def slope(self) -> float:
        """chi_1, the correlation map's slope at 1: above 1 in chaos, below 1 in order.

        ``sigma_w^2 E[phi'(sqrt(q*) x)^2]``: also the factor of a gradient's size at each layer.
        """
        return self._slope_at(1.0)

    @property
    def variance_depth(self) -> float:
        """xi_q: layers in which a variance comes e times nearer to its fixed point."""
        q = tf.constant(self.variance, tf.float64)
        with tf.GradientTape() as tape:
            tape.watch(q)
            value = self.dual(q, q, q)[0]
        rate = self.weight_variance / self.keep_prob * float(tape.gradient(value, q))
        return _depth(rate)

    @property
    def correlation_depth(self) -> float:
        """xi_c: layers in which a correlation comes e times nearer to its fixed point.

        Infinite at the edge of chaos.
        """
        rate = self._slope_at(self.correlation)
        return _depth(min(rate, 1.0))  # above 1 by rounding alone, where correlations end

    def _excess(self, q: float) -> float:
        return float(self.variance_map(q)) - q

    def _slope_at(self, c: float) -> float:
        """The derivative of the covariance map at the fixed variance."""
        q = np.asarray(self.variance)
        value = float(self._expectations(c * q, q, q)[1])
        return self.weight_variance * value

    def _expectations(self, k: Any, q1: Any, q2: Any) -> tuple[np.ndarray, np.ndarray]:
        found = self.dual(*(tf.constant(part, tf.float64) for part in (k, q1, q2)))
        return found[0].numpy(), found[1].numpy()


def edge_of_chaos(
    activation: Any,
    bias_variance: float,
    low: float = 0.1,
    high: float = 20.0,
    keep_prob: float = 1.0,
) -> float:
    """The weight variance at which ``chi_1`` is 1.

    Args:
        activation: See ``layers.Activation``.
        bias_variance: sigma_b^2.
        low: Where to look from; order there.
        high: Where to look to; chaos there, or no fixed variance.
        keep_prob: Of dropout.

    Raises:
        ModelError: If ``chi_1`` does not pass 1 in between, or leaps over it because variances
            have no fixed point beyond.
    """

    def above(weight_variance: float) -> float:
        field = MeanField(activation, weight_variance, bias_variance, keep_prob)
        try:
            return field.slope - 1.0
        except ModelError as error:
            return -1.0 if "vanish" in str(error) else 1.0  # below all, or beyond all

    ends = above(low), above(high)
    if not ends[0] < 0.0 < ends[1]:
        raise ModelError(
            f"chi_1 does not pass 1 between weight_variance {low:g} and {high:g}: it is "
            f"{ends[0] + 1.0:.3g} and {ends[1] + 1.0:.3g} there."
        )
    found = float(optimize.brentq(above, low, high, xtol=1e-10))
    before = above(found * (1.0 - 1e-6))
    if abs(before) > 1e-3:
        raise ModelError(
            f"There is no edge of chaos: chi_1 is {before + 1.0:.3g} up to weight_variance "
            f"{found:.4g}, and beyond it variances grow without an end."
        )
    return found


def _depth(rate: float) -> float:
    """``-1 / log |rate|``; infinite at 1, 0 at 0, negative where distances grow."""
    size = abs(rate)
    if size == 0.0:
        return 0.0
    return math.inf if abs(size - 1.0) < NEAR else -1.0 / math.log(size)
