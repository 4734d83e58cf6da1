"""Gradient descent on infinitely wide nets: its limits, and trained ensembles of wide nets."""

import numpy as np
import pytest
from scipy import linalg, special
from tfbdl_nngp import GPRegressor, GradientFlow, Kernel

from tfbdl import errors

RNG = np.random.default_rng(0)
X, NEW = RNG.normal(size=(6, 3)), RNG.normal(size=(4, 3))
Y = np.sin(X @ [1.0, 0.5, -0.5])
KERNEL = Kernel.mlp(1, "erf", 1.5, 0.1)


@pytest.fixture(scope="module")
def flow():
    return GradientFlow(KERNEL).fit(X, Y)


def by_hand(time):
    T, K = KERNEL.ntk(X), KERNEL.nngp(X)
    B = KERNEL.ntk(NEW, X) @ np.linalg.inv(T) @ (np.eye(6) - linalg.expm(-T * time))
    cross = KERNEL.nngp(NEW, X)
    covariance = KERNEL.nngp(NEW) + B @ K @ B.T - B @ cross.T - cross @ B.T
    return B @ Y, covariance


@pytest.mark.parametrize("time", [0.0, 0.3, 50.0])
def test_law_at_any_time_is_that_of_the_matrix_exponential(flow, time):
    mean, covariance = by_hand(time)
    p = flow.predict(NEW, time, full_cov=True)
    np.testing.assert_allclose(p.mean[:, 0], mean, atol=1e-8)
    np.testing.assert_allclose(p.covariance, covariance, atol=1e-8)
    np.testing.assert_allclose(
        flow.predict(NEW, time).variance[:, 0], np.diag(covariance), atol=1e-8
    )


def test_before_training_it_is_the_prior_and_after_it_the_rows_are_met(flow):
    start, end = flow.predict(X, 0.0), flow.predict(X)
    np.testing.assert_allclose(start.mean, 0.0, atol=1e-12)
    np.testing.assert_allclose(start.variance[:, 0], KERNEL.diagonal(X), rtol=1e-10)
    np.testing.assert_allclose(end.mean[:, 0], Y, atol=1e-8)
    assert end.variance.max() < 1e-8
    late = flow.predict(NEW, 1e6)
    np.testing.assert_allclose(flow.predict(NEW).mean, late.mean, atol=1e-6)
    np.testing.assert_allclose(flow.predict(NEW).variance, late.variance, atol=1e-6)


def test_the_end_of_training_is_no_posterior_but_of_a_linear_model():
    linear = Kernel.mlp(0, weight_variance=1.5, bias_variance=0.1)  # its NTK is its NNGP
    flow = GradientFlow(linear).fit(X[:3], Y[:3])
    posterior = GPRegressor(linear, 0.0).fit(X[:3], Y[:3]).predict(NEW)
    np.testing.assert_allclose(flow.predict(NEW).mean, posterior.mean, atol=1e-8)
    np.testing.assert_allclose(flow.predict(NEW).variance, posterior.variance, atol=1e-8)
    other = GPRegressor(KERNEL, 0.0).fit(X, Y).predict(NEW)
    assert abs(GradientFlow(KERNEL).fit(X, Y).predict(NEW).mean - other.mean).max() > 1e-3


def trained(width, nets, steps, rate, seed):
    """An ensemble of erf nets of one hidden layer, all weights trained by gradient descent."""
    rng = np.random.default_rng(seed)
    w, b = rng.standard_normal((nets, 3, width)), rng.standard_normal((nets, 1, width))
    v, c = rng.standard_normal((nets, width, 1)), rng.standard_normal((nets, 1, 1))
    first, second, bias = np.sqrt(1.5 / 3.0), np.sqrt(1.5 / width), np.sqrt(0.1)

    def hidden(x):
        return first * x @ w + bias * b

    for _ in range(steps):
        z = hidden(X)
        a = special.erf(z)
        error = second * a @ v + bias * c - Y[:, np.newaxis]
        back = second * error @ v.transpose(0, 2, 1) * 2.0 / np.sqrt(np.pi) * np.exp(-(z**2))
        v -= rate * second * a.transpose(0, 2, 1) @ error
        c -= rate * bias * error.sum(axis=1, keepdims=True)
        w -= rate * first * X.T @ back
        b -= rate * bias * back.sum(axis=1, keepdims=True)
    return (second * special.erf(hidden(NEW)) @ v + bias * c)[:, :, 0]


@pytest.mark.slow
def test_an_ensemble_of_wide_nets_has_this_law(flow):
    nets, rate, steps = 80, 0.1, 300
    outputs = trained(512, nets, steps, rate, seed=1)
    p = flow.predict(NEW, rate * steps)
    error = np.sqrt(p.variance[:, 0] / nets)
    # four standard errors, and what 512 units are short of infinitely many: O(1 / width)
    np.testing.assert_array_less(abs(outputs.mean(axis=0) - p.mean[:, 0]), 4.0 * error + 0.02)
    np.testing.assert_allclose(
        outputs.var(axis=0), p.variance[:, 0], rtol=4.0 * np.sqrt(2.0 / nets) + 0.02
    )


def test_mistakes_are_named(flow):
    with pytest.raises(errors.ModelError, match="has no rows yet"):
        GradientFlow(KERNEL).predict(NEW)
    with pytest.raises(errors.OptionsError, match=r"time must be at least 0. Received: -1"):
        flow.predict(NEW, -1.0)
    with pytest.raises(errors.OptionsError, match="which has a tangent kernel"):
        GradientFlow(KERNEL.psd_kernel())
