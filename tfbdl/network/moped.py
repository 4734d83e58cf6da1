"""MOPED: prior and posterior around the weights of a net that is trained already.

References:
    Krishnan, Subedar and Tickoo 2020, "Specifying Weight Priors in Bayesian Deep Neural Networks
    with Empirical Bayes", section 3.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from .. import distributions
from ..distributions import Prior
from ..errors import ModelError, OptionsError
from ..inference.surrogate import MeanField

SMALLEST_SCALE = 1e-6


def check_delta(delta: float | None, posterior: str) -> float | None:
    """A ratio of a weight's standard deviation to its size, as a float; None: no MOPED.

    Raises:
        OptionsError: If it is not above 0, or the family of the posterior has no scale a weight.
    """
    if delta is None:
        return None
    if not isinstance(delta, numbers.Real) or not 0 < delta < math.inf:
        raise OptionsError(f"moped_delta must be a finite number above 0. Received: {delta!r}.")
    if posterior != "mean_field":
        raise OptionsError(
            "moped_delta sets the scale of each weight. Expected posterior='mean_field'. "
            f"Received: {posterior!r}."
        )
    return float(delta)


def set_scales(surrogate: MeanField, weights: Mapping[str, keras.Variable], delta: float) -> None:
    """``sigma = delta * |w|``; a weight of exactly 0 keeps the family's own start."""
    for name, variable in weights.items():
        raw = surrogate.raw_scales[name]
        size = np.abs(np.asarray(variable, np.float64))
        scale = np.maximum(delta * size, SMALLEST_SCALE)
        softplus_inverse = scale + np.log(-np.expm1(-scale))
        raw.assign(np.where(size > 0, softplus_inverse, np.asarray(raw)))


def centred(prior: tfd.Distribution, centre: tf.Tensor, source: Prior) -> tfd.Distribution:
    """A normal prior of one tensor, moved by ``centre``.

    Raises:
        ModelError: If the prior is not normal.
    """
    normal = distributions.as_normal(prior)
    if normal is None:
        raise ModelError(
            "moped_delta centres a normal prior at the net's weights. Expected prior='normal' or "
            f"another of normal elements. Received: {source!r}."
        )
    return tfd.Independent(
        tfd.Normal(centre + normal.loc, normal.scale), reinterpreted_batch_ndims=centre.shape.rank
    )
