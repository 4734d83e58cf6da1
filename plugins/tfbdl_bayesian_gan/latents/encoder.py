"""ResponsibilityEncoder: which component a row came from, learned from generated rows."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfbdl import random

from .mixture import MixtureLatents

SLOPE = 0.2


class ResponsibilityEncoder:
    r"""q(k | x), an amortised E-step for rows through a generator without an inverse.

    It minimises ``- E_{z ~ p(z)} sum_k p(k | z) log q(k | G(z))``, which is least where
    ``q(k | x) = E[p(k | z) | G(z) = x]``: the responsibilities of the rows that are generated.
    The exact responsibilities of z as targets, in place of the component drawn, leave its variance
    out. Generator and prior stay as they are.

    Args:
        prior: A mixture.
        generator: From z ``[n, d]`` to rows ``[n, ...]``.
        hidden: Units of its hidden layers.
        learning_rate: Of Adam.
        seed: Of its weights and of all z.

    References:
        Huang et al. 2021, "GAN-Based Gaussian Mixture Model Responsibility Learning".
    """

    def __init__(
        self,
        prior: MixtureLatents,
        generator: Callable[..., Any],
        hidden: Sequence[int] = (128, 128),
        learning_rate: float = 1e-3,
        seed: int = 0,
    ) -> None:
        self.prior, self.generator, self.seed = prior, generator, seed
        layers: list[keras.layers.Layer] = [keras.layers.Flatten()]
        for i, units in enumerate(hidden):
            start = keras.initializers.GlorotUniform(seed=seed + i)
            layers += [
                keras.layers.Dense(units, kernel_initializer=start),
                keras.layers.LeakyReLU(SLOPE),
            ]
        layers.append(keras.layers.Dense(prior.num_components, kernel_initializer="zeros"))
        self.net = keras.Sequential(layers)
        self.net(self._rows(prior.sample(2, random.key(seed, "encoder", "shape"))))
        self.optimizer = keras.optimizers.Adam(learning_rate)
        self.optimizer.build(self.net.trainable_variables)
        self.steps_done = 0

    def fit(self, steps: int = 1000, batch_size: int = 128) -> ResponsibilityEncoder:
        """Train for so many steps more, in one compiled function.

        Args:
            steps: At least 1.
            batch_size: Rows generated for each.
        """
        first = tf.constant(self.steps_done)
        self._train(first, first + steps, tf.constant(batch_size))
        self.steps_done += steps
        return self

    def responsibilities(self, x: Any) -> np.ndarray:
        """``q(k | x)`` of rows ``[n, ...]``: ``[n, K]``."""
        return np.asarray(tf.nn.softmax(self.net(tf.convert_to_tensor(x, "float32"))))

    def loss(self, z: tf.Tensor) -> tf.Tensor:
        """The cross entropy at ``z [n, d]``, in nats: a scalar."""
        log_q = tf.nn.log_softmax(self.net(self._rows(z)))
        return -tf.reduce_mean(tf.reduce_sum(self.prior.responsibilities(z) * log_q, axis=-1))

    @functools.cached_property
    def _train(self) -> Any:
        variables = self.net.trainable_variables

        def step(i: tf.Tensor, batch_size: tf.Tensor) -> tf.Tensor:
            key = random.key(self.seed, "encoder", "train", i)
            z = tf.stop_gradient(self.prior.draw(batch_size, key).z)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch([variable.value for variable in variables])
                loss = self.loss(z)
            gradients = tape.gradient(loss, [variable.value for variable in variables])
            self.optimizer.apply(gradients, variables)
            return i + 1

        def loop(first: tf.Tensor, last: tf.Tensor, batch_size: tf.Tensor) -> tf.Tensor:
            return tf.while_loop(lambda i: i < last, lambda i: step(i, batch_size), (first,))

        return tf.function(loop, autograph=False)

    def _rows(self, z: tf.Tensor) -> tf.Tensor:
        return rows_of(self.generator, z)


def rows_of(generator: Callable[..., Any], z: tf.Tensor) -> tf.Tensor:
    """``G(z)``, of a Keras net as it is used after training."""
    if isinstance(generator, keras.layers.Layer):
        return generator(z, training=False)
    return tf.convert_to_tensor(generator(z))
