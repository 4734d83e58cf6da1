"""The panel of mixtures: each step is the E-step and M-step of the textbook, by SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from tfbdl_mixture import steps_shown
from tfbdl_mixture.panel import StepControls
from tfbdl_mixture.steps_shown import ellipses, responsibilities

import tfbdl
from tfbdl.fitted import Fit

RNG = np.random.default_rng(0)
CENTRES = np.array([[0.0, 0.0], [3.0, 1.0], [1.0, 4.0]])
X = CENTRES[RNG.integers(0, 3, 120)] + RNG.normal(size=(120, 2)) * [1.0, 0.7]


def fit_of(name: str, **options: Any) -> Fit:
    return tfbdl.fit(name, X, seed=3, **options)


def at(fit: Fit, step: int, **controls: Any) -> dict[str, np.ndarray]:
    return responsibilities(fit, StepControls(step=step, axes="columns", **controls))


@pytest.fixture(scope="module")
def gmm() -> Fit:
    engine = {"steps": 25, "tolerance": 0.0, "restarts": 3, "initial": "random"}
    return fit_of("gmm", model_options={"num_components": 3}, engine_options=engine)


def test_steps_are_those_of_the_runs_best_climb(gmm: Fit) -> None:
    said = at(gmm, 25)
    np.testing.assert_allclose(said["value"][1:], gmm.history["log_likelihood"], rtol=1e-12)
    np.testing.assert_allclose(said["mean"], gmm.model.means_, rtol=1e-9)
    np.testing.assert_allclose(said["share"], gmm.model.responsibilities(X), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("step", [1, 7])
def test_a_step_is_bishops_by_scipy(gmm: Fit, step: int) -> None:
    before, now = at(gmm, step - 1), at(gmm, step)
    R = before["share"]
    counts = R.sum(axis=0)
    weights, means = counts / len(X), R.T @ X / counts[:, np.newaxis]  # 9.24, 9.26
    np.testing.assert_allclose(now["weight"][step], weights, rtol=1e-6)
    np.testing.assert_allclose(now["mean"], means, rtol=1e-6)
    density = np.empty((len(X), 3))
    for k in range(3):
        shifted = X - means[k]
        S = (R[:, k, np.newaxis] * shifted).T @ shifted / counts[k]  # 9.25
        density[:, k] = weights[k] * stats.multivariate_normal(means[k], S).pdf(X)
        edge = now["ellipse"][k, 1] - means[k]
        lengths = np.sqrt(np.einsum("ni,ij,nj->n", edge, np.linalg.inv(S), edge))
        np.testing.assert_allclose(lengths, 2.0, rtol=1e-4)
    shares = density / density.sum(axis=1, keepdims=True)  # 9.23
    np.testing.assert_allclose(now["share"], shares, rtol=1e-4, atol=1e-6)
    assert now["value"][step] == pytest.approx(np.log(density.sum(axis=1)).sum(), rel=1e-6)


def test_a_random_start_is_another_climb_and_the_run_stays_as_it_was(
    gmm: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    means = gmm.model.means_.copy()
    one, other = (at(gmm, 0, start="random", seed=seed) for seed in (0, 1))
    assert not np.allclose(one["mean"], other["mean"])
    assert (np.diff(one["value"]) > -1e-6).all()
    np.testing.assert_array_equal(gmm.model.means_, means)
    monkeypatch.setattr(steps_shown, "Climb", None)  # another would be compiled anew
    assert bool(at(gmm, 0, start="random", seed=2)["climbs"])


def test_a_step_beyond_the_last_is_the_last(gmm: Fit) -> None:
    assert int(at(gmm, 200)["step"]) == int(at(gmm, 200)["steps"]) == 25


def test_rows_of_kmeans_go_to_the_nearest_centre() -> None:
    fit = fit_of("kmeans", model_options={"num_clusters": 3})
    said = at(fit, 2, start="random")
    squares = ((X[:, np.newaxis] - said["mean"]) ** 2).sum(axis=-1)
    np.testing.assert_array_equal(said["share"].argmax(axis=1), squares.argmin(axis=1))
    assert said["value"][2] == pytest.approx(-squares.min(axis=1).sum())
    assert "ellipse" not in said


@pytest.mark.parametrize("name", ["bayesian_gmm", "dp_mixture"])
def test_bounds_are_those_of_the_run_and_weights_die_out(name: str) -> None:
    size = "num_components" if name == "bayesian_gmm" else "truncation"
    fit = fit_of(name, model_options={size: 8})
    said = at(fit, 200)
    np.testing.assert_allclose(said["value"][1:], fit.history["elbo"], rtol=1e-12)
    np.testing.assert_allclose(said["weight"][-1], fit.model.weights_, rtol=1e-9)
    assert (said["weight"][-1] < 0.01).sum() > (said["weight"][0] < 0.01).sum()


def test_draws_of_a_gibbs_sampler_are_shown_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"warmup": 5, "draws": 12, "chains": 2}
    fit = fit_of("dp_mixture", engine="gibbs", engine_options=options)
    said = at(fit, 7)
    z = fit.posterior.draws["z"][0]
    np.testing.assert_array_equal(said["share"].argmax(axis=1), z[7])
    np.testing.assert_array_equal(said["value"], [len(np.unique(draw)) for draw in z])
    label = int(z[7][0])
    rows = X[z[7] == label]
    np.testing.assert_allclose(said["mean"][label], rows.mean(axis=0))
    edge = said["ellipse"][label, 1] - rows.mean(axis=0)
    inverse = np.linalg.inv(np.cov(rows.T, ddof=0))
    np.testing.assert_allclose(np.einsum("ni,ij,nj->n", edge, inverse, edge), 4.0)
    # which start and seed are chosen is nothing to draws: they are kept once
    monkeypatch.setattr(steps_shown, "_draws_of", None)
    assert not bool(at(fit, 3, start="random", seed=5)["climbs"])


def test_principal_axes_have_the_variances_of_a_principal_component_analysis(gmm: Fit) -> None:
    said = responsibilities(gmm, StepControls())
    values = np.linalg.eigvalsh(np.corrcoef(X.T))[::-1]
    np.testing.assert_allclose(said["point"].var(axis=0), values, rtol=1e-6)
    np.testing.assert_allclose(said["point"].mean(axis=0), 0.0, atol=1e-9)


def test_ellipses_lie_at_one_and_two_standard_deviations() -> None:
    S = np.array([[[2.0, 0.6], [0.6, 1.0]]])
    mean = np.array([[1.0, -1.0]])
    edge = ellipses(mean, S)[0] - mean
    lengths = np.sqrt(np.einsum("rni,ij,rnj->rn", edge, np.linalg.inv(S[0]), edge))
    np.testing.assert_allclose(lengths, [[1.0] * 61, [2.0] * 61])
