"""Priors of a linear Gaussian model's parameters.

References:
    Gelman 2006, "Prior distributions for variance parameters in hierarchical models";
    Fruhwirth-Schnatter & Wagner 2010, "Stochastic model specification search for Gaussian state
    space models" (half-normal standard deviations of process noise); Lewandowski, Kurowicka & Joe
    2009 (correlations).
"""

from __future__ import annotations

import math

import tensorflow as tf
from tensorflow_probability import distributions as tfd


def normal(value: tf.Tensor, mean: tf.Tensor, scale: tf.Tensor, axes: int) -> tf.Tensor:
    """The log density of independent normals, summed over the last axes: ``[...]``."""
    found = tfd.Normal(mean, scale).log_prob(value)
    return tf.reduce_sum(found, list(range(-axes, 0)))


def variances(value: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """The log density of variances ``[..., k]`` whose roots are half-normal: ``[...]``.

    Args:
        value: Above 0.
        scale: Of the half-normal, ``[k]`` or a number.
    """
    root = tf.sqrt(value)
    # p(v) = p(s) / (2 s) with s = sqrt(v)
    found = tfd.HalfNormal(scale).log_prob(root) - math.log(2.0) - tf.math.log(root)
    return tf.reduce_sum(found, -1)


def covariance(value: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """The log density of covariances ``[..., k, k]``: ``[...]``.

    Standard deviations are half-normal and correlations uniform over correlation matrices: the
    density over the elements on and below the diagonal.

    Args:
        value: Positive definite.
        scale: Of the half-normal, ``[k]`` or a number.
    """
    size = value.shape[-1]
    diagonal = tf.linalg.diag_part(value)
    found = variances(diagonal, scale)
    if size == 1:
        return found
    # An off-diagonal element is s_i s_j c_ij: each s_i stands in size - 1 of them.
    found -= 0.5 * (size - 1) * tf.reduce_sum(tf.math.log(diagonal), -1)
    uniform = tfd.LKJ(size, tf.ones([], value.dtype))  # the same at each correlation matrix
    return found + uniform.log_prob(tf.eye(size, dtype=value.dtype))
