"""Probabilistic PCA asked about rows, some of them with missing values; files; bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ppca_cases import EM, fitted, marginal, parameters, table, with_gaps
from tfbdl_mixture import ppca_steps

import tfbdl
from tfbdl.errors import DataError, ModelError, OptionsError, TfbdlWarning


def test_log_prob_is_the_marginal_normal_of_what_was_observed() -> None:
    model = fitted(table()).model
    x = table(40, seed=0)
    np.testing.assert_allclose(model.log_prob(x), marginal(model.params, x), atol=1e-10)
    gaps = with_gaps(x, 0.4)
    gaps[0] = np.nan
    np.testing.assert_allclose(model.log_prob(gaps), marginal(model.params, gaps), atol=1e-10)
    assert model.log_prob(gaps)[0] == 0.0


def test_latents_and_gaps_are_those_of_the_joint_normal() -> None:
    model = fitted(table()).model
    x = with_gaps(table(20), 0.3, seed=2)
    W, mean, noise = model.W_, model.mean_, float(model.noise_variance_)
    C = W @ W.T + noise * np.eye(6)
    means, covariances = model.encode(x)
    imputed = model.impute(x)
    for i, row in enumerate(x):
        o, m = ~np.isnan(row), np.isnan(row)
        gain = np.linalg.inv(C[np.ix_(o, o)])
        np.testing.assert_allclose(means[i], W[o].T @ gain @ (row[o] - mean[o]), atol=1e-10)
        np.testing.assert_allclose(covariances[i], np.eye(2) - W[o].T @ gain @ W[o], atol=1e-10)
        expected = mean[m] + C[np.ix_(m, o)] @ gain @ (row[o] - mean[o])
        np.testing.assert_allclose(imputed[i, m], expected, atol=1e-10)
        np.testing.assert_array_equal(imputed[i, o], row[o])
    full = table(20)
    whole, same = model.encode(full)
    np.testing.assert_allclose(model.transform(full), whole)
    assert same.shape == (20, 2, 2)


def test_a_mask_of_ones_changes_nothing() -> None:
    params, x = parameters(), tf.constant(np.random.default_rng(6).normal(size=(30, 5)))
    plain, masked = (
        ppca_steps.maximised(ppca_steps.expected(params, rows), tf.zeros(5, tf.float64), 1e-9)
        for rows in (x, (x, tf.ones_like(x)))
    )
    for name, value in plain.items():
        np.testing.assert_allclose(masked[name], value, atol=1e-11)


def test_em_with_gaps_climbs_to_a_stationary_point() -> None:
    x = with_gaps(table(), 0.25)
    fit = fitted(x, **EM)
    trace = np.asarray(fit.history["log_likelihood"])
    assert (np.diff(trace) > -1e-9 * abs(trace[-1])).all()
    best = marginal(fit.model.params, x).sum()
    assert best == pytest.approx(trace[-1], rel=1e-10)
    rng = np.random.default_rng(0)
    for name, value in fit.model.params.items():
        for _ in range(5):  # the maximum is less than a fortieth of a step away: 2.5e-6
            step = 1e-4 * rng.normal(size=np.shape(value))
            up, down = (
                marginal({**fit.model.params, name: value + s * step}, x).sum() for s in (1, -1)
            )
            assert abs(up - down) < 0.05 * (2 * best - up - down)


def test_em_with_gaps_recovers_the_parameters() -> None:
    rng = np.random.default_rng(7)
    W = rng.normal(size=(8, 2)) * [2.0, 1.0]
    mean = rng.normal(size=8)
    x = rng.normal(size=(3000, 2)) @ W.T + mean + 0.5 * rng.normal(size=(3000, 8))
    # What is missing depends on a value that is seen: the column means of what is left are wrong.
    gaps = x.copy()
    gaps[:, 1:] = np.where((x[:, :1] > mean[0]) & (rng.random((3000, 7)) < 0.9), np.nan, x[:, 1:])
    model = fitted(gaps, tolerance=1e-8).model
    C = W @ W.T + 0.25 * np.eye(8)
    assert np.abs(model.covariance() - C).max() < 0.12 * np.abs(C).max()
    own = np.abs(model.mean_ - mean).max()
    naive = np.abs(np.nanmean(gaps, axis=0) - mean).max()
    assert own < 0.08 < 0.4 < naive
    assert model.noise_variance_ == pytest.approx(0.25, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("e_step", ["variational", "monte_carlo"])
def test_other_e_steps_take_gaps(e_step: str) -> None:
    x = with_gaps(table(300), 0.2)
    best = fitted(x, **EM).metrics["log_likelihood"]
    fit = fitted(x, e_step=e_step, steps=80, tolerance=0)
    assert best - 4.0 < fit.metrics["log_likelihood"] <= best + 1e-6


def test_draws_have_the_model_moments() -> None:
    model = fitted(table()).model
    drawn = model.sample(40_000, seed=1)
    np.testing.assert_allclose(drawn.mean(axis=0), model.mean_, atol=0.05)
    np.testing.assert_allclose(np.cov(drawn.T), model.covariance(), atol=0.12)
    np.testing.assert_array_equal(drawn[:3], model.sample(40_000, seed=1)[:3])
    assert (drawn[:3] != model.sample(40_000, seed=2)[:3]).any()
    with pytest.raises(OptionsError, match=r"at least 1\. Received: 0"):
        model.sample(0)


def test_a_stored_fit_answers_the_same_and_takes_more_rows(tmp_path: Path) -> None:
    x = table()
    fit = tfbdl.fit("ppca", x[:80], out=tmp_path / "run")
    stored = tfbdl.load(tmp_path / "run").model
    gaps = with_gaps(x)
    np.testing.assert_array_equal(stored.log_prob(gaps), fit.model.log_prob(gaps))
    more = tfbdl.fit(stored, x[80:], engine="exact", engine_options={"initial": "current"})
    np.testing.assert_allclose(more.model.W_, fitted(x).model.W_, atol=1e-10)


def test_single_precision_is_kept() -> None:
    x = with_gaps(table())
    options = {"latent_dim": 2, "dtype": "float32"}
    fit = tfbdl.fit("ppca", x, engine="em", model_options=options)
    exact = fitted(x, tolerance=1e-6)
    assert fit.model.W_.dtype == fit.model.log_prob(x).dtype == np.float32
    np.testing.assert_allclose(fit.model.covariance(), exact.model.covariance(), atol=0.05)


def test_bad_input_is_refused() -> None:
    x = table(30)
    with pytest.raises(OptionsError, match=r"below the number of columns, 6, .* Received: 6"):
        fitted(x, 6)
    with pytest.raises(OptionsError, match="below the number of columns"):
        fitted(x, 7, steps=1)
    with pytest.raises(DataError, match=r"no closed form. Use engine='em'"):
        fitted(with_gaps(x))
    gaps = x.copy()
    gaps[:, 2] = np.nan
    with pytest.raises(DataError, match="all values missing in 1 of 6 columns, the first at 2"):
        fitted(gaps, steps=1)
    for engine in ({}, {"steps": 1}):
        with pytest.raises(DataError, match="All rows are equal"):
            fitted(np.full((5, 6), 0.1), **engine)
        with pytest.raises(DataError, match=r"All rows are equal.*Received: 1 row\."):
            fitted(x[:1], **engine)
    with pytest.raises(OptionsError, match="'auto' or 'random'"):
        fitted(x, initial="kmeans++")
    start = {"W": np.ones((6, 2)), "mean": np.zeros(6), "noise_variance": 0.0}
    with pytest.raises(OptionsError, match="must be above 0"):
        fitted(x, initial=start)
    with pytest.raises(DataError, match="Inf"):
        fitted(np.where(x == x[0, 0], np.inf, x), steps=1)
    model = fitted(x).model
    with pytest.raises(DataError, match="6 columns, as in training"):
        model.log_prob(x[:, :5])
    with pytest.raises(ModelError, match="not fitted"):
        tfbdl.build("ppca", x).log_prob(x)


@pytest.mark.parametrize("engine", [{}, {"batch_size": 50}, {"steps": 50}])
def test_constant_columns_are_named(engine: dict[str, Any]) -> None:
    x = np.column_stack([100.0 * table(), np.full(120, 0.1)])
    name = "em" if "steps" in engine else "exact"
    with pytest.warns(TfbdlWarning, match=r"Constant columns \(6\) lower the noise"):
        fit = tfbdl.fit("ppca", x, engine=name, engine_options=engine)
    np.testing.assert_allclose(fit.model.W_[6], 0.0, atol=1e-6)
