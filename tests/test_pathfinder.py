"""Pathfinder: inverse Hessians against BFGS, Gaussians, eight schools, logistic regression."""

import warnings

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import linalg, stats

import tfbdl
from tfbdl import errors
from tfbdl.inference import pathfinder
from tfbdl.inference.inverse_hessian import local_normals
from tfbdl.testing.steps import without_xla

tfd, tfb = tfp.distributions, tfp.bijectors


def fit(model, data=None, seed=0, **options):
    options = {"path_draws": options.get("draws", 1_000), **options}
    return tfbdl.fit(model, data, engine="pathfinder", engine_options=options, seed=seed)


def gaussian(mean, covariance):
    """A normalised normal, whose evidence is one."""
    precision = np.linalg.inv(covariance)
    constant = -0.5 * np.linalg.slogdet(2 * np.pi * covariance)[1]

    def fn(x):
        d = x - mean
        return constant - 0.5 * tf.reduce_sum(d * tf.linalg.matvec(precision, d))

    return tfbdl.LogDensity(fn, {"x": (len(mean),)}, dtype="float64")


# -- the normals on a path -------------------------------------------------------------------


def test_the_inverse_hessian_is_that_of_the_bfgs_recursion():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(7, 7))
    A = root @ root.T + np.eye(7)
    points = np.cumsum(rng.normal(size=(5, 7)), axis=0)
    gradients = -points @ A
    normals = list(local_normals(points, gradients, history=3))
    assert len(normals) == 4
    alpha = np.ones(7)
    pairs = []
    for i, normal in enumerate(normals, start=1):
        s, z = points[i] - points[i - 1], gradients[i - 1] - gradients[i]
        a, b, c = z @ (alpha * z), z @ s, s @ (s / alpha)
        alpha = 1 / (a / (b * alpha) + z**2 / b - a * s**2 / (b * c * alpha**2))
        pairs = [*pairs, (s, z)][-3:]
        H = np.diag(alpha)
        for s, z in pairs:  # Nocedal and Wright, equation 6.17
            V = np.eye(7) - np.outer(s, z) / (s @ z)
            H = V @ H @ V.T + np.outer(s, s) / (s @ z)
        draws, log_q = normal.draws(np.concatenate([np.eye(7), np.zeros((1, 7))]))
        np.testing.assert_allclose(draws[-1], points[i] + H @ gradients[i], rtol=1e-8)
        T = (draws[:-1] - draws[-1]).T
        np.testing.assert_allclose(T @ T.T, H, rtol=1e-7, atol=1e-10)
        law = stats.multivariate_normal(draws[-1], H)
        np.testing.assert_allclose(log_q, law.logpdf(draws), rtol=1e-7)


def test_a_step_that_curves_upwards_is_left_out():
    points = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    gradients = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, -2.0]])  # rising, then falling
    normals = list(local_normals(points, gradients, history=6))
    assert len(normals) == 1
    assert normals[0].draws(np.zeros((1, 2)))[0][0, 1] == pytest.approx(0.0)


# -- exact and near --------------------------------------------------------------------------


def test_one_number_and_a_round_normal_are_exact():
    for D in (1, 6):
        mean = np.linspace(-3, 4, D)
        made = fit(gaussian(mean, 0.25 * np.eye(D)), draws=4_000)
        assert made.metrics["log_evidence"] == pytest.approx(0.0, abs=1e-8)
        assert made.metrics["elbo"] == pytest.approx(0.0, abs=1e-8)
        draws = made.posterior.draws["x"][0]
        z = (draws.mean(axis=0) - mean) / (0.5 / np.sqrt(2_000))  # drawn with replacement
        assert np.abs(z).max() < 4.0


