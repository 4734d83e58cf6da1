"""Probabilistic PCA: closed forms, marginal normals, scikit-learn, missing values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scipy import linalg, stats
from sklearn import decomposition
from tfbdl_mixture import ppca_steps

import tfbdl
from tfbdl import random
from tfbdl.errors import DataError, ModelError, OptionsError, TfbdlWarning

EM = {"tolerance": 1e-11, "steps": 3000}


def table(n: int = 120, seed: int = 0, noise: float = 0.4) -> np.ndarray:
    """Rows of two latent dimensions in six columns."""
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(6, 2))
    return rng.normal(size=(n, 2)) @ W.T + rng.normal(size=6) + noise * rng.normal(size=(n, 6))


def with_gaps(x: np.ndarray, share: float = 0.2, seed: int = 0) -> np.ndarray:
    return np.where(np.random.default_rng(seed).random(x.shape) < share, np.nan, x)


def fitted(x: np.ndarray, k: int = 2, **engine: Any) -> Any:
    name = "em" if engine else "exact"
    options = {"latent_dim": k}
    return tfbdl.fit("ppca", x, engine=name, model_options=options, engine_options=engine)


def parameters(seed: int = 0) -> dict[str, tf.Tensor]:
    rng = np.random.default_rng(seed)
    values = {"W": rng.normal(size=(5, 2)), "mean": rng.normal(size=5), "noise_variance": 0.3}
    return {name: tf.constant(value, tf.float64) for name, value in values.items()}


def marginal(model: Any, x: np.ndarray) -> np.ndarray:
    """log N of the observed entries of each row, by scipy."""
    W, mean, noise = (np.asarray(model[n]) for n in ("W", "mean", "noise_variance"))
    C = W @ W.T + noise * np.eye(len(W))
    values = []
    for row in x:
        o = ~np.isnan(row)
        normal = stats.multivariate_normal(mean[o], C[np.ix_(o, o)]) if o.any() else None
        values.append(normal.logpdf(row[o]) if normal else 0.0)
    return np.asarray(values)


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
    fit = fitted(x, initial=start, steps=1, tolerance=None)
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
    fit = fitted(x, e_step="monte_carlo", samples=20, steps=60, tolerance=None)
    # Noise of 6,000 draws leaves the 18 parameters within a nat or so of their maximum.
    assert best - 2.0 < fit.metrics["log_likelihood"] <= best


def test_minibatches_come_near_the_maximum() -> None:
    x = table(600)
    best = fitted(x).metrics["log_likelihood"]
    fit = fitted(x, batch_size=100, steps=300, tolerance=None)
    assert best - 3.0 < fit.metrics["log_likelihood"] <= best + 1e-9


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
    fit = fitted(x, e_step=e_step, steps=80, tolerance=None)
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
