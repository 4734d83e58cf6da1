"""Laplace's approximation: exact on normals, known evidence, Jacobians, saddles, refusals."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import special, stats

import tfbdl
from tfbdl import errors
from tfbdl.inference import newton
from tfbdl.inference.curvature import full_curvature
from tfbdl.inference.mcmc import FlatTarget

tfb = tfp.bijectors
tfd = tfp.distributions


def laplace(model, data=None, seed=0, **options):
    return tfbdl.fit(model, data, engine="laplace", engine_options=options, seed=seed)


def gamma(shape, rate, **options):
    """The unnormalised density of a Gamma, of a positive number."""

    def fn(lam):
        return (shape - 1.0) * tf.math.log(lam) - rate * lam

    return tfbdl.LogDensity(fn, {"lam": ()}, {"lam": tfb.Exp()}, dtype="float64", **options)


def test_a_normal_is_found_exactly_in_one_step():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(5, 5))
    precision, mean = root @ root.T + 0.1 * np.eye(5), rng.normal(size=5)

    def fn(a, b):
        x = tf.concat([a, tf.reshape(b, [-1])], 0) - mean
        return 3.0 - 0.5 * tf.reduce_sum(x * tf.linalg.matvec(precision, x))

    fit = laplace(tfbdl.LogDensity(fn, {"a": (3,), "b": (1, 2)}, dtype="float64"))
    covariance = np.linalg.inv(precision)
    np.testing.assert_allclose(fit.posterior.mean()["a"], mean[:3], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(fit.posterior.mean()["b"], mean[np.newaxis, 3:], rtol=1e-9)
    np.testing.assert_allclose(fit.posterior.covariance()["b"], covariance[3:, 3:], rtol=1e-9)
    np.testing.assert_allclose(
        fit.posterior.stddev()["a"], np.sqrt(np.diagonal(covariance)[:3]), rtol=1e-9
    )
    log_evidence = 3.0 + 2.5 * np.log(2 * np.pi) - 0.5 * np.linalg.slogdet(precision)[1]
    assert fit.metrics["log_evidence"] == pytest.approx(log_evidence, rel=1e-12)
    assert fit.metrics["log_joint"] == pytest.approx(3.0, abs=1e-12)
    assert fit.metrics["newton_steps"] <= 2


def test_draws_have_the_covariance_across_sites():
    precision = np.array([[2.0, -1.2], [-1.2, 1.0]])

    def fn(a, b):
        x = tf.stack([a - 1.0, b + 2.0])
        return -0.5 * tf.reduce_sum(x * tf.linalg.matvec(precision, x))

    fit = laplace(tfbdl.LogDensity(fn, {"a": (), "b": ()}, dtype="float64"))
    draws = {name: value.ravel() for name, value in fit.posterior.draws.items()}
    found = np.cov(draws["a"], draws["b"])
    # three standard errors of a covariance: sqrt(2 / n) of the variances
    bound = 3 * np.sqrt(2 / fit.posterior.num_draws) * np.linalg.inv(precision).max()
    np.testing.assert_allclose(found, np.linalg.inv(precision), atol=bound)


def test_a_gamma_posterior_has_stirlings_evidence_in_the_logarithm():
    shape, rate = 7.5, 2.5
    fit = laplace(gamma(shape, rate))
    mode, variance = np.log(shape / rate), 1.0 / shape  # of log lam
    stirling = shape * np.log(shape / rate) - shape + 0.5 * np.log(2 * np.pi / shape)
    assert fit.metrics["log_evidence"] == pytest.approx(stirling, rel=1e-10)
    assert abs(stirling - (special.gammaln(shape) - shape * np.log(rate))) < 1 / (12 * shape) + 1e-3
    at_mode = (shape - 1) * mode - rate * np.exp(mode)  # without the Jacobian
    assert fit.metrics["log_joint"] == pytest.approx(at_mode, rel=1e-10)
    lognormal = stats.lognorm(np.sqrt(variance), scale=np.exp(mode))
    error = lognormal.std() / np.sqrt(10_000)
    assert fit.posterior.mean()["lam"] == pytest.approx(lognormal.mean(), abs=4 * error)
    assert fit.posterior.stddev()["lam"] == pytest.approx(lognormal.std(), rel=0.05)
    draws = fit.posterior.sample(5_000, seed=3)["lam"]
    assert stats.kstest(np.log(draws), stats.norm(mode, np.sqrt(variance)).cdf).pvalue > 1e-3


def test_the_curvature_is_minus_the_hessian():
    def fn(x, s):
        return -tf.reduce_sum(tf.math.log1p(x**2)) * s - tf.exp(x[0] * x[1]) - s**2

    target = FlatTarget(tfbdl.LogDensity(fn, {"x": (2,), "s": ()}, {"s": tfb.Exp()}, "float64"))
    z = np.array([0.3, -0.7, 0.2])
    step = 1e-5

    def gradient(z):
        return target.log_prob_and_gradient(tf.constant(z[np.newaxis]))[1].numpy()[0]

    differences = [
        (gradient(z - step * e) - gradient(z + step * e)) / (2 * step) for e in np.eye(3)
    ]
    np.testing.assert_allclose(full_curvature(target)(z), differences, rtol=1e-7, atol=1e-8)


def test_the_search_leaves_a_saddle():
    # two modes at (1, 0) and (-1, 0); the start is the saddle between them
    def fn(x):
        return -((x[0] ** 2 - 1.0) ** 2) - x[1] ** 2

    target = tfbdl.LogDensity(fn, {"x": (2,)}, dtype="float64", initial={"x": [0.0, 0.0]})
    fit = laplace(target)
    np.testing.assert_allclose(np.abs(fit.posterior.mean()["x"]), [1.0, 0.0], atol=1e-7)
    np.testing.assert_allclose(fit.posterior.stddev()["x"], [8**-0.5, 2**-0.5], rtol=1e-6)


def test_the_search_climbs_rosenbrocks_valley():
    def fn(x):
        return -100.0 * (x[1] - x[0] ** 2) ** 2 - (1.0 - x[0]) ** 2

    target = tfbdl.LogDensity(fn, {"x": (2,)}, dtype="float64", initial={"x": [-1.2, 1.0]})
    fit = laplace(target)
    np.testing.assert_allclose(fit.posterior.mean()["x"], [1.0, 1.0], rtol=1e-9)
    assert (np.diff(fit.history["lp"]) > -1e-12).all()
    assert fit.metrics["newton_steps"] < 40  # Newton's method with line search takes about 20


def test_restarts_find_the_higher_mode():
    # weights 1 : 9 of two normals at -4 and 4; the start is a draw near zero
    def fn(x):
        squares = tf.stack([(x + 4.0) ** 2, (x - 4.0) ** 2])
        return tf.reduce_logsumexp(np.log([0.1, 0.9]) - 0.5 * squares)

    fit = laplace(tfbdl.LogDensity(fn, {"x": ()}, dtype="float64"), restarts=8)
    assert fit.posterior.mean()["x"] == pytest.approx(4.0, abs=1e-3)


def test_a_joint_distribution_has_the_evidence_of_its_conjugate_form():
    y = np.array([0.3, 1.1, 0.8, -0.2])
    zero = tf.constant(0.0, tf.float64)
    joint = tfd.JointDistributionNamed(
        {"mu": tfd.Normal(zero, 2.0), "y": lambda mu: tfd.Sample(tfd.Normal(mu, 0.5), 4)}
    )
    fit = laplace(joint, {"y": y})
    marginal = stats.multivariate_normal(np.zeros(4), 0.25 * np.eye(4) + 4.0)
    assert fit.metrics["log_evidence"] == pytest.approx(marginal.logpdf(y), rel=1e-9)
    variance = 1 / (1 / 4 + 4 / 0.25)
    assert fit.posterior.mean()["mu"] == pytest.approx(variance * y.sum() / 0.25, rel=1e-9)
    assert fit.posterior.stddev()["mu"] == pytest.approx(np.sqrt(variance), rel=1e-9)


@pytest.mark.parametrize("dtype", ["auto", pytest.param("float64", marks=pytest.mark.slow)])
def test_a_linear_network_has_the_posterior_of_linear_regression(dtype):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2)).astype("float32")
    y = (x @ [1.0, -2.0] + 0.5 + 0.3 * rng.normal(size=40)).astype("float32")
    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="dense")])
    model = tfbdl.BayesianNetwork(net, "gaussian", likelihood_options={"scale": 0.3})
    fit = laplace(model, (x, y), dtype=dtype, curvature="hessian")
    design = np.column_stack([x, np.ones(40)]).astype("float64")
    covariance = np.linalg.inv(np.eye(3) + design.T @ design / 0.09)
    mean = covariance @ design.T @ y / 0.09
    found = fit.posterior.mean()
    np.testing.assert_allclose(found["dense.kernel"][:, 0], mean[:2], rtol=1e-4)
    np.testing.assert_allclose(found["dense.bias"], mean[2:], rtol=1e-4)
    np.testing.assert_allclose(
        fit.posterior.covariance()["dense.kernel"], covariance[:2, :2], rtol=1e-3, atol=1e-7
    )
    marginal = stats.multivariate_normal(np.zeros(40), 0.09 * np.eye(40) + design @ design.T)
    assert fit.metrics["log_evidence"] == pytest.approx(marginal.logpdf(y), abs=2e-2)
    assert fit.predict(x, draws=200).mean.shape == (40, 1)


def test_the_posterior_is_the_same_after_save_and_load(tmp_path):
    fit = tfbdl.fit(gamma(4.0, 2.0), None, engine="laplace", out=tmp_path / "run", seed=2)
    loaded = tfbdl.load(tmp_path / "run")
    np.testing.assert_array_equal(loaded.posterior.draws["lam"], fit.posterior.draws["lam"])
    assert loaded.metrics["log_evidence"] == fit.metrics["log_evidence"]
    assert loaded.history == fit.history
    assert loaded.posterior.diagnostics() == []


def test_a_density_without_a_peak_is_refused():
    flat = tfbdl.LogDensity(lambda a, b: -((a + b) ** 2), {"a": (), "b": ()}, dtype="float64")
    with pytest.raises(errors.ModelError, match="no peak along some direction"):
        laplace(flat)
    rising = tfbdl.LogDensity(lambda a: a, {"a": ()}, dtype="float64")
    with pytest.raises(errors.ModelError, match=r"No mode was found|no peak along some direction"):
        laplace(rising, max_steps=30)


def test_a_start_without_density_is_refused():
    log = tfbdl.LogDensity(
        lambda a: tf.math.log(a), {"a": ()}, dtype="float64", initial={"a": -1.0}
    )
    with pytest.raises(errors.ModelError, match="not finite where the search"):
        laplace(log)


def test_too_many_parameters_are_refused_with_the_memory_they_would_take():
    wide = tfbdl.LogDensity(lambda a: -tf.reduce_sum(a**2), {"a": (40_000,)})
    with pytest.raises(errors.ModelError, match=r"40,000 parameters would take about 35\.8 GiB"):
        laplace(wide)


def test_a_density_that_gradients_belie_is_refused():
    points = newton.ascend(lambda z: (-float(z @ z), 2.0 * z), lambda z: np.eye(2), np.ones(2))
    with pytest.raises(errors.ModelError, match="density and gradient do not agree"):
        list(points)


def test_hundreds_of_parameters_are_covered_block_by_block():
    scales = np.geomspace(0.1, 10.0, 150)
    fn = lambda a: -0.5 * tf.reduce_sum((a / scales) ** 2) - 0.1 * tf.reduce_sum(a) ** 2  # noqa: E731
    fit = laplace(tfbdl.LogDensity(fn, {"a": (150,)}, dtype="float64"))
    expected = np.linalg.inv(np.diag(scales**-2) + 0.2)
    np.testing.assert_allclose(fit.posterior.covariance()["a"], expected, rtol=1e-8, atol=1e-10)
