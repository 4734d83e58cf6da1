"""Discrete latent variables: relaxed and straight-through draws, their densities and bounds."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import special, stats
from tfbdl_vae import VAE, latents
from tfbdl_vae.architectures import mlp_decoder, mlp_encoder
from tfbdl_vae.bound import Terms
from tfbdl_vae.latents.noise import standard_gumbel
from vae_by_name import eagerly
from vae_linear import float64

from tfbdl import functional, random

tfd = tfp.distributions

STRAIGHT = {"classes": 2, "straight_through": True}


@pytest.fixture(autouse=True)
def double():
    with float64():
        yield


def concrete(size=4, **options):
    return latents.get("concrete", size, options)


def outputs(made, rows=3, seed=1):
    return tf.constant(np.random.default_rng(seed).normal(size=(rows, made.units)))


def keys_of(draws, seed=5):
    return random.split(random.key(seed), draws)


def vae(**options):
    with functional.seeded(0):
        encoder, decoder = mlp_encoder((5,), 4, (6,)), mlp_decoder(4, (5,), (6,))
    return VAE(encoder, decoder, 4, posterior="concrete", posterior_options=options, seed=3)


def test_the_concrete_density_is_that_of_maddison_and_of_tfp():
    made = concrete(6, classes=3, temperature=0.7)
    raw = outputs(made)
    parameters = made.parameters(raw)
    z, log_q = made.draw(parameters, keys_of(5))
    parts = z.numpy().reshape(5, 3, 2, 3)
    np.testing.assert_allclose(parts.sum(axis=-1), 1.0, rtol=1e-12)
    alpha = special.softmax(raw.numpy().reshape(3, 2, 3), axis=-1)
    shares = alpha * parts ** (-0.7 - 1) / (alpha * parts**-0.7).sum(axis=-1, keepdims=True)
    direct = 2 * 0.7**2 * shares.prod(axis=-1)  # (n - 1)! t^(n - 1) ..., n = 3
    np.testing.assert_allclose(log_q, np.log(direct).sum(axis=-1), rtol=1e-9)
    oracle = tfd.RelaxedOneHotCategorical(0.7, logits=raw.numpy().reshape(3, 2, 3))
    np.testing.assert_allclose(log_q, oracle.log_prob(parts).numpy().sum(axis=-1), rtol=1e-9)


def test_the_concrete_density_integrates_to_one():
    made = concrete(2, temperature=1.5)
    parameters = made.parameters(tf.constant([[0.4, -0.3]], tf.float64))
    share = (np.arange(20_000) + 0.5) / 20_000
    z = np.stack([share, 1.0 - share], axis=-1)[:, None]
    density = np.exp(made.log_prob(parameters, tf.constant(z)))
    np.testing.assert_allclose(density.mean(), 1.0, atol=1e-4)


def test_relaxed_draws_have_the_argmax_of_the_categorical_and_a_biased_mean():
    made = concrete(3, temperature=1.0)
    p = np.array([0.5, 0.3, 0.2])
    parameters = made.parameters(tf.constant(np.log(p)[None]))
    z = made.draw(parameters, keys_of(100_000)).z[:, 0].numpy()
    counts = np.bincount(z.argmax(axis=-1), minlength=3)
    assert stats.chisquare(counts, 1e5 * p).pvalue > 1e-3
    np.testing.assert_allclose(z.mean(axis=0), [0.4468, 0.3154, 0.2378], atol=4e-3)
    np.testing.assert_allclose(made.mean(parameters)[0], p, rtol=1e-12)


def test_gumbel_noise_is_gumbel():
    noise = standard_gumbel(keys_of(1), tf.zeros([20_000, 1], tf.float64))
    assert stats.kstest(noise.numpy().ravel(), stats.gumbel_r.cdf).pvalue > 1e-3


def test_straight_through_draws_are_one_hot_with_the_gradient_of_the_relaxed():
    made, relaxed = concrete(**STRAIGHT), concrete(classes=2)
    raw = outputs(made)
    weights = tf.constant(np.random.default_rng(2).normal(size=(4, 3, 4)))
    gradients = []
    for each in (made, relaxed):
        with tf.GradientTape() as tape:
            tape.watch(raw)
            z = each.draw(each.parameters(raw), keys_of(4)).z
            total = tf.reduce_sum(weights * z)
        gradients.append(tape.gradient(total, raw))
        if each is made:
            hard = z.numpy()
    assert set(np.unique(hard)) == {0.0, 1.0}
    np.testing.assert_array_equal(hard.reshape(4, 3, 2, 2).sum(axis=-1), 1.0)
    np.testing.assert_array_equal(
        hard.reshape(4, 3, 2, 2).argmax(-1), z.numpy().reshape(4, 3, 2, 2).argmax(-1)
    )
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-10)


def test_straight_through_draws_have_the_probability_of_their_classes():
    made = concrete(**STRAIGHT)
    raw = outputs(made)
    parameters = made.parameters(raw)
    z, log_q = made.draw(parameters, keys_of(30_000))
    p = special.softmax(raw.numpy().reshape(3, 2, 2), axis=-1)
    chosen = (z.numpy().reshape(-1, 3, 2, 2) * np.log(p)).sum(axis=(-1, -2))
    np.testing.assert_allclose(log_q, chosen, rtol=1e-10)
    error = np.sqrt(p * (1 - p) / 30_000).reshape(3, 4)
    assert np.all(np.abs(z.numpy().mean(axis=0) - p.reshape(3, 4)) < 4 * error)
    np.testing.assert_allclose(made.own_prior().log_prob(z), np.full((30_000, 3), -2 * np.log(2)))


def test_the_categorical_kl_is_that_of_tfp():
    made = concrete(6, classes=3, kl="categorical")
    raw = outputs(made)
    q = tfd.Categorical(logits=tf.reshape(raw, [3, 2, 3]))
    uniform = tfd.Categorical(logits=tf.zeros([3], tf.float64))
    expected = tf.reduce_sum(tfd.kl_divergence(q, uniform), axis=-1)
    kl = made.kl(made.parameters(raw), made.own_prior())
    assert kl.shape == (3, 1)
    np.testing.assert_allclose(kl[:, 0], expected, rtol=1e-10)


def test_the_kl_is_by_draws_where_draws_are_relaxed_and_closed_where_they_are_discrete():
    for options, closed in [({}, False), ({"kl": "relaxed"}, False), (STRAIGHT, True)]:
        made = concrete(**options)
        kl = made.kl(made.parameters(outputs(made)), made.own_prior())
        assert (kl is not None) == closed


def test_relaxed_densities_are_finite_where_parts_vanish():
    made = concrete(3, temperature=0.2)
    parameters = made.parameters(tf.constant([[30.0, 0.0, -30.0]]))  # float32
    with tf.GradientTape() as tape:
        tape.watch(parameters.log_probs)
        z, log_q = made.draw(parameters, keys_of(200))
        log_p = tfd.RelaxedOneHotCategorical(0.5, logits=tf.zeros([3])).log_prob(z)
        total = tf.reduce_sum(log_p - log_q)
    assert z.dtype == tf.float32
    assert np.isfinite(tf.stack([log_p, log_q])).all()
    assert np.isfinite(tape.gradient(total, parameters.log_probs)).all()


def test_the_relaxed_divergence_is_the_same_in_float32_at_the_temperatures_advised():
    values = []
    for dtype in ("float32", "float64"):
        keras.config.set_floatx(dtype)
        made = concrete(3, temperature=0.2)
        parameters = made.parameters(tf.constant([[3.0, 0.0, -3.0]], dtype))
        z, log_q = made.draw(parameters, keys_of(20_000))
        values.append((log_q - made.own_prior().log_prob(z))[:, 0].numpy())
    error = np.hypot(*(value.std() / np.sqrt(20_000) for value in values))
    assert abs(values[0].mean() - values[1].mean()) < 4 * error
    assert values[1].mean() > 4 * error  # a divergence from the relaxed uniform prior


def test_a_discrete_vae_draws_codes_from_its_own_prior():
    relaxed, hard = (vae(**o).sample_codes(200) for o in ({"classes": 2}, STRAIGHT))
    np.testing.assert_allclose(relaxed.reshape(200, 2, 2).sum(axis=-1), 1.0, rtol=1e-9)
    assert set(np.unique(hard)) == {0.0, 1.0}
    assert len(np.unique(relaxed)) > 300
    assert np.all(np.abs(hard.mean(axis=0) - 0.5) < 4 * 0.5 / np.sqrt(200))


def test_the_bound_of_a_discrete_vae_is_that_of_enumeration():
    model = vae(**STRAIGHT)
    x = (np.random.default_rng(0).random((3, 5)) < 0.4).astype(float)
    corners = np.array([[a, 1 - a, b, 1 - b] for a in (0, 1) for b in (0, 1)], float)
    log_lik = np.stack([model.decode([z]).log_prob(x).numpy() for z in corners])  # [4, n]
    exact = special.logsumexp(log_lik - np.log(4), axis=0)
    q = special.softmax(model.encoder(x).numpy().reshape(3, 2, 2), axis=-1)
    log_q = np.stack([np.log((q * z.reshape(2, 2)).sum(-1)).sum(-1) for z in corners])
    elbo = (np.exp(log_q) * (log_lik - np.log(4) - log_q)).sum(axis=0)
    with eagerly():
        np.testing.assert_allclose(model.elbo(x, draws=4000), elbo, atol=0.02)
        np.testing.assert_allclose(model.log_marginal(x, k=4000), exact, atol=0.02)


def test_free_bits_are_of_each_discrete_variable_not_of_its_classes():
    """Two variables of two classes: 0.5 nats of each are free, 1.0 of a row's 1.5."""
    with functional.seeded(0):
        encoder, decoder = mlp_encoder((5,), 4, (6,)), mlp_decoder(4, (5,), (6,))
    model = VAE(
        encoder, decoder, 4, posterior="concrete", posterior_options={"classes": 2}, free_bits=0.5
    )
    kl = tf.constant([1.4, 1.6], tf.float64)
    terms = Terms(tf.zeros([1, 2], tf.float64), kl, None, -kl[tf.newaxis])
    _, loss = model.weighted_bound(terms, tf.constant(2), None)
    np.testing.assert_allclose(loss, 1.5, rtol=1e-12)
