"""Priors of latent variables: densities, draws, and what they are made of."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd
from tfbdl_vae.priors.couplings import MAX_LOG_SCALE, Couplings, order
from tfbdl_vae.priors.diagonal_mixture import DiagonalMixture
from tfbdl_vae.priors.learned_prior import MIN_SCALE
from tfbdl_vae.priors.logit_beta import LogitBeta
from tfbdl_vae.priors.stick_breaking import equal_sticks, log_weights
from vae_prior_cases import NAMES, SMALL, log_mixture

import tfbdl
from tfbdl import distributions
from tfbdl.errors import ModelError, OptionsError

MIXTURES = ["gaussian_mixture", "vamp", "stick_breaking"]


def values_of(prior, shape, seed=0):
    """Values of a prior's parameters away from its start, in float64."""
    rng = np.random.default_rng(seed)
    values = {}
    for name, definition in prior.parameters(shape, "z", "float64").items():
        noise = 0.6 * rng.normal(size=definition.shape)
        values[name] = tf.constant(np.exp(noise) if name == "scale" else noise)
    return values


# -- densities ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("float64", 1e-11)])
def test_mixture_has_the_density_of_its_components(dtype, tolerance):
    rng = np.random.default_rng(0)
    logits, loc = rng.normal(size=4), 3 * rng.normal(size=(4, 2, 3))
    scale = np.exp(rng.normal(size=(4, 2, 3)))
    scale[0] = 0.01  # products of large numbers cancel here
    z = np.concatenate([loc[0] + 0.01 * rng.normal(size=(3, 2, 3)), rng.normal(size=(3, 2, 3))])
    mixture = DiagonalMixture(*(tf.constant(part, dtype) for part in (logits, loc, scale)))
    rounded = [np.asarray(part, dtype).astype("float64") for part in (z, logits, loc, scale)]
    expected = log_mixture(
        rounded[0].reshape(-1, 6),
        scipy.special.log_softmax(rounded[1]),
        rounded[2].reshape(4, 6),
        rounded[3].reshape(4, 6),
    )
    found = mixture.log_prob(tf.constant(z.reshape(3, 2, 2, 3), dtype))
    assert found.shape == (3, 2)
    np.testing.assert_allclose(np.ravel(found), expected, rtol=tolerance)


def test_mixture_draws_have_its_moments_and_weights():
    logits, loc = tf.constant([1.0, 0.0, -1.0]), tf.constant([[-4.0, 0.0], [0.0, 1.0], [5.0, 2.0]])
    mixture = DiagonalMixture(logits, loc, tf.fill([3, 2], 0.5))
    draws = mixture.sample(20_000, seed=(1, 2)).numpy()
    pi = np.exp([1.0, 0.0, -1.0]) / np.exp([1.0, 0.0, -1.0]).sum()
    mean = pi @ loc.numpy()
    variance = 0.25 + pi @ (loc.numpy() - mean) ** 2
    np.testing.assert_allclose(mixture.mean(), mean, rtol=1e-5)
    np.testing.assert_allclose(mixture.variance(), variance, rtol=1e-5)
    error = np.sqrt(variance / 20_000)
    assert (np.abs(draws.mean(0) - mean) < 4.5 * error).all()
    share = np.mean(draws[:, 0] < -2)
    assert abs(share - pi[0]) < 4.5 * math.sqrt(pi[0] * (1 - pi[0]) / 20_000)
    assert mixture.sample((3, 2), seed=(1, 2)).shape == (3, 2, 2)


@pytest.mark.parametrize(("name", "size"), list(itertools.product(NAMES, [1, 2])))
def test_density_integrates_to_one(name, size):
    prior = tfbdl.prior(name, **SMALL[name])
    density = prior.distribution((size,), "float64", "z", **values_of(prior, (size,)))
    grid, step = np.linspace(-16, 16, 401 if size == 2 else 4001, retstep=True)
    points = np.stack(np.meshgrid(*[grid] * size), axis=-1).reshape(-1, size)
    total = np.exp(density.log_prob(points)).sum() * step**size
    assert total == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("name", MIXTURES)
