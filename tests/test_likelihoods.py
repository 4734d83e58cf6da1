"""Likelihoods against SciPy's densities, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from tfbdl import likelihoods, random
from tfbdl.errors import DataError, ModelError, OptionsError

tfd = tfp.distributions
RNG = np.random.default_rng(3)
N, D = 6, 3


def softplus(x):
    return np.logaddexp(0.0, x)


def cases():
    """(likelihood, outputs, targets, parameters, log density of each datum by SciPy)."""
    out, y = RNG.normal(size=(N, D)), RNG.normal(size=(N, D)) * 2
    raw = RNG.normal(size=(N, D))
    mean, unit = np.array([1.0, -2.0, 0.5]), np.array([0.5, 3.0, 2.0])
    bits, counts = RNG.integers(0, 2, (N, D)), RNG.poisson(3.0, (N, D))
    labels = RNG.integers(0, D, N)
    yield (
        likelihoods.Gaussian(scale=0.7),
        out,
        y,
        {},
        scipy.stats.norm(out, 0.7).logpdf(y).sum(1),
    )
    yield (
        likelihoods.Gaussian(target_mean=tuple(mean), target_scale=tuple(unit)),
        out,
        y,
        {"scale": np.array([0.3, 1.0, 2.0])},
        scipy.stats.norm(mean + unit * out, unit * [0.3, 1.0, 2.0]).logpdf(y).sum(1),
    )
    yield (
        likelihoods.StudentT(df=3.0, target_mean=5.0, target_scale=2.0),
        out,
        y,
        {"scale": np.array(0.4)},
        scipy.stats.t(3.0, 5.0 + 2.0 * out, 0.8).logpdf(y).sum(1),
    )
    yield (
        likelihoods.HeteroscedasticGaussian(target_mean=1.0, target_scale=4.0, scale_floor=0.01),
        np.concatenate([out, raw], 1),
        y,
        {},
        scipy.stats.norm(1 + 4 * out, 4 * (0.01 + softplus(raw))).logpdf(y).sum(1),
    )
    yield (
        likelihoods.Bernoulli(),
        out,
        bits,
        {},
        scipy.stats.bernoulli(scipy.special.expit(out)).logpmf(bits).sum(1),
    )
    yield (
        likelihoods.Categorical(),
        out,
        labels,
        {},
        np.log(scipy.special.softmax(out, 1)[np.arange(N), labels]),
    )
    yield (
        likelihoods.Poisson(),
        out,
        counts,
        {},
        scipy.stats.poisson(np.exp(out)).logpmf(counts).sum(1),
    )


CASES = list(cases())
IDS = [f"{case[0].name}-{i}" for i, case in enumerate(CASES)]


@pytest.mark.parametrize(("likelihood", "out", "y", "parameters", "expected"), CASES, ids=IDS)
def test_log_prob_is_the_log_density_of_scipy(likelihood, out, y, parameters, expected):
    assert likelihood.log_prob(out, y, parameters).dtype == tf.float64
    np.testing.assert_allclose(likelihood.log_prob(out, y, parameters), expected, rtol=1e-10)
    np.testing.assert_allclose(
        likelihood.log_prob(out.astype("float32"), y, parameters), expected, rtol=2e-5, atol=2e-5
    )


@pytest.mark.parametrize(("likelihood", "out", "y", "parameters", "expected"), CASES, ids=IDS)
def test_distribution_agrees_with_log_prob_and_has_batch_shape_n(
    likelihood, out, y, parameters, expected
):
    distribution = likelihood.distribution(out, parameters)
    assert distribution.batch_shape == [N]
    assert distribution.event_shape == y.shape[1:]
    np.testing.assert_allclose(distribution.log_prob(y), expected, rtol=1e-10)


@pytest.mark.parametrize(("likelihood", "out", "y", "parameters", "_"), CASES, ids=IDS)
def test_log_prob_sums_over_time_too(likelihood, out, y, parameters, _):
    T = 4
    out_t, y_t = np.repeat(out[:, None], T, 1), np.repeat(y[:, None], T, 1)
    one, many = (likelihood.log_prob(o, t, parameters) for o, t in ((out, y), (out_t, y_t)))
    np.testing.assert_allclose(many, T * one, rtol=1e-10)
    assert likelihood.distribution(out_t, parameters).event_shape == y_t.shape[1:]
    np.testing.assert_allclose(likelihood.distribution(out_t, parameters).log_prob(y_t), many)


@pytest.mark.parametrize(("likelihood", "out", "y", "parameters", "_"), CASES, ids=IDS)
def test_mean_and_variance_are_those_of_the_distribution(likelihood, out, y, parameters, _):
    single = likelihood.elementwise(out, parameters)
    if likelihood.name == "categorical":
        probs = scipy.special.softmax(out, 1)
        mean, variance = probs, probs * (1 - probs)
    else:
        mean, variance = single.mean(), single.variance()
    np.testing.assert_allclose(likelihood.mean(out, parameters), mean, rtol=1e-10)
    np.testing.assert_allclose(likelihood.variance(out, parameters), variance, rtol=1e-10)


@pytest.mark.parametrize(("likelihood", "out", "y", "parameters", "expected"), CASES, ids=IDS)
def test_log_prob_compiles_vectorises_and_has_finite_gradients(
    likelihood, out, y, parameters, expected
):
    @tf.function(jit_compile=True)
    def compiled(o):
        with tf.GradientTape() as tape:
            tape.watch(o)
            value = likelihood.log_prob(o, y, parameters)
        return value, tape.gradient(value, o)

    value, gradient = compiled(tf.constant(out))
    np.testing.assert_allclose(value, expected, rtol=1e-9)
    assert np.isfinite(gradient).all()
    draws = tf.constant(np.stack([out, out + 1]))
    mapped = tf.function(
        lambda: tf.vectorized_map(
            lambda o: likelihood.log_prob(o, y, parameters), draws, fallback_to_while_loop=False
        )
    )()
    np.testing.assert_allclose(mapped[0], expected, rtol=1e-9)
    np.testing.assert_allclose(mapped[1], likelihood.log_prob(out + 1, y, parameters), rtol=1e-9)


@pytest.mark.parametrize(("likelihood", "out", "y", "parameters", "expected"), CASES, ids=IDS)
def test_half_precision_is_computed_in_float32(likelihood, out, y, parameters, expected):
    value = likelihood.log_prob(tf.cast(out, tf.float16), y, parameters)
    assert value.dtype == tf.float32
    rounded = out.astype("float16").astype("float64")
    np.testing.assert_allclose(
        value, likelihood.log_prob(rounded, y, parameters), rtol=2e-5, atol=2e-5
    )


@pytest.mark.parametrize("name", ["gaussian", "student_t", "heteroscedastic_gaussian"])
def test_elementwise_has_cdf_in_original_units(name):
    likelihood = likelihoods.get(name, {"target_mean": 10.0, "target_scale": 3.0})
    out = tf.zeros([2, likelihood.outputs_for(1)])
    single = likelihood.elementwise(out, dict.fromkeys(likelihood.parameters(), 0.5))
    np.testing.assert_allclose(single.cdf(10.0), np.full((2, 1), 0.5), atol=1e-6)
    np.testing.assert_allclose(single.cdf(single.quantile(0.8)), np.full((2, 1), 0.8), atol=1e-5)


@pytest.mark.parametrize("name", ["gaussian", "student_t", "bernoulli", "poisson"])
def test_targets_without_the_last_axis_are_those_of_one_output(name):
    likelihood = likelihoods.get(
        name, {"scale": 1.0} if "scale" in likelihoods.get(name).get_config() else None
    )
    out = RNG.normal(size=(N, 1))
    y = np.ones(N)
    flat, column = likelihood.log_prob(out, y), likelihood.log_prob(out, y[:, None])
    assert flat.shape == [N]
    np.testing.assert_array_equal(flat, column)
    assert likelihood.log_prob(out[:, None, :], y[:, None]).shape == [N]


def test_targets_that_would_be_broadcast_are_refused():
    gaussian = likelihoods.Gaussian(scale=1.0)
    with pytest.raises(
        DataError, match=r"Expected: targets of shape \(6, 3\)\. Received: \(6, 1\)"
    ):
        gaussian.log_prob(np.zeros((6, 3)), np.zeros((6, 1)))
    with pytest.raises(DataError, match=r"Received: \(1,\)"):
        gaussian.log_prob(np.zeros((6, 1)), np.zeros(1))
    with pytest.raises(DataError, match=r"Received: \(6,\)"):
        gaussian.log_prob(np.zeros((6, 6)), np.zeros(6))
    with pytest.raises(DataError, match=r"labels of shape \(6,\).*Received: \(5,\)"):
        likelihoods.Categorical().log_prob(np.zeros((6, 3)), np.zeros(5))
    with pytest.raises(DataError, match=r"\[n, \.\.\., units\]. Received: \(6,\)"):
        gaussian.log_prob(np.zeros(6), np.zeros(6))
    with pytest.raises(DataError, match=r"Use 'bernoulli' for one logit"):
        likelihoods.Categorical().log_prob(np.zeros((6, 1)), np.zeros(6))
    with pytest.raises(DataError, match=r"two outputs for each.*Received: 3 outputs"):
        likelihoods.HeteroscedasticGaussian().log_prob(np.zeros((6, 3)), np.zeros((6, 1)))
    with pytest.raises(DataError, match=r"'target_scale' .* has 2 values.*3 target dimensions"):
        likelihoods.Gaussian(1.0, target_scale=(1.0, 2.0)).log_prob(
            np.zeros((6, 3)), np.ones((6, 3))
        )


def test_a_learned_scale_must_be_given_and_a_fixed_one_must_not():
    with pytest.raises(ModelError, match=r"learns the parameters \['scale'\]. Received: \[\]"):
        likelihoods.Gaussian().log_prob(np.zeros((2, 1)), np.zeros(2))
    with pytest.raises(ModelError, match=r"Received: \['scale'\]"):
        likelihoods.Gaussian(scale=1.0).log_prob(np.zeros((2, 1)), np.zeros(2), {"scale": 1.0})


@pytest.mark.parametrize("shape", [(), (2,), (3, 1), (3, 2)])
def test_a_learned_scale_may_have_the_last_axes_of_the_outputs(shape):
    rng = np.random.default_rng(0)
    outputs, y = rng.normal(size=(2, 5, 3, 2))
    scale = rng.uniform(0.5, 2.0, shape)
    likelihood = likelihoods.Gaussian(target_scale=(3.0, 4.0), scale_shape=shape)
    declared = likelihood.parameters("float64")["scale"]
    assert declared.shape == shape
    assert declared.prior.event_shape == shape
    found = likelihood.log_prob(outputs, y, {"scale": scale})
    unit = np.array([3.0, 4.0])
    expected = scipy.stats.norm(unit * outputs, unit * scale).logpdf(y).sum((1, 2))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_learned_scale_of_another_shape_is_refused():
    for shape in ((3,), (3, 2), (2, 1, 1)):
        with pytest.raises(DataError, match=r"'scale_shape' .* last axes"):
            likelihoods.Gaussian(scale_shape=shape).log_prob(
                np.zeros((4, 1)), np.zeros(4), {"scale": np.ones(shape)}
            )
    with pytest.raises(OptionsError, match=r"Expected: scale=None.*scale=1.0"):
        likelihoods.Gaussian(1.0, scale_shape=())
    with pytest.raises(OptionsError, match=r"sizes of 'scale_shape' must be an integer"):
        likelihoods.Gaussian(scale_shape=[0])


def test_learned_scale_has_the_lognormal_prior_and_a_softplus():
    parameter = likelihoods.Gaussian().parameters()["scale"]
    assert parameter.shape == ()
    assert parameter.initial == 0.5
    expected = scipy.stats.lognorm(1.0).logpdf(0.7)
    np.testing.assert_allclose(parameter.prior.log_prob(0.7), expected, rtol=1e-6)
    np.testing.assert_allclose(parameter.bijector.forward(0.3), np.log1p(np.exp(0.3)), rtol=1e-6)
    wide = likelihoods.StudentT(target_scale=(1.0, 2.0)).parameters("float64")["scale"]
    assert wide.shape == (2,)
    value = wide.prior.log_prob(np.array([0.7, 0.7]))
    np.testing.assert_allclose(value, 2 * expected, rtol=1e-12)


def test_standardising_targets_shifts_the_log_density_by_the_log_of_the_unit():
    out, y = RNG.normal(size=(N, 1)), RNG.normal(size=N)
    plain = likelihoods.Gaussian(scale=0.3).log_prob(out, y)
    scaled = likelihoods.Gaussian(0.3, target_mean=7.0, target_scale=5.0).log_prob(out, 7 + 5 * y)
    np.testing.assert_allclose(scaled, plain - np.log(5.0), rtol=1e-12)


def test_student_t_variance_is_infinite_up_to_two_degrees():
    variance = likelihoods.StudentT(df=2.0, scale=1.0).variance(tf.zeros([2, 1]))
    assert np.isinf(variance).all()


def test_heteroscedastic_gaussian_log_density_is_bounded_by_its_floor():
    likelihood = likelihoods.HeteroscedasticGaussian(scale_floor=1e-3)
    value = likelihood.log_prob(tf.constant([[0.0, -100.0]]), tf.constant([0.0]))
    np.testing.assert_allclose(value, [scipy.stats.norm(0, 1e-3).logpdf(0)], rtol=1e-5)


def test_bernoulli_is_exact_for_extreme_logits():
    value = likelihoods.Bernoulli().log_prob(tf.constant([[200.0], [200.0]]), tf.constant([1, 0]))
    np.testing.assert_allclose(value, [0.0, -200.0])


def test_categorical_takes_labels_columns_and_one_hot_rows():
    out, labels = RNG.normal(size=(N, 4)), np.array([0, 1, 2, 3, 1, 0])
    likelihood = likelihoods.Categorical()
    expected = scipy.special.log_softmax(out, 1)[np.arange(N), labels]
    for y in (labels, labels.astype("float32"), labels[:, None], np.eye(4)[labels]):
        np.testing.assert_allclose(likelihood.log_prob(out, y), expected, rtol=1e-10)


def test_categorical_never_gives_a_label_out_of_range_a_finite_log_prob():
    likelihood = likelihoods.Categorical()
    value = tf.function(likelihood.log_prob, jit_compile=True)(
        tf.zeros([2, 3]), tf.constant([3, 1])
    )
    assert np.isnan(value[0])
    np.testing.assert_allclose(value[1], -np.log(3), rtol=1e-6)


def test_heteroscedastic_categorical_without_noise_is_categorical():
    out, labels = RNG.normal(size=(N, D)), RNG.integers(0, D, N)
    outputs = np.concatenate([out, np.full((N, D), -200.0)], 1)
    value = likelihoods.HeteroscedasticCategorical().log_prob(outputs, labels)
    np.testing.assert_allclose(value, likelihoods.Categorical().log_prob(out, labels), rtol=1e-10)


def test_heteroscedastic_categorical_is_the_mean_of_softmax_over_logit_noise():
    loc, raw = np.array([0.5, -1.0]), np.array([1.0, 0.2])
    # with two classes, softmax is the logistic function of a normal difference: one-dimensional
    sd = np.sqrt((softplus(raw) ** 2).sum())
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    p = (weights / weights.sum() * scipy.special.expit(loc[0] - loc[1] + sd * nodes)).sum()
    likelihood = likelihoods.HeteroscedasticCategorical(num_samples=20_000)
    outputs = np.concatenate([loc, raw])[None]
    probs = likelihood.probs(outputs, key=random.key(1))[0]
    # the standard error of the mean of 20,000 numbers in (0, 1) is at most 0.0036
    np.testing.assert_allclose(probs, [p, 1 - p], atol=4 * 0.0036)
    value = likelihood.log_prob(outputs, [0], key=random.key(1))
    assert value[0] < 0
    np.testing.assert_allclose(value, [np.log(p)], atol=0.03)


def test_heteroscedastic_categorical_is_a_function_of_the_input_alone_without_a_key():
    likelihood = likelihoods.HeteroscedasticCategorical(num_samples=8)
    outputs = RNG.normal(size=(N, 2 * D))
    whole = likelihood.probs(outputs)
    np.testing.assert_allclose(likelihood.probs(outputs[3:5]), whole[3:5], rtol=1e-12)
    np.testing.assert_allclose(tf.reduce_sum(whole, -1), np.ones(N), rtol=1e-12)
    assert np.abs(likelihood.probs(outputs, key=random.key(5)) - whole).max() > 1e-3


def test_heteroscedastic_categorical_gives_each_datum_noise_of_its_own_with_a_key():
    likelihood = likelihoods.HeteroscedasticCategorical(num_samples=8)
    outputs = np.zeros((4, 2 * D))
    assert np.ptp(likelihood.probs(outputs), axis=0).max() == 0
    assert np.ptp(likelihood.probs(outputs, key=random.key(5)), axis=0).min() > 1e-3


def test_heteroscedastic_categorical_vectorises_over_draws():
    likelihood = likelihoods.HeteroscedasticCategorical(num_samples=8)
    draws, y = tf.constant(RNG.normal(size=(2, N, 2 * D))), RNG.integers(0, D, N)
    mapped = tf.function(
        lambda: tf.vectorized_map(
            lambda o: likelihood.log_prob(o, y), draws, fallback_to_while_loop=False
        )
    )()
    np.testing.assert_allclose(mapped[1], likelihood.log_prob(draws[1], y), rtol=1e-9)


@pytest.mark.parametrize("name", ["categorical", "heteroscedastic_categorical"])
def test_log_prob_takes_batches_of_unknown_size(name):
    likelihood = likelihoods.get(name)
    units = likelihood.outputs_for(D)
    spec = [tf.TensorSpec([None, None, units]), tf.TensorSpec([None, None], tf.int32)]
    out, y = tf.ones([N, 2, units]), tf.zeros([N, 2], tf.int32)
    value = tf.function(likelihood.log_prob, input_signature=spec)(out, y)
    np.testing.assert_allclose(value, likelihood.log_prob(out, y), rtol=1e-6)
