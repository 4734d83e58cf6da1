"""The evidence lower bound: its estimators, gradients and weights against exact values."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import special, stats
from tfbdl_vae import VAE, AutoEncoder
from tfbdl_vae.architectures import mlp_decoder, mlp_encoder
from tfbdl_vae.bound import DoublyReparameterised, RunningLogMean, importance_weighted
from vae_linear import NOISE, LinearGaussian, float64, loss_of, terms_of

import tfbdl
from tfbdl import random
from tfbdl.likelihoods import Gaussian, HeteroscedasticGaussian
from tfbdl.testing import frozen_noise
from tfbdl.trainable import THREAD

tfd = tfp.distributions


@pytest.fixture(autouse=True)
def double():
    with float64():
        yield


def z_score(values):
    """The mean's distance from zero in standard errors, by column."""
    values = np.asarray(values)
    return np.abs(values.mean(axis=0)) / (values.std(axis=0) / np.sqrt(len(values)))


# -- estimators A and B ------------------------------------------------------------------------


@pytest.mark.parametrize("posterior", ["diagonal", "full"])
def test_at_the_exact_posterior_a_is_the_evidence_at_every_draw_and_b_is_not(posterior):
    truth = LinearGaussian(orthogonal=posterior == "diagonal")
    x = truth.rows(4)
    terms = terms_of(truth.vae(posterior), x, draws=500)
    A = terms.log_lik + terms.log_ratio
    np.testing.assert_allclose(A, np.tile(truth.log_evidence(x), (500, 1)), rtol=1e-10)
    B = terms.log_lik - terms.kl
    error = np.std(B, axis=0) / np.sqrt(500)
    assert np.all(error > 0.01)
    assert np.all(np.abs(np.mean(B, axis=0) - truth.log_evidence(x)) < 4 * error)


def test_a_and_b_agree_in_mean_and_in_the_mean_of_the_gradient():
    truth, draws = LinearGaussian(columns=3), 100_000
    model = truth.vae(wrong=0.4)
    x = tf.repeat(tf.constant(truth.rows(1)), draws, axis=0)
    raw = model.encoder(x)
    values, gradients = [], []
    for estimator in "AB":
        model.estimator = estimator
        with tf.GradientTape() as tape:
            tape.watch(raw)
            parameters = model.latent_posterior.parameters(raw)
            z, log_q = model.latent_posterior.draw(parameters, random.split(random.key(2), 1))
            log_lik = model.log_lik(model.outputs(z[0])[0], x)
            elbo = model.terms(log_lik, parameters, z, log_q, ratio=True).elbo
            total = tf.reduce_sum(elbo)
        values.append(elbo.numpy())
        gradients.append(tape.gradient(total, raw).numpy())
    assert np.std(values[0] - values[1]) > 0.1
    assert z_score(values[0] - values[1]) < 4
    assert np.all(z_score(gradients[0] - gradients[1]) < 4)
    assert np.all(z_score(gradients[0])[2:] > 4)  # there is a gradient to agree about


# -- importance weights ------------------------------------------------------------------------


def test_the_importance_weighted_bound_rises_with_its_draws_to_the_evidence():
    truth = LinearGaussian()
    model = truth.vae(wrong=0.5)
    x = np.repeat(truth.rows(3), 200, axis=0)
    exact = truth.log_evidence(x)
    gaps = [exact - model.log_marginal(x, k=k) for k in (1, 3, 10, 100)]
    means = np.array([gap.mean() for gap in gaps])
    errors = np.array([gap.std() / np.sqrt(len(x)) for gap in gaps])
    assert np.all(np.diff(means) < -4 * np.hypot(errors[1:], errors[:-1]))
    assert means[-1] > -4 * errors[-1]
    elbo = exact - model.elbo(x, draws=100)
    assert abs(elbo.mean() - means[0]) < 4 * np.hypot(errors[0], elbo.std() / np.sqrt(len(x)))
    rows = truth.rows(10)
    np.testing.assert_allclose(model.log_marginal(rows, k=5000), truth.log_evidence(rows), atol=0.1)


