"""Probabilistic PCA: closed forms, marginal normals, scikit-learn, missing values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ppca_cases import EM, fitted, marginal, parameters, table, with_gaps
from scipy import linalg
from sklearn import decomposition
from tfbdl_mixture import ppca_steps

import tfbdl
from tfbdl import random
from tfbdl.errors import DataError, TfbdlWarning


@pytest.mark.parametrize("k", [1, 2, 5])
def test_closed_form_is_that_of_the_covariance_with_divisor_n(k: int) -> None:
    x = table()
    model = fitted(x, k).model
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    noise = values[: 6 - k].mean()  # not with divisor N - 1, which would be 0.8 % more
    assert model.noise_variance_ == pytest.approx(noise, rel=1e-12)
    np.testing.assert_allclose(model.mean_, x.mean(axis=0), atol=1e-12)
    for column, value, vector in zip(model.W_.T, values[::-1], vectors.T[::-1], strict=False):
        assert column[np.abs(column).argmax()] > 0
        np.testing.assert_allclose(
            np.abs(column), np.abs(vector) * np.sqrt(value - noise), atol=1e-10
        )


def test_closed_form_agrees_with_scikit_learn_after_its_divisor() -> None:
    x = table()
    n = len(x)
    peer = decomposition.PCA(2).fit(x)
    fit = fitted(x)
    assert fit.model.noise_variance_ == pytest.approx(peer.noise_variance_ * (n - 1) / n)
    # The covariance with divisor N - 1 is that of rows spread a little wider.
    wider = x.mean(axis=0) + (x - x.mean(axis=0)) * np.sqrt(n / (n - 1))
    again = fitted(wider)
    np.testing.assert_allclose(again.model.covariance(), peer.get_covariance(), atol=1e-10)
    np.testing.assert_allclose(again.model.log_prob(x), peer.score_samples(x), atol=1e-9)


def test_closed_form_with_fewer_rows_than_columns() -> None:
    x = np.random.default_rng(1).normal(size=(9, 30)) + 5.0
    fit = fitted(x, 3)
    values = np.sort(np.linalg.eigvalsh(np.cov(x.T, bias=True)))[::-1]
    assert fit.model.noise_variance_ == pytest.approx(values[3:].sum() / 27, rel=1e-10)
    assert fit.metrics["log_likelihood"] == pytest.approx(marginal(fit.model.params, x).sum())


def test_no_other_parameters_are_more_likely() -> None:
    x = table()
    fit = fitted(x)
    best = fit.metrics["log_likelihood"]
    assert best == pytest.approx(marginal(fit.model.params, x).sum(), rel=1e-12)
    rng = np.random.default_rng(0)
    for name, value in fit.model.params.items():
        for _ in range(10):
            other = value + 1e-3 * rng.normal(size=np.shape(value))
            assert marginal({**fit.model.params, name: other}, x).sum() < best


def test_information_criteria_count_free_parameters() -> None:
    fit = fitted(table())
    count = 6 * 2 - 1 + 6 + 1  # W without a rotation, mean, noise
    value = fit.metrics["log_likelihood"]
    assert fit.metrics["bic"] == pytest.approx(count * np.log(120) - 2 * value)
    assert fit.metrics["aic"] == pytest.approx(2 * count - 2 * value)


def test_bic_finds_the_true_size() -> None:
    x = table(400)
    bic = {k: fitted(x, k).metrics["bic"] for k in range(1, 6)}
    assert min(bic, key=lambda k: bic[k]) == 2


def test_rows_in_turn_are_as_rows_at_once() -> None:
    x = table()
    once = fitted(x).model
    options = {"batch_size": 17}
    fit = tfbdl.fit("ppca", x, model_options={"latent_dim": 2}, engine_options=options)
    for name in ("W", "mean", "noise_variance"):
        np.testing.assert_allclose(fit.model.params[name], once.params[name], atol=1e-10)
    half = fitted(x[:60]).model
    rest = tfbdl.fit(half, x[60:], engine="exact", engine_options={"initial": "current"})
    np.testing.assert_allclose(rest.model.W_, once.W_, atol=1e-10)


@pytest.mark.parametrize("size", [1, 10])
def test_the_first_rows_alone_need_not_do(size: int) -> None:
    x = table(60)
    x[:10] = x[0]
    once, options = fitted(x).model, {"batch_size": size}
    fit = tfbdl.fit("ppca", x, model_options={"latent_dim": 2}, engine_options=options)
    np.testing.assert_allclose(fit.model.W_, once.W_, atol=1e-10)
    assert fit.model.noise_variance_ == pytest.approx(once.noise_variance_, rel=1e-10)
    with pytest.raises(DataError, match=r"All rows are equal.*10 equal rows"):
        tfbdl.fit("ppca", x[:10], model_options={"latent_dim": 2}, engine_options=options)


def test_noise_stops_at_its_floor_with_a_notice() -> None:
    x = table(noise=0.0)
    with pytest.warns(TfbdlWarning, match=r"at its floor, 1e-06: 2 latent dimensions"):
        fit = fitted(x)
    assert fit.model.noise_variance_ == 1e-6
    np.testing.assert_allclose(
        fit.model.covariance(), np.cov(x.T, bias=True) + 1e-6 * _outside(fit.model.W_), atol=1e-9
    )
    assert fit.metrics["log_likelihood"] == pytest.approx(marginal(fit.model.params, x).sum())


@pytest.mark.parametrize("engine", [{}, {"initial": "random", **EM}])
@pytest.mark.parametrize("scale", [1e-4, pytest.param(1e4, marks=pytest.mark.slow)])
def test_the_unit_of_the_data_does_not_matter(scale: float, engine: dict[str, Any]) -> None:
    x = table()
    one, other = fitted(x, **engine), fitted(scale * x, **engine)
    assert other.model.noise_variance_ == pytest.approx(
        scale**2 * one.model.noise_variance_, rel=1e-5
    )
    np.testing.assert_allclose(other.model.W_, scale * one.model.W_, rtol=1e-3, atol=1e-3 * scale)
    moved = one.metrics["log_likelihood"] - x.size * np.log(scale)
    assert other.metrics["log_likelihood"] == pytest.approx(moved, abs=1e-5)


def test_noise_of_small_units_stops_at_a_share_of_the_variance() -> None:
    x = 1e-4 * table(noise=0.0)
    floor = 1e-6 * x.var(axis=0).mean()
    start = {"W": np.ones((6, 2)) * 1e-4, "mean": x.mean(axis=0), "noise_variance": 1e-3 * floor}
    for engine in ({}, {"initial": start, "steps": 500}):  # a start below the floor is raised to it
        with pytest.warns(TfbdlWarning, match=f"at its floor, {floor:.4g}: 2 latent dimensions"):
            fit = fitted(x, **engine)
        assert fit.model.noise_variance_ == pytest.approx(floor, rel=1e-9)
        assert fit.metrics["log_likelihood"] == pytest.approx(marginal(fit.model.params, x).sum())


def _outside(W: np.ndarray) -> np.ndarray:
    """The projection off the columns of W."""
    basis = linalg.orth(W)
    return np.eye(len(W)) - basis @ basis.T


@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_em_ends_at_the_closed_form(offset: float) -> None:
    x = table() + offset
    best, fit = fitted(x), fitted(x, initial="random", **EM)
    trace = np.asarray(fit.history["log_likelihood"])
    assert (np.diff(trace) > -1e-9 * abs(trace[-1])).all()
    assert abs(trace[-1] - best.metrics["log_likelihood"]) < 1e-6
    assert linalg.subspace_angles(fit.model.W_, best.model.W_).max() < 1e-4
    np.testing.assert_allclose(fit.model.W_, best.model.W_, atol=1e-3)
    assert fit.model.noise_variance_ == pytest.approx(best.model.noise_variance_, rel=1e-4)
    assert fit.metrics["bic"] == pytest.approx(best.metrics["bic"], abs=1e-5)


def test_one_em_step_is_that_of_tipping_and_bishop() -> None:
    x = table()
    d = x.shape[1]
    rng = np.random.default_rng(3)
    W, noise = rng.normal(size=(6, 2)), 0.7
    start = {"W": W, "mean": x.mean(axis=0), "noise_variance": noise}
    S = np.cov(x.T, bias=True)
    inverse = np.linalg.inv(W.T @ W + noise * np.eye(2))
    after = S @ W @ np.linalg.inv(noise * np.eye(2) + inverse @ W.T @ S @ W)  # their eq. 29
    left = np.trace(S - S @ W @ inverse @ after.T) / d  # their eq. 30
    fit = fitted(x, initial=start, steps=1, tolerance=0)
    assert fit.model.noise_variance_ == pytest.approx(left, rel=1e-12)
    np.testing.assert_allclose(fit.model.W_ @ fit.model.W_.T, after @ after.T, atol=1e-10)
    value = marginal({"W": after, "mean": x.mean(axis=0), "noise_variance": left}, x).sum()
    assert fit.history["log_likelihood"] == pytest.approx([value])
    assert fitted(x, initial=start, steps=0).metrics["log_likelihood"] == pytest.approx(
        marginal(start, x).sum()
    )


def test_factorised_latents_give_a_bound_that_ends_tight() -> None:
    x = table()
    best = fitted(x).metrics["log_likelihood"]
    fit = fitted(x, e_step="variational", **EM)
    trace = np.asarray(fit.history["elbo"])
    assert (np.diff(trace) > -1e-9 * abs(trace[-1])).all()
    assert trace[-1] <= best + 1e-9
    # Where W's columns are orthogonal the latents are independent and the bound is the likelihood.
    assert trace[-1] == pytest.approx(best, abs=1e-4)


def test_factorised_latents_are_the_best_of_their_family() -> None:
    params, x = parameters(), tf.constant(np.random.default_rng(4).normal(size=(1, 5)))
    W, noise = params["W"].numpy(), 0.3
    M = W.T @ W + noise * np.eye(2)
    mean = np.linalg.solve(M, W.T @ (x.numpy()[0] - params["mean"].numpy()))
    log_p = marginal(params, x.numpy())[0]
    covariance = noise * np.linalg.inv(M)

    def bound(m: np.ndarray, variances: np.ndarray) -> float:
        """log p(x) - KL(q | posterior), by the formula for two normals."""
        gap = np.linalg.inv(covariance)
        kl = np.trace(gap * variances) + (m - mean) @ gap @ (m - mean) - 2
        return log_p - 0.5 * (kl + np.log(np.linalg.det(covariance) / variances.prod()))

    found = ppca_steps.factorised(params, x)
    variances = np.diag(found["latents"].numpy())[:2] - found["latents"].numpy()[:2, 2] ** 2
    centre = found["latents"].numpy()[:2, 2]
    assert float(found["value"]) == pytest.approx(bound(centre, variances), rel=1e-12)
    for i in range(2):
        for step in (0.99, 1.01):
            assert bound(centre * np.where(np.arange(2) == i, step, 1), variances) < found["value"]
            assert bound(centre, variances * np.where(np.arange(2) == i, step, 1)) < found["value"]


@pytest.mark.parametrize("gaps", [False, True])
def test_sampled_moments_have_the_exact_ones_as_their_mean(gaps: bool) -> None:
    params, x = parameters(), np.random.default_rng(5).normal(size=(4, 5))
    x[:, 0] += 1.0
    observed = ~np.isnan(with_gaps(x, 0.4, seed=1)) if gaps else np.ones_like(x, bool)
    rows = tf.constant(x)
    pair = (rows, tf.constant(observed.astype(float)))
    exact = ppca_steps.expected(params, pair if gaps else rows)
    copies = 20_000
    many = tf.nest.map_structure(lambda part: tf.tile(part, [copies, 1]), pair if gaps else rows)
    drawn = ppca_steps.sampled(params, many, random.key(1))
    assert float(drawn["value"]) / copies == pytest.approx(float(exact["value"]))
    for name in ("latents", "products"):
        np.testing.assert_allclose(drawn[name] / copies, exact[name], atol=0.06)


@pytest.mark.slow
def test_monte_carlo_em_comes_near_the_maximum() -> None:
    x = table(300)
    best = fitted(x).metrics["log_likelihood"]
    fit = fitted(x, e_step="monte_carlo", samples=20, steps=60, tolerance=0)
    # Noise of 6,000 draws leaves the 18 parameters within a nat or so of their maximum.
    assert best - 2.0 < fit.metrics["log_likelihood"] <= best


def test_minibatches_come_near_the_maximum() -> None:
    x = table(600)
    best = fitted(x).metrics["log_likelihood"]
    fit = fitted(x, batch_size=100, steps=300, tolerance=0)
    assert best - 3.0 < fit.metrics["log_likelihood"] <= best + 1e-9
