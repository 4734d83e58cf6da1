"""Gibbs sampling of a Bayesian mixture against enumeration."""

from __future__ import annotations

import mixture_oracles as oracle
import numpy as np
import pytest
from bayesian_mixtures import HYPER, PRIOR, W0, clusters

import tfbdl
from tfbdl import diagnostics, errors

# -- Gibbs sampling ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sampled():
    """Five rows, and 6,000 draws of the Gibbs sampler."""
    x = clusters(5, 4) * 0.6
    run = tfbdl.fit(
        "bayesian_gmm", x, engine="gibbs", seed=3,
        model_options={"num_components": 3, "alpha0": 0.9, **HYPER},
        engine_options={"chains": 4, "warmup": 200, "draws": 1500},
    )  # fmt: skip
    return x, run


@pytest.mark.slow
def test_gibbs_draws_partitions_and_parameters_from_the_exact_posterior(sampled) -> None:
    (x, run), alpha0, k = sampled, 0.9, 3
    prior = oracle.dirichlet_multinomial(alpha0, k)
    _, exact = oracle.normalised(oracle.log_joints(x, PRIOR, k, prior))
    draws = run.posterior.draws
    assert draws["z"].dtype == np.int32
    found = [[oracle.canonical(z) for z in chain] for chain in draws["z"]]
    assert {z for chain in found for z in chain} <= set(exact)

    def check(values: np.ndarray, expected: float) -> None:
        error = diagnostics.mcse_mean(values) if np.ptp(values) else 0.0
        assert abs(values.mean() - expected) < 4.5 * error + 5e-4  # rare ones may never be seen

    likely = {z: p for z, p in exact.items() if p > 2e-3}
    assert len(likely) > 5
    for partition, probability in likely.items():
        check(np.array([[z == partition for z in chain] for chain in found], float), probability)

    def expectation(of) -> np.ndarray:
        return sum(p * np.asarray(of(np.array(z))) for z, p in exact.items())

    def squares(z: np.ndarray) -> float:
        alpha = alpha0 + np.bincount(z, minlength=k)
        return float((alpha * (alpha + 1)).sum() / (alpha.sum() * (alpha.sum() + 1)))

    def of_first_row(z: np.ndarray) -> np.ndarray:
        _, nu, m, W = oracle.condition(x[z == z[0]], PRIOR)
        return np.array([m[0], m[1], nu * W[0, 0], nu * W[0, 1]])

    check((draws["weights"] ** 2).sum(axis=-1), float(expectation(squares)))
    first = draws["z"][:, 1:, 0]  # the components of a sweep are drawn before its labels
    before = draws["z"][:, :-1, 0][..., None, None]
    means = np.take_along_axis(draws["means"][:, 1:], before, axis=2)[:, :, 0]
    chosen = np.take_along_axis(draws["precisions"][:, 1:], before[..., None], axis=2)[:, :, 0]
    values = [means[..., 0], means[..., 1], chosen[..., 0, 0], chosen[..., 0, 1]]
    for value, expected in zip(values, expectation(of_first_row), strict=True):
        assert value.shape == first.shape
        check(value, float(expected))
    new = np.array([[1.5, 1.5], [0.0, 0.0]])

    def density(z: np.ndarray) -> np.ndarray:
        shares = (alpha0 + np.bincount(z, minlength=k)) / (k * alpha0 + len(z))
        t = [oracle.predictive(oracle.condition(x[z == j], PRIOR)) for j in range(k)]
        return sum(w * one.pdf(new) for w, one in zip(shares, t, strict=True))

    # 250 draws of a density that varies by about its own size
    np.testing.assert_allclose(run.model.log_prob(new), np.log(expectation(density)), atol=0.25)


def test_rows_drawn_after_gibbs_have_the_density_of_the_draws(sampled) -> None:
    model = sampled[1].model
    drawn = model.sample(8000, seed=1)
    grid = np.linspace(-30.0, 30.0, 76)
    points = np.array(np.meshgrid(grid, grid, indexing="ij")).reshape(2, -1).T
    mass = np.exp(model.log_prob(points)).reshape(76, 76).sum(axis=1) * 0.8**2
    assert mass.sum() == pytest.approx(1.0, abs=0.02)
    for at in (25, 35, 37, 40, 50):
        # rows are from 6,000 draws, the density from 250 of them
        below = mass[:at].sum() + 0.5 * mass[at]
        assert (drawn[:, 0] < grid[at]).mean() == pytest.approx(below, abs=0.04)
    np.testing.assert_array_equal(model.sample(8000, seed=1), drawn)
    assert (model.sample(5, seed=2) != drawn[:5]).any()


def test_what_names_components_is_refused_after_gibbs_and_says_what_to_use(sampled) -> None:
    x, run = sampled
    for ask in (
        lambda m: m.responsibilities(x),
        lambda m: m.predict(x),
        lambda m: m.elbo(x),
        lambda m: m.active(),
        lambda m: m.weights_,
        lambda m: m.covariances_,
    ):
        with pytest.raises(errors.ModelError, match=r"labels may change places.*co_clustering"):
            ask(run.model)


def test_a_stored_gibbs_run_knows_its_prior_and_draws_the_same(tmp_path, sampled) -> None:
    sampled[1].save(tmp_path / "run")
    model = tfbdl.load(tmp_path / "run").model
    np.testing.assert_array_equal(model.sample(7, seed=4), sampled[1].model.sample(7, seed=4))
    np.testing.assert_allclose(model.base.W, W0, rtol=1e-15)
