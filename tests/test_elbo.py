"""The ELBO: its KL against quadrature and TFP, its gradients against Blundell et al. 2015."""

from __future__ import annotations

import math
from fractions import Fraction

import keras
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfbdl import BayesianNetwork, random
from tfbdl.errors import OptionsError
from tfbdl.inference.elbo import KLSchedule, minibatch_shares

KEY = random.key(5, "test")
MIXTURE = {"pi": 0.25, "sigma1": 0.8, "sigma2": 0.1}


@pytest.fixture
def float64():
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


def linear(inputs, units=1, **options):
    net = keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(units, use_bias=False)])
    return BayesianNetwork(net, "gaussian", likelihood_options={"scale": 0.5}, **options)


# -- how minibatches share the KL


@pytest.mark.parametrize("kind", ["uniform", "blundell"])
@pytest.mark.parametrize("batches", [1, 2, 7, 53, 2000])
def test_shares_of_an_epoch_are_one_kl(kind, batches):
    shares = minibatch_shares(kind, batches)
    assert len(shares) == batches
    assert np.isfinite(shares).all()
    assert math.fsum(shares) == pytest.approx(1.0, abs=1e-12)


def test_blundell_shares_are_equation_9():
    exact = [Fraction(2 ** (7 - i), 2**7 - 1) for i in range(1, 8)]
    np.testing.assert_allclose(minibatch_shares("blundell", 7), np.array(exact, float), rtol=1e-14)


@pytest.mark.parametrize("kind", ["uniform", "blundell"])
def test_schedule_gives_an_epoch_one_weighted_kl(kind):
    schedule = KLSchedule(0.3, minibatch_weights=kind, batches=2000)
    steps = tf.range(4000, 6000, dtype=tf.int64)  # the third epoch
    factors = tf.function(lambda: tf.map_fn(schedule, steps, fn_output_signature=tf.float32))()
    factors = factors.numpy()
    assert factors.mean(dtype=np.float64) == pytest.approx(0.3, rel=1e-5)


def test_annealing_rises_linearly_to_the_weight():
    schedule = KLSchedule(0.5, annealing_steps=4)
    factors = [float(schedule(tf.constant(step, tf.int64))) for step in range(6)]
    assert factors == pytest.approx([0.125, 0.25, 0.375, 0.5, 0.5, 0.5])


def test_schedule_is_restored_from_its_configuration():
    schedule = KLSchedule(0.7, 3, "blundell", 5)
    stored = keras.saving.serialize_keras_object(schedule)
    restored = keras.saving.deserialize_keras_object(stored)
    assert restored.get_config() == {
        "weight": 0.7,
        "annealing_steps": 3,
        "minibatch_weights": "blundell",
        "batches": 5,
    }


def test_schedule_refuses_an_unknown_kind_and_a_missing_number_of_batches():
    with pytest.raises(OptionsError, match="Did you mean 'blundell'"):
        KLSchedule(minibatch_weights="blundel")
    with pytest.raises(OptionsError, match=r"number of batches.*batches=None"):
        KLSchedule(minibatch_weights="blundell")


# -- the KL


def test_kl_with_a_normal_prior_is_that_of_tfp():
    model = linear(3, 2, prior_options={"scale": 0.7, "loc": 0.2})
    loc, raw = model.trainable_variables
    raw.assign(np.linspace(-4, 1, 6).reshape(3, 2))
    own = tfd.Normal(loc.numpy(), np.logaddexp(0, raw.numpy()))
    expected = tf.reduce_sum(tfd.kl_divergence(own, tfd.Normal(0.2, 0.7)))
    for seed in (0, 1):  # closed, so that the draw does not matter
        draw = model.surrogate.sample(random.key(seed))
        assert float(model.kl(draw)) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(
    ("prior", "options", "log_density"),
    [
        (
            "scale_mixture",
            MIXTURE,
            lambda w: np.log(
                0.25 * scipy.stats.norm.pdf(w, 0, 0.8) + 0.75 * scipy.stats.norm.pdf(w, 0, 0.1)
            ),
        ),
        ("laplace", {"scale": 0.4}, scipy.stats.laplace(0, 0.4).logpdf),
    ],
)
def test_kl_on_draws_agrees_with_quadrature(prior, options, log_density):
    model = linear(200, 100, prior=prior, prior_options=options)
    loc, raw = model.trainable_variables
    loc.assign(np.full(loc.shape, 0.3))
    raw.assign(np.full(raw.shape, -1.5))
    own = scipy.stats.norm(0.3, np.logaddexp(0, -1.5))

    def integrand(w):
        return own.pdf(w) * (own.logpdf(w) - log_density(w))

    exact = scipy.integrate.quad(integrand, -3, 3, points=[0.0], limit=200)[0]
    spread = scipy.integrate.quad(lambda w: own.pdf(w) * (log_density(w)) ** 2, -3, 3)[0]
    # One draw of 20,000 equal weights is a sample of 20,000; four standard errors.
    estimate = float(model.kl(model.surrogate.sample(KEY))) / 20_000
    assert estimate == pytest.approx(exact, abs=4 * math.sqrt(spread / 20_000))
    assert exact > 0.1  # and the tolerance is small beside it
    assert 4 * math.sqrt(spread / 20_000) < 0.25 * exact


def test_kl_is_summed_over_weights_and_sites():
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    model = BayesianNetwork(net, "gaussian", likelihood_options={"scale": 1.0})
    sigma = np.logaddexp(0, -5.0)
    total = 0.0
    for weight in (net.layers[0].kernel, net.layers[0].bias, *net.layers[1].weights):
        mu = weight.numpy().astype(float)
        total += np.sum(-np.log(sigma) + (sigma**2 + mu**2) / 2 - 0.5)
    assert float(model.kl(model.surrogate.sample(KEY))) == pytest.approx(total, rel=1e-5)