def test_the_streamed_bound_is_the_direct_one_whatever_the_blocks(monkeypatch):
    truth = LinearGaussian()
    x = truth.rows(3)
    model, streamed = truth.vae(wrong=0.3), []
    for at_once in (7, 10_000):  # a row and 7 draws, or all
        monkeypatch.setattr(type(model), "rows_at_once", lambda self, size=at_once: size)
        streamed.append(model.log_marginal(x, k=50, seed=3))
    np.testing.assert_allclose(streamed[1], streamed[0], rtol=1e-12)
    key = random.fold_in(random.key(3, "bound"), "rows")  # of (seed, row, draw)
    own = random.fold_in(random.fold_in(key, tf.range(3))[None], tf.range(50)[:, None])
    parameters = model.posterior_of(tf.constant(x))
    z, log_q = model.latent_posterior.draw(parameters, own)
    log_lik = stats.norm.logpdf(x, z.numpy() @ truth.W.T + truth.b, NOISE).sum(axis=-1)
    log_w = log_lik + stats.norm.logpdf(z).sum(axis=-1) - log_q
    direct = special.logsumexp(log_w, axis=0) - np.log(50)
    np.testing.assert_allclose(streamed[0], direct, rtol=1e-9)


def test_the_running_log_mean_is_that_of_all_terms_however_far_apart():
    rng = np.random.default_rng(0)
    log_w = rng.normal(size=(12, 4)) * [1.0, 50.0, 1000.0, 1.0] - [0.0, 2000.0, 0.0, 5000.0]
    log_w[:5, 0] = -np.inf  # the first block weighs nothing
    mean = RunningLogMean.zeros(4)
    for first in range(0, 15, 5):
        block = np.full((5, 4), 1e4)  # what lies beyond the draws must not count
        part = log_w[first : first + 5]
        block[: len(part)] = part
        mean = mean.update(tf.constant(block), tf.range(first, first + 5) < 12)
    expected = special.logsumexp(log_w, axis=0) - np.log(12)
    np.testing.assert_allclose(mean.value(), expected, rtol=1e-12)
    np.testing.assert_allclose(importance_weighted(tf.constant(log_w)), expected, rtol=1e-12)
    nothing, used = tf.fill([2, 1], tf.constant(-np.inf, tf.float64)), tf.fill([2], True)
    mean = RunningLogMean.zeros(1).update(nothing, used)
    np.testing.assert_array_equal(mean.value(), [-np.inf])
    np.testing.assert_array_equal(mean.update(nothing, used).value(), [-np.inf])
    np.testing.assert_allclose(mean.update(tf.zeros_like(nothing), used).value(), [np.log(0.5)])


@pytest.mark.parametrize("draws", [1, 5])
@pytest.mark.parametrize("gradient", ["standard", "doubly_reparameterised"])
def test_the_importance_weighted_loss_has_the_gradient_of_its_formula(draws, gradient):
    truth = LinearGaussian()
    x = truth.rows(6)
    options = {"importance_weighted": True, "gradient": gradient, "num_samples": draws}
    model = truth.vae(wrong=0.4, **options)
    with tf.GradientTape() as tape:
        loss = loss_of(model, x)
    z = THREAD.passed.z.numpy()
    bias = model.encoder.layers[-1].bias
    found = tape.gradient(loss, [bias, model.decoder.layers[-1].bias])

    outputs = x @ model.encoder.layers[-1].kernel.numpy() + bias.numpy()
    loc, raw = outputs[:, :2], outputs[:, 2:]
    scale = np.log1p(np.exp(raw))
    residual = (x - z @ truth.W.T - truth.b) / NOISE**2
    log_w = stats.norm.logpdf(x, z @ truth.W.T + truth.b, NOISE).sum(axis=-1)
    log_w += (stats.norm.logpdf(z) - stats.norm.logpdf(z, loc, scale)).sum(axis=-1)
    bound = special.logsumexp(log_w, axis=0) - np.log(draws)
    np.testing.assert_allclose(loss, -bound.mean(), rtol=1e-9)
    weights = special.softmax(log_w, axis=0)[..., None]
    eps = (z - loc) / scale
    path = residual @ truth.W - z + eps / scale  # of log w through z alone
    if gradient == "standard":  # and through the density of q: its scores
        by_loc, by_scale = (
            weights * (path - eps / scale),
            weights * (path * eps - (eps**2 - 1) / scale),
        )
    else:  # Tucker et al. 2019, eq. 8
        by_loc, by_scale = weights**2 * path, weights**2 * path * eps
    by_raw = by_scale * special.expit(raw)
    encoder = -np.concatenate([by_loc, by_raw], axis=-1).sum(axis=0).mean(axis=0)
    np.testing.assert_allclose(found[0], encoder, rtol=1e-8)
    decoder = -(weights * residual).sum(axis=0).mean(axis=0)
    np.testing.assert_allclose(found[1], decoder, rtol=1e-8)


