"""LSTMKalman against the Kalman filter; its streams, gaps and covariances."""

from __future__ import annotations

import numpy as np
import psutil
import pytest
import tensorflow as tf
from linear_gaussian_cases import condition
from lstm_cases import N, T, eager, linear, sequences, small, untrained
from tfbdl_kalman_lstm import KalmanFilter, LSTMKalman
from tfbdl_kalman_lstm.evaluation import nis

from tfbdl.errors import DataError, OptionsError

__all__ = ["eager"]


@pytest.mark.parametrize(
    ("dtype", "tolerance", "residual"),
    [
        ("float64", 1e-9, False),
        ("float32", 1e-5, True),
        pytest.param("float64", 1e-9, True, marks=pytest.mark.slow),
        pytest.param("float32", 1e-5, False, marks=pytest.mark.slow),
    ],
)
def test_linear_motion_and_constant_noise_are_the_kalman_filter(dtype, tolerance, residual, eager):
    model, case = linear(dtype, residual)
    y = sequences()
    found, expected = model.filter(y), KalmanFilter(**case).filter(y)
    for name in ("means", "covariances", "predicted_means", "predicted_covariances", "gains"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=tolerance)
    np.testing.assert_allclose(found.increments, expected.increments, atol=10 * tolerance)
    H = case["H"]
    innovations = y - found.observation_means
    np.testing.assert_allclose(innovations, y - expected.predicted_means @ H.T, atol=10 * tolerance)
    S = H @ expected.predicted_covariances @ H.T + case["R"]
    np.testing.assert_allclose(found.observation_covariances, S, atol=10 * tolerance)
    squares = nis(found.observation_means, found.observation_covariances, y).values
    by_hand = innovations[1, 0] @ np.linalg.solve(S[1, 0], innovations[1, 0])
    np.testing.assert_allclose(squares[1, 0], by_hand, rtol=1e-4)
    exact = condition(case, y[1])
    np.testing.assert_allclose(found.means[1, -1], exact[0][-1], atol=tolerance)
    np.testing.assert_allclose(found.covariances[1, -1], exact[1][-2:, -2:], atol=tolerance)
    np.testing.assert_allclose(found.log_likelihood[1], exact[2], atol=20 * tolerance)


def test_forecast_of_a_linear_motion_is_the_kalman_filters(eager):
    model, case = linear("float64")
    parts = [sequences()[0], sequences()[1][:3]]  # each goes on from its own end
    found, expected = model.forecast(parts, 3), KalmanFilter(**case).forecast(parts, 3)
    for name in ("means", "covariances", "observation_means", "observation_covariances"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-9)


@pytest.mark.parametrize("bayesian", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_stream_of_steps_is_the_filter(bayesian):
    model = small(bayesian=True, draws=3) if bayesian else untrained()
    y = sequences()
    whole, state = model.filter(y), model.initial_state(N)
    step = model.step if bayesian else tf.function(model.step)
    for t in range(T):
        state, mean, covariance = step(state, tf.constant(y[:, t]))
        np.testing.assert_allclose(mean, whole.means[:, t], atol=1e-10)
        np.testing.assert_allclose(covariance, whole.covariances[:, t], atol=1e-10)


def test_missing_observation_skips_the_update():
    model, y = untrained(), sequences()
    found = model.filter(y)
    np.testing.assert_array_equal(found.means[0, 2], found.predicted_means[0, 2])
    np.testing.assert_allclose(
        found.covariances[0, 2], found.predicted_covariances[0, 2], atol=1e-15
    )
    np.testing.assert_array_equal(found.gains[0, 2], 0.0)
    assert found.increments[0, 2] == 0.0
    np.testing.assert_array_equal(found.gains[1, 4][:, 0], 0.0)
    assert np.abs(found.gains[1, 4][:, 1]).min() > 0
    state = model.initial_state(1)
    before = state.measurement
    after = model.step(state, np.full((1, 2), np.nan))[0]
    for old, new in zip(before, after.measurement, strict=True):
        np.testing.assert_array_equal(old, new)  # lstm_R has seen nothing


def test_filter_does_not_look_ahead():
    model, y = untrained(), sequences()
    later = y.copy()
    later[:, 4:] += 5.0
    np.testing.assert_array_equal(model.filter(later).means[:, :4], model.filter(y).means[:, :4])
    assert np.abs(model.filter(later).means[:, 4] - model.filter(y).means[:, 4]).max() > 0.1


def test_sequences_of_unequal_length_and_one_alone_are_answered_in_kind(eager):
    model, y = untrained(), sequences(gaps=False)
    together = model.log_prob([y[0], y[1][:3], y[2]])
    alone = [model.log_prob(part) for part in (y[0], y[1][:3], y[2])]
    assert isinstance(alone[0], float)
    np.testing.assert_allclose(together, alone, rtol=1e-9)
    assert model.filter(y[0]).means.shape == (T, 2)
    for ask in (model.filter, lambda parts: small().fit(parts)):
        with pytest.raises(DataError, match=r"must be one sequence each.*shape \[2, 6, 2\]"):
            ask([y[:2], y])


def test_partial_observation_needs_its_matrix_only_where_more_is_seen_than_there_is(eager):
    model = LSTMKalman(3, 1, units=(4,), noise_units=(3,), seed=1)
    np.testing.assert_array_equal(model.H, [[1.0, 0.0, 0.0]])
    assert model.filter(np.zeros((2, T))[..., None]).covariances.shape == (2, T, 3, 3)
    with pytest.raises(OptionsError, match=r"Expected H \[3, 2\]"):
        LSTMKalman(2, 3)


def test_covariances_stay_positive_over_a_long_sequence():
    model = LSTMKalman(3, 3, units=(8,), noise_units=(4,), seed=2)
    y = np.cumsum(np.random.default_rng(4).normal(size=(400, 3)), axis=0)
    y[100:150] = np.nan
    assert np.linalg.eigvalsh(model.filter(y).covariances).min() > 0


@pytest.mark.slow
def test_a_long_stream_is_the_filter_in_memory_that_does_not_grow():
    model, process, used = untrained(), psutil.Process(), []
    y = np.cumsum(np.random.default_rng(9).normal(size=(10_000, 1, 2)), axis=0) / 10
    step, state = tf.function(model.step), model.initial_state(1)
    for t, value in enumerate(y):
        state, mean, covariance = step(state, tf.constant(value))
        if t in (999, 9_999):
            used.append(process.memory_info().rss)
    assert step.experimental_get_tracing_count() == 1
    assert used[1] - used[0] < 20 * 2**20  # 2 kB a step would show
    whole = model.filter(y[:, 0])
    np.testing.assert_allclose(mean[0], whole.means[-1], atol=1e-9)
    np.testing.assert_allclose(covariance[0], whole.covariances[-1], atol=1e-9)
