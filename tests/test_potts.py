"""Potts models: density, graphs, refusals, and a stored run."""

from __future__ import annotations

import itertools
from pathlib import Path

import field_cases
import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from field_cases import CASES, Exact, neighbours
from scipy.special import logsumexp

import tfbdl
from tfbdl import errors
from tfbdl.inference import Potts
from tfbdl.inference.fields import draws, graph

SHORT = {"chains": 2, "warmup": 5, "draws": 12}


def made(case: field_cases.Case) -> Potts:
    return Potts(case.pairs, case.sites, case.states, case.beta, case.log_likelihood)


def test_a_grid_has_each_pair_of_neighbours_once() -> None:
    assert Potts.grid((2, 3)).shape == (7, 2)
    for shape, periodic in itertools.product([(2, 3), (4, 4), (3, 5)], [False, True]):
        if periodic and 2 in shape:
            continue
        pairs = {tuple(sorted(pair)) for pair in Potts.grid(shape, periodic=periodic).tolist()}
        assert len(pairs) == len(Potts.grid(shape, periodic=periodic))
        assert pairs == set(neighbours(*shape, periodic=periodic))


def test_grids_of_one_and_three_axes() -> None:
    assert Potts.grid((4,)).tolist() == [[0, 1], [1, 2], [2, 3]]
    assert Potts.grid((4,), periodic=True).tolist() == [[0, 1], [1, 2], [2, 3], [3, 0]]
    assert len(Potts.grid((2, 3, 4))) == 1 * 12 + 2 * 8 + 3 * 6
    assert Potts.grid((1, 1), periodic=True).shape == (0, 2)
    assert Potts.grid((1, 2), periodic=True).tolist() == [[0, 1], [1, 0]]  # twice, as on a ring


@pytest.mark.parametrize("name", list(CASES))
def test_log_prob_is_that_of_the_definition_at_all_states(name: str) -> None:
    exact = Exact(CASES[name])
    field = made(CASES[name])
    np.testing.assert_allclose(field.log_prob(exact.z), exact.log_weight, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(field.equal_edges(exact.z), exact.bonds)


def test_sums_over_all_states_are_the_published_ones() -> None:
    exact = Exact(CASES["free, beta 0.5"])
    field = made(CASES["free, beta 0.5"])
    assert abs(logsumexp(field.log_prob(exact.z)) - 12.244963) < 5e-7
    assert abs(exact.mean((exact.bonds - exact.mean(exact.bonds)) ** 2) - 3.435924) < 5e-7
    for name, expected in field_cases.BONDS.items():
        every = Exact(CASES[name])
        assert abs(every.mean(every.bonds) - expected) < 5e-7
    stronger = Exact(CASES["free, beta 0.5"]._replace(beta=1.0))
    assert abs(stronger.mean(stronger.bonds) - 7.591332) < 5e-7


def test_ising_spins_have_half_the_coupling() -> None:
    pairs, J = neighbours(3, 2), 0.3
    field = Potts(pairs, 6, 2, 2 * J)
    z = np.array(list(itertools.product([0, 1], repeat=6)))
    spins = 2 * z - 1
    energy = -J * sum(spins[:, i] * spins[:, j] for i, j in pairs)
    np.testing.assert_allclose(field.log_prob(z) + energy, J * len(pairs), rtol=1e-12)
    np.testing.assert_allclose(field.energy(z), -field.log_prob(z), rtol=1e-12)


def test_no_edges_and_forbidden_labels() -> None:
    field = Potts([], 2, 2, 1.0, [[0.0, -np.inf], [0.0, 1.0]])
    assert field.log_prob([[0, 1], [1, 1]]).tolist() == [1.0, -np.inf]
    fit = tfbdl.fit(field, None, engine_options=SHORT, seed=1)
    assert not fit.posterior.draws["z"][..., 0].any()


def test_marginals_count_labels() -> None:
    field = Potts([[0, 1]], 2, 3, 0.5)
    z = [[[0, 1], [0, 2]], [[1, 2], [0, 2]]]
    assert field.marginals(z).tolist() == [[0.75, 0.25, 0.0], [0.0, 0.25, 0.75]]


PAIR = {"edges": [[0, 1]], "num_sites": 2, "num_states": 2, "beta": 1.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"edges": [0, 1]}, r"Expected edges \[m, 2\].*Received: int64 \[2\]"),
        ({"edges": [[0.0, 1.0]]}, "whole numbers. Received: float64"),
        ({"edges": [[0, 2]]}, r"sites are 0 to 1. Received: the edge \[0, 2\]"),
        ({"edges": [[-1, 0]]}, r"Received: the edge \[-1, 0\]"),
        ({"edges": [[1, 1]]}, r"two different sites. Received: \[1, 1\]"),
        ({"num_sites": 0}, "at least one. Received: 0"),
        ({"num_sites": 2.0}, "whole number of sites"),
        ({"num_states": 0}, "num_states is a whole number of at least one. Received: 0"),
        ({"beta": [1.0, 2.0]}, r"one for each of the 1 edges. Received: shape \[2\]"),
        ({"beta": float("nan")}, "Couplings are finite. Received: nan"),
        ({"beta": "strong"}, "beta is a number"),
        ({"log_likelihood": [0.0, 1.0]}, r"here \[2, 2\]. Received: \[2\]"),
        ({"log_likelihood": [[0.0, 1.0], [0.0, np.nan]]}, "Received: nan"),
        ({"log_likelihood": [[0.0, 1.0], [0.0, np.inf]]}, "Received: inf"),
        ({"log_likelihood": [[0.0, 1.0], [-np.inf, -np.inf]]}, "No label is possible at site 1"),
        ({"log_likelihood": "likely"}, "Received: str"),
    ],
)
def test_what_is_no_field_is_refused(change: dict, message: str) -> None:
    with pytest.raises(errors.ModelError, match=message):
        Potts(**{**PAIR, **change})