def test_the_doubly_reparameterised_gradient_is_unbiased_and_has_less_noise():
    truth, copies, draws = LinearGaussian(columns=3), 4000, 32
    model = truth.vae(wrong=0.4)
    x = tf.repeat(tf.constant(truth.rows(1)), copies, axis=0)
    raw = model.encoder(x)
    gradients = {}
    for doubly in (False, True):
        with tf.GradientTape() as tape:
            tape.watch(raw)
            parameters = model.latent_posterior.parameters(raw)
            z, log_q = model.latent_posterior.draw(parameters, random.split(random.key(3), draws))
            hook = DoublyReparameterised()
            if doubly:
                z = hook.hook(z)
                held = tf.nest.map_structure(tf.stop_gradient, parameters)
                log_q = model.latent_posterior.log_prob(held, z)
            log_lik = model.log_lik(model.outputs(tf.reshape(z, [-1, 2]))[0], x)
            log_w = model.terms(log_lik, parameters, z, log_q, ratio=True)
            log_w = log_w.log_lik + log_w.log_ratio
            total = tf.reduce_sum(hook.objective(log_w) if doubly else importance_weighted(log_w))
        gradients[doubly] = tape.gradient(total, raw).numpy()
    assert np.all(z_score(gradients[True] - gradients[False]) < 4)
    assert np.all(z_score(gradients[True]) > 4)
    assert np.all(gradients[True].std(axis=0) < 0.5 * gradients[False].std(axis=0))


@pytest.mark.parametrize(
    "weights", [{"beta": 0.5}, {"beta": 4.0}, {"kl_weight": lambda step: 0.5 + 0.0 * float(step)}]
)
def test_the_doubly_reparameterised_gradient_of_a_weighted_ratio_is_unbiased(weights):
    truth, copies = LinearGaussian(columns=3), 10_000
    x = tf.repeat(tf.constant(truth.rows(1)), copies, axis=0)
    gradients = []
    for kind in ("standard", "doubly_reparameterised"):
        options = {"importance_weighted": True, "gradient": kind, **weights}
        model = truth.vae(wrong=0.4, num_samples=3, **options)
        raw = model.encoder(x)
        model.encoder = lambda inputs, training=None, raw=raw: raw
        with tf.GradientTape() as tape:
            tape.watch(raw)
            loss = loss_of(model, x)
        gradients.append(-copies * tape.gradient(loss, raw).numpy())
    assert np.all(z_score(gradients[1] - gradients[0]) < 4)
    assert np.all(z_score(gradients[1])[2:] > 4)


# -- limits ------------------------------------------------------------------------------------


