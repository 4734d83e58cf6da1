"""Inducing points: the exact process where they are the rows, bounds, memory of blocks."""

import numpy as np
import pytest
import tensorflow_probability as tfp
from tfbdl_nngp import GPRegressor, Kernel, SparseGPRegressor, sparse

from tfbdl import errors

RNG = np.random.default_rng(0)
X, NEW = RNG.normal(size=(60, 2)), RNG.normal(size=(9, 2))
Y = np.stack([np.sin(X[:, 0]), X[:, 1] ** 2], axis=1) + 0.1 * RNG.normal(size=(60, 2))
KERNEL = Kernel.mlp(1, "erf", 2.0, 0.2)


@pytest.fixture(scope="module")
def exact():
    return GPRegressor(KERNEL, 0.05).fit(X, Y)


def test_at_the_rows_it_is_the_exact_process(exact, monkeypatch):
    monkeypatch.setattr(sparse, "ROWS", 16)
    gp = SparseGPRegressor(KERNEL, 0.05, inducing=X).fit(X, Y)
    p, expected = gp.predict(NEW, full_cov=True), exact.predict(NEW, full_cov=True)
    np.testing.assert_allclose(p.mean, expected.mean, atol=1e-5)
    np.testing.assert_allclose(p.covariance, expected.covariance, atol=1e-5)
    np.testing.assert_allclose(gp.predict(NEW).variance, expected.variance, atol=1e-5)
    assert gp.elbo() == pytest.approx(exact.log_marginal_likelihood(), abs=1e-3)


def test_bound_is_that_of_titsias_and_rises_with_points(exact):
    bounds = []
    for count in (3, 8, 20):
        gp = SparseGPRegressor(KERNEL, 0.05, num_inducing=count).fit(X, Y)
        bounds.append(gp.elbo())
        cross = KERNEL.nngp(gp.inducing, X)
        Q = cross.T @ np.linalg.solve(KERNEL.nngp(gp.inducing), cross)
        A = Q + 0.05 * np.eye(60)
        log_density = -0.5 * (
            np.sum(Y * np.linalg.solve(A, Y))
            + 2 * (np.linalg.slogdet(A)[1] + 60 * np.log(2 * np.pi))
        )
        trace = np.trace(KERNEL.nngp(X) - Q) / 0.05  # one half for each of two outputs
        assert gp.elbo() == pytest.approx(log_density - trace, rel=1e-5)
    assert bounds[0] < bounds[1] < bounds[2] <= exact.log_marginal_likelihood() + 1e-6


def test_chosen_points_are_better_than_the_first_rows():
    chosen = SparseGPRegressor(KERNEL, 0.05, num_inducing=8).fit(X, Y)
    first = SparseGPRegressor(KERNEL, 0.05, inducing=X[:8]).fit(X, Y)
    assert chosen.elbo() > first.elbo()
    again = SparseGPRegressor(KERNEL, 0.05, num_inducing=8).fit(X, Y)
    np.testing.assert_array_equal(chosen.inducing, again.inducing)


def test_mistakes_are_named():
    with pytest.raises(errors.OptionsError, match=r"variance above 0. Received: 0\.0"):
        SparseGPRegressor(KERNEL, 0.0)
    with pytest.raises(errors.OptionsError, match="num_inducing"):
        SparseGPRegressor(KERNEL, num_inducing=0)
    with pytest.raises(errors.ModelError, match="has no rows yet"):
        SparseGPRegressor(KERNEL).predict(NEW)
    with pytest.raises(errors.DataError, match=r"like rows, \[2\]. Received: \[3\]"):
        SparseGPRegressor(KERNEL, inducing=np.zeros((4, 3))).fit(X, Y)


def test_a_second_fit_chooses_among_its_own_rows():
    x = np.linspace(-1.0, 1.0, 40)[:, np.newaxis]
    kernel = tfp.math.psd_kernels.ExponentiatedQuadratic(np.float64(1.0), np.float64(0.3))
    gp = SparseGPRegressor(kernel, 0.01, 10)
    gp.fit(x, np.sin(3.0 * x[:, 0])).fit(x + 50.0, np.sin(3.0 * x[:, 0]))
    np.testing.assert_allclose(gp.predict(x + 50.0).mean[:, 0], np.sin(3.0 * x[:, 0]), atol=0.1)
