"""Priors of noise: densities, draws, unbiased gradients, responsibilities, and z given a row."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from tfbdl_bayesian_gan import GAN
from tfbdl_bayesian_gan.latents import (
    LatentPrior,
    ResponsibilityEncoder,
    make,
    posterior_latents,
)
from tfbdl_bayesian_gan.latents.posterior import LatentTarget

from tfbdl import random
from tfbdl.errors import DataError, OptionsError

PI = np.array([0.5, 0.3, 0.2])
MEANS = np.array([[-3.0, 0.0], [3.0, 1.0], [0.0, 4.0]])
COVARIANCES = np.array(
    [[[1.0, 0.6], [0.6, 0.8]], [[0.5, -0.3], [-0.3, 0.5]], [[0.3, 0.0], [0.0, 0.9]]]
)
A = np.array([[1.0, 0.5], [0.0, 2.0], [0.3, -0.7]], np.float32)
B = np.array([0.1, -0.2, 0.3], np.float32)


def known(covariance: str = "full", **options: object) -> LatentPrior:
    """A mixture at given weights, means and covariances."""
    prior = make("gaussian_mixture", 2, components=3, covariance=covariance, **options)
    scale = np.sqrt(np.diagonal(COVARIANCES, axis1=1, axis2=2))
    prior.assign(logits=np.log(PI), loc=MEANS, scale=scale)
    if covariance == "full":
        roots = np.linalg.cholesky(COVARIANCES)
        diagonal = np.diagonal(roots, axis1=1, axis2=2)
        prior.assign(scale=diagonal)
        prior.coupling.assign(roots / diagonal[..., np.newaxis])
    return prior


def rows(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the mixture, and the component of each."""
    rng = np.random.default_rng(seed)
    k = rng.choice(3, n, p=PI)
    roots = np.linalg.cholesky(COVARIANCES)
    x = MEANS[k] + np.einsum("nij,nj->ni", roots[k], rng.standard_normal((n, 2)))
    return x.astype("float32"), k


def linear(z: tf.Tensor) -> tf.Tensor:
    return tf.matmul(z, A, transpose_b=True) + B


@pytest.mark.parametrize("covariance", ["diagonal", "full"])
def test_a_mixture_has_the_density_and_the_responsibilities_of_its_components(covariance) -> None:
    prior = known(covariance)
    z = np.random.default_rng(0).normal(scale=3.0, size=(20, 2))
    S = COVARIANCES * np.eye(2) if covariance == "diagonal" else COVARIANCES
    each = [PI[k] * stats.multivariate_normal(MEANS[k], S[k]).pdf(z) for k in range(3)]
    density = np.sum(each, axis=0)
    np.testing.assert_allclose(prior.log_prob(z.astype("float32")), np.log(density), rtol=2e-5)
    np.testing.assert_allclose(
        prior.responsibilities(z.astype("float32")), (each / density).T, atol=1e-5
    )
    np.testing.assert_allclose(prior.covariances(), S, atol=1e-6)


@pytest.mark.parametrize("gradient", ["score", "gumbel"])
def test_draws_have_the_moments_of_the_mixture(gradient) -> None:
    prior = known(weights_gradient=gradient)
    n = 20_000
    mean = PI @ MEANS
    covariance = np.einsum("k,kij->ij", PI, COVARIANCES)
    covariance += np.einsum("k,ki,kj->ij", PI, MEANS - mean, MEANS - mean)
    for z in (prior.sample(n, random.key(1)), prior.draw(n, random.key(2)).z):
        error = np.sqrt(np.diag(covariance) / n)
        assert (np.abs(z.numpy().mean(axis=0) - mean) < 4.5 * error).all()
        np.testing.assert_allclose(np.cov(z.numpy().T), covariance, atol=0.25)  # sd 0.1


def test_a_draw_for_training_has_each_component_in_its_share_and_in_random_order() -> None:
    found = known().draw(1000, random.key(0))
    counts = np.bincount(found.components, minlength=3)
    assert (np.abs(counts - 1000 * PI) <= 1.0).all()
    np.testing.assert_array_equal(found.weights, np.ones(1000))
    changes = np.mean(np.diff(found.components.numpy()) != 0)
    assert changes == pytest.approx(1 - np.sum(PI**2), abs=0.07)  # 0.62, sd 0.015