def test_what_are_no_labels_is_refused() -> None:
    field = Potts(**PAIR)
    assert field.log_prob([1.0, 1.0]) == 1.0
    for z, message in [
        ([0, 2], "from 0 to 1. Received: 0 to 2"),
        ([-1, 0], "Received: -1 to 0"),
        ([0.5, 0.0], r"whole numbers. Received: float64 \[2\]"),
        ([0, 1, 1], r"Expected labels \[..., 2\].*Received: int64 \[3\]"),
    ]:
        with pytest.raises(errors.DataError, match=message):
            field.log_prob(z)
    with pytest.raises(errors.OptionsError, match=r"at least one site along each.*\(3, 0\)"):
        Potts.grid((3, 0))


@hypothesis.settings(deadline=None, max_examples=30)
@hypothesis.given(st.integers(2, 12), st.data())
def test_neighbours_never_share_a_colour(n: int, data: st.DataObject) -> None:
    site = st.integers(0, n - 1)
    pairs = data.draw(st.lists(st.tuples(site, site).filter(lambda p: p[0] != p[1])))
    edges = np.array(pairs, np.int64).reshape(-1, 2)
    colors = graph.greedy_coloring(edges, n)
    assert (colors[edges[:, 0]] != colors[edges[:, 1]]).all()
    degree = np.bincount(edges.ravel(), minlength=n)
    assert colors.min() == 0
    assert colors.max() <= degree.max()


def test_a_grid_is_a_checkerboard() -> None:
    for periodic in (False, True):
        colors = graph.greedy_coloring(Potts.grid((4, 6), periodic=periodic), 24)
        np.testing.assert_array_equal(colors.reshape(4, 6), np.indices((4, 6)).sum(axis=0) % 2)


def test_components_are_numbered_over_all_chains() -> None:
    first, second = np.array([0, 1, 2]), np.array([1, 2, 3])
    bonds = np.array([[True, False, True], [False, False, False]])
    labels, count = graph.components(bonds, first, second, 4)
    assert count == 6
    assert labels.tolist() == [[0, 0, 1, 1], [2, 3, 4, 5]]


def test_categorical_draws_are_the_inverse_of_the_distribution_function() -> None:
    logits = np.log(np.array([0.0, 0.2, 0.5, 0.0, 0.3, 0.0]) * 40, where=[0, 1, 1, 0, 1, 0],
                    out=np.full(6, -np.inf))  # fmt: skip
    u = np.array([0.0, 0.19, 0.21, 0.69, 0.71, 1.0 - 2.0**-53])
    drawn = draws.categorical(np.broadcast_to(logits, (6, 6)), u)
    assert drawn.tolist() == [1, 1, 2, 2, 4, 4]


def test_streams_depend_on_key_sweep_and_purpose_alone() -> None:
    def first(key: list[int], sweep: int, purpose: int) -> float:
        return draws.Streams(key).generator(sweep, purpose).random()

    seen = {first([a, b], s, p) for a, b, s, p in itertools.product(range(3), repeat=4)}
    assert len(seen) == 81
    assert first([1, 2], 3, 1) == first([1, 2], 3, 1)


@pytest.mark.parametrize("engine", ["swendsen_wang", "gibbs"])
def test_a_run_gone_on_with_is_one_that_never_stopped(engine: str, tmp_path: Path) -> None:
    case = CASES["data, couplings that differ, any graph"]
    field, options = made(case), {**SHORT, "thin": 2, "checkpoint_seconds": 0}
    whole = tfbdl.fit(field, None, engine=engine, engine_options=options, seed=5)
    z = whole.posterior.draws["z"]
    assert z.shape == (2, 12, 7)
    assert z.dtype == np.int32
    part = tfbdl.fit(
        field, None, engine=engine, engine_options={**options, "draws": 5}, seed=5,
        out=tmp_path / "run",
    )  # fmt: skip
    np.testing.assert_array_equal(part.extend(7).posterior.draws["z"], z)
    with pytest.raises(errors.RunError, match="another than the one that the run was started"):
        tfbdl.resume(tmp_path / "run", model=made(case._replace(beta=0.1)), draws=1)
    other = tfbdl.fit(field, None, engine=engine, engine_options=options, seed=6)
    assert (other.posterior.draws["z"] != z).any()


def test_a_stored_fit_has_field_draws_and_figures(tmp_path: Path) -> None:
    case = CASES["data, couplings that differ, any graph"]
    fit = tfbdl.fit(made(case), None, engine_options=SHORT, seed=2)
    fit.save(tmp_path / "run")
    again = tfbdl.load(tmp_path / "run")
    z = fit.posterior.draws["z"]
    np.testing.assert_array_equal(again.posterior.draws["z"], z)
    np.testing.assert_allclose(again.posterior.sample_stats["lp"], fit.model.log_prob(z))
    assert isinstance(again.model, Potts)
    np.testing.assert_array_equal(again.model.log_prob(z), fit.model.log_prob(z))
    np.testing.assert_allclose(fit.posterior.mean()["z"], z.mean(axis=(0, 1)))  # no whole numbers


def test_a_field_holds_its_data_itself() -> None:
    with pytest.raises(errors.DataError, match="holds its data itself"):
        tfbdl.fit(Potts(**PAIR), np.zeros((2, 1)))
    with pytest.raises(errors.CapabilityError, match=r"'nuts' cannot fit.*gibbs, swendsen_wang"):
        tfbdl.fit(Potts(**PAIR), None, engine="nuts")
