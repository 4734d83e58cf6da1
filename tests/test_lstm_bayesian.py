"""LSTMKalman with random weights: draws side by side, their spread and their KL."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import tensorflow as tf
import tensorflow_probability as tfp
from linear_gaussian_cases import condition, random_model
from lstm_cases import N, T, eager, sequences, small, untrained
from tfbdl_kalman_lstm import KalmanFilter
from tfbdl_kalman_lstm.lstm_net import LSTMNet
from tfbdl_kalman_lstm.lstm_queries import mixed, mixture
from tfbdl_kalman_lstm.recurrence import LearnedStep

import tfbdl

__all__ = ["eager"]


def test_many_draws_of_weights_run_as_each_alone():
    nets = [LSTMNet(2, (4,), 2, seed=i, dtype="float64") for i in (1, 2)]
    together = [tf.stack(pair) for pair in zip(*(n.current_weights() for n in nets), strict=True)]
    x = tf.constant(np.random.default_rng(3).normal(size=(2, N, 2)))
    output, memory, jacobian = nets[0].step_with_jacobian(
        x, nets[0].initial_memory([2, N]), together
    )
    for i, net in enumerate(nets):
        alone = net.step_with_jacobian(x[i], net.initial_memory([N]), net.current_weights())
        np.testing.assert_allclose(output[i], alone[0], atol=1e-12)
        np.testing.assert_allclose(memory[1][i], alone[1][1], atol=1e-12)
        np.testing.assert_allclose(jacobian[i], alone[2], atol=1e-12)


def test_law_of_total_variance_is_that_of_a_mixture():
    rng = np.random.default_rng(5)
    means = rng.normal(size=(4, N, 2))
    mean, covariance = mixed(tf.constant(means), tf.constant(np.zeros((4, N, 2, 2))), 0)
    for i in range(N):
        np.testing.assert_allclose(mean[i], means[:, i].mean(axis=0))
        np.testing.assert_allclose(covariance[i], np.cov(means[:, i].T, bias=True), atol=1e-12)


def test_kl_of_random_weights_is_that_of_normals():
    model, tfd = small(bayesian=True, prior_scale=0.7), tfp.distributions
    locations, scales = model.surrogate.mean(), model.surrogate.stddev()
    priors = {name: tfd.Normal(tf.zeros_like(locations[name]), 0.7) for name in locations}
    posteriors = {name: tfd.Normal(locations[name], scales[name]) for name in locations}
    parts = [tfd.kl_divergence(posteriors[name], priors[name]) for name in locations]
    expected = sum(tf.reduce_sum(part) for part in parts)
    assert float(model.weights_kl()) == pytest.approx(float(expected), rel=1e-9)


def drifting(draws=500):
    """A state that stands still but for a drift whose weights are random, and the drift's spread.

    The gates do not depend on the state and forget at once, so the LSTM gives the same ``h`` at
    each step; the output is ``h W + b`` with Gaussian W and b.
    """
    case = {name: random_model(2)[name] for name in ("H", "Q", "R", "m0", "P0")}
    model = small(bayesian=True, draws=draws, units=(3,), **case)
    gates = np.array([0.4, -50.0, 0.7, 0.2])  # input, forget, cell, output
    shown = 1.0 / (1.0 + np.exp(-gates))
    h = shown[3] * np.tanh(shown[0] * np.tanh(gates[2]))
    values = {"bias_0": np.repeat(gates, 3), "output_kernel": [[0.5, -1.0]] * 3}
    scales = {"output_kernel": 0.3, "output_bias": 0.2}
    for name, variable in model.surrogate.locs.items():
        variable.assign(np.broadcast_to(values.get(name, 0.0), variable.shape))
        raw = np.log(np.expm1(scales.get(name, 1e-12)))
        model.surrogate.raw_scales[name].assign(np.full(variable.shape, raw))
    drift = 3 * h * np.array([0.5, -1.0])
    return model, case, h, drift, 3 * (0.3 * h) ** 2 + 0.2**2


def test_random_weights_of_a_linear_motion_add_their_exact_covariance(eager):
    model, case, h, drift, variance = drifting()
    y = sequences()[1]
    found = model.filter(y)
    *_, kernel, bias = (draw.numpy() for draw in model.filter_draws())
    drifts = h * kernel.sum(axis=1) + bias  # of each draw, [S, d]
    exact = KalmanFilter(**case, A=np.eye(2), B=drifts.mean(axis=0)).filter(y)
    D = np.zeros((2, 2))  # how far a mean moves with the drift
    for t in range(T):
        if t:
            D = D + np.eye(2)
        spread = np.cov(drifts.T, bias=True)
        before = exact.predicted_covariances[t] + D @ spread @ D.T
        np.testing.assert_allclose(found.predicted_covariances[t], before, atol=1e-9)
        D = D - exact.gains[t] @ case["H"] @ D
        after = exact.covariances[t] + D @ spread @ D.T
        np.testing.assert_allclose(found.covariances[t], after, atol=1e-9)
        np.testing.assert_allclose(found.means[t], exact.means[t], atol=1e-9)
    # the likelihood is that of a model whose weights are drawn once for a whole sequence
    each = [condition({**case, "A": np.eye(2)}, y, np.tile(one, (T, 1)))[2] for one in drifts]
    expected = scipy.special.logsumexp(each) - np.log(len(drifts))
    assert found.log_likelihood == pytest.approx(expected, abs=1e-8)
    # the draws themselves have the mean and variance of the weights: five standard errors
    error = 5 * np.sqrt(variance / len(drifts))
    np.testing.assert_allclose(drifts.mean(axis=0), drift, atol=error)
    np.testing.assert_allclose(drifts.var(axis=0), variance, rtol=5 * np.sqrt(2 / len(drifts)))


def test_weights_without_variance_are_the_plain_filter(eager):
    model, plain = small(bayesian=True, draws=3), untrained()
    for old, new in zip(plain.lstm_A.weights, model.lstm_A.weights, strict=True):
        new.assign(old)
    for raw in model.surrogate.raw_scales.values():
        raw.assign(tf.fill(raw.shape, tf.constant(-60.0, raw.dtype)))
    y = sequences()
    found, expected = model.filter(y), plain.filter(y)
    for name in ("means", "covariances", "predicted_covariances", "gains", "increments"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-10)


def test_posterior_is_that_of_the_motions_weights():
    model = small(bayesian=True, prior_scale=0.7)
    posterior, names = model.posterior, [v.name for v in model.lstm_A.trainable_variables]
    assert list(posterior.mean()) == list(posterior.stddev()) == names
    draws = posterior.sample(4_000, seed=1)
    for name, variable in zip(names, model.lstm_A.trainable_variables, strict=True):
        np.testing.assert_array_equal(posterior.mean()[name], variable)
        scale = posterior.stddev()[name]
        away = (draws[name] - variable.numpy()) / scale
        assert np.abs(away.mean(axis=0)).max() < 5 / np.sqrt(4_000)
        assert np.abs(away.var(axis=0) - 1).max() < 6 * np.sqrt(2 / 4_000)
        np.testing.assert_allclose(model.prior_of(name, {}).stddev(), 0.7 * np.ones(scale.shape))
    assert small().posterior is None


def test_increments_of_a_long_stream_keep_the_digits_of_single_precision():
    # 2,000 steps of 25 nats each: single precision has a spacing of 0.004 at their sum
    rng, draws = np.random.default_rng(6), 3
    each = (-25.0 + rng.normal(size=(2_000, draws, 1))).astype("float32")
    vectors, matrices = tf.zeros((2_000, draws, 1, 1)), tf.zeros((2_000, draws, 1, 1, 1))
    found = mixture(
        LearnedStep(
            means=vectors,
            covariances=matrices,
            predicted_means=vectors,
            predicted_covariances=matrices,
            increments=tf.constant(each),
            gains=matrices,
            noise=matrices,
        )
    ).increments
    so_far = scipy.special.logsumexp(np.cumsum(each[..., 0], axis=0, dtype="float64"), axis=1)
    expected = np.diff(so_far - np.log(draws), prepend=0.0)
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-6)


@pytest.mark.slow
def test_fit_gives_the_posterior_and_files_keep_it(tmp_path):
    y = np.cumsum(sequences(3, gaps=False), axis=1).astype("float32")
    options = {"units": (4,), "noise_units": (3,), "bayesian": True}
    fit = tfbdl.fit("lstm_kalman", y, model_options=options, engine_options={"epochs": 3},
                    out=tmp_path / "run")  # fmt: skip
    assert fit.posterior.draws["kernel_0"].shape == (1, fit.posterior.num_draws, 2, 16)
    assert set(fit.posterior.summary().columns) >= {"mean", "sd"}
    assert fit.history["kl"][-1] > 0
    loaded = tfbdl.load(tmp_path / "run")
    for name, mean in fit.posterior.mean().items():
        np.testing.assert_array_equal(loaded.posterior.mean()[name], mean)
        np.testing.assert_array_equal(loaded.posterior.stddev()[name], fit.posterior.stddev()[name])
    np.testing.assert_array_equal(
        loaded.model.filter(y).covariances, fit.model.filter(y).covariances
    )