def test_a_correlated_normal_is_right_after_resampling():
    rng = np.random.default_rng(3)
    root = rng.normal(size=(8, 8))
    covariance = root @ root.T / 8 + 0.2 * np.eye(8)
    mean = rng.normal(size=8)
    made = fit(gaussian(mean, covariance), draws=8_000, history=10)
    assert made.metrics["pareto_k"] < 0.7
    assert made.metrics["log_evidence"] == pytest.approx(0.0, abs=0.05)
    draws = made.posterior.draws["x"][0]
    spread = np.sqrt(np.diagonal(covariance))
    assert np.abs((draws.mean(axis=0) - mean) / spread).max() < 0.1
    error = (np.cov(draws.T) - covariance) / np.outer(spread, spread)
    assert np.abs(error).max() < 0.1


def logistic(rows=150):
    rng = np.random.default_rng(1)
    x = np.column_stack([np.ones(rows), rng.normal(size=(rows, 2))])
    y = rng.random(rows) < 1 / (1 + np.exp(-x @ [0.3, 1.0, -1.5]))
    return x, y.astype("float64")


def logistic_density():
    x, y = logistic()

    def fn(w):
        log_lik = -tf.nn.sigmoid_cross_entropy_with_logits(y, tf.linalg.matvec(x, w))
        return tf.reduce_sum(log_lik) - 0.5 * tf.reduce_sum(w**2) / 4.0

    return tfbdl.LogDensity(fn, {"w": (3,)}, dtype="float64")


def grid_moments():
    """Mean, standard deviation and log evidence of the logistic regression, on a grid."""
    x, y = logistic()
    axes = [np.linspace(*ends, 60) for ends in ((-1.2, 1.8), (-0.5, 2.8), (-3.6, 0.2))]
    w = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    log_p = -0.125 * (w**2).sum(axis=1)
    for row, label in zip(x, y, strict=True):
        a = w @ row
        log_p += label * a - np.logaddexp(0.0, a)
    p = np.exp(log_p - log_p.max())
    cell = np.prod([axis[1] - axis[0] for axis in axes])
    log_evidence = np.log(p.sum() * cell) + log_p.max()
    p /= p.sum()
    mean = p @ w
    return mean, np.sqrt(p @ (w - mean) ** 2), log_evidence


def test_logistic_regression_is_that_of_a_grid():
    made = fit(logistic_density(), draws=8_000)
    mean, stddev, log_evidence = grid_moments()
    draws = made.posterior.draws["w"][0]
    assert (np.abs(draws.mean(axis=0) - mean) < 0.08 * stddev).all()  # 5 errors of 8,000 draws
    np.testing.assert_allclose(draws.std(axis=0), stddev, rtol=0.06)
    assert made.metrics["log_evidence"] == pytest.approx(log_evidence, abs=0.02)
    assert made.metrics["pareto_k"] < 0.7
    assert made.metrics["elbo"] < log_evidence + 0.5  # the best of noisy estimates


def eight_schools():
    y = np.array([28, 8, -3, 7, -1, 1, 18, 12.0])
    sigma = np.array([15, 10, 16, 11, 9, 11, 10, 18.0])

    def fn(mu, tau, effect):
        log_p = tfd.Normal(np.float64(0), 5.0).log_prob(mu)
        log_p += tfd.HalfCauchy(np.float64(0), 5.0).log_prob(tau)
        log_p += tf.reduce_sum(tfd.Normal(np.float64(0), 1.0).log_prob(effect))
        return log_p + tf.reduce_sum(tfd.Normal(mu + tau * effect, sigma).log_prob(y))

    shapes = {"mu": (), "tau": (), "effect": (8,)}
    return tfbdl.LogDensity(fn, shapes, {"tau": tfb.Softplus()}, dtype="float64")


def schools_by_quadrature():
    """Mean and deviation of mu, mean of tau: effects integrate out, tau is on a grid of its log."""
    y = np.array([28, 8, -3, 7, -1, 1, 18, 12.0])
    sigma = np.array([15, 10, 16, 11, 9, 11, 10, 18.0])
    log_tau = np.linspace(-8, 6, 4_000)
    tau = np.exp(log_tau)[:, np.newaxis]
    precision = 1 / (sigma**2 + tau**2)
    total = precision.sum(axis=1) + 1 / 25
    centre = (precision * y).sum(axis=1) / total
    log_p = 0.5 * (np.log(precision).sum(axis=1) - np.log(total))
    log_p += 0.5 * (centre**2 * total - (precision * y**2).sum(axis=1))
    log_p += stats.halfcauchy(scale=5).logpdf(tau[:, 0]) + log_tau
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    mean = p @ centre
    return mean, np.sqrt(p @ (1 / total + (centre - mean) ** 2)), p @ tau[:, 0]


