"""The model ``kalman`` under engines of a log joint: priors, likelihood, posteriors, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from kalman_cases import EVERYTHING, OFFSET, TRUTH, T, model_for, two_sequences
from linear_gaussian_cases import condition
from tfbdl_kalman_lstm import KalmanFilter, prior
from tfbdl_kalman_lstm.config import KalmanOptions
from tfbdl_kalman_lstm.model import KalmanModel
from tfbdl_kalman_lstm.series import NILE

import tfbdl
from tfbdl.config import make
from tfbdl.data import as_dataset
from tfbdl.errors import DataError, OptionsError
from tfbdl.inference.mcmc.target import full_batch


def test_prior_of_a_covariance_is_that_of_its_deviations_and_correlation():
    scale = np.array([0.7, 2.0])
    s, c = np.array([0.5, 1.5]), 0.4
    value = np.array([[s[0] ** 2, c * s[0] * s[1]], [c * s[0] * s[1], s[1] ** 2]])
    jacobian = 4.0 * s[0] ** 2 * s[1] ** 2  # of (s1, s2, c) to the three elements
    density = scipy.stats.halfnorm.pdf(s, scale=scale).prod() * 0.5 / jacobian
    found = prior.covariance(tf.constant(value), tf.constant(scale))
    np.testing.assert_allclose(found, np.log(density), rtol=1e-10)
    alone = prior.variances(tf.constant(s**2), tf.constant(scale))
    density = scipy.stats.halfnorm.pdf(s, scale=scale).prod() / (4.0 * s.prod())
    np.testing.assert_allclose(alone, np.log(density), rtol=1e-10)


def test_log_joint_is_prior_and_exact_likelihood_of_all_chains():
    y = two_sequences()
    options = {"learned": ("A", "R"), "R_structure": "diagonal", "A_scale": 0.5, "R_scale": 2.0}
    model, _ = model_for(y, **EVERYTHING, **options)
    assert [site.name for site in model.sites] == ["A", "R_variances"]
    variances = np.array([[0.8, 1.3], [0.5, 2.0]])
    A = np.stack([TRUTH["A"], 0.5 * TRUTH["A"]])
    sd = 2.0 * np.nanstd(y, axis=(0, 1))
    expected = []
    for one, v in zip(A, variances, strict=True):
        params = {**EVERYTHING, "A": one, "R": np.diag(v)}
        total = sum(condition(params, part, np.tile(OFFSET, (T, 1)))[2] for part in y)
        total += scipy.stats.norm.logpdf(one, np.eye(2), 0.5).sum()
        total += (scipy.stats.halfnorm.logpdf(np.sqrt(v), scale=sd) - np.log(2 * np.sqrt(v))).sum()
        expected.append(total)
    params = {"A": tf.constant(A), "R_variances": tf.constant(variances)}
    np.testing.assert_allclose(model.log_joints(params, y), expected, rtol=1e-10)
    first = {name: value[0] for name, value in params.items()}
    assert float(model.log_joint(first, y)) == pytest.approx(expected[0], rel=1e-10)


def test_minibatches_share_the_priors_of_all_the_data():
    y = two_sequences(gaps=False)
    y[1] = 5.0 * y[1] - 20.0  # halves of other mean and spread
    data = as_dataset(y, dtype="float64")
    options = {"form": "free", "learned": ("A", "R", "m0"), "R_structure": "diagonal"}
    given = {name: EVERYTHING[name] for name in ("B", "H", "Q")}
    model = KalmanModel(make(KalmanOptions, {**options, **given}), data.info)
    full_batch(model, data)
    params = model.init(0)
    halves = [float(model.log_joint(params, y[i : i + 1])) for i in range(2)]
    # each half stands for the whole, so that their mean is the whole
    assert np.mean(halves) == pytest.approx(float(model.log_joint(params, y)), rel=1e-12)


def test_engines_that_draw_batches_take_one_sequence_whole_and_in_order():
    y = np.array(NILE[:20]) / 100.0
    data = as_dataset(y, dtype="float64")
    model = KalmanModel(make(KalmanOptions, {}), data.info)
    full_batch(model, data)
    params = model.init(0)
    mixed = tf.function(lambda batch: model.log_joint(params, batch), autograph=False)
    exact = float(model.log_joint(params, y))
    assert float(mixed(tf.constant(y[::-1].copy()))) == pytest.approx(exact, rel=1e-12)
    assert abs(float(model.log_joint(params, np.roll(y, 10))) - exact) > 1e-3  # order does matter
    torn = {"steps": 1, "validation_split": 0.2}
    with pytest.raises(DataError, match="Received: 4 steps set apart"):
        tfbdl.fit("kalman", y, engine="variational", engine_options=torn)


def by_grid(y):
    """Points of the square root of a variance, and the exact marginals of those of Q and R."""
    scale = y.std()
    roots = np.linspace(1e-3, 4.0 * scale, 120)
    log_density = np.empty((len(roots), len(roots)))
    for i, q in enumerate(roots):  # all values of r at once, by the scalar recursion
        mean, variance, total = np.full(len(roots), y.mean()), 1e4 * scale**2, 0.0
        variance = np.full(len(roots), variance)
        for value in y:
            s = variance + roots**2
            total = total - 0.5 * (np.log(2 * np.pi * s) + (value - mean) ** 2 / s)
            mean, variance = mean + variance / s * (value - mean), variance * roots**2 / s + q**2
        prior_r = scipy.stats.halfnorm.logpdf(roots, scale=scale)
        log_density[i] = total + prior_r + scipy.stats.halfnorm.logpdf(q, scale=scale)
    weights = np.exp(log_density - log_density.max())
    weights /= weights.sum()
    return roots, {"Q": weights.sum(axis=1), "R": weights.sum(axis=0)}


@pytest.mark.slow
def test_nuts_agrees_with_a_grid_over_both_variances():
    y = np.array(NILE[:30]) / 100.0
    options = {"chains": 4, "warmup": 300, "draws": 1000}
    fit = tfbdl.fit("kalman", y, engine="nuts", engine_options=options, seed=1)
    roots, marginals = by_grid(y)
    for name, marginal in marginals.items():
        mean = marginal @ roots
        spread = np.sqrt(marginal @ (roots - mean) ** 2)
        drawn = np.sqrt(fit.posterior.draws[name][..., 0, 0])
        error = tfbdl.diagnostics.mcse_mean(drawn[..., np.newaxis])[0]
        assert abs(drawn.mean() - mean) < 4.0 * error + 0.01 * spread
        assert drawn.std() == pytest.approx(spread, rel=0.15)
    best = np.unravel_index(np.argmax(fit.posterior.sample_stats["lp"]), (4, 1000))
    np.testing.assert_allclose(fit.model.Q_, fit.posterior.draws["Q"][best])


@pytest.mark.slow
def test_variational_posterior_is_near_a_grid_over_both_variances():
    level = {"A": 1.0, "H": 1.0, "Q": 1.0, "R": 1.0, "m0": 0.0, "P0": 1.0}
    y = KalmanFilter(**level).sample(80, seed=3)[1][0, :, 0]
    options = {"posterior": "full_rank", "steps": 600, "num_samples": 8, "learning_rate": 0.05,
               "schedule": "cosine"}  # fmt: skip
    fit = tfbdl.fit("kalman", y, engine="variational", engine_options=options, seed=1)
    roots, marginals = by_grid(y)
    drawn = fit.posterior.sample(4_000, seed=2)
    for name, marginal in marginals.items():
        mean = marginal @ roots
        spread = np.sqrt(marginal @ (roots - mean) ** 2)
        found = np.sqrt(drawn[name][:, 0, 0])
        # the exact one is no normal of the logarithms, the nearest of which is narrower
        assert abs(found.mean() - mean) < 0.25 * spread
        assert 0.7 * spread < found.std() < 1.15 * spread


@pytest.mark.parametrize(
    ("x", "options", "error", "match"),
    [
        (np.zeros((2, 2, 2, 2)), {}, DataError, r"must be \[T, m\] for one sequence"),
        (np.zeros((1, 1)), {}, DataError, "at least 2 steps. Received: 1"),
        ([[[1.0], [2.0]], [[np.nan], [np.nan]]], {}, DataError, "all of sequence 1 are missing"),
        (np.zeros(4), {"state_dim": 2}, OptionsError, "use form='free'"),
        (np.zeros(4), {"learned": ("q",)}, OptionsError, "Did you mean 'Q'"),
        (np.zeros(4), {"Q": [[1.0, 2.0]]}, OptionsError, r"Q must be \[1, 1\]"),
        (np.zeros(4), {"form": "free", "learned": ("A",)}, OptionsError, "H must be given or"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(x, options, error, match):
    with pytest.raises(error, match=match):
        tfbdl.fit("kalman", x, model_options=options)


def test_steps_held_out_of_one_sequence_are_refused():
    torn = as_dataset(NILE[:60], x_test=NILE[60:], dtype="float64")
    with pytest.raises(DataError, match="tear a sequence apart"):
        tfbdl.fit("kalman", torn)
    model, _ = model_for(NILE)
    with pytest.raises(DataError, match="belong together"):
        model.log_joint(model.init(0), NILE[:5])
