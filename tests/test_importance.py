"""Importance sampling: evidence in closed form, honest error bars, k-hat, weights that are kept."""

import warnings

import monte_carlo_cases as cases
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

import tfbdl
from tfbdl import errors, random
from tfbdl.inference import pareto
from tfbdl.inference.laplace import Gaussian
from tfbdl.inference.monte_carlo import Elliptical, importance_sampling
from tfbdl.inference.monte_carlo.importance import weighted
from tfbdl.weighted import WeightedPosterior

tfd = tfp.distributions
ZERO, ONE = tf.zeros((), tf.float64), tf.ones((), tf.float64)


def normal(z):
    """Unnormalised: the logarithm of its integral is ``log(sqrt(2 pi)) + 3``."""
    return 3.0 - 0.5 * z**2


LOG_INTEGRAL = 3.0 + 0.5 * np.log(2.0 * np.pi)


def test_expectations_and_evidence_are_within_their_errors():
    found = importance_sampling(normal, tfd.StudentT(5.0 * ONE, ZERO, ONE), 20_000, seed=3)
    assert abs(found.log_evidence - LOG_INTEGRAL) < 4 * found.log_evidence_mcse
    assert 0.0 < found.log_evidence_mcse < 0.01
    weights = np.exp(found.log_weights)
    assert weights.sum() == pytest.approx(1.0, rel=1e-12)
    assert found.effective_size == pytest.approx(1.0 / (weights**2).sum(), rel=1e-9)
    for fn, mean in ((lambda z: z, 0.0), (np.square, 1.0), (np.cos, np.exp(-0.5))):
        estimate = found.expectation(fn)
        error = np.sqrt((weights**2 * (fn(found.draws) - estimate) ** 2).sum())
        assert abs(estimate - mean) < 4 * error
    draws = found.resampled(5_000, seed=2)
    assert stats.kstest(draws, stats.norm.cdf).pvalue > 1e-3


def test_the_evidence_has_no_bias_and_the_error_that_it_says():
    rng, law = np.random.default_rng(0), stats.t(4.0, loc=0.5)
    draws = law.rvs(size=(300, 200), random_state=rng)
    runs = [weighted(z, normal(z) - law.logpdf(z)) for z in draws]
    ratio = np.exp([run.log_evidence - LOG_INTEGRAL for run in runs])
    assert abs(ratio.mean() - 1.0) < 4 * ratio.std() / np.sqrt(len(ratio))
    said = np.mean([run.log_evidence_mcse for run in runs])
    assert np.std([run.log_evidence for run in runs]) == pytest.approx(said, rel=0.2)


def test_k_hat_is_the_shape_of_the_weights():
    rng = np.random.default_rng(0)
    for k in (0.2, 0.5, 0.9):
        log_weights = -k * np.log(rng.uniform(size=50_000))  # a Pareto law; 670 are in its tail
        assert pareto.pareto_k(log_weights) == pytest.approx(k, abs=4 * (1 + k) / np.sqrt(670))
        smooth = np.exp(pareto.smoothed(log_weights))
        assert smooth.sum() == pytest.approx(1.0, rel=1e-9)
        order = np.argsort(log_weights)[:40_000]  # what is not in the tail keeps its proportions
        np.testing.assert_allclose(
            np.ptp(np.log(smooth[order]) - log_weights[order]), 0.0, atol=1e-9
        )
    assert pareto.pareto_k(np.zeros(100)) == -np.inf
    assert pareto.pareto_k(np.r_[0.0, 1.0, np.full(98, -np.inf)]) == np.inf
    assert np.exp(pareto.smoothed(np.r_[log_weights, -np.inf]))[-1] == 0.0
    for bad in (np.array([0.0, np.nan]), np.full(3, -np.inf), np.zeros((2, 2))):
        with pytest.raises(errors.DataError, match="Log weights must be numbers"):
            pareto.pareto_k(bad)


def test_student_t_proposal_is_that_of_scipy():
    covariance = np.array([[2.0, 0.6], [0.6, 0.5]])
    factor = np.linalg.cholesky(np.linalg.inv(covariance))
    mean = np.array([1.0, -2.0])
    z = np.random.default_rng(0).normal(size=(5, 2)) * 3.0
    for degrees, law in (
        (4.0, stats.multivariate_t(mean, covariance, df=4.0)),
        (None, stats.multivariate_normal(mean, covariance)),
    ):
        proposal = Elliptical(Gaussian(mean, factor), degrees)
        np.testing.assert_allclose(proposal.log_prob(tf.constant(z)), law.logpdf(z), rtol=1e-10)
        draws = proposal.sample(20_000, random.key(1)).numpy()
        quantiles = stats.t(4.0).cdf if degrees else stats.norm.cdf
        standard = (draws - mean) / np.sqrt(np.diag(covariance))
        assert min(stats.kstest(column, quantiles).pvalue for column in standard.T) > 1e-3


