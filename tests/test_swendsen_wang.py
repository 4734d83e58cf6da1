"""Swendsen-Wang and single-site Gibbs sampling against sums over all states."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from field_cases import CASES, GRID, Case, Exact, z_score

import tfbdl
from tfbdl import diagnostics, errors
from tfbdl.inference import Potts

LENGTH = {"chains": 50, "warmup": 100, "draws": 300}
BOUND = 4.5  # standard errors, over some dozens of statistics: once in a thousand such tests


def check(case: Case, engine: str, **options: object) -> None:
    exact = Exact(case)
    field = Potts(case.pairs, case.sites, case.states, case.beta, case.log_likelihood)
    fit = tfbdl.fit(field, None, engine=engine, engine_options={**LENGTH, **options}, seed=3)
    z, stats = fit.posterior.draws["z"], fit.posterior.sample_stats
    assert z.shape == (50, 300, case.sites)
    np.testing.assert_allclose(stats["lp"], field.log_prob(z), atol=1e-12)
    mean = exact.mean(exact.bonds)
    scores = [
        z_score(stats["equal_edges"], mean),
        z_score((stats["equal_edges"] - mean) ** 2, exact.mean((exact.bonds - mean) ** 2)),
        z_score(stats["lp"], exact.mean(exact.log_weight)),
    ]
    largest = np.max([(exact.z == k).mean(axis=1) for k in range(case.states)], axis=0)
    scores.append(z_score(stats["largest_share"], exact.mean(largest)))
    for (site, state), p in np.ndenumerate(exact.marginals(case.states)):
        scores.append(z_score(z[:, :, site] == state, p))
    assert np.abs(scores).max() < BOUND
    assert np.std(scores) > 0.2  # errors that small would not be those of draws


@pytest.mark.parametrize("engine", ["swendsen_wang", "gibbs"])
@pytest.mark.parametrize("name", list(CASES))
def test_moments_are_those_of_the_sum_over_all_states(engine: str, name: str) -> None:
    check(CASES[name], engine)


def test_gibbs_takes_colours_in_any_order_and_couplings_of_any_sign() -> None:
    beta = np.linspace(-1.5, 1.0, len(GRID))
    check(Case(9, 3, GRID, beta), "gibbs", order="random")


def test_swendsen_wang_thins_and_keeps_sweeps_after_warm_up() -> None:
    field = Potts(GRID, 9, 3, 0.5)
    options = {"chains": 2, "warmup": 3, "draws": 20}
    every = tfbdl.fit(field, None, engine_options=options, seed=1)
    third = tfbdl.fit(field, None, engine_options={**options, "draws": 6, "thin": 3}, seed=1)
    np.testing.assert_array_equal(third.posterior.draws["z"], every.posterior.draws["z"][:, 2:18:3])


def test_negative_couplings_are_refused() -> None:
    field = Potts([[0, 1], [1, 2]], 3, 2, [0.5, -0.5])
    with pytest.raises(errors.ModelError, match=r"beta -0.5 at the edge \[1, 2\].*engine='gibbs'"):
        tfbdl.fit(field, None, engine="swendsen_wang")


def test_bonds_of_a_potts_model_have_all_of_each_coupling() -> None:
    with pytest.raises(errors.OptionsError, match="bond_share is of a DirichletPotts alone"):
        tfbdl.fit(Potts(GRID, 9, 3, 0.5), None, engine_options={"bond_share": 0.5})


@pytest.mark.parametrize("engine", ["swendsen_wang", "gibbs"])
def test_any_object_with_edges_and_couplings_is_a_field(engine: str) -> None:
    given = SimpleNamespace(edges=GRID, num_sites=9, num_states=3, beta=0.5)
    options = {"chains": 2, "warmup": 2, "draws": 5}
    fits = [
        tfbdl.fit(model, None, engine=engine, engine_options=options, seed=4)
        for model in (given, Potts(GRID, 9, 3, 0.5))
    ]
    np.testing.assert_array_equal(*(fit.posterior.draws["z"] for fit in fits))


def test_what_a_model_makes_of_data_must_be_a_field() -> None:
    given = SimpleNamespace(capabilities={"potts"}, field=lambda data: "none")
    with pytest.raises(errors.ModelError, match="Received: a str from SimpleNamespace"):
        tfbdl.fit(given, np.zeros((3, 1)), engine="swendsen_wang")


@pytest.mark.slow
def test_clusters_outrun_single_sites_at_criticality() -> None:
    n = 32 * 32
    field = Potts(Potts.grid((32, 32), periodic=True), n, 2, np.log(1 + np.sqrt(2)))
    times = {}
    for engine, draws in (("swendsen_wang", 3000), ("gibbs", 12000)):
        options = {"chains": 4, "warmup": 1000, "draws": draws}
        fit = tfbdl.fit(field, None, engine=engine, engine_options=options, seed=1)
        bonds = fit.posterior.sample_stats["equal_edges"].astype(np.float64)
        error = diagnostics.mcse_mean(bonds)
        times[engine] = bonds.size * error**2 / bonds.var()  # 1 + 2 sum of autocorrelations
        if engine == "swendsen_wang":  # Onsager: 1.7071 on the infinite lattice; 1.721 on this one
            assert abs(bonds.mean() - 1.721 * n) < 4 * error + 0.0005 * n
    assert times["swendsen_wang"] < 12
    assert times["swendsen_wang"] < times["gibbs"] / 8
