"""Bernoulli variables b in {0, 1} of perturbed logits z: each element is a variable.

``z = logit + l`` with standard logistic noise l is positive with probability ``sigmoid(logit)``.

References:
    Maddison, Mnih & Teh 2017, "The concrete distribution", appendix B. Tucker et al. 2017, "REBAR",
    appendix C; Grathwohl et al. 2018, "Backpropagation through the void", appendix A.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from .categorical import TINY
from .conditional_gumbels import possible
from .noise import standard_logistic
from .tensors import as_dtype


def noise(shape: Any, keys: tf.Tensor, dtype: Any = "float32") -> tf.Tensor:
    """What perturbs the logits: standard logistic numbers."""
    return standard_logistic(shape, keys, dtype)


def perturbed(logits: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """``z = logit + l``."""
    return _finite(logits) + noise


def hard(z: tf.Tensor) -> tf.Tensor:
    """1 where z is positive, else 0."""
    return tf.cast(z > 0, z.dtype)


def soft(z: tf.Tensor, temperature: Any) -> tf.Tensor:
    """``sigmoid(z / temperature)``; for a temperature to 0 it nears ``hard(z)``."""
    return tf.sigmoid(z / as_dtype(temperature, z.dtype))


def log_prob(logits: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """``log p(b)`` of each element, ``[...]``."""
    return -tf.nn.softplus((1.0 - 2.0 * b) * _finite(logits))


def score(logits: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The gradient of ``log p(b)`` in the logits: ``b - sigmoid(logit)``."""
    return b - tf.sigmoid(logits)


def conditional(logits: tf.Tensor, b: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """Perturbed logits given b: a truncated logistic variable.

    Args:
        logits, b: ``[...]``.
        noise: Standard logistic numbers, ``[...]``.

    Returns:
        ``+-softplus(noise + softplus(+-logit))``, ``[...]``; differentiable for a fixed b.
    """
    sign = 2.0 * b - 1.0
    return sign * tf.nn.softplus(noise + tf.nn.softplus(sign * _finite(logits)))


def coupled(logits: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
    """The noise at which ``conditional(logits, hard(z), noise)`` is z: independent of b."""
    sign = 2.0 * hard(z) - 1.0
    size = tf.maximum(tf.abs(z), TINY)
    log_expm1 = size + tfp.math.log1mexp(size)
    return log_expm1 - tf.nn.softplus(sign * _finite(logits))


def _finite(logits: tf.Tensor) -> tf.Tensor:
    return -possible(-possible(logits))