def test_mixture_prior_is_the_mixture_of_its_parameters(name):
    prior = tfbdl.prior(name, **SMALL[name])
    values = values_of(prior, (2,))
    z = np.random.default_rng(1).normal(size=(5, 2))
    loc, scale = values["loc"].numpy(), values["scale"].numpy()
    if name == "vamp":
        pi = np.full(len(loc), 1 / len(loc))
    elif name == "stick_breaking":
        v = scipy.special.expit(values["stick_logits"].numpy())
        pi = np.append(v, 1.0) * np.append(1.0, np.cumprod(1 - v))
    else:
        pi = scipy.special.softmax(values["logits"].numpy())
    found = prior.distribution((2,), "float64", "z", **values).log_prob(z)
    np.testing.assert_allclose(found, log_mixture(z, np.log(pi), loc, scale), rtol=1e-10)


def test_sticks_sum_to_one_however_they_break():
    logits = tf.constant([[0.3, -2.0, 1.0], [40.0, -40.0, 40.0], [-60.0, -60.0, -60.0]])
    log_pi = log_weights(logits).numpy()
    assert np.isfinite(log_pi).all()
    np.testing.assert_allclose(scipy.special.logsumexp(log_pi, axis=-1), 0.0, atol=1e-5)
    assert log_pi[1, 1] == pytest.approx(-80.0)  # log(1 - v_1) + log v_2, both tiny
    np.testing.assert_allclose(log_weights(equal_sticks(5, "float64")), np.log(np.full(5, 0.2)))


@pytest.mark.parametrize("b", [0.3, 1.0, 5.0])
def test_logit_beta_is_the_logit_of_a_beta_variable(b):
    logit = np.linspace(-8, 8, 9)
    v = scipy.special.expit(logit)
    expected = scipy.stats.beta(1, b).logpdf(v) + np.log(v * (1 - v))
    sticks = LogitBeta(b, "float64")
    np.testing.assert_allclose(sticks.log_prob(logit), expected, rtol=1e-9)
    assert np.isfinite(LogitBeta(b).log_prob([-90.0, 90.0])).all()
    draws = scipy.special.expit(sticks.sample(5000, seed=(1, 2)).numpy())
    assert scipy.stats.kstest(draws, scipy.stats.beta(1, b).cdf).pvalue > 1e-3


def flow_of(size, count=3, hidden=5, spread=0.8):
    rng = np.random.default_rng(size)
    kept, changed = size // 2, size - size // 2
    shapes = [(count, kept, hidden), (count, hidden), (count, hidden, 2 * changed)]
    weights = [tf.constant(spread * rng.normal(size=s)) for s in [*shapes, (count, 2 * changed)]]
    return Couplings(*weights), weights