def test_kl_stays_in_float32_under_mixed_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)])
        model = BayesianNetwork(net, "gaussian", prior="scale_mixture", num_data=100)
    finally:
        keras.config.set_dtype_policy(policy)
    assert {layer.compute_dtype for layer in net.layers} == {"float16"}
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    x, y = np.ones((5, 3), "float32"), np.ones((5, 1), "float32")
    assert net(x).dtype == tf.float16  # the weights are cast where they are used,
    outputs = model(x, training=True)
    assert outputs.dtype == tf.float32  # and widened where the likelihood begins
    draw = model.surrogate.sample(KEY)
    assert {value.dtype for value in draw.values()} == {tf.float32}
    assert model.kl(draw).dtype == tf.float32
    assert model.compute_loss(x, y, outputs).dtype == tf.float32


# -- the gradient

X = np.random.default_rng(0).normal(size=(7, 2))
Y = np.random.default_rng(1).normal(size=(7, 1))
NOISE, N = 0.5, 7


def free_energy(model):
    """F = KL - E log p(D | w), in nats, at the draw of the present step."""
    return N * model.compute_loss(X, Y, model(X, training=True), training=True)


def setting(prior, options):
    """A model of two weights in float64, and its gradient at fixed noise."""
    model = linear(2, prior=prior, prior_options=options, num_data=N)
    loc, raw = model.trainable_variables
    loc.assign([[0.4], [-0.3]])
    raw.assign([[-1.0], [0.2]])
    with tf.GradientTape() as tape:
        objective = free_energy(model)
    found = [g.numpy() for g in tape.gradient(objective, [loc.value, raw.value])]
    draw = model.surrogate.sample(model._noise_key(True))["dense.kernel"].numpy()
    return model, found, draw


def log_likelihood_gradient(w):
    return X.T @ (Y - X @ w) / NOISE**2


def mixture_gradient(w):
    """d log P(w) / dw of equation 7."""
    pi, s1, s2 = MIXTURE.values()
    wide = pi * scipy.stats.norm.pdf(w, 0, s1)
    narrow = (1 - pi) * scipy.stats.norm.pdf(w, 0, s2)
    return -w * (wide / s1**2 + narrow / s2**2) / (wide + narrow)


def blundell_gradients(w, mu, rho, log_prior_gradient):
    """Equations 3 and 4, with f = log q(w | theta) - log P(w) - log P(D | w), eq. 2."""
    sigma, logistic = np.logaddexp(0, rho), 1 / (1 + np.exp(-rho))
    eps = (w - mu) / sigma
    df_dw = -(w - mu) / sigma**2 - log_prior_gradient(w) - log_likelihood_gradient(w)
    df_dmu = (w - mu) / sigma**2
    df_drho = (-1 / sigma + (w - mu) ** 2 / sigma**3) * logistic
    return df_dw + df_dmu, df_dw * eps * logistic + df_drho  # eq. 3, eq. 4


def test_gradient_with_a_mixture_prior_is_equations_3_and_4(float64):
    # The page takes the entropy of q in closed form; on a draw mu + sigma eps its gradient is
    # that of -log q(w), so that both forms agree at each draw.
    model, found, w = setting("scale_mixture", MIXTURE)
    mu, rho = (variable.numpy() for variable in model.trainable_variables)
    expected = blundell_gradients(w, mu, rho, mixture_gradient)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-10)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-10)


def test_gradient_with_a_normal_prior_is_the_mean_of_equations_3_and_4(float64):
    scale = 0.7
    model, found, w = setting("normal", {"scale": scale})
    mu, rho = (variable.numpy() for variable in model.trainable_variables)
    sigma, logistic = np.logaddexp(0, rho), 1 / (1 + np.exp(-rho))
    # The prior's part is closed: its mean over the draw, here by Gauss and Hermite's rule, which
    # is exact for it. The likelihood's part is on the draw.
    nodes, weights = np.polynomial.hermite_e.hermegauss(5)
    prior_part = np.zeros((2, 2, 1))
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        at = mu + sigma * node
        gradients = np.array(blundell_gradients(at, mu, rho, lambda w: -w / scale**2))
        likelihood = np.array(
            [-log_likelihood_gradient(at), -log_likelihood_gradient(at) * node * logistic]
        )
        prior_part += weight * (gradients - likelihood)
    eps = (w - mu) / sigma
    slope = -log_likelihood_gradient(w)
    np.testing.assert_allclose(found[0], prior_part[0] + slope, rtol=1e-10)
    np.testing.assert_allclose(found[1], prior_part[1] + slope * eps * logistic, rtol=1e-10)


@pytest.mark.parametrize(("prior", "options"), [("normal", {}), ("scale_mixture", MIXTURE)])
def test_gradient_agrees_with_finite_differences(float64, prior, options):
    model, found, _ = setting(prior, options)
    step = 1e-5
    for variable, gradient in zip(model.trainable_variables, found, strict=True):
        at = variable.numpy()
        for i in np.ndindex(at.shape):
            values = []
            for sign in (1, -1):
                moved = at.copy()
                moved[i] += sign * step
                variable.assign(moved)
                values.append(float(free_energy(model)))
            variable.assign(at)
            numeric = (values[0] - values[1]) / (2 * step)
            assert gradient[i] == pytest.approx(numeric, rel=1e-6, abs=1e-6)
