"""Exponential variables and their powers: Weibull, Pareto, Kumaraswamy."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

from ..row import UNIFORM, Reparameterization


def exponential(noise: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
    """``log(1/e) / rate``."""
    return -tf.math.log(noise) / rate


def weibull(noise: tf.Tensor, scale: tf.Tensor, concentration: tf.Tensor) -> tf.Tensor:
    """``scale log(1/e)^(1 / concentration)``."""
    return scale * tf.exp(tf.math.log(-tf.math.log(noise)) / concentration)


def pareto(noise: tf.Tensor, scale: tf.Tensor, concentration: tf.Tensor) -> tf.Tensor:
    """``scale e^(-1 / concentration)``."""
    return scale * tf.exp(-tf.math.log(noise) / concentration)


def kumaraswamy(noise: tf.Tensor, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """``(1 - e^(1/b))^(1/a)``."""
    return tf.exp(tfp.math.log1mexp(tf.math.log(noise) / b) / a)


SCALE = {"scale": "positive", "concentration": "positive"}
ROWS = (
    Reparameterization(
        name="exponential",
        law="Exponential(rate)",
        formula="log(1/e) / rate",
        noise=UNIFORM,
        parameters={"rate": "positive"},
        transform=exponential,
    ),
    Reparameterization(
        name="weibull",
        law="Weibull(scale, concentration)",
        formula="scale log(1/e)^(1 / concentration)",
        noise=UNIFORM,
        parameters=SCALE,
        transform=weibull,
    ),
    Reparameterization(
        name="pareto",
        law="Pareto(scale, concentration)",
        formula="scale e^(-1 / concentration)",
        noise=UNIFORM,
        parameters=SCALE,
        transform=pareto,
    ),
    Reparameterization(
        name="kumaraswamy",
        law="Kumaraswamy(a, b)",
        formula="(1 - e^(1/b))^(1/a)",
        noise=UNIFORM,
        parameters={"a": "positive", "b": "positive"},
        transform=kumaraswamy,
    ),
)
