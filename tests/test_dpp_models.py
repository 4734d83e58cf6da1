"""The models ``dpp`` and ``k_dpp`` through ``tfbdl.fit``: draws, learning, posteriors."""

from __future__ import annotations

from typing import Any

import dpp_cases as cases
import numpy as np
import pytest
import tensorflow as tf
from tfbdl_dpp import DPP, KDPP, likelihood

import tfbdl
from tfbdl import testing
from tfbdl.errors import DataError, OptionsError

X = np.random.default_rng(0).normal(size=(12, 2))
TRUTH = {"quality": [1.0, 0.0], "relevance": [1.0, 1.0]}
KERNEL = np.eye(4) + 0.5


def process_of(name: str, **params: Any) -> DPP | KDPP:
    options = {"k": 3} if name == "k_dpp" else {}
    model = tfbdl.build(name, X, model_options=options)
    return model.process_at(params, X)


def observed(process: DPP | KDPP, count: int) -> np.ndarray:
    y = np.zeros((len(X), count))
    for column, subset in zip(y.T, process.sample(count, seed=1), strict=True):
        column[subset] = 1.0
    return y


def test_a_kernel_among_the_options_needs_no_data() -> None:
    fit = tfbdl.fit("dpp", None, model_options={"L": KERNEL.tolist()}, seed=1)
    draws = fit.posterior.draws["subset"]
    assert draws.shape == (1, 100, 4)
    assert draws.dtype == bool
    singles = cases.marginals(cases.probabilities(KERNEL), 4)[1:5]
    np.testing.assert_allclose(fit.posterior.mean()["subset"], singles, atol=1e-10)
    pair = cases.marginals(cases.probabilities(KERNEL), 4)[5]
    covariance = fit.posterior.covariance()["subset"][0, 1]
    assert covariance == pytest.approx(pair - singles[0] * singles[1], abs=1e-10)


def test_rows_of_a_table_are_items() -> None:
    fit = tfbdl.fit("k_dpp", X, model_options={"k": 3, "draws": 7}, seed=1)
    assert fit.posterior.draws["subset"].shape == (1, 7, 12)
    assert (fit.posterior.draws["subset"].sum(axis=-1) == 3).all()
    assert fit.posterior.mean()["subset"].sum() == pytest.approx(3.0)
    wide = tfbdl.fit("dpp", X, model_options={"kernel": "linear", "expected_size": 1.25})
    assert wide.metrics["expected_size"] == pytest.approx(1.25)


@pytest.mark.parametrize("name", ["dpp", "k_dpp"])
def test_log_likelihood_is_that_of_the_process(name: str) -> None:
    params = TRUTH | ({"intercept": -0.5} if name == "dpp" else {})
    process = process_of(name, **params)
    y = observed(process, 5)
    expected = sum(float(process.log_prob(column.astype(bool))) for column in y.T)
    rows = tf.constant((X - X.mean(axis=0)) / X.std(axis=0))
    values = {n: tf.constant(v, tf.float64) for n, v in params.items()}
    k = 3 if name == "k_dpp" else None
    found = likelihood.log_likelihood(values, rows, tf.constant(y.T), "rbf", k)
    assert float(found) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["dpp", "k_dpp"])
def test_learning_finds_quality_and_beats_the_truth_on_what_was_observed(name: str) -> None:
    params = TRUTH | ({"intercept": -0.5} if name == "dpp" else {})
    process = process_of(name, **params)
    y = observed(process, 200)
    options = {"k": 3} if name == "k_dpp" else {}
    fit = tfbdl.fit(name, (X, y), model_options=options)
    true = sum(float(process.log_prob(column.astype(bool))) for column in y.T)
    gain = fit.metrics["log_likelihood"] - true
    assert 0.0 <= gain < 20.0  # half a chi-square of 4 or 5 degrees: mean 2.5, 1e-6 above 20
    np.testing.assert_allclose(fit.model.quality_, TRUTH["quality"], atol=0.6)
    learned = sum(float(fit.model.process.log_prob(column.astype(bool))) for column in y.T)
    assert learned == pytest.approx(fit.metrics["log_likelihood"], abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dpp", "k_dpp"])
def test_nuts_gives_the_posterior_of_quality_and_relevance(name: str) -> None:
    params = TRUTH | ({"intercept": -0.5} if name == "dpp" else {})
    y = observed(process_of(name, **params), 30)
    fit = tfbdl.fit(
        name,
        (X, y),
        model_options={"k": 3} if name == "k_dpp" else {},
        engine="nuts",
        engine_options={"chains": 2, "warmup": 200, "draws": 200},
        seed=1,
    )
    mean, deviation = fit.posterior.mean(), fit.posterior.stddev()
    for site, truth in params.items():
        assert (np.abs(mean[site] - truth) < 4.0 * deviation[site] + 0.3).all()
    assert deviation["quality"].max() < 0.8  # of the prior it is 1


def test_bad_data_are_refused() -> None:
    with pytest.raises(DataError, match=r"needs items"):
        tfbdl.fit("dpp", None)
    with pytest.raises(OptionsError, match=r"data or from the option L"):
        tfbdl.fit("dpp", X, model_options={"L": KERNEL.tolist()})
    with pytest.raises(DataError, match=r"column of 0 and 1"):
        tfbdl.fit("dpp", (X, 0.5 * np.ones(12)))
    with pytest.raises(DataError, match=r"must have k = 3 items. Received: 2 items in subset 0"):
        tfbdl.fit("k_dpp", (X, np.eye(12)[0] + np.eye(12)[1]), model_options={"k": 3})
    with pytest.raises(OptionsError, match=r"at most 12, the number of items"):
        tfbdl.fit("k_dpp", X, model_options={"k": 13})
    with pytest.raises(OptionsError, match=r"expected_size must be below 2, the rank"):
        tfbdl.fit("dpp", X, model_options={"kernel": "linear", "expected_size": 3.0})
    with pytest.raises(DataError, match="K has an eigenvalue 1"):
        tfbdl.fit("dpp", None, model_options={"K": np.eye(3).tolist(), "expected_size": 2.0})


@pytest.mark.parametrize("engine", ["random_walk", "variational"])
def test_engines_over_draws_refuse_the_same_targets(engine: str) -> None:
    with pytest.raises(DataError, match=r"must have k = 3 items. Received: 5 items in subset 0"):
        tfbdl.fit("k_dpp", (X, (np.arange(12) < 5) * 1.0), engine=engine, model_options={"k": 3})
    with pytest.raises(DataError, match=r"column of 0 and 1"):
        tfbdl.fit("dpp", (X, np.arange(12) % 3), engine=engine)


@pytest.mark.parametrize("name", ["dpp", "k_dpp"])
def test_model_keeps_the_contract(name: str) -> None:
    testing.check_model(name)
    testing.check_saves(name)
