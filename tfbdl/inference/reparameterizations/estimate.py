"""What an estimator of a gradient gives back: values, and a gradient for each draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from ...errors import ModelError, OptionsError

Objective = Callable[[tf.Tensor], tf.Tensor]
"""From draws ``[S, *batch, *event]`` to values ``[S, *batch]``, each draw by itself."""


class Estimate(NamedTuple):
    """Draws of a discrete variable, and an estimate of ``d E[f(b)] / d logits`` from each.

    Attributes:
        value: ``f(b)``, ``[S, *batch]``.
        gradient: ``[S, *batch, *event]``; its mean over S is the estimate.
        b: The draws, ``[S, *batch, *event]``.
        logits: ``[*batch, *event]``.
    """

    value: tf.Tensor
    gradient: tf.Tensor
    b: tf.Tensor
    logits: tf.Tensor

    def mean(self) -> tf.Tensor:
        """The estimate, ``[*batch, *event]``."""
        return tf.reduce_mean(self.gradient, axis=0)

    def variance(self) -> tf.Tensor:
        """Of the gradient of one draw, ``[*batch, *event]``; of independent ones alone."""
        count = tf.cast(tf.shape(self.gradient)[0], self.gradient.dtype)
        return tf.math.reduce_variance(self.gradient, axis=0) * count / (count - 1.0)

    def second_moment(self) -> tf.Tensor:
        """The mean square of the gradients, a scalar.

        As their mean does not depend on a control variate, the gradient of this in its parameters
        is an unbiased one of the variance (Grathwohl et al. 2018, section 3.1).
        """
        return tf.reduce_mean(tf.square(self.gradient))

    def objective(self) -> tf.Tensor:
        """``E[f]``, ``[*batch]``, whose gradient in the logits is the estimate, for a tape.

        What f itself depends on (the weights of a decoder) has its own gradient, through f.
        """
        event = tf.range(tf.rank(self.value) - 1, tf.rank(self.logits))
        away = self.logits - tf.stop_gradient(self.logits)
        slope = tf.reduce_sum(tf.stop_gradient(self.mean()) * away, axis=event)
        return tf.reduce_mean(self.value, axis=0) + slope


def checked_samples(samples: Any) -> int:
    """The number of draws.

    Raises:
        OptionsError: If it is no whole number of at least 1.
    """
    if isinstance(samples, bool) or not isinstance(samples, int) or samples < 1:
        raise OptionsError(f"samples is a whole number, at least 1. Received: {samples!r}.")
    return samples


def values(f: Objective, b: tf.Tensor) -> tf.Tensor:
    """``f(b)``.

    Raises:
        ModelError: If that has not the leading axes of b, or all of them.
    """
    value = tf.convert_to_tensor(f(b))
    rank = value.shape.rank
    if not rank or rank >= b.shape.rank or not value.shape.is_compatible_with(b.shape[:rank]):
        raise ModelError(
            f"f gives a number for each draw: of b {tuple(b.shape)} a tensor of its leading axes "
            f"without those of one draw. Received: shape {tuple(value.shape)}."
        )
    return tf.cast(value, b.dtype)


def spread(value: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    """``[S, *batch]`` with axes of length 1 for those of one draw."""
    for _ in range(like.shape.rank - value.shape.rank):
        value = value[..., tf.newaxis]
    return value