def test_the_gradient_with_respect_to_the_weights_is_that_of_enumeration() -> None:
    """E f(z) with f(z) = |z|^2 + z_1 is known for each component, so its gradient by softmax is."""
    prior = known(weights_rate=1.0)
    moments = np.trace(COVARIANCES, axis1=1, axis2=2) + np.sum(MEANS**2, axis=1) + MEANS[:, 0]
    expected = PI * (moments - PI @ moments)  # d / d logits of sum_k pi_k E_k f

    def gradients(key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            found = prior.draw(200, key)
            f = tf.reduce_sum(tf.square(found.z), axis=-1) + found.z[:, 0]
            value = tf.reduce_mean(found.weights * f)
        return tuple(tape.gradient(value, [prior.raw["logits"].value, prior.raw["loc"].value]))

    @tf.function
    def all_gradients(keys: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.map_fn(gradients, keys, fn_output_signature=(tf.float32, tf.float32))

    logits, loc = (part.numpy() for part in all_gradients(random.split(random.key(3), 400)))
    error = logits.std(axis=0) / 20.0
    assert (np.abs(logits.mean(axis=0) - expected) < 4.5 * error).all()
    assert (error < 0.05 * np.abs(expected).max()).all()  # so that a bias would show
    of_means = PI[:, np.newaxis] * (2.0 * MEANS + [1.0, 0.0])  # pathwise: E grad f
    assert (np.abs(loc.mean(axis=0) - of_means) < 4.5 * loc.std(axis=0) / 20.0 + 1e-6).all()


def test_gumbel_softmax_gives_the_weights_a_gradient_through_z_alone() -> None:
    prior = known(weights_gradient="gumbel")
    with tf.GradientTape() as tape:
        value = tf.reduce_mean(tf.reduce_sum(prior.sample(500, random.key(0)), axis=-1))
    gradient = tape.gradient(value, prior.raw["logits"].value)
    assert float(tf.reduce_max(tf.abs(gradient))) > 0.01
    soft = known(weights_gradient="score")
    with tf.GradientTape() as tape:
        value = tf.reduce_mean(soft.sample(500, random.key(0)))
    assert tape.gradient(value, soft.raw["logits"].value) is None


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("standard_normal", {}),
        ("uniform", {}),
        ("gaussian_mixture", {"components": 3, "covariance": "full", "weights_rate": 0.5}),
        ("stick_breaking", {"components": 4, "concentration": 2.0, "seed": 5}),
        ("normalizing_flow", {"layers": 2, "hidden": 8}),
    ],
)
def test_any_prior_draws_by_keys_and_is_made_again_from_its_configuration(name, options) -> None:
    prior = make(name, 2, **options)
    z = prior.sample(50, random.key(0))
    assert z.shape == (50, 2)
    np.testing.assert_array_equal(z, prior.sample(50, random.key(0)))
    assert not np.allclose(z, prior.sample(50, random.key(1)))
    assert np.isfinite(prior.log_prob(z)).all()
    config = keras.saving.serialize_keras_object(prior)
    again = keras.saving.deserialize_keras_object(config)
    np.testing.assert_array_equal(again.sample(50, random.key(0)), z)
    assert len(again.trainable_variables) == len(prior.trainable_variables)


def test_uniform_noise_has_its_density_within_the_cube_alone() -> None:
    prior = make("uniform", 3)
    found = prior.log_prob(tf.constant([[0.0, 0.5, -1.0], [0.0, 1.5, 0.0]]))
    np.testing.assert_allclose(found, [-3 * np.log(2.0), -np.inf], rtol=1e-6)
    z = prior.sample(5000, random.key(0)).numpy()
    assert stats.kstest(z.ravel(), stats.uniform(-1, 2).cdf).pvalue > 1e-3


def test_the_hyperprior_is_that_of_sticks_and_atoms() -> None:
    prior = make("stick_breaking", 1, components=2, concentration=3.0, base_scale=2.0)
    prior.assign(stick_logits=[0.4], loc=[[1.0], [-2.0]], scale=[[0.5], [1.5]])
    v = 1.0 / (1.0 + np.exp(-0.4))
    expected = np.log(3.0 * v * (1 - v) ** 3)  # Beta(1, 3), times dv/dlogit = v (1 - v)
    expected += stats.norm(0, 2).logpdf([1.0, -2.0]).sum()
    expected += stats.lognorm(1.0).logpdf([0.5, 1.5]).sum()
    assert float(prior.log_hyperprior()) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(np.exp(prior.log_weights()), [v, 1 - v], rtol=1e-5)
    assert float(make("gaussian_mixture", 1).log_hyperprior()) == 0.0


