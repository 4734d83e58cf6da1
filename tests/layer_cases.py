"""What the tests of variational layers share: layers, many draws at once, and their moments."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions
RNG = np.random.default_rng(11)
DENSE = ("Reparameterization", "LocalReparameterization", "Flipout")
DRAWS = 10_000
LIMIT = 4.8
"""Standard errors: of a thousand figures one strays that far in six hundred runs of the tests."""


def normals(*shape):
    return RNG.normal(size=shape).astype("float32")


def set_posterior(layer, loc, scale, bias=None):
    """Give a layer, ours or TFP's, a kernel of these moments and a bias at a point."""
    eps = np.finfo("float32").eps
    loc_weight, raw, *rest = layer.trainable_variables
    loc_weight.assign(loc)
    raw.assign(np.log(np.expm1(scale - eps)))
    if rest and bias is not None:
        rest[0].assign(bias)


def outputs_of(layer, x, n=DRAWS, jit=True):
    """Outputs of ``n`` calls: ``[n, ...]``."""

    @tf.function(jit_compile=jit)
    def run():
        return tf.map_fn(lambda _: layer(x), tf.range(n), fn_output_signature=tf.float32)

    return run().numpy()


def gradients_of(layer, loss, x, n=DRAWS, jit=True):
    """Gradients of ``loss(layer(x))`` by the kernel's location and raw scale, of ``n`` calls."""
    variables = [
        variable.value if isinstance(variable, keras.Variable) else variable
        for variable in layer.trainable_variables[:2]
    ]

    def one(_):
        with tf.GradientTape() as tape:
            value = loss(layer(x))
        return tuple(tape.gradient(value, variables))

    @tf.function(jit_compile=jit)
    def run():
        return tf.map_fn(one, tf.range(n), fn_output_signature=(tf.float32, tf.float32))

    return [part.numpy() for part in run()]


def mean_error(draws, mean):
    """The largest distance of the draws' mean from ``mean``, in standard errors."""
    error = draws.std(axis=0) / np.sqrt(len(draws))
    return np.abs((draws.mean(axis=0) - mean) / error).max()


def variance_error(draws, variance):
    """The largest distance of the draws' variance from ``variance``, in standard errors.

    That of a squared deviation is taken from the draws, so that these need not be normal.
    """
    squares = np.square(draws - draws.mean(axis=0))
    return mean_error(squares, np.asarray(variance) * (1 - 1 / len(draws)))


def two_sample_error(first, second):
    """The largest difference of two means, in standard errors of the difference."""
    error = np.sqrt(first.var(axis=0) / len(first) + second.var(axis=0) / len(second))
    return np.abs((first.mean(axis=0) - second.mean(axis=0)) / error).max()


class Spy:
    """A divergence of a fixed value, which keeps what it was called with."""

    def __init__(self, value=0.0):
        self.value, self.calls = value, []

    def __call__(self, posterior, prior, weight):
        self.calls.append((posterior, prior, weight))
        return tf.constant(self.value)
