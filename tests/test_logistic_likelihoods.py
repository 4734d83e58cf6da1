"""Likelihoods of levels on a grid, against enumeration and SciPy."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

import tfbdl
from tfbdl import likelihoods
from tfbdl.errors import DataError, OptionsError

LEVELS, LOW, HIGH = 7, -1.0, 5.0
VALUES = np.linspace(LOW, HIGH, LEVELS)
GRID = {"levels": LEVELS, "low": LOW, "high": HIGH}
RNG = np.random.default_rng(5)
N, D, K = 4, 3, 2


def softplus(x):
    return np.logaddexp(0.0, x)


def masses(loc, raw):
    """``P(y)`` of every level by SciPy's logistic cdf, ``[..., levels]``; units as documented."""
    centre, half_range, half = 0.5 * (LOW + HIGH), 0.5 * (HIGH - LOW), 0.5 * (VALUES[1] - VALUES[0])
    scale = half_range * softplus(raw) + 0.1 * 2 * half
    noise = scipy.stats.logistic((centre + half_range * loc)[..., None], scale[..., None])
    upper, lower = noise.cdf(VALUES + half), noise.cdf(VALUES - half)
    upper[..., -1], lower[..., 0] = 1.0, 0.0
    return upper - lower


def cases():
    """(likelihood, outputs, masses of all levels ``[n, d, levels]``)."""
    loc, raw = RNG.normal(size=(N, D)), RNG.normal(size=(N, D)) - 1.0
    plain = likelihoods.DiscretizedLogistic(**GRID)
    yield plain, np.concatenate([loc, raw], 1), masses(loc, raw)
    logits, locs, raws = (RNG.normal(size=(N, D, K)) for _ in range(3))
    weights = scipy.special.softmax(logits, -1)
    outputs = np.concatenate([part.reshape(N, -1) for part in (logits, locs, raws)], 1)
    mixture = likelihoods.LogisticMixture(components=K, **GRID)
    yield mixture, outputs, np.einsum("ndk,ndkl->ndl", weights, masses(locs, raws))


CASES = [pytest.param(*case, id=case[0].name) for case in cases()]


@pytest.mark.parametrize(("likelihood", "outputs", "p"), CASES)
def test_log_prob_is_that_of_the_cdf_by_scipy(likelihood, outputs, p):
    chosen = RNG.integers(0, LEVELS, (N, D))
    y = VALUES[chosen]
    expected = np.log(np.take_along_axis(p, chosen[..., None], -1)[..., 0]).sum(1)
    assert likelihood.log_prob(outputs, y).dtype == tf.float64
    np.testing.assert_allclose(likelihood.log_prob(outputs, y), expected, rtol=1e-9)
    single = likelihood.log_prob(outputs.astype("float32"), y)
    np.testing.assert_allclose(single, expected, rtol=2e-5)
    distribution = likelihood.distribution(outputs)
    assert (distribution.batch_shape, distribution.event_shape) == ([N], [D])
    np.testing.assert_allclose(distribution.log_prob(y), expected, rtol=1e-9)


@pytest.mark.parametrize(("likelihood", "outputs", "p"), CASES)
def test_probabilities_sum_to_one_and_give_mean_variance_and_cdf(likelihood, outputs, p):
    single = likelihood.elementwise(outputs)
    every = np.moveaxis(np.exp([single.log_prob(np.full((N, D), v)) for v in VALUES]), 0, -1)
    np.testing.assert_allclose(every.sum(-1), np.ones((N, D)), rtol=1e-12)
    mean = p @ VALUES
    np.testing.assert_allclose(likelihood.mean(outputs), mean, rtol=1e-9)
    variance = (p * (VALUES - mean[..., None]) ** 2).sum(-1)
    np.testing.assert_allclose(likelihood.variance(outputs), variance, rtol=1e-9)
    for value in (-1.1, -1.0, 0.4, 4.0, 4.9, 5.0, 6.0):  # also between the levels, and beyond
        below = (p * (value >= VALUES - 1e-9)).sum(-1)
        np.testing.assert_allclose(single.cdf(np.full((N, D), value)), below, atol=1e-12)


@pytest.mark.parametrize(("likelihood", "outputs", "p"), CASES)
def test_draws_are_levels_with_their_probabilities(likelihood, outputs, p):
    draws = 20_000
    y = likelihood.elementwise(outputs).sample(draws, seed=(1, 2)).numpy()
    assert y.shape == (draws, N, D)
    counts = (np.abs(y[..., None] - VALUES) < 1e-9).sum(0)
    assert (counts.sum(-1) == draws).all()
    error = np.abs(counts / draws - p) / np.sqrt(p * (1 - p) / draws)
    assert error.max() < 4.5  # of 84 counts; the chance that one of them is further out is 6e-4
    again = likelihood.distribution(outputs).sample(3, seed=(1, 2))
    assert again.shape == (3, N, D)
    np.testing.assert_array_equal(again, likelihood.distribution(outputs).sample(3, seed=(1, 2)))


