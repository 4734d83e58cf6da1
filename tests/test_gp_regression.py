"""Exact regression: brute-force conditioning, scikit-learn, noiseless outputs, bad input."""

import numpy as np
import pytest
import tensorflow_probability as tfp
from scipy import stats
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from tfbdl_nngp import GPRegressor, Kernel
from tfbdl_nngp.cholesky import factorize, root_of

from tfbdl import errors

psd = tfp.math.psd_kernels
RNG = np.random.default_rng(0)
X, NEW = RNG.normal(size=(30, 3)), RNG.normal(size=(7, 3))
Y = np.sin(X @ [1.0, -0.5, 0.3]) + 0.1 * RNG.normal(size=30)
NETWORK = Kernel.mlp(2, "erf", 1.5, 0.1)


def rbf(variance=1.0, length_scale=1.0):
    return psd.ExponentiatedQuadratic(np.sqrt(np.float64(variance)), np.float64(length_scale))


def conditioned(K, y, noise):
    """Mean and covariance of the last rows given noisy values of the first."""
    n = len(y)
    A = np.linalg.inv(K[:n, :n] + noise * np.eye(n))
    return K[n:, :n] @ A @ y, K[n:, n:] - K[n:, :n] @ A @ K[:n, n:]


def test_predictive_is_brute_force_conditioning():
    K = NETWORK.nngp(np.concatenate([X, NEW]))
    mean, covariance = conditioned(K, Y, 0.05)
    gp = GPRegressor(NETWORK, noise=0.05).fit(X, Y)
    p = gp.predict(NEW)
    np.testing.assert_allclose(p.mean[:, 0], mean, atol=1e-8)
    np.testing.assert_allclose(p.epistemic[:, 0], np.diag(covariance), atol=1e-8)
    np.testing.assert_allclose(p.aleatoric, 0.05)
    np.testing.assert_allclose(p.variance[:, 0], np.diag(covariance) + 0.05, atol=1e-8)
    np.testing.assert_allclose(p.f.variance[:, 0], np.diag(covariance), atol=1e-8)
    np.testing.assert_allclose(gp.predict(NEW, full_cov=True).covariance, covariance, atol=1e-8)
    np.testing.assert_allclose(gp.mean(NEW)[:, 0], mean, atol=1e-8)
    sd = np.sqrt(np.diag(covariance) + 0.05)
    np.testing.assert_allclose(p.log_prob(np.ones(7)), stats.norm.logpdf(1.0, mean, sd), atol=1e-7)
    expected = stats.multivariate_normal.logpdf(Y, np.zeros(30), K[:30, :30] + 0.05 * np.eye(30))
    assert gp.log_marginal_likelihood() == pytest.approx(expected, abs=1e-8)


def test_rbf_is_scikit_learns():
    kernel = ConstantKernel(1.3) * RBF(0.8) + WhiteKernel(0.1)
    theirs = GaussianProcessRegressor(kernel, optimizer=None, alpha=0.0).fit(X, Y)
    mean, sd = theirs.predict(NEW, return_std=True)
    gp = GPRegressor(rbf(1.3, 0.8), noise=0.1).fit(X, Y)
    p = gp.predict(NEW)
    np.testing.assert_allclose(p.mean[:, 0], mean, atol=1e-8)
    np.testing.assert_allclose(np.sqrt(p.variance[:, 0]), sd, atol=1e-8)
    evidence = theirs.log_marginal_likelihood(theirs.kernel_.theta)
    assert gp.log_marginal_likelihood() == pytest.approx(evidence, abs=1e-8)


def test_without_noise_the_function_passes_through_the_targets():
    gp = GPRegressor(NETWORK, noise=0.0).fit(X, Y)
    p = gp.predict(X)
    assert gp.jitter == 0.0
    np.testing.assert_allclose(p.mean[:, 0], Y, atol=1e-8)
    assert p.variance.max() < 1e-8
    K = NETWORK.nngp(np.concatenate([X, NEW]))
    mean, covariance = conditioned(K, Y, 0.0)
    fresh = gp.predict(NEW)
    np.testing.assert_allclose(fresh.mean[:, 0], mean, atol=1e-6)
    np.testing.assert_allclose(fresh.epistemic[:, 0], np.diag(covariance), atol=1e-7)
    assert (fresh.aleatoric == 0.0).all()


def test_outputs_share_the_kernel_and_have_their_own_means():
    both = np.stack([Y, np.cos(X[:, 0])], axis=1)
    together = GPRegressor(NETWORK, 0.1).fit(X, both)
    alone = [GPRegressor(NETWORK, 0.1).fit(X, column) for column in both.T]
    p, parts = together.predict(NEW), [gp.predict(NEW) for gp in alone]
    np.testing.assert_allclose(p.mean, np.concatenate([q.mean for q in parts], axis=1), rtol=1e-9)
    np.testing.assert_allclose(p.variance[:, 1], parts[1].variance[:, 0], rtol=1e-9)
    evidence = sum(gp.log_marginal_likelihood() for gp in alone)
    assert together.log_marginal_likelihood() == pytest.approx(evidence, rel=1e-10)
    assert p.sample(3).shape == (3, 7, 2)


