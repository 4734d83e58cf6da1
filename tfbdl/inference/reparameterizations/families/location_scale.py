"""Locations and scales of uniforms sent through a quantile: Laplace, Cauchy, logistic, Gumbel."""

from __future__ import annotations

import math

import tensorflow as tf

from ..noise import gumbel_of_uniform, logistic_of_uniform
from ..row import CENTRED_UNIFORM, TWO_UNIFORMS, UNIFORM, Reparameterization


def laplace(noise: tf.Tensor, loc: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """``loc - scale sgn(e) log(1 - 2 |e|)``."""
    return loc - scale * tf.sign(noise) * tf.math.log1p(-2.0 * tf.abs(noise))


def laplace_ratio(noise: tf.Tensor, loc: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """``loc + scale log(e1 / e2)``: a difference of two exponential variables."""
    return loc + scale * (tf.math.log(noise[..., 0]) - tf.math.log(noise[..., 1]))


def cauchy(noise: tf.Tensor, loc: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """``loc + scale tan(pi e)``."""
    return loc + scale * tf.tan(math.pi * noise)


def logistic(noise: tf.Tensor, loc: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """``loc + scale log(e / (1 - e))``."""
    return loc + scale * logistic_of_uniform(noise)


def gumbel(noise: tf.Tensor, loc: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """``loc - scale log(-log e)``."""
    return loc + scale * gumbel_of_uniform(noise)


LOC_SCALE = {"loc": "real", "scale": "positive"}
ROWS = (
    Reparameterization(
        name="laplace",
        law="Laplace(loc, scale)",
        formula="loc - scale sgn(e) log(1 - 2 |e|)",
        noise=CENTRED_UNIFORM,
        parameters=LOC_SCALE,
        transform=laplace,
        mended="Printed with e from U(0, 1), where the logarithm of 1 - 2 e has no value beyond "
        "1/2; and the density of Laplace(0, 1) without its 1/2.",
    ),
    Reparameterization(
        name="laplace_ratio",
        law="Laplace(loc, scale)",
        formula="loc + scale log(e1 / e2)",
        noise=TWO_UNIFORMS,
        parameters=LOC_SCALE,
        transform=laplace_ratio,
    ),
    Reparameterization(
        name="cauchy",
        law="Cauchy(loc, scale)",
        formula="loc + scale tan(pi e)",
        noise=CENTRED_UNIFORM,
        parameters=LOC_SCALE,
        transform=cauchy,
    ),
    Reparameterization(
        name="logistic",
        law="Logistic(loc, scale)",
        formula="loc + scale log(e / (1 - e))",
        noise=UNIFORM,
        parameters=LOC_SCALE,
        transform=logistic,
    ),
    Reparameterization(
        name="gumbel",
        law="Gumbel(loc, scale)",
        formula="loc - scale log(-log e)",
        noise=UNIFORM,
        parameters=LOC_SCALE,
        transform=gumbel,
    ),
)