@pytest.mark.parametrize(("likelihood", "outputs", "p"), CASES)
def test_log_prob_takes_compilers_time_axes_and_unknown_sizes(likelihood, outputs, p):
    y = VALUES[RNG.integers(0, LEVELS, (N, D))]
    expected = likelihood.log_prob(outputs, y)

    @tf.function(jit_compile=True)
    def compiled(o):
        return likelihood.log_prob(o, y), likelihood.mean(o), likelihood.variance(o)

    value, mean, variance = compiled(tf.constant(outputs))
    np.testing.assert_allclose(value, expected, rtol=1e-9)
    np.testing.assert_allclose(mean, likelihood.mean(outputs), rtol=1e-9)
    np.testing.assert_allclose(variance, likelihood.variance(outputs), rtol=1e-9)
    stacked = tf.constant(np.stack([outputs, outputs + 1]))
    mapped = tf.function(
        lambda: tf.vectorized_map(
            lambda o: likelihood.log_prob(o, y), stacked, fallback_to_while_loop=False
        )
    )()
    np.testing.assert_allclose(mapped[0], expected, rtol=1e-9)
    steps = likelihood.log_prob(np.repeat(outputs[:, None], 5, 1), np.repeat(y[:, None], 5, 1))
    np.testing.assert_allclose(steps, 5 * expected, rtol=1e-9)
    spec = [tf.TensorSpec([None, *a.shape[1:]], tf.float64) for a in (outputs, y)]
    unknown = tf.function(likelihood.log_prob, input_signature=spec)(outputs, y)
    np.testing.assert_allclose(unknown, expected, rtol=1e-9)


def finite_difference(likelihood, outputs, y, step=1e-6):
    moved = step * np.eye(outputs.shape[1])
    up, down = (
        likelihood.log_prob(np.repeat(outputs, len(moved), 0) + sign * moved, y)
        for sign in (1.0, -1.0)
    )
    return (up - down) / (2 * step)


@pytest.mark.parametrize("k", [0, 3, 6])
def test_gradients_are_those_of_finite_differences(k):
    likelihood = likelihoods.LogisticMixture(components=K, **GRID)
    outputs = RNG.normal(size=(1, 3 * K))
    y = np.full((3 * K, 1), VALUES[k])
    value = tf.constant(outputs)
    with tf.GradientTape() as tape:
        tape.watch(value)
        log_prob = likelihood.log_prob(value, y[:1])
    gradient = tape.gradient(log_prob, value)
    np.testing.assert_allclose(gradient[0], finite_difference(likelihood, outputs, y), atol=1e-7)


