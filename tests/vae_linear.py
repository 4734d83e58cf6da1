"""Linear-Gaussian VAEs, whose evidence and posterior are known, for the tests of bounds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats
from tfbdl_vae import VAE, latents

from tfbdl import random
from tfbdl.likelihoods import Gaussian

NOISE = 0.6


@contextmanager
def float64() -> Iterator[None]:
    """Weights, layers and draws in double precision."""
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])


class LinearGaussian:
    """``x = W z + b + NOISE * eps`` with ``z ~ N(0, I)``, in NumPy.

    Args:
        columns: Size of x.
        latent: Size of z.
        orthogonal: Whether the columns of W are, so that the posterior's covariance is diagonal.
        seed: Of W and b.
    """

    def __init__(self, columns: int = 5, latent: int = 2, orthogonal: bool = False, seed: int = 0):
        rng = np.random.default_rng(seed)
        self.W = rng.normal(size=(columns, latent))
        if orthogonal:
            self.W = np.linalg.qr(self.W)[0] * np.linspace(1.5, 0.7, latent)
        self.b = rng.normal(size=columns)
        M = self.W.T @ self.W + NOISE**2 * np.eye(latent)
        self.gain = np.linalg.solve(M, self.W.T)  # E[z | x] = gain (x - b)
        self.covariance = NOISE**2 * np.linalg.inv(M)

    def rows(self, n: int, seed: int = 1) -> np.ndarray:
        rng = np.random.default_rng(seed)
        z, eps = rng.normal(size=(n, self.W.shape[1])), rng.normal(size=(n, self.W.shape[0]))
        return z @ self.W.T + self.b + NOISE * eps

    def log_evidence(self, x: np.ndarray) -> np.ndarray:
        C = self.W @ self.W.T + NOISE**2 * np.eye(len(self.b))
        return stats.multivariate_normal(self.b, C).logpdf(x)

    def vae(self, posterior: str = "diagonal", wrong: float = 0.0, **options: Any) -> VAE:
        """A VAE of this model; ``wrong``: how far q is from the exact posterior."""
        columns, latent = self.W.shape
        units = latents.get(posterior, latent).units
        encoder = keras.Sequential([keras.Input((columns,)), keras.layers.Dense(units)])
        decoder = keras.Sequential([keras.Input((latent,)), keras.layers.Dense(columns)])
        decoder.layers[0].set_weights([self.W.T, self.b])
        tril = np.linalg.cholesky(self.covariance) * (1.0 + wrong)
        raw = np.log(np.expm1(np.diag(tril)))
        if posterior == "full":
            factor = tril - np.diag(np.diag(tril)) + np.diag(raw)
            raw = tfp.math.fill_triangular_inverse(factor).numpy()
        kernel = np.zeros((columns, units))
        kernel[:, :latent] = self.gain.T
        bias = np.concatenate([-self.gain @ self.b + wrong, raw])
        encoder.layers[0].set_weights([kernel, bias])
        likelihood = Gaussian(scale=NOISE)
        return VAE(encoder, decoder, latent, likelihood, posterior=posterior, seed=4, **options)


def terms_of(model: VAE, x: np.ndarray, draws: int, seed: int = 0) -> Any:
    """The terms of the bound at draws that all rows share the keys of."""
    x = tf.constant(x)
    parameters = model.posterior_of(x)
    z, log_q = model.latent_posterior.draw(parameters, random.split(random.key(seed), draws))
    outputs, _ = model.outputs(tf.reshape(z, [-1, model.latent_dim]))
    return model.terms(model.log_lik(outputs, x), parameters, z, log_q, ratio=True)


def loss_of(model: VAE, x: np.ndarray) -> tf.Tensor:
    """What a training step minimises."""
    return model.compute_loss(y_pred=model(tf.constant(x), training=True), training=True)
