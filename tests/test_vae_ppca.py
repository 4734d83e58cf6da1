"""The best linear VAE is probabilistic PCA, and its bound is tight (Lucas et al. 2019)."""

from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from sklearn.datasets import load_wine
from tfbdl_vae import VAE, latents
from vae_by_name import eagerly
from vae_linear import loss_of

LATENT = 3


class Optimum(NamedTuple):
    """PPCA's maximum, in closed form (Tipping & Bishop 1999, eqs. 7 and 8)."""

    log_lik: float  # nats a row
    W: np.ndarray
    noise: float  # a variance
    gain: np.ndarray  # E[z | x] = gain x
    covariance: np.ndarray  # of z given x


def optimum(x):
    columns = x.shape[1]
    values, vectors = np.linalg.eigh(x.T @ x / len(x))  # of the 1/N covariance
    values, vectors = values[::-1], vectors[:, ::-1]
    noise = values[LATENT:].mean()
    W = vectors[:, :LATENT] * np.sqrt(values[:LATENT] - noise)
    log_det = np.log(values[:LATENT]).sum() + (columns - LATENT) * np.log(noise)
    M = W.T @ W + noise * np.eye(LATENT)
    gain, covariance = np.linalg.solve(M, W.T), noise * np.linalg.inv(M)
    return Optimum(
        -0.5 * (columns * np.log(2 * np.pi) + log_det + columns), W, noise, gain, covariance
    )


@pytest.fixture(scope="module")
def wine():
    x = load_wine(return_X_y=True)[0]
    return (x - x.mean(axis=0)) / x.std(axis=0)


def linear_vae(x, posterior="diagonal", seed=1, **options):
    """A linear encoder and decoder from a random start; the noise is learned."""
    keras.utils.set_random_seed(seed)
    units, columns = latents.get(posterior, LATENT).units, x.shape[1]
    encoder = keras.Sequential([keras.Input((columns,)), keras.layers.Dense(units)])
    decoder = keras.Sequential([keras.Input((LATENT,)), keras.layers.Dense(columns)])
    options = {"estimator": "A", "posterior": posterior, "num_samples": 8, **options}
    return VAE(encoder, decoder, LATENT, "gaussian", seed=seed, **options)


def at_optimum(x, best, away=0.0, **options):
    """The same at PPCA's maximum, or ``away`` from it in each weight."""
    model, rng = linear_vae(x, **options), np.random.default_rng(0)
    raw = np.log(np.expm1(np.sqrt(np.diag(best.covariance))))
    kernel = np.hstack([best.gain.T, np.zeros_like(best.gain.T)])
    weights = [kernel, np.hstack([np.zeros(LATENT), raw]), best.W.T, np.zeros(x.shape[1])]
    values = [value + away * rng.normal(size=value.shape) for value in weights]
    model.encoder.set_weights(values[:2])
    model.decoder.set_weights(values[2:])
    (scale,), (item,) = model.learned_raw.values(), model.learned.values()
    scale.assign(item.bijector.inverse(tf.cast(np.sqrt(best.noise) + away, scale.dtype)))
    return model


def train(model, x, steps, rate):
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps)
    model.compile(keras.optimizers.Adam(schedule), jit_compile=False)
    model.fit(x, batch_size=len(x), steps_per_epoch=steps, verbose=0)


def mean_of_a(model, x):
    """The bound by draws alone, which has no variance at the maximum."""
    return np.mean([model.log_marginal(x, k=1, seed=seed) for seed in range(50)])


def step_without_noise(model, x, monkeypatch):
    """The loss and the largest element of its gradient, in expectation over z.

    In place of draws there are points whose mean is 0 and whose covariance is 1: of a linear model
    the bound and its derivatives are quadratic in them.
    """
    points = np.sqrt(LATENT) * np.concatenate([np.eye(LATENT), -np.eye(LATENT)])

    def noise(keys, like):
        return tf.cast(points[:, None], like.dtype) * tf.ones_like(like)

    model.num_samples = len(points)
    monkeypatch.setattr(latents.diagonal, "standard_normal", noise)
    with tf.GradientTape() as tape:
        loss = loss_of(model, x.astype("float32"))
    gradients = tape.gradient(loss, model.trainable_variables)
    return float(loss), max(float(tf.reduce_max(tf.abs(g))) for g in gradients)


def test_at_ppcas_maximum_the_bound_is_its_likelihood_and_the_gradient_vanishes(wine, monkeypatch):
    best = optimum(wine)
    model = at_optimum(wine, best)
    with eagerly():
        rows = model.log_marginal(wine, k=1)  # at the maximum it has no variance
    np.testing.assert_allclose(rows.mean(), best.log_lik, atol=1e-4)
    C = best.W @ best.W.T + best.noise * np.eye(wine.shape[1])
    oracle = tfp.distributions.MultivariateNormalFullCovariance(np.zeros(len(C)), C)
    np.testing.assert_allclose(rows, oracle.log_prob(wine), atol=2e-4)
    loss, gradient = step_without_noise(model, wine, monkeypatch)
    assert loss == pytest.approx(-best.log_lik, abs=1e-4)
    assert gradient < 1e-4
    away = at_optimum(wine, best, away=0.002)
    assert step_without_noise(away, wine, monkeypatch)[1] > 0.02
    away = at_optimum(wine, best, away=0.1)
    assert step_without_noise(away, wine, monkeypatch)[0] > 0.5 - best.log_lik


@pytest.mark.slow
def test_a_linear_vae_that_starts_nearby_climbs_to_ppcas_likelihood(wine):
    best = optimum(wine)
    model = at_optimum(wine, best, away=0.1)
    train(model, wine, steps=80, rate=0.03)
    gap = best.log_lik - mean_of_a(model, wine)
    assert -1e-3 < gap < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("posterior", ["diagonal", "full"])
def test_a_linear_vae_reaches_ppcas_likelihood_from_any_start(wine, posterior):
    best = optimum(wine)
    model = linear_vae(wine, posterior, estimator="auto")
    train(model, wine, steps=1500, rate=0.05)
    gap = best.log_lik - mean_of_a(model, wine)
    assert -1e-3 < gap < 0.005
    found = model.likelihood_parameters()["scale"].numpy() ** 2
    np.testing.assert_allclose(found, best.noise, rtol=2e-3)  # with 1/(N - 1) it is 0.6 % more
    W = model.decoder.layers[-1].kernel.numpy().T
    np.testing.assert_allclose(W @ W.T, best.W @ best.W.T, atol=0.02)
    axes = W.T @ W
    if posterior == "diagonal":  # which holds for orthogonal columns alone
        assert np.abs(axes - np.diag(np.diag(axes))).max() < 0.1
