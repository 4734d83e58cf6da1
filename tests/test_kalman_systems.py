"""Systems by name, and the models ekf, ukf and particle that filter them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf
from tfbdl_kalman_lstm import KalmanFilter
from tfbdl_kalman_lstm.dynamics import (
    GRAVITY,
    SYSTEMS,
    lorenz,
    lorenz_step,
    pendulum,
    pendulum_step,
    track,
    track_step,
)

import tfbdl
from tfbdl.data import as_dataset
from tfbdl.errors import DataError, OptionsError
from tfbdl.testing import check_plugin

TRACK = {
    "A": [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]],
    "H": [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]],
    "Q": 0.05 * np.kron([[1 / 3, 1 / 2], [1 / 2, 1.0]], np.eye(2)),
    "R": 0.5 * np.eye(2),
    "m0": np.zeros(4),
    "P0": 100.0 * np.eye(4),
}
OPTIONS = {"q2": 0.05, "r2": 0.5}


def positions(steps=12, seed=0):
    rng = np.random.default_rng(seed)
    y = np.cumsum(rng.normal(0.5, 0.2, size=(steps, 2)), axis=0) + rng.normal(size=(steps, 2))
    y[3], y[7, 0] = np.nan, np.nan
    return y


def field(x):
    """The Lorenz system as a matrix that depends on the state."""
    return np.array([[-10.0, 10.0, 0.0], [28.0, -1.0, -x[0]], [0.0, x[0], -8.0 / 3.0]])


def test_lorenz_step_is_the_series_of_the_matrix_exponential():
    x, dt = np.array([1.0, -2.0, 25.0]), 0.02
    moved = field(x) * dt
    terms = [np.linalg.matrix_power(moved, j) / math.factorial(j) for j in range(6)]
    np.testing.assert_allclose(lorenz_step(x), sum(terms) @ x, rtol=1e-12)
    exact = scipy.linalg.expm(moved) @ x
    np.testing.assert_allclose(lorenz_step(x, J=20), exact, rtol=1e-12)
    assert 1e-12 < np.abs(lorenz_step(x, J=5) - exact).max() < 1e-3


def test_steps_take_many_states_as_one():
    states = np.random.default_rng(1).normal(size=(2, 4, 6))
    for step, size in ((lorenz_step, 3), (pendulum_step, 2), (track_step, 6)):
        together = step(states[..., :size]).numpy()
        alone = [[step(x[:size]) for x in row] for row in states]
        np.testing.assert_allclose(together, alone, rtol=1e-14)
        assert step(tf.constant(states[..., :size], tf.float32)).dtype == tf.float32


def test_pendulum_keeps_its_energy_and_its_period():
    @tf.function
    def swing(start):
        return tf.scan(lambda state, _: pendulum_step(state, dt=0.01), tf.range(2_000), start)

    angle, speed = swing(tf.constant([0.1, 0.0], tf.float64)).numpy().T
    energy = 0.5 * speed**2 - GRAVITY * np.cos(angle)
    assert np.ptp(energy) < 0.1 * GRAVITY * 0.1**2 / 2  # a tenth of the swing's own
    crossings = np.flatnonzero(np.diff(np.sign(angle)) > 0) * 0.01
    # the period of a small swing, longer by a^2 / 16
    expected = 2 * np.pi / np.sqrt(GRAVITY) * (1 + 0.1**2 / 16)
    assert np.diff(crossings).mean() == pytest.approx(expected, rel=2e-3)


def test_systems_fit_together_and_say_what_they_see():
    x = np.array([0.3, -1.0, 2.0])
    np.testing.assert_array_equal(lorenz(observed=(2, 0)).h(x), [2.0, 0.3])
    np.testing.assert_allclose(lorenz(q2=0.3).Q, 0.3 * np.eye(3))
    np.testing.assert_allclose(pendulum().h(x[:2]), [np.sin(0.3)])
    np.testing.assert_allclose(track(0.05, 0.5).Q, TRACK["Q"])
    for make in SYSTEMS.values():
        system = make()
        d, m = len(system.m0), len(system.R)
        assert system.f(system.m0).shape == (d,)
        assert system.h(system.m0).shape == (m,)
        assert system.Q.shape == system.P0.shape == (d, d)
    with pytest.raises(OptionsError, match=r"from 0 to 2. Received: \[3\]"):
        lorenz(observed=[3])


@pytest.mark.parametrize("name", ["ekf", "ukf"])
def test_model_of_a_linear_system_has_the_states_of_the_kalman_filter(name):
    y, kalman = positions(), KalmanFilter(**TRACK)
    fit = tfbdl.fit(name, y, model_options={**OPTIONS, "paths": 0})
    smoothed, filtered = kalman.smooth(y), kalman.filter(y)
    np.testing.assert_allclose(fit.model.means_, smoothed.means, atol=1e-8)
    np.testing.assert_allclose(fit.model.covariances_, smoothed.covariances, atol=1e-8)
    np.testing.assert_allclose(fit.model.filtered_means_, filtered.means, atol=1e-8)
    assert fit.metrics["log_likelihood"] == pytest.approx(filtered.log_likelihood, abs=1e-8)
    assert fit.posterior is None
    ahead = fit.model.forecast(y, 4)
    np.testing.assert_allclose(ahead.means, kalman.forecast(y, 4).means, atol=1e-8)


@pytest.mark.parametrize("paths", [0, pytest.param(200, marks=pytest.mark.slow)])
def test_model_goes_on_where_the_sequence_stopped(paths):
    y = positions()
    model = tfbdl.fit("ekf", y[:7], model_options={**OPTIONS, "paths": paths}).model
    posterior = model.condition(as_dataset(y[7:], allow_nan=True))
    smoothed = KalmanFilter(**TRACK).smooth(y)
    np.testing.assert_allclose(model.means_, smoothed.means, atol=1e-8)
    if paths:
        draws = posterior.draws["states"]
        assert draws.shape == (1, 200, 12, 4)
        scale = np.sqrt(np.diagonal(smoothed.covariances, axis1=-2, axis2=-1))
        assert (np.abs(draws[0].mean(0) - smoothed.means) < 5 * scale / np.sqrt(200)).all()
    with pytest.raises(DataError, match=r"as those before. Expected: shape \[any, 2\]"):
        model.condition(as_dataset(y[:, :1], allow_nan=True))


@pytest.mark.slow
def test_particles_of_a_named_system_are_close_to_the_kalman_filter():
    y = positions()
    options = {**OPTIONS, "num_particles": 5_000, "paths": 0, "P0": np.eye(4), "m0": [0.5] * 4}
    fit = tfbdl.fit("particle", y, model_options=options, seed=3)
    exact = KalmanFilter(**{**TRACK, "P0": np.eye(4), "m0": [0.5] * 4})
    smoothed, filtered = exact.smooth(y), exact.filter(y)
    scale = np.sqrt(np.diagonal(filtered.covariances, axis1=-2, axis2=-1))
    assert (np.abs(fit.model.filtered_means_ - filtered.means) < 0.2 * scale).all()
    scale = np.sqrt(np.diagonal(smoothed.covariances, axis1=-2, axis2=-1))
    assert (np.abs(fit.model.means_ - smoothed.means) < 0.3 * scale).all()
    assert fit.metrics["log_likelihood"] == pytest.approx(filtered.log_likelihood, abs=0.3)
    np.testing.assert_array_equal(fit.model.filter(y).means, fit.model.filtered_means_)


def test_data_decide_what_is_seen_of_the_lorenz_attractor():
    states, y = tfbdl.build("ekf", None, model_options={"dynamics": "lorenz"}).sample(40, n=3)
    model = tfbdl.fit("ekf", y[..., :1], model_options={"dynamics": "lorenz", "paths": 0}).model
    # one coordinate of three: the others are found, far below their spread of about eight
    assert np.sqrt(np.mean((model.means_ - states) ** 2)) < 2.0
    assert np.std(states[..., 2]) > 4.0
    with pytest.raises(DataError, match=r"'lorenz' at most 3 numbers.*Received: 4"):
        tfbdl.fit("ekf", np.zeros((5, 4)), model_options={"dynamics": "lorenz"})


@pytest.mark.slow
def test_pendulum_is_followed_better_than_it_is_seen():
    model = tfbdl.build("ukf", None, model_options={"dynamics": "pendulum"})
    states, y = model.sample(60, n=20, seed=1)
    found = model.smooth(y)
    seen = np.sqrt(np.mean((y[..., 0] - np.sin(states[..., 0])) ** 2))
    error = np.sqrt(np.mean((np.sin(found.means[..., 0]) - np.sin(states[..., 0])) ** 2))
    assert seen == pytest.approx(0.1, rel=0.1)
    assert 0.1 * seen < error < 0.7 * seen


@pytest.mark.slow
def test_plugin_conforms():
    left_out = check_plugin("kalman_lstm")
    assert all("one step on" in reason for reason in left_out)  # for want of a device
