"""Categorical variables as one-hot vectors b of perturbed logits z: the last axis is the classes.

The Gumbel-max trick: of ``z = log p + g`` with standard Gumbel noise g the largest is class k with
probability ``p_k``.

References:
    Maddison, Mnih & Teh 2017, "The concrete distribution", section 3. Tucker et al. 2017, "REBAR",
    appendix C.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from .conditional_gumbels import possible, truncated
from .noise import standard_gumbel
from .tensors import as_dtype

TINY = 1e-30
"""A distance that stands for none, between draws that are equal in their dtype."""


def noise(shape: Any, keys: tf.Tensor, dtype: Any = "float32") -> tf.Tensor:
    """What perturbs the logits: standard Gumbel numbers."""
    return standard_gumbel(shape, keys, dtype)


def log_probs(logits: tf.Tensor) -> tf.Tensor:
    """Normalised logits; ``IMPOSSIBLE`` of those at minus infinity."""
    return tf.nn.log_softmax(possible(logits))


def perturbed(logits: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """``z = log p + g``."""
    return log_probs(logits) + noise


def hard(z: tf.Tensor) -> tf.Tensor:
    """The one-hot vector of the largest."""
    return tf.one_hot(tf.argmax(z, axis=-1), tf.shape(z)[-1], dtype=z.dtype)


def soft(z: tf.Tensor, temperature: Any) -> tf.Tensor:
    """``softmax(z / temperature)``; for a temperature to 0 it nears ``hard(z)``, the one-hot."""
    return tf.nn.softmax(z / as_dtype(temperature, z.dtype))


def log_prob(logits: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """``log p(b)`` of one-hot vectors, ``[...]``."""
    return tf.reduce_sum(b * log_probs(logits), axis=-1)


def score(logits: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The gradient of ``log p(b)`` in the logits: ``b - p``."""
    return b - tf.nn.softmax(possible(logits))


def conditional(logits: tf.Tensor, b: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """Perturbed logits given b: the chosen one is the maximum, the others are truncated at it.

    The maximum is a standard Gumbel variable, whatever b and the logits are.

    Args:
        logits: ``[..., k]``.
        b: One-hot, ``[..., k]``.
        noise: Standard Gumbel numbers, ``[..., k]``.

    Returns:
        ``[..., k]``, differentiable in the logits for a fixed b.
    """
    largest = tf.reduce_sum(b * noise, axis=-1, keepdims=True)
    return tf.where(b > 0.5, largest, truncated(log_probs(logits), noise, largest))


def coupled(logits: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
    """The noise at which ``conditional(logits, hard(z), noise)`` is z: independent of b."""
    chosen = hard(z) > 0.5
    below = tf.where(chosen, -tf.ones_like(z), z - tf.reduce_max(z, axis=-1, keepdims=True))
    own = z - tfp.math.log1mexp(tf.minimum(below, -TINY)) - log_probs(logits)
    return tf.where(chosen, z, own)
