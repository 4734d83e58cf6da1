"""Phases of deep random networks: fixed points and depth scales of many networks at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfbdl.errors import OptionsError

from .duals import Dual
from .duals.traced import traced
from .mean_field import LARGEST_VARIANCE, LEAST_VARIANCE, NEAR

STEPS = 100
"""Of the search for a root, at most; about ten are needed."""

Rows = np.ndarray
Expectations = Callable[[Any, Any, Any], tuple[np.ndarray, np.ndarray]]


class Phases(NamedTuple):
    """What ``MeanField`` says of one network, of many: arrays of one shape.

    Attributes:
        variance: ``q*``; NaN where variances grow without an end, or vanish.
        correlation: ``c*``, where correlations of different inputs end.
        slope: ``chi_1``: above 1 in chaos, below 1 in order.
        depth: ``xi_c``, in layers; infinite at the edge of chaos.
    """

    variance: np.ndarray
    correlation: np.ndarray
    slope: np.ndarray
    depth: np.ndarray


def phases(
    activation: Any, weight_variance: Any, bias_variance: Any, keep_prob: float = 1.0
) -> Phases:
    """Fixed points and depth scales over weight and bias variances.

    Args:
        activation: See ``layers.Activation``.
        weight_variance: sigma_w^2, above 0: numbers of any shape.
        bias_variance: sigma_b^2, at least 0; it broadcasts against ``weight_variance``.
        keep_prob: Of dropout, in (0, 1]; 1: none.

    Raises:
        OptionsError: If an argument is not admitted.

    Example:
        ```python
        weights, biases = np.linspace(0.5, 4.0, 50), np.linspace(0.01, 0.5, 40)
        depth = phases("tanh", weights, biases[:, None]).depth  # [40, 50]
        ```

    References:
        Poole et al. 2016; Schoenholz et al. 2017, figure 2; see ``MeanField``.
    """
    w, b = np.broadcast_arrays(
        _numbers("weight_variance", weight_variance), _numbers("bias_variance", bias_variance)
    )
    if not ((w > 0.0).all() and (b >= 0.0).all()):
        raise OptionsError("Every weight_variance must be above 0, every bias_variance at least 0.")
    if not 0.0 < keep_prob <= 1.0:
        raise OptionsError(f"keep_prob must be in (0, 1]. Received: {keep_prob!r}.")
    shape, w, b = w.shape, w.reshape(-1), b.reshape(-1)
    dual = _of_arrays(traced(activation))
    q = _fixed_variance(dual, w / keep_prob, b)
    known = np.flatnonzero(np.isfinite(q))
    found = np.full((4, len(w)), np.nan)
    found[0] = q
    if len(known):
        found[1:, known] = _correlations(dual, w[known], b[known], q[known], keep_prob)
    return Phases(*(part.reshape(shape) for part in found))


def edge_curve(activation: Any, variance: Any) -> tuple[np.ndarray, np.ndarray]:
    """The edge of chaos as a curve along the fixed variance, without dropout.

    With ``A(q) = E[phi(sqrt(q) x)^2]`` and ``C(q) = E[phi'(sqrt(q) x)^2]`` a network whose fixed
    variance is q has ``chi_1 = sigma_w^2 C(q) = 1`` and ``q = sigma_w^2 A(q) + sigma_b^2``.

    Args:
        activation: See ``layers.Activation``.
        variance: ``q*`` of the networks, above 0: ``[n]``.

    Returns:
        ``sigma_w^2 [m]`` and ``sigma_b^2 [m]``, of those of the n networks that exist.

    Raises:
        OptionsError: If an argument is not admitted.
    """
    q = _numbers("variance", variance).reshape(-1)
    if not (q > 0.0).all():
        raise OptionsError("Every variance must be above 0.")
    value, slope = _of_arrays(traced(activation))(q, q, q)
    weight = 1.0 / slope
    bias = q - weight * value
    bias[np.abs(bias) < 1e-12 * q] = 0.0  # but for rounding
    exists = bias >= 0.0
    q, weight, bias = q[exists], weight[exists], bias[exists]
    # q may be a fixed point to which nothing comes, or not the one that is reached from 1
    kept = np.isclose(phases(activation, weight, bias).variance, q, rtol=1e-4) | (bias == 0.0)
    return weight[kept], bias[kept]


def _fixed_variance(dual: Expectations, w: Rows, b: Rows) -> Rows:
    """``q = w A(q) + b`` next to 1 on the way there; NaN where there is none."""
    rungs = np.arange(np.floor(np.log2(LEAST_VARIANCE)), np.ceil(np.log2(LARGEST_VARIANCE)))
    ladder, start = 2.0**rungs, int(-rungs[0])  # where the ladder is 1
    excess = np.multiply.outer(dual(ladder, ladder, ladder)[0], w) + b - ladder[:, np.newaxis]
    rises = excess[start] > 0.0
    # the first rung above that is too high, or below that is too low
    over, under = excess[start:] <= 0.0, excess[start::-1] >= 0.0
    up, down = start + over.argmax(0), start - under.argmax(0)
    exists = np.flatnonzero(np.where(rises, over.any(0), under.any(0)))
    low = rungs[np.where(rises, np.maximum(up - 1, 0), down)]
    high = np.where(rises | (down < start), low + 1.0, low)

    def gap(rung: Rows) -> Rows:
        q = 2.0**rung
        return w[exists] * dual(q, q, q)[0] + b[exists] - q

    found = np.full(len(w), np.nan)
    found[exists] = 2.0 ** _root(gap, low[exists], high[exists])
    return found


def _correlations(
    dual: Expectations, w: Rows, b: Rows, q: Rows, keep_prob: float
) -> tuple[Rows, Rows, Rows]:
    """``c*``, ``chi_1`` and ``xi_c`` at fixed variances ``q``."""
    slope = w * dual(q, q, q)[1]

    def gap(c: Rows, part: Any = slice(None)) -> Rows:
        k, own = c * q[part], q[part]
        return (w[part] * dual(k, own, own)[0] + b[part]) / own - c

    low, high = np.zeros_like(q), np.full_like(q, 1.0 - NEAR)
    at_one = (gap(high) >= 0.0) | ((keep_prob == 1.0) & (slope <= 1.0))
    at_zero = (gap(low) <= 0.0) & ~at_one  # an odd activation without biases
    between = np.flatnonzero(~(at_one | at_zero))
    c = np.where(at_one, 1.0, 0.0)
    c[between] = _root(lambda c: gap(c, between), low[between], high[between])
    rate = np.minimum(np.abs(w * dual(c * q, q, q)[1]), 1.0)
    with np.errstate(divide="ignore"):
        depth = np.where(rate > 1.0 - NEAR, np.inf, -1.0 / np.log(rate))
    return c, slope, depth


def _root(function: Callable[[Rows], Rows], low: Rows, high: Rows) -> Rows:
    """Where a function is 0, elementwise, that has other signs at both ends."""
    if not len(low):
        return low
    found = tfp.math.find_root_chandrupatla(
        lambda x: tf.constant(function(x.numpy())),
        tf.constant(low),
        tf.constant(high),
        position_tolerance=1e-14,
        value_tolerance=0.0,
        max_iterations=STEPS,
    )
    return np.asarray(found.estimated_root)


def _of_arrays(dual: Dual) -> Expectations:
    def both(k: Any, q1: Any, q2: Any) -> tuple[np.ndarray, np.ndarray]:
        value, slope = dual(*(tf.constant(part, tf.float64) for part in (k, q1, q2)))
        return value.numpy(), slope.numpy()

    return both


def _numbers(name: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        array = np.asarray(np.nan)
    if not np.isfinite(array).all():
        raise OptionsError(f"{name} must be finite numbers. Received: {value!r}.")
    return array
