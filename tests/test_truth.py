"""Bayesian linear regression by stochastic gradients reaches its closed form (Bishop 3.3, 3.5)."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import sklearn.datasets
import tensorflow as tf

from tfbdl import BayesianNetwork

ALPHA, BETA = 1.0, 2.0  # precision of the weights, precision of the noise
COPIES = 64


@pytest.fixture(scope="module")
def float64():
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


@pytest.fixture(scope="module")
def truth():
    """X, y and, in NumPy's float64, the exact posterior, the evidence and the mean-field gap."""
    X, y = sklearn.datasets.load_diabetes(return_X_y=True)
    X, y = (X - X.mean(0)) / X.std(0), (y - y.mean()) / y.std()
    n, d = X.shape
    A = ALPHA * np.eye(d) + BETA * X.T @ X  # Bishop eq. 3.81
    mean = BETA * np.linalg.solve(A, X.T @ y)  # eq. 3.84
    energy = BETA / 2 * np.sum((y - X @ mean) ** 2) + ALPHA / 2 * mean @ mean  # eq. 3.82
    log_det = np.linalg.slogdet(A)[1]
    log_evidence = (
        d / 2 * np.log(ALPHA) + n / 2 * np.log(BETA / (2 * np.pi)) - energy - log_det / 2
    )  # eq. 3.86
    gap = 0.5 * (np.log(np.diag(A)).sum() - log_det)  # KL of the best product of normals
    return {"X": X, "y": y, "A": A, "mean": mean, "log_evidence": log_evidence, "gap": gap}


def exact_elbo(truth, mean, covariance):
    """The ELBO of the normal q, in closed form."""
    X, y, (n, d) = truth["X"], truth["y"], truth["X"].shape
    misfit = np.sum((y - X @ mean) ** 2) + np.trace(X @ covariance @ X.T)
    kl = 0.5 * (
        ALPHA * (np.trace(covariance) + mean @ mean)
        - d * (1 + np.log(ALPHA))
        - np.linalg.slogdet(covariance)[1]
    )
    return n / 2 * np.log(BETA / (2 * np.pi)) - BETA / 2 * misfit - kl


def regression(truth, posterior, copies, steps, rate):
    """A net of one layer without bias that learns ``copies`` equal regressions side by side."""
    net = keras.Sequential([keras.Input((10,)), keras.layers.Dense(copies, use_bias=False)])
    model = BayesianNetwork(
        net,
        "gaussian",
        likelihood_options={"scale": BETA**-0.5},
        prior_options={"scale": ALPHA**-0.5},
        posterior=posterior,
        posterior_options={"initial_raw_scale": -3.0},
        num_data=len(truth["y"]),
    )
    model.rng_seed.assign(1)
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps)
    model.compile(keras.optimizers.Adam(schedule), steps_per_execution=500)
    whole = tf.data.Dataset.from_tensors((truth["X"], np.tile(truth["y"][:, None], copies)))
    model.fit(whole.repeat(), steps_per_epoch=steps, verbose=0)
    return model


@pytest.mark.slow
def test_mean_field_reaches_the_closed_form_optimum(float64, truth):
    model = regression(truth, "mean_field", COPIES, 4000, 0.05)
    assert {variable.dtype for variable in model.trainable_variables} == {"float64"}
    # A step's gradient has noise about as large as its curvature, which leaves 5 % on the scale
    # of one weight after 4000 steps; the mean over 64 independent copies has an eighth of it.
    mean = model.posterior.mean()["dense.kernel"]
    stddev = model.posterior.stddev()["dense.kernel"]
    sigma = np.diag(truth["A"]) ** -0.5
    assert mean.dtype == stddev.dtype == np.float64
    np.testing.assert_allclose(stddev.mean(1), sigma, rtol=1.5e-2)
    exact_sd = np.sqrt(np.diag(np.linalg.inv(truth["A"])))
    np.testing.assert_allclose(mean.mean(1), truth["mean"], atol=0.03 * exact_sd.max())
    # ELBO = log evidence - gap. It is flat about the optimum: 5 % on each of ten scales cost
    # 10 * 0.05^2 = 0.03 nats.
    optimum = truth["log_evidence"] - truth["gap"]
    reached = [exact_elbo(truth, mean[:, i], np.diag(stddev[:, i] ** 2)) for i in range(COPIES)]
    assert optimum - 0.05 < np.mean(reached) <= optimum
    # The model's own estimate, per copy: a standard error of sqrt(10 / 2 / 64 / 200) = 0.02 nats.
    estimate = model.elbo(truth["X"], np.tile(truth["y"][:, None], COPIES), draws=200) / COPIES
    assert estimate == pytest.approx(np.mean(reached), abs=0.08)


@pytest.mark.slow
def test_full_rank_reaches_the_exact_posterior_and_the_evidence(float64, truth):
    model = regression(truth, "full_rank", 1, 10_000, 0.02)
    assert {variable.dtype for variable in model.trainable_variables} == {"float64"}
    mean = model.posterior.mean()["dense.kernel"][:, 0]
    covariance = model.posterior.covariance()["dense.kernel"]
    # In coordinates in which the exact posterior is a standard normal.
    whitener = np.linalg.cholesky(truth["A"]).T
    np.testing.assert_allclose(whitener @ (mean - truth["mean"]), np.zeros(10), atol=0.15)
    np.testing.assert_allclose(whitener @ covariance @ whitener.T, np.eye(10), atol=0.15)
    # 0.05 nats are a hundredth of the mean-field gap of 3.8; q cannot beat the evidence.
    reached = exact_elbo(truth, mean, covariance)
    assert truth["log_evidence"] - 0.05 < reached < truth["log_evidence"]
    assert truth["gap"] > 3.0
    # The model's estimate has a standard error of sqrt(10 / 2 / 500) = 0.1 nats.
    assert model.elbo(truth["X"], truth["y"], draws=500) == pytest.approx(reached, abs=0.4)