def test_sticks_start_at_the_mode_of_their_prior() -> None:
    """v = 1 / (1 + b): each piece takes that share of what is left."""
    prior = make("stick_breaking", 2, components=5, concentration=1.0)
    np.testing.assert_allclose(
        np.exp(prior.log_weights()), [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 16], rtol=1e-5
    )
    assert prior.components_used(0.1) == 3


@pytest.mark.slow
def test_the_encoder_learns_the_responsibilities_of_what_is_generated() -> None:
    prior = known("diagonal")
    encoder = ResponsibilityEncoder(prior, linear, hidden=(32,), learning_rate=1e-2, seed=0)
    start = float(encoder.loss(prior.sample(500, random.key(9))))
    encoder.fit(steps=500)
    z = prior.sample(4000, random.key(5))
    found = encoder.responsibilities(linear(z))
    truth = prior.responsibilities(z).numpy()  # the map is one to one, so p(k | x) = p(k | z)
    assert start == pytest.approx(np.log(3.0), abs=1e-5)  # it begins without an opinion
    assert np.abs(found - truth).mean() < 0.03
    assert np.mean(found.argmax(axis=1) == truth.argmax(axis=1)) > 0.97


@pytest.mark.slow
def test_z_given_a_row_of_a_linear_generator_is_the_exact_normal() -> None:
    noise = 0.5
    x = np.array([[1.0, 2.0, 0.0], [0.0, -1.0, 0.5]], np.float32)
    found = posterior_latents(
        x, linear, make("standard_normal", 2), noise=noise, warmup=300, draws=1500, seed=1
    )
    S = np.linalg.inv(np.eye(2) + A.T @ A / noise**2)  # Bishop 2006, eq. 2.116
    means = (x - B) @ A @ S / noise**2
    z = found.draws["z"]
    assert z.shape == (4, 1500, 2, 2)
    assert found.summary()["r_hat"].max() < 1.01
    size = found.summary()["ess_bulk"].min()
    assert size > 1000
    sd = np.sqrt(np.diag(S))
    assert (np.abs(z.mean(axis=(0, 1)) - means) < 4.5 * sd / np.sqrt(size)).all()
    for row in range(2):
        C = np.cov(z[:, :, row].reshape(-1, 2).T)
        error = np.sqrt((np.outer(sd, sd) ** 2 + S**2) / 1000)  # of 1,000 independent draws
        assert (np.abs(C - S) < 4.5 * error).all()
    assert not found.sample_stats["diverging"].any()


@pytest.mark.slow
def test_chains_find_both_codes_of_a_row_that_has_two() -> None:
    """G(z) = z^2 with a symmetric prior: the posterior is even, half its mass on each side."""
    found = posterior_latents(
        np.array([[2.25]], np.float32),
        tf.square,
        make("standard_normal", 1),
        noise=0.1,
        chains=40,
        warmup=200,
        draws=50,
    )
    z = found.draws["z"][..., 0, 0]
    assert np.abs(np.abs(z) - 1.5).max() < 0.3
    share = np.mean(z.mean(axis=1) > 0)
    assert abs(share - 0.5) < 4.5 * 0.5 / np.sqrt(40)


def test_bounded_noise_is_sampled_in_an_unbounded_space_with_its_jacobian() -> None:
    """z = 2 sigmoid(u) - 1, so dz / du = (1 - z^2) / 2."""
    target = LatentTarget(np.full((3, 1), 0.2, np.float32), tf.square, make("uniform", 1), 0.5, 1)
    u = np.array([[-1.5], [0.0], [2.0]], np.float32)
    z = np.tanh(u / 2)
    expected = np.log(0.5) + np.log((1 - z**2) / 2) + stats.norm(0.2, 0.5).logpdf(z**2)
    np.testing.assert_allclose(target.log_prob(tf.constant(u)), expected[:, 0], rtol=1e-5)
    np.testing.assert_allclose(target.constrain(tf.constant(u)), z, rtol=1e-5)
    assert np.isfinite(target.starts(8, random.key(0))).all()


