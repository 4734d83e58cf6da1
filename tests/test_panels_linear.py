"""The panel of linear regression, against Bishop's closed form."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tfbdl_linear.band_shown import predictive_band
from tfbdl_linear.panel import BandControls

import tfbdl
from tfbdl.data import as_dataset
from tfbdl.errors import ModelError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 2))
Y = X @ [1.5, -0.5] + 0.3 * RNG.normal(size=80)


def fit_of(known: bool = True, y: np.ndarray = Y, **options: Any) -> Any:
    data = as_dataset((X, y))
    model = tfbdl.build("linear", data, model_options=options)
    return SimpleNamespace(model=model, dataset=lambda: data if known else None)


@pytest.fixture(scope="module")
def fit() -> Any:
    return fit_of(alpha=2.0, beta=5.0, intercept=False)


@pytest.mark.parametrize(("rows", "column"), [(2, 0), (20, 1), (200, 0)])
def test_bands_are_bishops(fit: Any, rows: int, column: int) -> None:
    said = predictive_band(fit, BandControls(rows=rows, column=column))
    x, y, grid = said["x"], said["y"], said["grid"]
    assert len(x) == min(rows, 80)
    precision = 2.0 + 5.0 * x @ x  # 3.54
    np.testing.assert_allclose(said["mean"], grid * (5.0 * x @ y / precision), rtol=1e-6)  # 3.53
    np.testing.assert_allclose(said["function_sd"], np.abs(grid) / np.sqrt(precision), rtol=1e-6)
    np.testing.assert_allclose(said["target_sd"] ** 2, 0.2 + grid**2 / precision, rtol=1e-6)  # 3.59
    assert float(said["noise_sd"]) == pytest.approx(np.sqrt(0.2))


def test_rows_are_parted_into_those_taken_in_and_those_to_come(fit: Any) -> None:
    few, more = (predictive_band(fit, BandControls(rows=rows)) for rows in (5, 9))
    np.testing.assert_array_equal(more["x"][:5], few["x"])  # one order
    both = np.sort(np.concatenate([few["y"], few["rest_y"]]))
    np.testing.assert_allclose(both, np.sort(Y))
    assert few["function_sd"].mean() > more["function_sd"].mean()


def test_lines_are_draws_of_the_function(fit: Any) -> None:
    draws = [
        predictive_band(fit, BandControls(rows=6, lines=20, seed=seed))["line"]
        / predictive_band(fit, BandControls(rows=6, seed=seed))["function_sd"]
        for seed in range(3)
    ]
    assert draws[0].shape == (20, 201)
    ratio = np.concatenate([d[:, -1] - d[:, -1].mean() for d in draws])
    assert ratio.std() == pytest.approx(1.0, abs=0.3)  # of sixty draws: three standard errors


def test_other_functions_of_the_input_can_be_tried(fit: Any) -> None:
    said = predictive_band(fit, BandControls(rows=30, basis="gaussian", num_basis=7))
    assert int(said["weights"]) == 7
    curvature = np.diff(said["mean"], 2)
    assert np.abs(curvature).max() > 1e-6


def test_the_noise_of_all_rows_is_taken_where_it_is_learned() -> None:
    said = predictive_band(fit_of(), BandControls(rows=3))
    slope, level = np.polyfit(X[:, 0], Y, 1)
    residual = Y - level - slope * X[:, 0]
    assert float(said["noise_sd"]) == pytest.approx(residual.std(), rel=0.05)


def test_data_without_a_single_target_are_refused() -> None:
    with pytest.raises(ModelError, match="which no run stores"):
        predictive_band(fit_of(known=False), BandControls())
    with pytest.raises(ModelError, match=r"one target.*\[80, 2\]"):
        predictive_band(fit_of(y=np.stack([Y, Y], axis=1)), BandControls())
