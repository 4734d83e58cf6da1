"""The check of a prior: shapes, dtypes, density, gradient, in eager, graph and XLA."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from .. import distributions
from ..learned import initial_value
from .expect import require, require_finite

SHAPES = ((), (3,), (4, 2))
DTYPES = {"float32": 1e-4, "float64": 1e-6}
"""Dtype -> how far eager, graph and XLA may lie apart, relative to the log density."""


def check_prior(name: str, **options: Any) -> None:
    """A prior gives a distribution for a tensor of any shape, in float32 and float64.

    Its event shape is the tensor's, its batch shape ``()``; at its own draws the log density and
    its gradient are finite, and the same under ``tf.function`` and ``jit_compile``.

    Args:
        name: Of the prior.
        **options: Other than its defaults.

    Raises:
        AssertionError: If one of these does not hold.
    """
    prior = distributions.prior(name, **options)
    for shape in SHAPES:
        for dtype in DTYPES:
            _check_density(f"Prior {name!r} of shape {shape} in {dtype}", prior, shape, dtype)
    for dtype, tolerance in DTYPES.items():
        _check_compiled(f"Prior {name!r} in {dtype}", prior, dtype, tolerance)


def _check_density(who: str, prior: Any, shape: tuple[int, ...], dtype: str) -> None:
    hyper = {
        key: initial_value(parameter, dtype, name=key)
        for key, parameter in prior.parameters(shape, "site", dtype).items()
    }
    for values in ({}, hyper) if hyper else ({},):
        density = prior.distribution(shape, dtype, "site", **values)
        for what, found, expected in (
            ("event shape", tuple(density.event_shape), shape),
            ("batch shape", tuple(density.batch_shape), ()),
            ("dtype", tf.as_dtype(density.dtype).name, dtype),
        ):
            require(found == expected, f"{who}: the {what} must be {expected}. Received: {found}.")
        draw = density.sample(seed=(1, 2))
        require(
            tuple(draw.shape) == shape and draw.dtype.name == dtype,
            f"{who}: a draw must be {dtype} {shape}. Received: {draw.dtype.name} {draw.shape}.",
        )
        require(
            np.array_equal(draw, density.sample(seed=(1, 2))),
            f"{who}: the same seed gives another draw.",
        )
        log_prob, gradients = _value_and_gradients(density, draw)
        require(
            tuple(log_prob.shape) == (),
            f"{who}: log_prob must be a scalar. Received: {tuple(log_prob.shape)}.",
        )
        require(gradients is not None, f"{who}: log_prob has no gradient.")
        found_numbers = {"draw": draw, "log_prob": log_prob, "its gradient": gradients}
        require_finite(who, {key: value.numpy() for key, value in found_numbers.items()})


def _check_compiled(who: str, prior: Any, dtype: str, tolerance: float) -> None:
    shape = SHAPES[-1]
    draw = prior.distribution(shape, dtype, "site").sample(seed=(3, 4))

    def compute(value: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return _value_and_gradients(prior.distribution(shape, dtype, "site"), value)

    expected = compute(draw)
    for mode, options in (("tf.function", {}), ("XLA", {"jit_compile": True})):
        for what, found, value in zip(
            ("log_prob", "gradient"), tf.function(compute, **options)(draw), expected, strict=True
        ):
            difference = float(np.max(np.abs(found - value)))
            scale = max(1.0, float(np.max(np.abs(value))))
            require(
                difference <= tolerance * scale,
                f"{who}: {what} under {mode} differs by {difference:.2g}.",
            )


def _value_and_gradients(density: Any, value: tf.Tensor) -> tuple[tf.Tensor, Any]:
    with tf.GradientTape() as tape:
        tape.watch(value)
        log_prob = density.log_prob(value)
    return log_prob, tape.gradient(log_prob, value)
