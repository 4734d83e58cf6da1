"""Baselines of the score function: what is taken from f(b) and leaves the mean of gradients.

References:
    Williams 1992, "Simple statistical gradient-following algorithms" (REINFORCE).
    Mnih & Gregor 2014, "Neural variational inference and learning in belief networks" (NVIL).
    Kool, van Hoof & Welling 2019, "Buy 4 REINFORCE samples, get a baseline for free!".
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from ...errors import OptionsError, did_you_mean
from .tensors import as_dtype

LEAVE_ONE_OUT = "leave_one_out"


class MovingAverage(NamedTuple):
    """Moments of f over past steps, scalars, weighted down by ``decay`` a step.

    Attributes:
        mean: Of f, or of what another baseline leaves of it.
        variance: Of the same.
    """

    mean: tf.Tensor
    variance: tf.Tensor


def start_average(dtype: Any = "float32") -> MovingAverage:
    """Before the first step: mean 0, variance 1."""
    return MovingAverage(tf.zeros((), dtype), tf.ones((), dtype))


def update_average(state: MovingAverage, values: tf.Tensor, decay: float = 0.9) -> MovingAverage:
    """The moments after a step that saw ``values``, of any shape.

    Raises:
        OptionsError: If the decay is not at least 0 and below 1.
    """
    if not 0 <= decay < 1:
        raise OptionsError(f"decay is at least 0 and below 1. Received: {decay!r}.")
    values = tf.stop_gradient(values)
    new = (tf.reduce_mean(values), tf.math.reduce_variance(values))
    return MovingAverage(*(decay * a + (1 - decay) * b for a, b in zip(state, new, strict=True)))


def leave_one_out(values: tf.Tensor) -> tf.Tensor:
    """For each draw the mean of f at the others, ``[S, *batch]`` of two draws or more."""
    others = tf.cast(tf.shape(values)[0] - 1, values.dtype)
    return (tf.reduce_sum(values, axis=0, keepdims=True) - values) / others


def taken_from(signal: tf.Tensor, baseline: Any) -> tf.Tensor:
    """What a baseline leaves of a signal ``[S, *batch]``.

    Args:
        signal: f(b), or what a control variate leaves of it.
        baseline: None; numbers that broadcast against it; or ``"leave_one_out"``.

    Raises:
        OptionsError: If the baseline is another text, or there are no other draws to leave.
    """
    if baseline is None:
        return signal
    if not isinstance(baseline, str):
        return signal - as_dtype(baseline, signal.dtype)
    if baseline != LEAVE_ONE_OUT:
        raise OptionsError(
            f"baseline is None, numbers or {LEAVE_ONE_OUT!r}."
            f"{did_you_mean(baseline, [LEAVE_ONE_OUT])} Received: {baseline!r}."
        )
    if signal.shape[0] == 1:
        raise OptionsError(f"baseline={LEAVE_ONE_OUT!r} needs samples=2 or more. Received: 1.")
    return signal - leave_one_out(signal)
