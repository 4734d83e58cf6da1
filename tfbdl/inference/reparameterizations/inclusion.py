"""Estimates of expectations from draws without replacement, by their inclusion probabilities.

Given the threshold kappa, the (k+1)-th largest perturbed log probability, each of the k draws was
included with the probability ``q = P(G > kappa) = 1 - exp(-exp(log p - kappa))``, and

    E[f] = E[ sum_i p_i / q_i f_i ]

References:
    Kool, van Hoof & Welling 2019, "Stochastic beams and where to find them", section 4.2.
    Horvitz & Thompson 1952. Duffield, Lund & Thorup 2007, "Priority sampling".
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from ...errors import DataError
from .tensors import as_dtype

SMALL = -30.0
"""Below it ``1 - exp(-exp(x))`` is ``exp(x)`` to the last digit, in float64 too."""


def inclusion_log_probs(log_probs: tf.Tensor, threshold: tf.Tensor) -> tf.Tensor:
    """``log q`` of draws ``[..., k]`` for a threshold ``[...]``.

    A threshold of minus infinity includes all that has a probability.
    """
    never = tf.constant(float("-inf"), log_probs.dtype)
    drawn = log_probs > never
    away = tf.where(drawn, log_probs, 0.0) - threshold[..., tf.newaxis]
    exact = tfp.math.log1mexp(tf.exp(tf.maximum(away, SMALL)))
    return tf.where(drawn, tf.where(away < SMALL, away, exact), never)


def importance_weights(log_probs: tf.Tensor, threshold: tf.Tensor) -> tf.Tensor:
    """``p / q`` of draws ``[..., k]``; 0 of what is no draw, at minus infinity."""
    drawn = log_probs > tf.constant(float("-inf"), log_probs.dtype)
    log_weights = log_probs - inclusion_log_probs(log_probs, threshold)
    return tf.where(drawn, tf.exp(tf.where(drawn, log_weights, 0.0)), 0.0)


def horvitz_thompson(
    f: Any, log_probs: Any, threshold: Any, *, normalised: bool = False
) -> tf.Tensor:
    """``sum_i w_i f_i``, an unbiased estimate of ``E[f]``; or divided by ``sum_i w_i``.

    Args:
        f: Values at the draws, ``[..., k]``; those at minus infinity are not looked at.
        log_probs: Of the draws, ``[..., k]``.
        threshold: kappa, ``[...]``.
        normalised: Biased by O(1/k), and mostly nearer: of a constant f it is that constant.

    Returns:
        ``[...]``.

    Raises:
        DataError: If the shapes do not fit.
    """
    log_probs = tf.convert_to_tensor(log_probs)
    f, threshold = as_dtype(f, log_probs.dtype), as_dtype(threshold, log_probs.dtype)
    fits = f.shape.is_compatible_with(log_probs.shape)
    if not fits or not threshold.shape.is_compatible_with(log_probs.shape[:-1]):
        raise DataError(
            "Values and log probabilities are [..., k], the threshold is [...]. Received: "
            f"{tuple(f.shape)}, {tuple(log_probs.shape)}, {tuple(threshold.shape)}."
        )
    weights = importance_weights(log_probs, threshold)
    total = tf.reduce_sum(tf.where(weights > 0.0, weights * f, 0.0), axis=-1)
    return total / tf.reduce_sum(weights, axis=-1) if normalised else total
