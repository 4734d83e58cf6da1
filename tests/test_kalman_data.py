"""Data sets of sequences: simulated ones obey their equations, real ones are as published."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.linalg import expm
from tfbdl_kalman_lstm import KalmanFilter
from tfbdl_kalman_lstm.data_config import (
    LinearGaussianOptions,
    LorenzOptions,
    PendulumOptions,
    SeriesOptions,
    TrackOptions,
)
from tfbdl_kalman_lstm.series import lake_huron, nile
from tfbdl_kalman_lstm.simulators import linear_gaussian, lorenz, pendulum, track


def test_lorenz_moves_by_the_exponential_of_its_matrix_with_the_noise_asked_for():
    options = LorenzOptions(num_sequences=40, num_test=3, steps=50, r2=20.0, q2=-20.0, unit="dB")
    data = lorenz(options)
    assert data.x.shape == data.y.shape == (40, 50, 3)
    assert data.x_test.shape == (3, 50, 3)
    seen = data.x.astype("float64") - data.y
    assert seen.var() == pytest.approx(100.0, rel=0.1)  # 6,000 numbers: sd of the ratio 0.018
    pushes = []
    for path in data.y[:4].astype("float64"):
        for before, after in itertools.pairwise(path):
            A = np.array([[-10, 10, 0], [28, -1, -before[0]], [0, before[0], -8 / 3]])
            pushes.append(after - expm(0.02 * A) @ before)
    assert np.mean(np.square(pushes)) == pytest.approx(0.01, rel=0.25)


def test_lorenz_may_show_one_coordinate_and_miss_observations_at_test_time_alone():
    data = lorenz(
        LorenzOptions(num_sequences=2, num_test=40, steps=50, num_observed=1, missing_test=0.3)
    )
    assert data.x.shape == (2, 50, 1)
    assert data.y.shape == (2, 50, 3)
    assert np.isfinite(data.x).all()
    assert np.isnan(data.x_test).mean() == pytest.approx(0.3 * 49 / 50, abs=0.045)
    assert np.isfinite(data.y_test).all()


def test_test_sequences_do_not_depend_on_those_to_train_on():
    few, many = (pendulum(PendulumOptions(num_sequences=n, num_test=2, steps=10)) for n in (1, 5))
    np.testing.assert_array_equal(few.x_test, many.x_test)
    other = pendulum(PendulumOptions(num_sequences=1, num_test=2, steps=10, noise_seed=1))
    assert np.abs(other.x_test - few.x_test).max() > 0.01
    noise = many.x[..., 0] - np.sin(many.y[..., 0])
    assert noise.std() == pytest.approx(0.1, rel=0.35)


def test_track_keeps_its_velocity_but_for_the_noise():
    data = track(TrackOptions(num_sequences=20, num_test=0, steps=40, q2=0.01, dt=0.5))
    assert data.x_test is None
    change = np.diff(data.y[..., 2:], axis=1)
    assert change.var() == pytest.approx(0.01 * 0.5, rel=0.2)
    drift = np.diff(data.y[..., :2], axis=1) - 0.5 * data.y[:, :-1, 2:]
    assert np.abs(drift).max() < 0.5 * 6 * np.sqrt(0.01 * 0.5)


@pytest.mark.slow
def test_filter_of_the_canonical_system_errs_as_its_riccati_recursion_says():
    A, Q = np.array([[1.0, 1.0], [0.0, 1.0]]), 0.01 * np.eye(2)
    data = linear_gaussian(LinearGaussianOptions(num_sequences=200, num_test=0, P0=Q.tolist()))
    kalman = KalmanFilter(A, np.eye(2), Q, np.eye(2), np.zeros(2), Q)
    errors = kalman.filter(data.x).means - data.y
    # Revach et al. 2022 start at a known state; their optimum for T = 100 is -7.32 dB.
    found = 10.0 * np.log10(np.mean(errors**2))
    assert found == pytest.approx(-7.32, abs=0.2)


def test_series_are_as_published():
    flow, level = nile(SeriesOptions()).x, lake_huron(SeriesOptions()).x
    assert (flow.shape, level.shape) == ((100, 1), (98, 1))
    assert flow.sum() == 91_935
    assert (flow.min(), flow.max()) == (456.0, 1370.0)
    assert level.mean(dtype="float64") == pytest.approx(579.0041, abs=1e-4)
    gone = nile(SeriesOptions(missing=0.5)).x
    assert 30 < np.isnan(gone).sum() < 70
    np.testing.assert_array_equal(gone[~np.isnan(gone)], flow[~np.isnan(gone)])
    assert not np.isnan(gone[0, 0])
