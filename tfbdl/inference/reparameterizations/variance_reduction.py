"""Train control variates: descend the variance of gradient estimates, which is one of squares.

References:
    Grathwohl et al. 2018, section 3.1, equation (10): the gradient of the variance in the
    surrogate's weights is that of the mean square, as the mean does not depend on them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ... import random
from ...errors import ModelError, OptionsError
from .estimate import Estimate


def reduce_variance(
    estimate: Callable[[tf.Tensor], Estimate],
    trainable: keras.layers.Layer | Sequence[Any],
    key: tf.Tensor,
    *,
    steps: int = 500,
    learning_rate: float = 0.01,
) -> np.ndarray:
    """Train by Adam what a control variate depends on.

    In a training loop of one's own the same is one more line: the gradient of
    ``estimate.second_moment()`` beside that of the objective.

    Args:
        estimate: From a key to an estimate, such as a call of ``relax``.
        trainable: A ``ControlVariate``; or Keras variables, such as eta of ``rebar``.
        key: ``[2]``; each step has its own, folded in.
        steps: At least 1.
        learning_rate: Of Adam.

    Returns:
        The mean square of the gradients at each step, ``[steps]``.

    Raises:
        OptionsError: If steps or learning_rate are not positive.
        ModelError: If the estimate does not depend on the variables, or runs away.
    """
    if steps < 1 or not learning_rate > 0:
        raise OptionsError(
            "steps and learning_rate are positive. "
            f"Received: steps={steps!r}, learning_rate={learning_rate!r}."
        )
    if isinstance(trainable, keras.layers.Layer):
        estimate(key)  # makes its weights
        trainable = trainable.trainable_variables
    variables = list(trainable)
    if not variables:
        raise ModelError("There is nothing to train. Received: no variables.")
    optimizer = keras.optimizers.Adam(learning_rate)
    optimizer.build(variables)

    def step(number: tf.Tensor, history: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        with tf.GradientTape() as tape:
            loss = estimate(random.fold_in(key, number)).second_moment()
        gradients = tape.gradient(loss, [getattr(v, "value", v) for v in variables])
        if all(gradient is None for gradient in gradients):
            raise ModelError(
                "The estimate does not depend on the variables that are to be trained."
            )
        pairs = zip(gradients, variables, strict=True)
        optimizer.apply_gradients([(g, v) for g, v in pairs if g is not None])
        return number + 1, history.write(number, tf.cast(loss, tf.float64))

    @tf.function(autograph=False)
    def descend() -> tf.Tensor:
        start = (tf.constant(0), tf.TensorArray(tf.float64, steps))
        loop = tf.while_loop(lambda n, _: n < steps, step, start, parallel_iterations=1)
        return loop[1].stack()

    history = descend().numpy()
    if not np.isfinite(history).all():
        raise ModelError(
            "The gradients ran away while their variance was reduced. "
            f"Try a smaller learning rate. Received: learning_rate={learning_rate!r}."
        )
    return history