def test_without_kl_and_noise_the_steps_are_those_of_an_auto_encoder():
    layers = keras.layers

    def nets(heads):
        x = keras.Input((6,))
        h = layers.Dense(5, "tanh", name="hidden")(x)
        parts = [layers.Dense(2, name=f"head_{i}")(h) for i in range(heads)]
        last = parts[0] if heads == 1 else layers.Concatenate()(parts)
        return keras.Model(x, last), mlp_decoder(2, (6,), (5,), "tanh")

    rows = (np.random.default_rng(0).random((12, 6)) < 0.5).astype(float)
    (encoder, decoder), (plain_encoder, plain_decoder) = nets(2), nets(1)
    for name in ("hidden", "head_0"):
        plain_encoder.get_layer(name).set_weights(encoder.get_layer(name).get_weights())
    plain_decoder.set_weights(decoder.get_weights())
    vae = VAE(encoder, decoder, 2, beta=0.0, seed=3)
    plain = AutoEncoder(plain_encoder, plain_decoder, 2, seed=3)
    start = decoder.get_weights()
    with frozen_noise():
        for model in (vae, plain):
            model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
            model.fit(rows, batch_size=6, verbose=0)
    for name in ("hidden", "head_0"):
        pairs = zip(
            plain_encoder.get_layer(name).get_weights(),
            encoder.get_layer(name).get_weights(),
            strict=True,
        )
        for one, other in pairs:
            np.testing.assert_array_equal(one, other)
    for one, other, old in zip(
        plain_decoder.get_weights(), decoder.get_weights(), start, strict=True
    ):
        np.testing.assert_array_equal(one, other)
        assert np.abs(one - old).max() > 0


def test_the_held_out_figure_of_an_auto_encoder_is_its_log_likelihood():
    def dense(inputs, units):
        return keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(units)])

    x = (np.random.default_rng(0).random((12, 6)) < 0.5).astype("float32")
    model = AutoEncoder(dense(6, 2), dense(2, 6), 2, seed=3)
    (W, b), (V, c) = model.encoder.get_weights(), model.decoder.get_weights()
    logits = (x @ W + b) @ V + c
    expected = (x * logits - np.logaddexp(0.0, logits)).sum(1).mean()
    assert model.held_out(x) == {"reconstruction": pytest.approx(expected, rel=1e-5)}


def test_a_beta_vae_of_weight_one_takes_the_steps_of_a_vae():
    rows = (np.random.default_rng(0).random((12, 6)) < 0.5).astype("float32")

    def trained(name, **options):
        options = {"hidden": (4,), "latent_dim": 2, **options}
        model = tfbdl.build(name, rows, model_options=options, seed=5)
        model.compile(run_eagerly=True)
        model.fit(rows, batch_size=6, epochs=1, verbose=0)
        return model.get_weights()

    for a, b in zip(trained("vae"), trained("beta_vae", beta=1.0), strict=True):
        np.testing.assert_array_equal(a, b)


# -- decoders ----------------------------------------------------------------------------------

NOISES = {
    "fixed": (Gaussian(scale=0.4), None),
    "learned": (Gaussian(), 0.3),
    "learned per output": (Gaussian(target_scale=[1.0, 2.0, 0.5]), [0.3, 0.2, 0.6]),
    "of the net": (HeteroscedasticGaussian(scale_floor=1e-4), None),
}


@pytest.mark.parametrize("noise", NOISES)
def test_a_gaussian_decoders_log_likelihood_is_that_of_tfp(noise):
    likelihood, scale = NOISES[noise]
    width = likelihood.outputs_for(3)
    decoder = mlp_decoder(2, (width,), (4,))
    model = VAE(mlp_encoder((3,), 4, ()), decoder, 2, likelihood, seed=2)
    if scale is not None:
        (raw,) = model.learned_raw.values()
        (item,) = model.learned.values()
        raw.assign(item.bijector.inverse(tf.constant(scale, raw.dtype)))
        assert raw in model.trainable_variables
    x = np.random.default_rng(1).normal(size=(5, 3))
    z = np.random.default_rng(2).normal(size=(5, 2))
    outputs = decoder(z).numpy()
    units = np.asarray(getattr(likelihood, "target_scale", 1.0))
    loc, sigma = outputs[:, :3], 0.4 if scale is None else np.asarray(scale)
    if noise == "of the net":
        sigma = 1e-4 + np.log1p(np.exp(outputs[:, 3:]))
    oracle = tfd.MultivariateNormalDiag(units * loc, units * sigma * np.ones((5, 3)))
    log_lik = model.log_lik(tf.constant(outputs), tf.constant(x))
    np.testing.assert_allclose(log_lik[0], oracle.log_prob(x), rtol=1e-6)
    np.testing.assert_allclose(model.decode(z).log_prob(x), oracle.log_prob(x), rtol=1e-6)