def test_zero_weights_and_bad_densities():
    half = importance_sampling(
        lambda z: tf.where(z > 0.0, normal(z), -np.inf), tfd.Normal(ZERO, 2.0 * ONE), 5_000, seed=1
    )
    expected = LOG_INTEGRAL - np.log(2.0)
    assert abs(half.log_evidence - expected) < 4 * half.log_evidence_mcse
    assert (half.resampled(500) > 0.0).all()
    with pytest.raises(errors.ModelError, match=r"below infinity at each draw.*nan"):
        weighted(np.zeros(3), np.array([0.0, np.nan, 1.0]))
    with pytest.raises(errors.ModelError, match="positive at one"):
        weighted(np.zeros(2), np.full(2, -np.inf))


def fit(model, data=None, **options):
    return tfbdl.fit(model, data, engine="importance", engine_options=options, seed=1)


@pytest.fixture(scope="module")
def regression(tmp_path_factory):
    folder = tmp_path_factory.mktemp("importance") / "run"
    return tfbdl.fit(cases.regression(), None, engine="importance", seed=1, out=folder)


def test_regression_has_its_closed_evidence_and_posterior(regression):
    metrics = regression.metrics
    assert abs(metrics["log_evidence"] - cases.EVIDENCE) < 4 * metrics["log_evidence_mcse"]
    assert metrics["log_evidence_mcse"] < 0.01
    assert metrics["pareto_k"] < 0.5
    posterior = regression.posterior
    error = np.sqrt(np.diag(cases.POSTERIOR_COVARIANCE) / metrics["effective_size"])
    assert (np.abs(posterior.mean()["w"] - cases.POSTERIOR_MEAN) < 4 * error).all()
    scale = np.sqrt(np.outer(*[np.diag(cases.POSTERIOR_COVARIANCE)] * 2))
    away = np.abs(posterior.covariance()["w"] - cases.POSTERIOR_COVARIANCE) / scale
    assert (away < 5 * np.sqrt(2.0 / metrics["effective_size"])).all()
    assert posterior.draws["w"].shape == (1, 4_000, 3)
    squares = posterior.expectation(lambda sites: sites["w"] ** 2)
    expected = np.diag(cases.POSTERIOR_COVARIANCE) + cases.POSTERIOR_MEAN**2
    np.testing.assert_allclose(squares, expected, rtol=0.05)


def test_weights_are_the_same_after_save_and_load(regression):
    loaded = tfbdl.load(regression.path).posterior
    assert isinstance(loaded, WeightedPosterior)
    np.testing.assert_array_equal(loaded.log_weights, regression.posterior.log_weights)
    np.testing.assert_array_equal(loaded.draws["w"], regression.posterior.draws["w"])
    np.testing.assert_array_equal(loaded.mean()["w"], regression.posterior.mean()["w"])
    np.testing.assert_array_equal(loaded.stddev()["w"], regression.posterior.stddev()["w"])
    assert loaded.effective_size == regression.posterior.effective_size


def test_a_prior_is_a_proposal():
    found = fit(cases.coin(), {"y": cases.SUCCESSES}, proposal="prior", samples=5_000)
    error = found.metrics["log_evidence_mcse"]
    assert abs(found.metrics["log_evidence"] - cases.BETA_BINOMIAL) < 4 * error
    mean = (cases.A + cases.SUCCESSES) / (cases.A + cases.B + cases.TRIALS)
    assert found.posterior.mean()["p"] == pytest.approx(mean, abs=0.01)
    with pytest.raises(errors.ModelError, match="no prior apart from its likelihood"):
        fit(cases.regression(), proposal="prior")


def test_a_network_has_its_closed_evidence():
    rows = cases.X.astype("float32"), cases.Y.astype("float32")
    found = fit(cases.network(), rows, samples=4_000)
    error = found.metrics["log_evidence_mcse"]
    assert abs(found.metrics["log_evidence"] - cases.EVIDENCE) < 4 * error + 1e-4
    kernel = found.posterior.mean()["dense.kernel"][:, 0]
    np.testing.assert_allclose(kernel, cases.POSTERIOR_MEAN, atol=0.02)
    assert found.predict(rows[0]).mean.shape == (cases.ROWS, 1)


def test_weights_that_cannot_be_relied_on_are_warned_of():
    # a Cauchy in two dimensions has tails too heavy for a normal
    target = tfbdl.LogDensity(
        lambda x: -1.5 * tf.math.log1p(tf.reduce_sum(x**2)), {"x": (2,)}, dtype="float64"
    )
    with pytest.warns(errors.TfbdlWarning, match="Pareto k-hat is"):
        assert fit(target, proposal="normal").metrics["pareto_k"] > 0.7
    with warnings.catch_warnings():
        warnings.simplefilter("error", errors.TfbdlWarning)
        assert fit(target, degrees=1.0).metrics["pareto_k"] < 0.7


def test_weighted_posteriors_refuse_what_does_not_fit():
    draws = {"x": np.zeros((1, 2))}
    with pytest.raises(errors.ModelError, match="one log weight each"):
        WeightedPosterior(draws, {"x": np.zeros(3)}, np.zeros(2))
    with pytest.raises(errors.ModelError, match="must be finite"):
        WeightedPosterior(draws, {"x": np.zeros(2)}, np.full(2, -np.inf))
