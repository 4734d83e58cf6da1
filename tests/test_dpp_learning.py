"""Learned kernels: determinants and their gradients, and posteriors against quadrature."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tfbdl_dpp import DPP, KDPP, determinants, kernels, likelihood

import tfbdl

RNG = np.random.default_rng(4)
ROOTS = RNG.normal(size=(3, 6, 6))
MATRICES = ROOTS @ ROOTS.transpose(0, 2, 1) + 0.1 * np.eye(6)
PAIR = np.array([[-1.0], [1.0]])  # two items, standardised as they are
COUNTS = {"dpp": (5, 12, 4, 3), "k_dpp": (0, 13, 6, 0)}  # of none, the first, the second, both


def value_and_gradient(fn: Any, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    with tf.GradientTape() as tape:
        point = tf.constant(at)
        tape.watch(point)
        value = fn(point)
    return value.numpy(), tape.gradient(value, point).numpy()


@pytest.mark.parametrize("swept", [128, 2], ids=["sweeps", "cholesky"])
def test_log_det_is_that_of_lu_factors_and_its_gradient_the_inverse(
    swept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(determinants, "SWEPT", swept)
    value, gradient = value_and_gradient(determinants.log_det, MATRICES)
    np.testing.assert_allclose(value, np.linalg.slogdet(MATRICES)[1], rtol=1e-11)
    np.testing.assert_allclose(gradient, np.linalg.inv(MATRICES), rtol=1e-8, atol=1e-10)


def test_log_det_of_one_matrix_has_no_axis() -> None:
    value = determinants.log_det(tf.constant(MATRICES[0]))
    assert value.shape == ()
    assert float(value) == pytest.approx(np.linalg.slogdet(MATRICES[0])[1])


@pytest.mark.parametrize("k", [1, 3, 6])
def test_log_polynomial_and_its_gradient_are_sums_over_subsets(k: int) -> None:
    logs = RNG.normal(size=(2, 6))
    sets = np.array(list(itertools.combinations(range(6), k)))
    products = np.exp(logs[:, sets].sum(axis=-1))  # [2, subsets]
    has = np.array([[m in s for m in range(6)] for s in sets], float)
    value, gradient = value_and_gradient(lambda z: determinants.log_polynomial_of(z, k), logs)
    np.testing.assert_allclose(value, np.log(products.sum(axis=1)), rtol=1e-12)
    expected = products @ has / products.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(gradient, expected, rtol=1e-12)


@pytest.mark.parametrize("largest", [4, 6])
def test_log_minors_are_those_of_subsets_of_any_size(largest: int) -> None:
    masks = np.array([[0, 0, 0, 0, 0, 0], [1, 0, 1, 0, 0, 1], [0, 1, 1, 1, 0, 1.0]])
    found = likelihood.log_minors(tf.constant(MATRICES), tf.constant(masks), largest).numpy()
    for S, row in zip(MATRICES, found, strict=True):
        expected = [np.linalg.slogdet(S[np.ix_(m > 0, m > 0)])[1] for m in masks]
        np.testing.assert_allclose(row, expected, rtol=1e-10, atol=1e-12)


def on_a_grid(name: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Quality, log relevance and intercept on a grid, and their posterior's weights."""
    quality, log_relevance = np.linspace(-6, 6, 121), np.linspace(-6.5, 6, 126)
    intercept = np.linspace(-12, 12, 161) if name == "dpp" else np.zeros(1)
    t, r, b = np.meshgrid(quality, log_relevance, intercept, indexing="ij")
    first, second = np.exp(b - t), np.exp(b + t)  # L_11 and L_22: q_i^2
    apart = -np.expm1(-4.0 * np.exp(2.0 * r))  # 1 - S_12^2 of items at a distance of 2
    both = first * second * (apart + 2.0 * likelihood.NUGGET)
    none, one, two, pair = COUNTS[name]
    whole = 1.0 + first + second + both if name == "dpp" else first + second
    log_p = one * np.log(first) + two * np.log(second) + pair * np.log(both)
    log_p = log_p - (none + one + two + pair) * np.log(whole)
    centre = -0.5 * np.log(2.0)  # one over the typical distance of standardised rows, sqrt(2)
    log_p = log_p - 0.5 * t**2 - 0.5 * (r - centre) ** 2 - 0.5 * (b / 3.0) ** 2
    p = np.exp(log_p - log_p.max())
    found = {"quality": t, "relevance": r} | ({"intercept": b} if name == "dpp" else {})
    return found, p / p.sum()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dpp", "k_dpp"])
def test_nuts_of_two_items_agrees_with_quadrature(name: str) -> None:
    columns = [(0, 0), (1, 0), (0, 1), (1, 1)]
    y = np.array([c for c, count in zip(columns, COUNTS[name], strict=True) for _ in range(count)])
    fit = tfbdl.fit(
        name,
        (PAIR, y.T.astype(float)),
        model_options={"k": 1} if name == "k_dpp" else {},
        engine="nuts",
        engine_options={"chains": 4, "warmup": 500, "draws": 1000},
        seed=2,
    )
    table = fit.posterior.summary()
    grid, p = on_a_grid(name)
    for site, values in grid.items():
        draws = np.asarray(fit.posterior.draws[site]).reshape(-1)
        draws = np.log(draws) if site == "relevance" else draws
        row = table[[str(label).startswith(site) for label in table.index]]
        ess = float(row["ess_bulk"].iloc[0])  # of ranks: the same for the logarithm
        assert ess > 400.0
        mean = float((p * values).sum())
        sd = float(np.sqrt((p * (values - mean) ** 2).sum()))
        assert draws.mean() == pytest.approx(mean, abs=4.5 * sd / np.sqrt(ess))
        for edge in (mean - sd, mean + sd):
            step = np.diff(np.unique(values))[0]  # the grid's share of its cell is half known
            below = float(p[values < edge].sum())
            slack = 0.5 * float(p[np.abs(values - edge) <= step].sum())
            error = 4.5 * np.sqrt(below * (1.0 - below) / (0.5 * ess))
            assert (draws < edge).mean() == pytest.approx(below, abs=error + slack)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dpp", "k_dpp"])
def test_the_estimate_of_a_large_sample_lies_inside_the_posterior(name: str) -> None:
    """With 400 subsets of 20 items the posterior is near normal about the likelihood's peak."""
    x = np.random.default_rng(0).normal(size=(20, 2))
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    q = np.exp(0.5 * (x @ [0.8, -0.4] - 0.5))
    L = kernels.quality_diversity(q, kernels.rbf(x * [0.8, 0.5]))
    process = DPP(L) if name == "dpp" else KDPP(L, 4)
    y = np.zeros((20, 400))
    for column, subset in zip(y.T, process.sample(400, seed=3), strict=True):
        column[subset] = 1.0
    options = {"k": 4} if name == "k_dpp" else {}
    peak = tfbdl.fit(name, (x, y), model_options=options).model.params
    fit = tfbdl.fit(
        name,
        (x, y),
        model_options=options,
        engine="nuts",
        engine_options={"chains": 2, "warmup": 300, "draws": 300},
        seed=1,
    )
    assert float(fit.posterior.summary()["r_hat"].max()) < 1.05
    for site in ("quality", "relevance", *(["intercept"] if name == "dpp" else [])):
        mean, sd = fit.posterior.mean()[site], fit.posterior.stddev()[site]
        assert (np.abs(mean - peak[site]) < sd).all()  # of its scatter about the truth: none
        assert (sd < 0.25).all()
