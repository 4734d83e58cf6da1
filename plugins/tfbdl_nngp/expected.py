"""Expected log likelihoods of functions that are normal at each row, in a graph."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

NODES = 32
REACH, FINE = 40.0, 200
"""Of ``log(1 + exp(-t))``, which is 0 beyond to 17 digits, and nodes for it."""


def gaussian(y: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """``E[log N(y | f, noise)]`` of ``f ~ N(mean, variance)``, summed over outputs: ``[n]``.

    Shapes:
        y, mean, variance: ``[n, k]``.
    """
    misfit = (tf.square(y - mean) + variance) / noise
    return -0.5 * tf.reduce_sum(misfit + tf.math.log(2.0 * math.pi * noise), axis=1)


def bernoulli(y: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor) -> tf.Tensor:
    """``E[log sigmoid(f)]`` for labels 1, of ``-f`` for labels 0: ``[n]``.

    By Gauss-Hermite nodes for standard deviations up to 1. Beyond, ``log sigmoid(f) = min(f, 0) -
    log(1 + exp(-|f|))``: the first is in closed form, and the second, which ends near 0, is
    integrated by Gauss-Legendre nodes there; nodes that spread with the deviation would miss it.

    Shapes:
        y: ``[n]``, 0 and 1.
        mean, variance: ``[n, 1]``.
    """
    mean = (2.0 * y[:, tf.newaxis] - 1.0) * mean
    points, weights = np.polynomial.hermite_e.hermegauss(NODES)
    f = mean + tf.sqrt(tf.minimum(variance, 1.0)) * tf.constant(points, mean.dtype)  # [n, nodes]
    total = tf.constant(weights / weights.sum(), mean.dtype)
    narrow = tf.linalg.matvec(tf.math.log_sigmoid(f), total)
    sd = tf.sqrt(tf.maximum(variance, 1.0))
    unit = tfd.Normal(tf.zeros([], mean.dtype), tf.ones([], mean.dtype))
    below = mean * unit.cdf(-mean / sd) - sd * unit.prob(mean / sd)  # E[min(f, 0)]
    points, weights = np.polynomial.legendre.leggauss(FINE)
    t = 0.5 * REACH * (points + 1.0)
    mass = tf.constant(0.5 * REACH * weights * np.log1p(np.exp(-t)), mean.dtype)
    density = (unit.prob((t - mean) / sd) + unit.prob((t + mean) / sd)) / sd  # [n, nodes]
    wide = below[:, 0] - tf.linalg.matvec(density, mass)
    return tf.where(variance[:, 0] < 1.0, narrow, wide)


def categorical(y: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """The mean of ``log softmax(f)_y`` over draws of f, without bias: ``[n]``.

    Shapes:
        y: ``[n]``, whole numbers.
        mean, variance: ``[n, C]``.
        noise: ``[draws, n, C]``, standard normal.
    """
    log_probs = tf.nn.log_softmax(mean + tf.sqrt(variance) * noise)
    picked = tf.one_hot(y, mean.shape[1], dtype=mean.dtype)
    return tf.reduce_mean(tf.reduce_sum(log_probs * picked, axis=2), axis=0)


def categorical_bound(y: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor) -> tf.Tensor:
    """A lower bound of ``E[log softmax(f)_y]`` where all classes have one variance: ``[n]``.

    ``E[log sum exp f] <= log sum E[exp f]`` (Jensen), which is ``variance / 2`` above that of the
    means; equal where the variance is 0.

    Shapes:
        y: ``[n]``, whole numbers.
        mean: ``[n, C]``.
        variance: ``[n, 1]``.
    """
    picked = tf.one_hot(y, mean.shape[1], dtype=mean.dtype)
    return tf.reduce_sum(tf.nn.log_softmax(mean) * picked, axis=1) - 0.5 * variance[:, 0]