def test_the_density_of_z_and_a_row_is_the_product_of_prior_and_likelihood() -> None:
    x = np.array([[1.0, 2.0, 0.0]], np.float32)
    target = LatentTarget(x, linear, known(), noise=0.5, chains=2)
    z = np.array([[0.3, -1.0], [2.0, 0.5]], np.float32)
    S = [stats.multivariate_normal(MEANS[k], COVARIANCES[k]) for k in range(3)]
    prior = np.log(np.sum([PI[k] * S[k].pdf(z) for k in range(3)], axis=0))
    likelihood = stats.norm(z @ A.T + B, 0.5).logpdf(x).sum(axis=1)
    np.testing.assert_allclose(target.log_prob(tf.constant(z)), prior + likelihood, rtol=1e-5)


def test_what_does_not_fit_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(OptionsError, match="Did you mean 'gaussian_mixture'"):
        make("gausian_mixture", 2)
    with pytest.raises(OptionsError, match="no mixture of Gaussians, so it has no option covar"):
        make("standard_normal", 2, covariance="full")
    with pytest.raises(OptionsError, match="Did you mean 'components'"):
        make("gaussian_mixture", 2, component=3)
    with pytest.raises(OptionsError, match="Expected: latent_dim=2"):
        make(make("uniform", 2), 3)
    with pytest.raises(DataError, match="generator's shape"):
        posterior_latents(np.zeros((1, 2), "float32"), linear, make("uniform", 2))
    with pytest.raises(OptionsError, match="noise above 0"):
        posterior_latents(np.zeros((1, 3), "float32"), linear, make("uniform", 2), noise=0.0)


def discriminator(seed: int) -> keras.Model:
    inputs = h = keras.Input((2,))
    for i in range(2):
        start = keras.initializers.GlorotUniform(seed=10 * seed + i)
        h = keras.layers.LeakyReLU(0.2)(keras.layers.Dense(64, kernel_initializer=start)(h))
    start = keras.initializers.GlorotUniform(seed=10 * seed + 2)
    return keras.Model(inputs, keras.layers.Dense(1, kernel_initializer=start)(h))


def learned(x: np.ndarray, seed: int, name: str, epochs: int, **options: object) -> GAN:
    """A GAN whose generator is fixed to the identity, so that the prior does all the work."""
    same = keras.Sequential([keras.Input((2,)), keras.layers.Activation("linear")])
    same.trainable = False
    options = {"initial_scale": 3.0, "covariance": "full", "seed": seed, **options}
    model = GAN(same, discriminator(seed), 2, latent_prior=name, latent_options=options, seed=seed)
    adam = keras.optimizers.Adam
    model.compile(adam(1e-2, beta_1=0.5), adam(2e-3, beta_1=0.5), steps_per_execution=20)
    model.fit(x, batch_size=250, epochs=epochs, verbose=0)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_gan_recovers_weights_means_and_covariances_of_a_known_mixture(seed) -> None:
    x, k = rows(5000)
    prior = learned(x, seed, "gaussian_mixture", epochs=100, components=3).latent_prior
    labels = prior.responsibilities(x).numpy().argmax(axis=1)
    orders = [np.array(order) for order in itertools.permutations(range(3))]
    order = max(orders, key=lambda order: np.mean(order[labels] == k))
    back = np.argsort(order)
    assert np.mean(order[labels] == k) >= 0.95
    # Adam's last steps swing: 0.05 of weights and 0.3 of means, in units where modes are 5 apart
    np.testing.assert_allclose(np.exp(prior.log_weights().numpy()[back]), PI, atol=0.05)
    np.testing.assert_allclose(prior.means().numpy()[back], MEANS, atol=0.3)
    np.testing.assert_allclose(prior.covariances().numpy()[back], COVARIANCES, atol=0.3)


@pytest.mark.slow
def test_a_dirichlet_process_uses_fewer_components_than_it_is_offered() -> None:
    x, _ = rows(5000)
    few, many = (
        learned(x, 1, "stick_breaking", epochs=60, components=8, concentration=concentration)
        for concentration in (0.5, 5.0)
    )
    assert 3 <= few.latent_prior.components_used(0.02) <= 5  # of eight; the data have three
    used = many.latent_prior.components_used(0.02)
    assert used > few.latent_prior.components_used(0.02)