@pytest.mark.parametrize("size", [2, 5, 6])
def test_couplings_have_the_log_determinant_of_their_jacobian(size):
    flow, _ = flow_of(size)
    x = tf.constant(np.random.default_rng(0).normal(size=(4, size)))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = flow.forward(x)
    jacobian = tape.batch_jacobian(y, x, experimental_use_pfor=False).numpy()
    expected = np.linalg.slogdet(jacobian)[1]
    np.testing.assert_allclose(flow.forward_log_det_jacobian(x, 1), expected, rtol=1e-9)
    fresh = tf.identity(y)  # not the tensor that the bijector remembers
    np.testing.assert_allclose(flow.inverse(fresh), x, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(flow.inverse_log_det_jacobian(fresh, 1), -expected, rtol=1e-8)


def test_couplings_are_those_of_tfp():
    size, (flow, weights) = 5, flow_of(5)

    def net(layer):
        kernel_in, bias_in, kernel_out, bias_out = (weight[layer] for weight in weights)

        def shift_and_log_scale(x, units):
            out = tf.tanh(x @ kernel_in + bias_in) @ kernel_out + bias_out
            return out[..., :units], MAX_LOG_SCALE * tf.tanh(out[..., units:] / MAX_LOG_SCALE)

        return shift_and_log_scale

    parts = []
    for layer in range(3):
        parts.append(tfb.RealNVP(num_masked=2, shift_and_log_scale_fn=net(layer)))
        parts.append(tfb.Permute(order(layer, 2, 3)))
    x = tf.constant(np.random.default_rng(0).normal(size=(4, size)))
    theirs = tfb.Chain(parts[::-1])
    np.testing.assert_allclose(flow.forward(x), theirs.forward(x), rtol=1e-12)
    np.testing.assert_allclose(
        flow.forward_log_det_jacobian(x, 1), theirs.forward_log_det_jacobian(x, 1), rtol=1e-10
    )


@pytest.mark.parametrize("size", [2, 3, 8, 21])
def test_two_couplings_change_each_element_and_mix_the_halves(size):
    kept, changed = size // 2, size - size // 2
    touched, place = set(), np.arange(size)
    halves = []
    for layer in range(4):
        touched |= set(place[kept:]) if layer < 2 else set()
        halves.append(frozenset(place[kept:].tolist()))
        permutation = order(layer, kept, changed)
        assert sorted(permutation) == list(range(size))
        place = place[permutation]
    assert touched == set(range(size))
    assert size < 8 or len(set(halves)) == 4


def test_flow_starts_near_the_standard_normal():
    z = np.random.default_rng(0).normal(size=(50, 6))
    found = tfbdl.prior("normalizing_flow").distribution((6,), "float64").log_prob(z)
    expected = scipy.stats.norm.logpdf(z).sum(-1)
    np.testing.assert_allclose(found, expected, atol=1.5)
    assert np.abs(found - expected).max() > 1e-3  # but not at it: it is drawn


def test_flow_of_one_element_is_a_normal_with_a_closed_kl():
    prior = tfbdl.prior("normalizing_flow")
    values = {"loc": tf.constant([0.5]), "scale": tf.constant([2.0])}
    density = prior.distribution((1,), "float32", "z", **values)
    assert distributions.has_closed_form(density)
    expected = scipy.stats.norm(0.5, 2.0).logpdf(1.7)
    assert float(density.log_prob([1.7])) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("full", [False, True])
def test_vamp_is_the_mean_of_its_components(full):
    rng = np.random.default_rng(0)
    loc, scale = rng.normal(size=(4, 2)), np.exp(rng.normal(size=(4, 2)))
    if full:
        tril = np.array([[[s[0], 0.0], [0.7, s[1]]] for s in scale])
        components = tfd.MultivariateNormalTriL(loc, tril)
        covariances = tril @ np.swapaxes(tril, 1, 2)
    else:
        components = tfd.MultivariateNormalDiag(loc, scale)
        covariances = np.stack([np.diag(s**2) for s in scale])
    z = rng.normal(size=(6, 2))
    normals = [
        scipy.stats.multivariate_normal(*pair) for pair in zip(loc, covariances, strict=True)
    ]
    expected = np.log(np.mean([normal.pdf(z) for normal in normals], axis=0))
    prior = tfbdl.prior("vamp", pseudo_inputs=4).of_components(components)
    np.testing.assert_allclose(prior.log_prob(z), expected, rtol=1e-10)
    assert prior.sample(7, seed=(1, 2)).shape == (7, 2)


def test_scales_have_a_floor():
    scale = tfbdl.prior("gaussian_mixture").parameters((2,))["scale"]
    assert float(scale.bijector.forward(tf.constant(-200.0))) == pytest.approx(MIN_SCALE)


def test_unknown_parameters_and_dtypes_are_refused():
    prior = tfbdl.prior("gaussian_mixture")
    with pytest.raises(ModelError, match=r"no parameter 'locs'. Did you mean 'loc'"):
        prior.distribution((2,), "float32", "z", locs=tf.zeros([10, 2]))
    with pytest.raises(OptionsError, match=r"float32 or float64. Received: float16"):
        prior.distribution((2,), "float16")
