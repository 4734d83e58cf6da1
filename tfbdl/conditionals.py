"""What one draw of a posterior says of the targets: the terms that a Predictive averages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from .likelihoods import Likelihood

Statistic = Callable[[Likelihood, tf.Tensor, Mapping[str, tf.Tensor], Any], Any]
"""From (likelihood, outputs of one draw, its learned parameters, extra rows) to tensors."""


def moments(likelihood: Likelihood, outputs: tf.Tensor, own: Any, extra: Any) -> Any:
    """The conditional mean and variance."""
    return likelihood.mean(outputs, own), likelihood.variance(outputs, own)


def probs(likelihood: Likelihood, outputs: tf.Tensor, own: Any, extra: Any) -> tf.Tensor:
    """The class probabilities."""
    return likelihood.mean(outputs, own)


def log_prob(likelihood: Likelihood, outputs: tf.Tensor, own: Any, y: tf.Tensor) -> tf.Tensor:
    """The log likelihood of each target: ``[n]``."""
    return likelihood.log_prob(outputs, y, own)


def cdf(likelihood: Likelihood, outputs: tf.Tensor, own: Any, values: tf.Tensor) -> tf.Tensor:
    """The distribution function of each element at ``values [n, level, ...]``."""
    single = likelihood.elementwise(outputs, own)
    by_level = tf.cast(tf.experimental.numpy.moveaxis(values, 1, 0), outputs.dtype)
    if likelihood.is_discrete and likelihood.lattice is None:
        # TFP interpolates between counts, and goes on below zero
        counts = tf.floor(by_level)
        cdf = tf.where(counts < 0.0, 0.0, single.cdf(tf.maximum(counts, 0.0)))
    else:
        cdf = single.cdf(by_level)
    return tf.experimental.numpy.moveaxis(cdf, 0, 1)
