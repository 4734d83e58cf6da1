"""Gamma and Dirichlet draws by one small rejection loop, which XLA compiles in a second.

References:
    Best 1978, "A simple algorithm for the computer generation of random samples from gamma or beta
    distributions", as in Devroye 1986, "Non-Uniform Random Variate Generation", page 410.
"""

from __future__ import annotations

import tensorflow as tf

from tfbdl import random


def log_gamma(concentration: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """The logarithms of gamma variables of rate 1: of the shape of ``concentration``.

    Logarithms, because a variable of a small concentration is often too small for a number.

    Args:
        concentration: Above 0.
        key: ``[2]``.
    """
    dtype, shape = concentration.dtype, tf.shape(concentration)
    small = concentration <= 1.0
    a = tf.where(small, concentration + 1.0, concentration)
    b, c = a - 1.0, 3.0 * a - 0.75

    def attempt(
        count: tf.Tensor, found: tf.Tensor, done: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        chances = random.uniform(tf.concat([[3], shape], 0), random.fold_in(key, count), dtype)
        u, v, boost = chances[0], chances[1], chances[2]
        w = u * (1.0 - u)
        y = tf.sqrt(c / w) * (u - 0.5)  # a Student t with two degrees of freedom
        x = tf.maximum(b + y, tf.cast(1e-30, dtype))
        bound = 2.0 * (b * tf.math.log(x / b) - y)
        accept = (b + y > 0.0) & (tf.math.log(64.0 * w**3 * v**2) <= bound)
        # A gamma of concentration a is one of a + 1 times u^(1 / a) (Devroye, page 420).
        value = tf.math.log(x) + tf.where(
            small, tf.math.log(boost) / concentration, tf.zeros_like(x)
        )
        return count + 1, tf.where(done | ~accept, found, value), done | accept

    loop = (tf.constant(0), tf.zeros_like(concentration), tf.zeros_like(concentration, tf.bool))
    return tf.while_loop(lambda _, __, done: ~tf.reduce_all(done), attempt, loop)[1]


def dirichlet(concentration: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """Rows that sum to one: of the shape of ``concentration``."""
    return tf.nn.softmax(log_gamma(concentration, key), axis=-1)
