"""Gumbel variables given their maximum, or given which of them is the largest.

References:
    Kool, van Hoof & Welling 2019, "Stochastic beams and where to find them", appendix B.
    Tucker et al. 2017, "REBAR", appendix C. Maddison, Tarlow & Minka 2014, "A* sampling".
"""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

IMPOSSIBLE = -1e30
"""Stands for the logit of what has no probability: differences of two of it are numbers."""


def possible(logits: tf.Tensor) -> tf.Tensor:
    """Logits with ``IMPOSSIBLE`` in the place of minus infinity."""
    return tf.maximum(logits, IMPOSSIBLE)


def given_maximum(gumbels: tf.Tensor, maximum: tf.Tensor) -> tf.Tensor:
    """Shift Gumbel variables so that their maximum is what is given, and their law is right.

    With Z the maximum of ``gumbels`` and T what it is to be, each is moved to the same quantile of
    its law truncated at T: ``-log(exp(-T) - exp(-Z) + exp(-g))``, without overflow. The order
    stays.

    Args:
        gumbels: ``[..., n]``; minus infinity is never drawn.
        maximum: ``[...]``; minus infinity makes all that.

    Returns:
        ``[..., n]``, of which the largest is ``maximum``.
    """
    never = tf.constant(float("-inf"), gumbels.dtype)
    T = maximum[..., tf.newaxis]
    sound = tf.math.is_finite(T)
    alive = (gumbels > never) & sound
    g = tf.where(alive, gumbels, 0.0)
    T = tf.where(sound, T, 0.0)
    Z = tf.reduce_max(tf.where(alive, gumbels, never), axis=-1, keepdims=True)
    v = T - g + tfp.math.log1mexp(tf.where(alive, g - Z, 0.0))  # appendix B
    shifted = T - tf.maximum(v, 0.0) - tf.math.log1p(tf.exp(-tf.abs(v)))
    return tf.where(alive, shifted, never)


def truncated(log_probs: tf.Tensor, gumbels: tf.Tensor, bound: tf.Tensor) -> tf.Tensor:
    """Gumbel variables of locations ``log_probs``, each given that it lies below ``bound``.

    Args:
        log_probs: ``[..., n]``, finite.
        gumbels: Standard Gumbel noise, ``[..., n]``.
        bound: Broadcasts against it.

    Returns:
        ``-log(exp(-log_probs - gumbels) + exp(-bound))``, ``[..., n]``; differentiable.
    """
    return -tfp.math.log_add_exp(-(log_probs + gumbels), -bound)
