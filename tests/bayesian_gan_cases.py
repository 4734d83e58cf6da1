"""Small Bayesian GANs, and nets whose log posterior is known in closed form."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd
from tfbdl_bayesian_gan import BayesianGAN

from tfbdl.distributions import Prior
from tfbdl.specs import NoOptions
from tfbdl.testing.steps import without_xla

COVARIANCE = np.array([[1.0, 0.9], [0.9, 2.0]])


class Correlated(Prior):
    """N(0, [[1, 0.9], [0.9, 2]]) of a kernel [1, 2], N(0, 1) of all else."""

    def __init__(self) -> None:
        super().__init__(NoOptions())

    def distribution(self, shape: Any, dtype: Any = "float32", name: Any = None, **_: Any) -> Any:
        if tuple(shape) != (1, 2):
            return tfd.Sample(tfd.Normal(tf.zeros((), dtype), 1.0), shape)
        factor = tf.constant(np.linalg.cholesky(COVARIANCE), dtype)
        return tfd.Independent(tfd.MultivariateNormalTriL(tf.zeros((1, 2), dtype), factor), 1)


def line() -> keras.Model:
    """A generator of rows of two, with a kernel [1, 2] and nothing else."""
    return keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(2, use_bias=False)])


def indifferent() -> keras.Model:
    """A frozen discriminator that says 1/2 of every row: a generator's likelihood is constant."""
    dense = keras.layers.Dense(1, kernel_initializer="zeros")
    net = keras.Sequential([keras.layers.Input((2,)), dense])
    net.trainable = False
    return net


def small(**options: Any) -> BayesianGAN:
    """Three generators and two discriminators of rows of three, in few iterations."""
    chosen = {
        "generators": 3,
        "discriminators": 2,
        "latent_dim": 2,
        "hidden": (8,),
        "seed": 5,
        "warmup": 6,
        "burn_in": 2,
        "samples": 3,
        "thin": 2,
        "batch_size": 8,
    }
    made: BayesianGAN = without_xla(BayesianGAN(3, **(chosen | options)))
    return made


def rows(n: int = 40) -> np.ndarray:
    """Rows of three."""
    return np.random.default_rng(0).normal(size=(n, 3)).astype("float32")
