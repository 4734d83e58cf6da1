"""The forward-backward recursions in scaled probabilities: no logarithm inside the loops.

Rabiner's scaled variables (section V.A) lose a state for good once its probability falls below
the smallest number of the precision. No such loss can be seen if every transition has a
probability of at least ``FLOOR``: the state's next probability then comes from the others, to
which what was lost adds less than one rounding. ``exact`` tells whether that holds; the caller
goes to log space where it does not.

Here time is the first axis: ``steps`` is ``[T, ..., n, k]``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf


def exact(log_transition: tf.Tensor) -> tf.Tensor:
    """Whether no transition is so improbable that scaled variables lose digits.

    A message is between ``a`` and ``1 / a`` for the smallest transition probability a. What
    underflows is below tiny; it is divided by a at most twice and compared with a sum of at least
    a, so it is below one rounding (squared, to have room) if ``tiny / a^3 <= eps^2``.
    """
    limits = np.finfo(log_transition.dtype.as_numpy_dtype)
    floor = (math.log(limits.tiny) - 2.0 * math.log(limits.eps)) / 3.0
    return tf.reduce_min(log_transition) >= floor


def forward(
    log_initial: tf.Tensor, log_transition: tf.Tensor, steps: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """``log p(z_t | y_1..t)``, ``[T, ..., n, k]``, and ``log p(y_t | y_1..t-1)``, ``[T, ..., n]``.

    A state whose probability is below the smallest number has minus infinity.
    """
    transition = tf.exp(log_transition)[..., tf.newaxis, :, :]
    # The first states may be impossible: they are weighed in log space.
    steps = tf.concat([(steps[0] + log_initial[..., tf.newaxis, :])[tf.newaxis], steps[1:]], 0)
    high = _finite(tf.reduce_max(steps, -1))
    weights = tf.exp(steps - high[..., tf.newaxis])

    def body(t: tf.Tensor, predicted: tf.Tensor, filtered: Any, scales: Any) -> tuple[Any, ...]:
        joint = predicted * weights[t]
        scale = tf.reduce_sum(joint, -1)
        now = joint / tf.where(scale > 0.0, scale, tf.ones_like(scale))[..., tf.newaxis]
        predicted = tf.reduce_sum(now[..., tf.newaxis] * transition, -2)  # Rabiner (92)
        return t + 1, predicted, filtered.write(t, now), scales.write(t, scale)

    loop = (tf.constant(0), tf.ones_like(weights[0]), _room(weights), _room(high))
    *_, filtered, scales = tf.while_loop(lambda t, *_: t < tf.shape(steps)[0], body, loop)
    return tf.math.log(filtered.stack()), tf.math.log(scales.stack()) + high


def backward(log_transition: tf.Tensor, steps: tf.Tensor, increments: tf.Tensor) -> tf.Tensor:
    """``log p(y_t+1..T | z_t) - log p(y_t+1..T | y_1..t)``: ``[T, ..., n, k]``.

    Args:
        log_transition, steps: As in ``forward``.
        increments: What ``forward`` gave.
    """
    transition = tf.exp(log_transition)[..., tf.newaxis, :, :]
    possible = tf.math.is_finite(increments)[..., tf.newaxis]
    weights = tf.where(possible, steps - increments[..., tf.newaxis], -math.inf)
    weights = tf.exp(weights)

    def body(t: tf.Tensor, message: tf.Tensor, messages: Any) -> tuple[Any, ...]:
        messages = messages.write(t, message)
        ahead = weights[t] * message
        return t - 1, tf.reduce_sum(transition * ahead[..., tf.newaxis, :], -1), messages

    loop = (tf.shape(steps)[0] - 1, tf.ones_like(steps[0]), _room(steps))
    *_, messages = tf.while_loop(lambda t, *_: t >= 0, body, loop)
    return tf.math.log(messages.stack())


def _finite(x: tf.Tensor) -> tf.Tensor:
    return tf.where(tf.math.is_finite(x), x, tf.zeros_like(x))


def _room(like: tf.Tensor) -> tf.TensorArray:
    return tf.TensorArray(like.dtype, tf.shape(like)[0], element_shape=like.shape[1:])
