"""DPPNet: conditional marginals and draws against the exact k-DPP."""

from __future__ import annotations

import dpp_cases as cases
import numpy as np
import pytest
from tfbdl_dpp import DPP, KDPP, DPPNet
from tfbdl_dpp.kernels import rbf

import tfbdl
from tfbdl.errors import ModelError, OptionsError

N, K = 9, 3
X = np.random.default_rng(1).uniform(-1.0, 1.0, size=(N, 2))
L = rbf(X, length_scale=0.7)


@pytest.fixture(scope="module")
def net() -> DPPNet:
    return DPPNet(KDPP(L, K), hidden=(64,), seed=0).fit(steps=2_500, draws=60_000)


def test_marginals_are_near_those_of_enumeration(net: DPPNet) -> None:
    p = cases.probabilities(L, K)
    sets = cases.subsets_of(N)
    errors, spread = [], []
    for A in ((), (0,), (4,), (1, 7), (2, 5)):
        given = cases.given(p, N, A, ())
        exact = np.array(
            [sum(q for q, s in zip(given, sets, strict=True) if i in s) for i in range(N)]
        )
        found = net.marginals(list(A))
        assert found[list(A)].tolist() == [1.0] * len(A)
        others = [i for i in range(N) if i not in A]
        assert found.sum() == pytest.approx(K, abs=1e-4)
        errors.append(np.abs(found - exact)[others].mean())
        prior = np.array([sum(q for q, s in zip(p, sets, strict=True) if i in s) for i in range(N)])
        spread.append(np.abs(prior - exact)[others].mean())
    # 20,000 draws begin with each number of items; about 550 of them with a given pair, so that
    # their marginals are known within sqrt(0.11 * 0.89 / 550) = 0.013, and a net smooths over.
    assert np.max(errors) < 0.04
    assert np.mean(errors) < 0.3 * np.mean(spread)  # what A says was learned


def test_draws_include_items_as_often_as_the_process(net: DPPNet) -> None:
    drawn = net.sample(5_000, seed=3)
    assert drawn.shape == (5_000, K)
    assert (np.diff(drawn, axis=1) > 0).all()
    counts = np.bincount(drawn.reshape(-1), minlength=N) / len(drawn)
    exact = KDPP(L, K).inclusion_probabilities()
    deviation = np.sqrt(exact * (1.0 - exact) / len(drawn))
    np.testing.assert_array_less(np.abs(counts - exact), 4.0 * deviation + 0.03)
    p = cases.probabilities(L, K)
    place = {s: i for i, s in enumerate(cases.subsets_of(N))}
    found = np.bincount([place[tuple(row.tolist())] for row in drawn], minlength=len(p)) / 5_000
    uniform = (p > 0) / (p > 0).sum()
    # Total variation to the truth; 84 subsets by 5,000 draws have about sum sqrt(2 p / (pi n)) / 2.
    noise = 0.5 * np.sqrt(2.0 * p / (np.pi * 5_000)).sum()
    assert 0.5 * np.abs(found - p).sum() < noise + 0.06 < 0.5 * 0.5 * np.abs(uniform - p).sum()


def test_the_same_seed_gives_the_same_draws_in_any_number(net: DPPNet) -> None:
    few, many = net.sample(5, seed=2), net.sample(50, seed=2)
    np.testing.assert_array_equal(few, many[:5])
    assert (net.sample(50, seed=1) != many).any()


def test_a_net_that_learned_nothing_and_other_arguments_are_refused(net: DPPNet) -> None:
    with pytest.raises(ModelError, match=r"Call fit\(\) first"):
        DPPNet(KDPP(L, K), hidden=(4,)).sample(1)
    with pytest.raises(OptionsError, match="stands in for a KDPP. Received: DPP"):  # noqa: RUF043
        DPPNet(DPP(L))
    with pytest.raises(OptionsError, match="fewer than k = 3 items"):
        net.marginals([0, 1, 2])


def test_the_model_by_name_draws_from_its_net_and_keeps_it() -> None:
    options = {"k": 3, "hidden": (16,), "steps": 100, "exact_draws": 500, "draws": 200}
    fit = tfbdl.fit("dpp_net", X, model_options=options, seed=1)
    draws = fit.posterior.draws["subset"]
    assert draws.shape == (1, 200, N)
    assert (draws.sum(axis=-1) == 3).all()
    twin = tfbdl.build("dpp_net", X, model_options=options)
    twin.set_state(fit.model.get_state())
    np.testing.assert_array_equal(twin.net.sample(20, seed=5), fit.model.net.sample(20, seed=5))
    exact = fit.model.process.inclusion_probabilities()
    np.testing.assert_allclose(fit.posterior.mean()["subset"], exact)