def test_functions_are_drawn_jointly():
    gp = GPRegressor(NETWORK, 0.05).fit(X, Y)
    p = gp.predict(NEW, full_cov=True)
    draws = gp.sample(NEW, n=20_000, seed=1)[:, :, 0]
    spread = np.diag(p.covariance)
    # five standard errors of 20,000 draws, of means and of covariances
    error = np.sqrt(spread / 20_000)
    np.testing.assert_array_less(abs(draws.mean(axis=0) - p.mean[:, 0]), 5.0 * error)
    bound = 5.0 * np.sqrt((np.outer(spread, spread) + p.covariance**2) / 20_000)
    np.testing.assert_array_less(abs(np.cov(draws.T) - p.covariance), bound)
    noisy = p.sample(20_000, seed=2)[:, :, 0]
    np.testing.assert_allclose(noisy.var(axis=0), spread + 0.05, rtol=5.0 * np.sqrt(2 / 20_000))
    np.testing.assert_array_equal(gp.sample(NEW, 2, seed=3), gp.sample(NEW, 2, seed=3))
    assert (gp.sample(NEW, 2, seed=3) != gp.sample(NEW, 2, seed=4)).all()


def test_rows_may_have_noises_of_their_own():
    noise = np.linspace(0.01, 0.5, 30)
    gp = GPRegressor(rbf(), noise).fit(X, Y)
    K = np.asarray(rbf().matrix(NEW, X)) @ np.linalg.inv(rbf().matrix(X, X) + np.diag(noise))
    np.testing.assert_allclose(gp.predict_f(NEW).mean[:, 0], K @ Y, atol=1e-9)
    with pytest.raises(errors.OptionsError, match="noise of new rows is not known"):
        gp.predict(NEW)


def test_jitter_grows_where_rounding_asks_for_it():
    twice = np.concatenate([X, X])
    gp = GPRegressor(NETWORK, 0.0).fit(twice, np.concatenate([Y, Y]))
    level = NETWORK.diagonal(X).mean()
    assert 1e-12 * level <= gp.jitter <= 1e-9 * level
    np.testing.assert_allclose(gp.predict(X).mean[:, 0], Y, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_matrix_that_is_not_positive_is_refused_with_its_smallest_eigenvalue(dtype):
    values = np.array([-0.5, 1.0, 2.0, 3.0])
    vectors = np.linalg.qr(RNG.normal(size=(4, 4)))[0]
    K = (vectors * values @ vectors.T).astype(dtype)
    hint = "in float64" if dtype == "float32" else "larger noise"
    with pytest.raises(
        errors.ModelError, match=rf"not positive definite.*eigenvalue is -0\.5.*{hint}"
    ):
        factorize(K.copy())
    assert factorize(K.copy(), noise=0.6).jitter == 0.0


@pytest.mark.slow
def test_deep_kernels_in_float32_need_jitter_that_float64_does_not():
    x = RNG.normal(size=(120, 20))
    jitters = {}
    for dtype in ("float32", "float64"):
        kernel = Kernel.mlp(50, "relu", 1.45, 0.28, dtype=dtype)
        jitters[dtype] = factorize(kernel.nngp(x)).jitter
    assert jitters["float64"] == 0.0 < jitters["float32"]


def test_factor_inverts_and_roots_reproduce_singular_covariances():
    K = NETWORK.nngp(X)
    factor = factorize(K.copy(), 0.1)
    A = K + 0.1 * np.eye(30)
    np.testing.assert_allclose(factor.inverse(), np.linalg.inv(A), atol=1e-9)
    np.testing.assert_allclose(factor.solve(Y), np.linalg.solve(A, Y), atol=1e-9)
    assert factor.log_det() == pytest.approx(np.linalg.slogdet(A)[1], rel=1e-10)
    flat = X @ X.T  # of rank 3
    root = root_of(flat)
    np.testing.assert_allclose(root @ root.T, flat, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X, Y[:-1], r"Expected targets \[30\] or \[30, outputs\].*shape \[29\]"),
        (
            X,
            np.where(np.arange(30) == 4, np.nan, Y),
            "Targets must be finite. Received: .*nan.* in row 4",
        ),
        (np.full_like(X, np.inf), Y, "Inputs must be finite"),
        (X[:, 0], Y, r"takes vectors \[n, d\]"),
    ],
)
def test_rows_that_are_none_are_refused(x, y, message):
    with pytest.raises(errors.DataError, match=message):
        GPRegressor(NETWORK).fit(x, y)


def test_other_mistakes_are_named():
    with pytest.raises(errors.ModelError, match="has no rows yet"):
        GPRegressor(NETWORK).predict(NEW)
    with pytest.raises(errors.OptionsError, match=r"noise is a variance.*Received: -1"):
        GPRegressor(NETWORK, noise=-1)
    with pytest.raises(errors.OptionsError, match="Received: a str"):
        GPRegressor("rbf")
    with pytest.raises(errors.DataError, match=r"rows of one shape. Received: \[3\] and \[2\]"):
        GPRegressor(NETWORK).fit(X, Y).predict(NEW[:, :2])
    with pytest.raises(errors.ModelError, match="not finite at its own inputs"):
        GPRegressor(Kernel.mlp(6, "exp")).fit(X, Y)


def test_covariances_of_zeros_are_refused_and_have_the_root_zero():
    for level in (0.0, 5e-324):
        with pytest.raises(errors.ModelError, match="not positive definite"):
            factorize(np.full((2, 2), level))
    np.testing.assert_array_equal(root_of(np.zeros((3, 3))), np.zeros((3, 3)))
