"""The plugin keeps to the contract of tfbdl; its draws and its density are the right ones."""

from __future__ import annotations

import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from tfbdl_barker.panel import AcceptanceControls, compute

import tfbdl
from tfbdl.testing import check_plugin


def test_plugin_conforms() -> None:
    check_plugin("barker")


def test_panel_averages_acceptance_over_its_window() -> None:
    accepted = np.array([[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0]])
    fit = SimpleNamespace(posterior=SimpleNamespace(sample_stats={"acceptance_rate": accepted}))
    shown = compute(fit, AcceptanceControls(window=2))
    assert shown["draw"].tolist() == [2, 3, 4]
    assert shown["rate"] == pytest.approx(np.array([[0.5, 0.5, 1.0], [0.0, 0.5, 0.5]]))
    assert shown["overall"] == pytest.approx([0.75, 0.25])
    longest = compute(fit, AcceptanceControls(window=500))
    assert longest["rate"][:, 0] == pytest.approx([0.75, 0.25])


def test_logistic_prior_at_zero_has_the_height_of_a_logistic() -> None:
    density = tfbdl.prior("logistic", scale=0.5).distribution((3,))
    # p(0) = 1 / (4 s) for each of three weights; float32
    assert float(density.log_prob([0.0, 0.0, 0.0])) == pytest.approx(-3 * math.log(2.0), abs=1e-5)


def test_barker_draws_from_the_posterior_of_a_linear_regression() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2))
    y = x @ [1.0, -2.0] + 0.5 * rng.normal(size=40)
    covariance = np.linalg.inv(x.T @ x / 0.25 + np.eye(2))  # prior N(0, I), noise 0.5
    mean = covariance @ x.T @ y / 0.25

    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False, name="w")])
    model = tfbdl.BayesianNetwork(net, "gaussian", likelihood_options={"scale": 0.5})
    fit = tfbdl.fit(
        model,
        (x.astype("float32"), y.astype("float32")),
        engine="barker",
        engine_options={"warmup": 200, "draws": 1000, "step_size": 0.12},
        seed=1,
    )
    # some 400 effective draws: the mean to 0.05 sd, the sd to 4 percent; four times that
    deviation = np.sqrt(np.diag(covariance))
    found = fit.posterior
    assert np.all(np.abs(found.mean()["w.kernel"][:, 0] - mean) < 0.2 * deviation)
    assert found.stddev()["w.kernel"][:, 0] == pytest.approx(deviation, rel=0.16)
    assert 0.2 < fit.metrics["acceptance_rate"] < 0.95
