"""The variances that Keras' initializers give weights, times the fan-in."""

from __future__ import annotations

import math
from typing import Any

import keras

from tfbdl.errors import ModelError

TRUNCATED = 0.7737413035
"""Variance of a standard normal cut off at two standard deviations."""


def weight_variance_of(initializer: Any, shape: tuple[int, ...], layer: str) -> float:
    """``fan_in * Var(w)``: sigma_w^2.

    Args:
        initializer: Of Keras, or None.
        shape: Of the kernel: the last two axes are units before and after.
        layer: Its name, for errors.

    Raises:
        ModelError: If the initializer is not one of independent weights of mean 0.
    """
    receptive = math.prod(shape[:-2])
    fan_in, fan_out = receptive * shape[-2], receptive * shape[-1]
    if isinstance(initializer, keras.initializers.VarianceScaling):
        mean = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": 0.5 * (fan_in + fan_out)}
        return float(fan_in * initializer.scale / mean[initializer.mode])
    return fan_in * _variance_of(initializer, layer, "kernel")


def bias_variance_of(initializer: Any, layer: str) -> float:
    """``Var(b)``: sigma_b^2.

    Raises:
        ModelError: If the initializer is not one of independent numbers of mean 0.
    """
    if isinstance(initializer, keras.initializers.Zeros):
        return 0.0
    return _variance_of(initializer, layer, "bias")


def _variance_of(initializer: Any, layer: str, what: str) -> float:
    known = keras.initializers
    if isinstance(initializer, known.RandomNormal) and initializer.mean == 0.0:
        return float(initializer.stddev) ** 2
    if isinstance(initializer, known.TruncatedNormal) and initializer.mean == 0.0:
        return TRUNCATED * float(initializer.stddev) ** 2
    if isinstance(initializer, known.RandomUniform) and initializer.minval == -initializer.maxval:
        return float(initializer.maxval) ** 2 / 3.0
    raise ModelError(
        f"The {what} initializer of {layer!r} must give independent numbers of mean 0. Expected: "
        "a VarianceScaling (he_normal, glorot_uniform, ...), RandomNormal, TruncatedNormal or "
        f"RandomUniform; or give {'weight' if what == 'kernel' else 'bias'}_variance. "
        f"Received: {type(initializer).__name__}."
    )