def test_eight_schools_are_near_their_quadrature():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.TfbdlWarning)
        made = fit(eight_schools(), draws=4_000, start="uniform", paths=8)
    mean, stddev, tau = schools_by_quadrature()
    draws = {name: value[0] for name, value in made.posterior.draws.items()}
    assert draws["mu"].mean() == pytest.approx(mean, abs=0.1 * stddev)
    assert draws["mu"].std() == pytest.approx(stddev, rel=0.1)
    assert draws["tau"].mean() == pytest.approx(tau, rel=0.15)
    assert made.metrics["pareto_k"] < 0.8


@pytest.mark.slow
def test_a_network_is_approximated_from_its_own_start():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2)).astype("float32")
    y = (x @ [1.0, -2.0] + 0.3 * rng.normal(size=40)).astype("float32")
    import keras

    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="d")])
    model = tfbdl.BayesianNetwork(net, "gaussian", likelihood_options={"scale": 0.3})
    made = fit(without_xla(model), (x, y), draws=2_000, dtype="float64")
    design = np.column_stack([x, np.ones(40)])
    covariance = linalg.inv(design.T @ design / 0.09 + np.eye(3))
    mean = covariance @ design.T @ y / 0.09
    draws = made.posterior.draws["d.kernel"][0, :, :, 0]
    spread = np.sqrt(np.diagonal(covariance)[:2])
    assert np.abs((draws.mean(axis=0) - mean[:2]) / spread).max() < 0.15
    marginal = stats.multivariate_normal(np.zeros(40), 0.09 * np.eye(40) + design @ design.T)
    assert made.metrics["log_evidence"] == pytest.approx(marginal.logpdf(y), abs=0.05)
    assert made.predict(x, draws=20).mean.shape == (40, 1)


# -- paths that do not serve -----------------------------------------------------------------


def test_two_modes_are_weighed_by_several_paths():
    def fn(x):  # weights 1 : 3 of normals at -6 and 6
        return tf.reduce_logsumexp(
            tf.math.log(tf.constant([0.25, 0.75], tf.float64))
            + tfd.Normal(tf.constant([-6.0, 6.0], tf.float64), 1.0).log_prob(x)
        )

    density = tfbdl.LogDensity(fn, {"x": ()}, dtype="float64")
    made = fit(density, paths=20, start="uniform", draws=2_000, seed=3)
    share = (made.posterior.draws["x"] < 0).mean()
    assert 0.02 < share < 0.6  # paths of both; normals of one mode do not know of the other


def test_weights_that_cannot_be_trusted_warn():
    log_weights = 3.0 * np.random.default_rng(0).normal(size=500)  # too few moments
    path = pathfinder.Path(None, 0.0, np.zeros((500, 1)), log_weights, [0.0])
    assert pathfinder.resampled([path], 10, np.random.default_rng(0)).pareto_k > 0.7


def test_a_density_that_is_not_finite_or_proper_is_refused():
    log = tfbdl.LogDensity(
        lambda a: tf.math.log(a), {"a": ()}, dtype="float64", initial={"a": -1.0}
    )
    with pytest.raises(errors.ModelError, match="not finite where the path would begin"):
        fit(log)
    flat = tfbdl.LogDensity(lambda a: 0.0 * a, {"a": ()}, dtype="float64")
    with pytest.raises(errors.ModelError, match="No normal along the optimiser's path"):
        fit(flat)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_draws():
    target = gaussian(np.zeros(2), np.array([[1.0, 0.5], [0.5, 2.0]]))
    one, same, other = (fit(target, seed=seed, draws=50).posterior.draws["x"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
