"""The panel of recursive filters, against the filter of what was seen and scalar recursions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats
from tfbdl_kalman_lstm import KalmanFilter
from tfbdl_kalman_lstm.config import KalmanOptions
from tfbdl_kalman_lstm.model import KalmanModel
from tfbdl_kalman_lstm.panel import FilterControls, whiteness_text
from tfbdl_kalman_lstm.states_shown import filtered_states

from tfbdl.data import as_dataset
from tfbdl.errors import ModelError

TREND = {
    "A": np.array([[1.0, 1.0], [0.0, 1.0]]),
    "B": np.zeros(2),
    "H": np.array([[1.0, 0.0]]),
    "Q": np.diag([0.1, 0.01]),
    "R": np.eye(1),
    "m0": np.zeros(2),
    "P0": np.eye(2),
}
Y = np.cumsum(np.random.default_rng(0).normal(size=(40, 1)), axis=0)


def fit_of(x: Any = Y, y: Any = None, known: bool = True) -> Any:
    data = as_dataset(x if y is None else (x, y), dtype="float64")
    model = KalmanModel(KalmanOptions(form="local_trend"), data.info)
    model.assign(TREND)
    return SimpleNamespace(model=model, info=data.info, dataset=lambda: data if known else None)


def test_bands_forecast_and_gain_are_those_of_the_filter() -> None:
    said = filtered_states(fit_of(), FilterControls(now=0.5, window=500, horizon=3, level=0.8))
    now = int(said["now"])
    assert now == 20
    kalman = KalmanFilter(**TREND)
    so_far = kalman.filter(Y[: now + 1])
    np.testing.assert_allclose(said["filtered_mean"][: now + 1], so_far.means[:, 0])
    half = stats.norm.ppf(0.9) * np.sqrt(so_far.covariances[:, 0, 0])
    np.testing.assert_allclose(said["filtered_high"][: now + 1] - so_far.means[:, 0], half)
    assert float(said["log_likelihood"]) == pytest.approx(so_far.log_likelihood)
    ahead = kalman.forecast(Y[: now + 1], 3)
    np.testing.assert_allclose(said["forecast_mean"], ahead.observation_means[:, 0])
    spread = stats.norm.ppf(0.9) * np.sqrt(ahead.observation_covariances[:, 0, 0])
    np.testing.assert_allclose(said["forecast_high"] - said["forecast_mean"], spread)
    np.testing.assert_array_equal(said["ahead"], [21, 22, 23])
    np.testing.assert_allclose(said["gain"][: now + 1], so_far.gains[..., 0])
    np.testing.assert_allclose(said["smoothed_mean"], kalman.smooth(Y).means[:, 0])
    variance = so_far.predicted_covariances[:, 0, 0] + 1.0
    surprise = (Y[: now + 1, 0] - so_far.predicted_means[:, 0]) / np.sqrt(variance)
    np.testing.assert_allclose(said["innovation"][: now + 1], surprise)


def test_a_coordinate_of_the_state_is_shown_without_noise_beside_the_truth() -> None:
    states, y = KalmanFilter(**TREND).sample(30, n=3, seed=1)
    fit = fit_of(y, states)
    controls = FilterControls(shown="state", column=1, sequence=4, now=1.0, horizon=1)
    said = filtered_states(fit, controls)
    np.testing.assert_allclose(said["truth"], states[1, :, 1])
    assert said["observed"].size == 0
    found = KalmanFilter(**TREND).filter(y[1])
    spread = TREND["A"] @ found.covariances[-1] @ TREND["A"].T + TREND["Q"]
    half = stats.norm.ppf(0.95) * np.sqrt(spread[1, 1])
    np.testing.assert_allclose(said["forecast_high"] - said["forecast_mean"], [half])


def test_the_window_follows_the_stream() -> None:
    firsts = [
        int(filtered_states(fit_of(), FilterControls(now=now, window=12))["step"][0])
        for now in (0.0, 0.5, 1.0)
    ]
    assert firsts == [0, 11, 28]


def test_words_say_whether_innovations_are_white() -> None:
    assert "leaves correlation unexplained" in whiteness_text(0.01, 10)
    assert "no sign" in whiteness_text(0.4, 10)
    assert "too short" in whiteness_text(float("nan"), 10)


def test_without_data_there_is_no_sequence() -> None:
    with pytest.raises(ModelError, match="States are of the steps of a sequence"):
        filtered_states(fit_of(known=False), FilterControls())


class Learned:
    """A filter without a smoother, of known H: as learned ones are."""

    H = TREND["H"]

    def filter(self, y: Any) -> Any:
        return KalmanFilter(**TREND).filter(y)


def test_a_filter_without_a_smoother_is_shown_with_the_forecast_of_its_signal() -> None:
    several = np.stack([Y[:, 0], -Y[:, 0]])
    data = as_dataset(several, dtype="float64")
    fit = SimpleNamespace(model=Learned(), info=data.info, dataset=lambda: data)
    said = filtered_states(fit, FilterControls(sequence=1, now=0.5, horizon=2, level=0.8))
    assert "smoothed_mean" not in said
    assert said["innovation"].size == 0
    ahead = KalmanFilter(**TREND).forecast(-Y[:21], 2)
    np.testing.assert_allclose(said["forecast_mean"], ahead.means[:, 0])
    half = stats.norm.ppf(0.9) * np.sqrt(ahead.covariances[:, 0, 0])
    np.testing.assert_allclose(said["forecast_high"] - said["forecast_mean"], half)