@pytest.mark.parametrize("name", ["discretized_logistic", "logistic_mixture"])
def test_log_prob_and_gradients_are_finite_far_from_the_data(name):
    """At loc far off and a tiny scale the two sigmoids are equal numbers in any precision."""
    likelihood = likelihoods.get(name, {"components": 1} if name == "logistic_mixture" else {})
    far = np.array([[loc, raw] for loc in (-40.0, 0.0, 40.0) for raw in (-90.0, 0.0, 60.0)])
    outputs = far if name == "discretized_logistic" else np.insert(far, 0, 0.0, axis=1)
    for y in (0.0, 128 / 255, 1.0):
        value = tf.constant(outputs, tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(value)
            log_prob = likelihood.log_prob(value, np.full((9, 1), y, "float32"))
        assert np.isfinite(log_prob).all()
        assert np.isfinite(tape.gradient(log_prob, value)).all()
        # log P is -distance / scale there, in levels: 127.5 (40 - 2 y + 1) - 1/2 over a tenth
        if y < 1.0:
            expected = -(127.5 * (40.0 - 2.0 * y + 1.0) - 0.5) / 0.1
            np.testing.assert_allclose(log_prob[6], expected, rtol=1e-3)


def test_a_mixture_of_one_component_is_the_discretized_logistic():
    outputs, y = RNG.normal(size=(N, 2 * D)), VALUES[RNG.integers(0, LEVELS, (N, D))]
    one = likelihoods.LogisticMixture(components=1, **GRID)
    logits = RNG.normal(size=(N, D))
    np.testing.assert_allclose(
        one.log_prob(np.concatenate([logits, outputs], 1), y),
        likelihoods.DiscretizedLogistic(**GRID).log_prob(outputs, y),
        rtol=1e-12,
    )


def test_two_levels_are_a_bernoulli():
    loc, raw = RNG.normal(size=(N, D)), RNG.normal(size=(N, D))
    y = RNG.integers(0, 2, (N, D))
    # in spacings, of which there is one: the edge lies at 1/2, the scale is 0.1 + softplus / 2
    logits = (0.5 * (1 + loc) - 0.5) / (0.1 + 0.5 * softplus(raw))
    np.testing.assert_allclose(
        likelihoods.DiscretizedLogistic(levels=2).log_prob(np.concatenate([loc, raw], 1), y),
        scipy.stats.bernoulli(scipy.special.expit(logits)).logpmf(y).sum(1),
        rtol=1e-9,
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_pixels_over_255_are_on_the_grid(dtype):
    pixels = (np.arange(256, dtype="uint8") / np.asarray(255, dtype)).astype(dtype)
    likelihood = likelihoods.DiscretizedLogistic()
    likelihood.check_targets(pixels, 2)
    outputs = np.tile([[0.0, 0.0]], (256, 1)).astype(dtype)
    np.testing.assert_allclose(np.exp(likelihood.log_prob(outputs, pixels)).sum(), 1.0, rtol=1e-5)
    likelihoods.DiscretizedLogistic(low=0.0, high=255.0).check_targets(
        np.arange(256, dtype="uint8"), 2
    )


def test_values_off_the_grid_are_refused_and_have_no_probability():
    likelihood = likelihoods.DiscretizedLogistic(**GRID)
    rule = r"among 7 levels from -1 to 5, 1 apart. Received: 0.5 at index \[1\]"
    with pytest.raises(DataError, match=rule):
        likelihood.check_targets([0.0, 0.5], 2)
    with pytest.raises(DataError, match=r"Received: 6\.0 at index \[0\]"):
        likelihood.check_targets([6.0], 2)
    with pytest.raises(DataError, match="finite, without missing values"):
        likelihood.check_targets([np.nan], 2)
    np.testing.assert_array_equal(likelihood.log_prob(np.zeros((2, 2)), [0.5, 6.0]), [-np.inf] * 2)


def test_units_and_options_that_do_not_fit_are_refused():
    mixture = likelihoods.LogisticMixture(components=4)
    assert mixture.outputs_for(3) == 36
    assert mixture.size_for(36) == 3
    with pytest.raises(DataError, match=r"4 components needs 12 outputs.*Received: 13 outputs"):
        mixture.log_prob(np.zeros((2, 13)), np.zeros((2, 1)))
    with pytest.raises(DataError, match=r"two outputs for each.*Received: 3 outputs"):
        likelihoods.DiscretizedLogistic().log_prob(np.zeros((2, 3)), np.zeros((2, 1)))
    with pytest.raises(DataError, match=r"targets of shape \(2, 3\).*Received: \(2, 2\)"):
        likelihoods.DiscretizedLogistic().log_prob(np.zeros((2, 6)), np.zeros((2, 2)))
    for options, rule in (
        ({"levels": 1}, "levels must be an integer of at least 2. Received: 1"),
        ({"low": 1.0}, "'low' must be below 'high'. Received: 1.0 and 1.0"),
        ({"high": np.inf}, "'high' must be a finite number"),
        ({"components": 0}, "components must be an integer of at least 1"),
    ):
        with pytest.raises(OptionsError, match=rule):
            likelihoods.get("logistic_mixture", options)


@pytest.mark.parametrize(
    "name", ["discretized_logistic", pytest.param("logistic_mixture", marks=[pytest.mark.slow])]
)
def test_a_bayesian_network_predicts_levels(name):
    """Its quantiles are levels, with cdfs on both sides of the probability asked for."""
    grid = {"levels": 5, "low": 0.0, "high": 2.0}
    likelihood = likelihoods.get(name, grid)
    keras.utils.set_random_seed(1)
    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(likelihood.outputs_for(1))])
    model = tfbdl.BayesianNetwork(net, likelihood)
    model.rng_seed.assign(3)
    x = RNG.normal(size=(24, 2)).astype("float32")
    y = RNG.integers(0, 5, 24) * 0.5
    model.compile("adam", run_eagerly=True)
    assert np.isfinite(model.fit(x, y, epochs=1, verbose=0).history["loss"]).all()
    predictive = model.predictive(x, draws=3)
    parts = predictive.aleatoric + predictive.epistemic
    np.testing.assert_allclose(predictive.variance, parts, rtol=1e-6)
    quantile = predictive.quantile(0.7)
    np.testing.assert_allclose(quantile, np.round(quantile / 0.5) * 0.5, atol=1e-9)
    assert (predictive.cdf(quantile) >= 0.7).all()
    assert (predictive.cdf(quantile - 0.5) < 0.7).all()
    assert set(np.unique(predictive.sample(4))) <= {0.0, 0.5, 1.0, 1.5, 2.0}
    with pytest.raises(DataError, match="among 5 levels"):
        model.fit(x, y + 0.1, verbose=0)
