"""Laplace's approximation for two classes, against scikit-learn's and the mode's own equation."""

import numpy as np
import pytest
import tensorflow_probability as tfp
from scipy import integrate, special, stats
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from tfbdl_nngp import GPClassifier, Kernel

from tfbdl import errors

RNG = np.random.default_rng(0)
X, NEW = RNG.normal(size=(50, 2)), RNG.normal(size=(8, 2))
LABELS = (X[:, 0] + 0.5 * X[:, 1] ** 2 + 0.5 * RNG.normal(size=50) > 0.3).astype(int)
RBF_KERNEL = tfp.math.psd_kernels.ExponentiatedQuadratic(np.sqrt(np.float64(4.0)), np.float64(1.2))


@pytest.fixture(scope="module")
def gp():
    return GPClassifier(RBF_KERNEL).fit(X, LABELS)


def test_mode_and_evidence_are_scikit_learns(gp):
    kernel = ConstantKernel(4.0) * RBF(1.2)
    theirs = GaussianProcessClassifier(kernel, optimizer=None).fit(X, LABELS)
    evidence = theirs.log_marginal_likelihood(theirs.kernel_.theta)
    assert gp.log_marginal_likelihood() == pytest.approx(evidence, abs=1e-6)
    # their average of the sigmoid is an approximation of three digits (Williams & Barber 1998)
    probs = theirs.predict_proba(NEW)[:, 1]
    np.testing.assert_allclose(gp.predict(NEW).probs[:, 0], probs, atol=2e-3)


def test_the_mode_solves_its_equation(gp):
    mean, _ = gp.latent(X)
    K = np.asarray(RBF_KERNEL.matrix(X, X))
    np.testing.assert_allclose(mean, K @ (LABELS - special.expit(mean)), atol=1e-5)


def test_probabilities_are_averages_over_the_latent_normal(gp):
    mean, variance = gp.latent(NEW[:1])
    expected = integrate.quad(
        lambda z: stats.norm.pdf(z) * special.expit(mean[0] + np.sqrt(variance[0]) * z), -10, 10
    )[0]
    p = gp.predict(NEW)
    assert p.probs[0, 0] == pytest.approx(expected, abs=1e-9)
    assert (p.mutual_information > 0.0).all()


def test_networks_classify():
    p = GPClassifier(Kernel.mlp(2, "relu", 4.0, 0.5)).fit(X, LABELS > 0).predict(X)
    assert ((p.probs[:, 0] > 0.5) == LABELS).mean() > 0.8
    far = GPClassifier(RBF_KERNEL).fit(X, LABELS).predict(np.full((1, 2), 50.0))
    assert far.probs[0, 0] == pytest.approx(0.5, abs=1e-9)  # the prior again


def test_mistakes_are_named():
    with pytest.raises(errors.ModelError, match="has no rows yet"):
        GPClassifier(RBF_KERNEL).predict(NEW)
    with pytest.raises(errors.DataError, match=r"two classes, 0 and 1.*Received: \[0\.0, 2\.0\]"):
        GPClassifier(RBF_KERNEL).fit(X, 2 * LABELS)
    with pytest.raises(errors.DataError, match="Expected 50 labels"):
        GPClassifier(RBF_KERNEL).fit(X, LABELS[:-1])


def test_wide_functions_are_averaged_by_what_adaptive_quadrature_gives():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(12, 2))
    gp = GPClassifier(Kernel.mlp(2, "relu", 30.0, 0.1)).fit(x, (x[:, 0] > 0).astype(int))
    new = 100.0 * x[:3]
    mean, variance = gp.latent(new)
    assert np.sqrt(variance).min() > 100.0
    f = np.linspace(-40.0, 40.0, 200_001)  # where the logistic function is neither 0 nor 1
    for m, v, p in zip(mean, variance, gp.predict(new).probs[:, 0], strict=True):
        sd = np.sqrt(v)
        inside = np.trapezoid(special.expit(f) * stats.norm.pdf(f, m, sd), f)
        assert p == pytest.approx(inside + stats.norm.sf(40.0, m, sd), abs=1e-7)


def test_a_refused_refit_leaves_what_was_there():
    x = np.random.default_rng(4).normal(size=(12, 2))
    gp = GPClassifier(Kernel.mlp(1)).fit(x, (x[:, 0] > 0).astype(int))
    before = gp.predict(x).probs
    with pytest.raises(errors.DataError):
        gp.fit(x[::-1], np.full(12, 7))
    np.testing.assert_array_equal(gp.predict(x).probs, before)
