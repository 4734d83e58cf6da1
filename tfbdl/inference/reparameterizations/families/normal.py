"""Normal variables, and what is their exponential.

References:
    Box & Muller 1958, "A note on the generation of random normal deviates".
"""

from __future__ import annotations

import math

import tensorflow as tf

from ..row import NORMAL, TWO_UNIFORMS, Reparameterization


def normal(noise: tf.Tensor, loc: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """``loc + scale e``."""
    return loc + scale * noise


def box_muller(noise: tf.Tensor, loc: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """``loc + scale sqrt(2 log(1 / e1)) cos(2 pi e2)`` of pairs on the last axis."""
    radius = tf.sqrt(-2.0 * tf.math.log(noise[..., 0]))
    return loc + scale * radius * tf.cos(2.0 * math.pi * noise[..., 1])


def multivariate_normal(noise: tf.Tensor, loc: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """``loc + R e``, whose covariance is ``R R'``."""
    return loc + tf.linalg.matvec(factor, noise)


def log_normal(noise: tf.Tensor, loc: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """``exp(loc + scale e)``."""
    return tf.exp(loc + scale * noise)


LOC_SCALE = {"loc": "real", "scale": "positive"}
ROWS = (
    Reparameterization(
        name="normal",
        law="N(loc, scale^2)",
        formula="loc + scale e",
        noise=NORMAL,
        parameters=LOC_SCALE,
        transform=normal,
    ),
    Reparameterization(
        name="box_muller",
        law="N(loc, scale^2)",
        formula="loc + scale sqrt(2 log(1/e1)) cos(2 pi e2)",
        noise=TWO_UNIFORMS,
        parameters=LOC_SCALE,
        transform=box_muller,
        mended="Printed without the 2 under the root: that has a variance of 1/2.",
    ),
    Reparameterization(
        name="multivariate_normal",
        law="N(loc, R R')",
        formula="loc + R e",
        noise=NORMAL,
        parameters={"loc": "vector", "factor": "matrix"},
        transform=multivariate_normal,
    ),
    Reparameterization(
        name="log_normal",
        law="exp N(loc, scale^2)",
        formula="exp(loc + scale e)",
        noise=NORMAL,
        parameters=LOC_SCALE,
        transform=log_normal,
        mended="Printed as exp(e) of e from N(loc, scale^2): noise that knows the parameters.",
    ),
)
