"""The Concrete distribution, or Gumbel-softmax: categorical variables relaxed into the simplex.

A draw is ``x = softmax((log alpha + g) / t)`` with Gumbel noise g and the temperature t. As t falls
to 0 it nears the one-hot vector of the largest, an exact draw of the categorical; at every t above
0 the mean of draws is not the vector of probabilities (of .5, .3, .2 at t = 1 it is .4468, .3154,
.2378), so that an expectation of them, and its gradient, is biased for the discrete one. Densities
are of log x, since shares near 0 are not told apart by x.

References:
    Maddison, Mnih & Teh 2017, "The concrete distribution", equations (10) and (24).
    Jang, Gu & Poole 2017, "Categorical reparameterization with Gumbel-softmax".
    Bengio, Leonard & Courville 2013, "Estimating or propagating gradients through stochastic
    neurons", on straight-through.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf

from ...errors import OptionsError
from . import categorical
from .discrete import checked_logits
from .tensors import as_dtype


def sample(
    logits: Any, temperature: Any, n: int, key: tf.Tensor, *, straight_through: bool = False
) -> tf.Tensor:
    """Draws ``[n, *batch, k]`` of logits ``[*batch, k]``.

    Args:
        logits: log alpha, normalised or not; minus infinity is never drawn.
        temperature: Above 0; one for all, or ``[*batch, 1]``.
        n: How many.
        key: ``[2]``, of ``tfbdl.random.key``.
        straight_through: One-hot draws of the categorical, with the gradient of relaxed ones.

    Raises:
        DataError: If logits are NaN.
        OptionsError: If a temperature is not positive.
    """
    logits = checked_logits(logits)
    temperature = checked_temperature(temperature, logits.dtype)
    noise = categorical.noise((n, *logits.shape), key, logits.dtype)
    z = categorical.perturbed(logits, noise)
    x = tf.exp(log_relaxed(z, temperature))
    return through(x, z) if straight_through else x


def log_relaxed(z: tf.Tensor, temperature: Any) -> tf.Tensor:
    """``log softmax(z / temperature)`` of perturbed logits, at least ``floor(dtype)``."""
    log_x = tf.nn.log_softmax(z / temperature)
    return tf.maximum(log_x, floor(log_x.dtype))


def through(x: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
    """Straight-through: the one-hot vector of the largest z, with the gradient of the relaxed x."""
    corner = tf.one_hot(tf.argmax(z, axis=-1), z.shape[-1], dtype=x.dtype)
    return corner + (x - tf.stop_gradient(x))


def log_prob(log_x: tf.Tensor, logits: tf.Tensor, temperature: Any) -> tf.Tensor:
    """The log density at x, of each variable: ``[...]`` of ``log_x [..., k]``.

    ``(k-1)! t^(k-1) prod_i [alpha_i x_i^(-t-1) / sum_j alpha_j x_j^(-t)]``, equation (10).
    """
    k, dtype = log_x.shape[-1], log_x.dtype
    t = as_dtype(temperature, dtype)
    tilted = tf.nn.log_softmax(logits - t * log_x)
    log_t = tf.math.log(t[..., 0] if t.shape.rank else t)
    return tf.reduce_sum(tilted - log_x, axis=-1) + math.lgamma(k) + (k - 1) * log_t


def binary_log_prob(y: tf.Tensor, logits: tf.Tensor, temperature: Any) -> tf.Tensor:
    """The log density of a relaxed Bernoulli variable ``x = sigmoid(y)``, equation (24).

    Args:
        y: ``(logit + l) / temperature`` with logistic noise l, any shape.
        logits: ``log alpha``, broadcasts against y.
        temperature: Above 0.

    Returns:
        Of x and not of y, in the shape of y.
    """
    t = as_dtype(temperature, y.dtype)
    noise = t * y - logits
    log_density = tf.math.log(t) - noise - 2.0 * tf.nn.softplus(-noise)  # of y
    return log_density + tf.nn.softplus(y) + tf.nn.softplus(-y)


def annealed(step: Any, start: float = 1.0, end: float = 0.5, rate: float = 1e-4) -> tf.Tensor:
    """The temperature at a step: ``max(end, start exp(-rate step))`` (Jang et al., section 4).

    Args:
        step: From 0; a number or a tensor.
        start, end: The first temperature, and the least.
        rate: Of the decay, for each step.

    Raises:
        OptionsError: If the temperatures do not fall from start to end above 0, or the rate is
            negative.
    """
    if not (0 < end <= start < math.inf and 0 <= rate < math.inf):
        raise OptionsError(
            "A temperature falls from start to end, above 0, at a rate of at least 0. Received: "
            f"start={start!r}, end={end!r}, rate={rate!r}."
        )
    return tf.maximum(end, start * tf.exp(-rate * tf.cast(step, tf.float32)))


def floor(dtype: tf.DType) -> float:
    """The logarithm of the least share that is told from zero, in nats."""
    return math.log(np.finfo(dtype.as_numpy_dtype).tiny) + 1.0


def checked_temperature(temperature: Any, dtype: tf.DType) -> tf.Tensor:
    """A temperature as a tensor.

    Raises:
        OptionsError: If it is not positive and finite.
    """
    t = as_dtype(temperature, dtype)
    static = tf.get_static_value(t)
    if static is not None and not np.all((static > 0) & np.isfinite(static)):
        raise OptionsError(f"A temperature is positive and finite. Received: {temperature!r}.")
    return t
