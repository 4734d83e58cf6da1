"""Variational auto-encoders whose weights are known, and what they compute, in NumPy."""

import keras
import numpy as np
import tfbdl_vae
from scipy import stats

import tfbdl
from tfbdl import likelihoods

NOISE = 0.6
MEAN = np.array([1.0, -0.5, 0.3, 2.0])
W = np.array([[1.2, 0.5], [-0.8, 0.9], [0.4, -0.6], [0.0, 1.0]])
W[:, 1] -= W[:, 0] * (W[:, 0] @ W[:, 1]) / (W[:, 0] @ W[:, 0])  # so that p(z | x) is diagonal


def raw(scale):
    """The inverse of softplus."""
    return np.log(np.expm1(scale))


def dense(kernel, bias):
    """A net of one linear layer with these weights."""
    kernel = np.asarray(kernel, "float32")
    net = keras.Sequential([keras.Input((len(kernel),)), keras.layers.Dense(kernel.shape[1])])
    net.set_weights([kernel, np.asarray(bias, "float32")])
    return net


def linear_nets():
    """Encoder and decoder of PPCA with the exact posterior: Bishop 2006, eq. 12.42."""
    M = np.sum(W**2, axis=0) + NOISE**2  # diagonal, as the columns of W are orthogonal
    A = W / M
    kernel = np.concatenate([A, np.zeros_like(A)], axis=1)
    bias = np.concatenate([-MEAN @ A, raw(NOISE / np.sqrt(M))])
    return dense(kernel, bias), dense(W.T, MEAN)


def linear_vae(**options):
    """A VAE that is PPCA, with the exact posterior."""
    encoder, decoder = linear_nets()
    gaussian = likelihoods.Gaussian(scale=NOISE)
    return tfbdl_vae.VAE(encoder, decoder, 2, gaussian, seed=0, **options)


def marginal():
    """p(x) of ``linear_vae``: its mean and covariance."""
    return MEAN, W @ W.T + NOISE**2 * np.eye(4)


def log_marginal(x):
    """log p(x) of each row, by scipy."""
    return stats.multivariate_normal(*marginal()).logpdf(x)


def nets(units=2, outputs=6, inputs=6, latent_dim=2, seed=0):
    """Small nets with a hidden layer."""
    with tfbdl.functional.seeded(seed):
        encoder = keras.Sequential(
            [keras.Input((inputs,)), keras.layers.Dense(5, "tanh"), keras.layers.Dense(2 * units)]
        )
        decoder = keras.Sequential(
            [keras.Input((latent_dim,)), keras.layers.Dense(5, "tanh"), keras.layers.Dense(outputs)]
        )
    return encoder, decoder


def vae(seed=0, **options):
    """A small VAE of six binary columns."""
    return tfbdl_vae.VAE(*nets(), 2, seed=seed, **options)


def binary(n=40, seed=0):
    """Rows of six binary columns that depend on one another."""
    rng = np.random.default_rng(seed)
    first = rng.random((n, 1)) < 0.5
    flips = rng.random((n, 6)) < 0.15
    return (first ^ flips).astype("float32")


def by_hand(model, x):
    """Reconstruction and KL of each row at ``z = E[z | x]``: what frozen noise gives."""
    K1, b1, K2, b2 = model.encoder.get_weights()
    outputs = np.tanh(x @ K1 + b1) @ K2 + b2
    mu, sigma = outputs[:, :2], np.log1p(np.exp(outputs[:, 2:]))
    K1, b1, K2, b2 = model.decoder.get_weights()
    logits = np.tanh(mu @ K1 + b1) @ K2 + b2
    log_lik = np.sum(x * logits - np.logaddexp(0.0, logits), axis=1)
    kl = 0.5 * (mu**2 + sigma**2 - 1.0) - np.log(sigma)  # Kingma & Welling 2014, appendix B
    return {"mu": mu, "reconstruction": log_lik, "kl_parts": kl, "kl": kl.sum(axis=1)}
