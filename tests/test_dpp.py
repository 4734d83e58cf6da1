"""DPPs: probabilities, marginals, conditions and entropy against the sum over all subsets."""

from __future__ import annotations

from typing import Any

import dpp_cases as cases
import numpy as np
import pytest
import tensorflow_probability as tfp
import tfbdl_dpp
from tfbdl_dpp import DPP

from tfbdl.errors import DataError, OptionsError

N = 8
SUBSETS = cases.subsets_of(N)
B = np.random.default_rng(3).normal(size=(N, 5))
L = 0.5 * B @ B.T
KERNEL = L @ np.linalg.inv(L + np.eye(N))
EXACT = 1e-10  # what every closed form must keep against enumeration
FORMS: dict[str, dict[str, Any]] = {
    "L": {"L": L},
    "K": {"K": KERNEL},
    "features": {"features": np.sqrt(0.5) * B},
}


@pytest.fixture(params=FORMS)
def dpp(request: pytest.FixtureRequest) -> DPP:
    return DPP(**FORMS[request.param])


def all_log_probs(process: Any) -> np.ndarray:
    return np.array([process.log_prob(list(s)) for s in SUBSETS])


def test_probabilities_are_those_of_enumeration_and_sum_to_one(dpp: DPP) -> None:
    found = np.exp(all_log_probs(dpp))
    np.testing.assert_allclose(found, cases.probabilities(L), atol=EXACT)
    assert found.sum() == pytest.approx(1.0, abs=EXACT)


def test_normalizer_is_the_logarithm_of_the_sum_of_all_minors(dpp: DPP) -> None:
    assert dpp.log_normalizer == pytest.approx(np.log(cases.determinants(L).sum()), abs=EXACT)


def test_marginals_are_sums_over_all_supersets(dpp: DPP) -> None:
    found = [dpp.marginal(list(s)) for s in SUBSETS]
    np.testing.assert_allclose(found, cases.marginals(cases.probabilities(L), N), atol=EXACT)


def test_inclusion_probabilities_and_marginal_kernel_are_K(dpp: DPP) -> None:
    singles = cases.marginals(cases.probabilities(L), N)[1 : N + 1]
    np.testing.assert_allclose(dpp.inclusion_probabilities(), singles, atol=EXACT)
    np.testing.assert_allclose(dpp.marginal_kernel(), KERNEL, atol=EXACT)


def test_size_has_the_moments_and_probabilities_of_enumeration(dpp: DPP) -> None:
    p, sizes = cases.probabilities(L), np.array([len(s) for s in SUBSETS])
    by_size = np.bincount(sizes, weights=p)
    mean = p @ sizes
    assert dpp.expected_size == pytest.approx(mean, abs=EXACT)
    assert dpp.variance == pytest.approx(p @ (sizes - mean) ** 2, abs=EXACT)
    np.testing.assert_allclose(dpp.size_probabilities(), by_size, atol=EXACT)


def test_entropy_is_that_of_enumeration(dpp: DPP) -> None:
    p = cases.probabilities(L)
    p = p[p > 1e-14]
    assert dpp.entropy() == pytest.approx(-(p * np.log(p)).sum(), abs=EXACT)


def test_entropy_by_draws_is_within_its_error_of_the_sum() -> None:
    process, draws = DPP(L), 4000
    p = cases.probabilities(L)
    p = p[p > 1e-14]
    error = np.sqrt((p * np.log(p) ** 2).sum() - (p * np.log(p)).sum() ** 2) / np.sqrt(draws)
    assert abs(process.entropy(draws=draws, seed=1) - process.entropy()) < 4.0 * error


@pytest.mark.parametrize(("include", "exclude"), [([1, 3], [0]), ([2], []), ([], [4, 5])])
def test_condition_is_bayes_rule(dpp: DPP, include: list[int], exclude: list[int]) -> None:
    expected = cases.given(cases.probabilities(L), N, include, exclude)
    found = dpp.condition(include, exclude)
    np.testing.assert_allclose(np.exp(all_log_probs(found)), expected, atol=EXACT)
    marginals = [found.marginal(list(s)) for s in SUBSETS]
    np.testing.assert_allclose(marginals, cases.marginals(expected, N), atol=EXACT)
    assert found.expected_size == pytest.approx(expected @ [len(s) for s in SUBSETS], abs=EXACT)
    positive = expected[expected > 1e-14]
    assert found.entropy() == pytest.approx(-(positive * np.log(positive)).sum(), abs=EXACT)


def test_condition_upon_a_condition_is_both_at_once(dpp: DPP) -> None:
    twice = dpp.condition([1], [0]).condition([1, 3], [5])
    np.testing.assert_allclose(
        np.exp(all_log_probs(twice)),
        np.exp(all_log_probs(dpp.condition([1, 3], [0, 5]))),
        atol=EXACT,
    )


def test_draws_of_a_conditioned_process_hold_what_they_must() -> None:
    draws = DPP(L).condition([1, 3], [0]).sample(2000, seed=4)
    expected = cases.given(cases.probabilities(L), N, [1, 3], [0])
    assert abs(cases.chi_square_z(draws, expected, N)) < 4.0


def test_log_prob_agrees_with_that_of_tensorflow_probability() -> None:
    full = L + 0.1 * np.eye(N)
    values, vectors = np.linalg.eigh(full)
    theirs = tfp.distributions.DeterminantalPointProcess(values, vectors)
    masks = np.array([[i in s for i in range(N)] for s in SUBSETS])
    found = DPP(full).log_prob(masks)
    np.testing.assert_allclose(found, theirs.log_prob(masks.astype(np.int32)), atol=1e-9)


def test_subsets_may_be_indices_in_any_order_or_booleans() -> None:
    process = DPP(L)
    mask = np.isin(np.arange(N), [1, 4])
    assert process.log_prob([4, 1]) == process.log_prob(mask) == process.log_prob((1, 4))


def test_projection_kernel_has_one_size_and_no_entropy_beyond_it() -> None:
    V = np.linalg.qr(B[:, :3])[0]
    process = DPP(K=V @ V.T)
    assert {len(s) for s in process.sample(500, seed=1)} == {3}
    assert {len(s) for s in process.sample(500, seed=1, method="cholesky")} == {3}
    assert process.variance == pytest.approx(0.0, abs=1e-12)
    found = np.exp(all_log_probs(process))
    expected = [np.linalg.det(V[list(s)]) ** 2 if len(s) == 3 else 0.0 for s in SUBSETS]
    np.testing.assert_allclose(found, expected, atol=EXACT)  # Cauchy-Binet
    assert process.log_normalizer == np.inf


@pytest.mark.parametrize("method", ["spectral", "cholesky", "mcmc"])
def test_an_item_and_its_duplicate_never_come_together(method: str) -> None:
    twins = B[[0, 1, 2, 3, 0, 5]]
    process = DPP(features=2.0 * twins)
    assert process.log_prob([0, 4]) == -np.inf
    assert process.marginal([0, 4]) == pytest.approx(0.0, abs=1e-12)
    draws = process.sample(1500, seed=2, method=method)
    assert not any({0, 4} <= set(draw.tolist()) for draw in draws)
    singles = np.mean([len({0, 4} & set(draw.tolist())) for draw in draws])
    assert singles > 0.5  # either of them does come


def test_large_scales_and_tiny_probabilities_do_not_overflow() -> None:
    many = np.random.default_rng(0).normal(size=(300, 300))
    process = DPP(1e6 * many @ many.T)
    whole = np.linalg.slogdet(1e6 * many @ many.T)[1]
    normalizer = np.linalg.slogdet(1e6 * many @ many.T + np.eye(300))[1]
    assert process.log_prob(np.arange(300)) == pytest.approx(whole - normalizer)
    assert process.expected_size == pytest.approx(300.0, abs=0.5)


@pytest.mark.parametrize("scale", [1e8, 1e12, 1e15])
def test_a_large_kernel_of_low_rank_is_the_dpp_of_its_features(scale: float) -> None:
    """1 is lost beside L: five items come in almost every subset, and never six."""
    B = np.random.default_rng(1).normal(size=(60, 5))
    process, features = DPP(scale * B @ B.T), DPP(features=np.sqrt(scale) * B)
    assert process.expected_size == pytest.approx(features.expected_size, abs=1e-6)
    assert process.variance == pytest.approx(features.variance, abs=1e-6)
    assert process.marginal([0, 7]) == pytest.approx(features.marginal([0, 7]), rel=1e-6)
    items = np.array([3, 11, 20, 42, 59])
    assert process.log_prob(items) == pytest.approx(features.log_prob(items), abs=1e-6)
    for draw in process.sample(20, 0, method="cholesky"):
        assert len(draw) <= 5


def test_public_names_are_imported_on_demand() -> None:
    assert tfbdl_dpp.DPP is DPP
    assert "greedy_map" in dir(tfbdl_dpp)
    with pytest.raises(AttributeError, match=r"no attribute 'nothing'"):
        tfbdl_dpp.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ({"L": [[1.0, 0.5], [0.2, 1.0]]}, r"L must be symmetric.*0\.5 at \(0, 1\)"),
        ({"L": [[1.0, 2.0], [2.0, 1.0]]}, "positive semidefinite.*eigenvalue is -1"),
        ({"L": [[1.0, np.nan], [np.nan, 1.0]]}, "L must be finite.*2 NaN"),
        ({"L": np.empty((0, 0))}, "at least one item"),
        ({"L": np.ones((2, 3))}, r"square.*\(2, 3\)"),
        ({"L": [1.0, 2.0]}, "must be a matrix"),
        ({"L": [["a", "b"], ["b", "a"]]}, "matrix of numbers"),
        ({"K": [[1.2, 0.0], [0.0, 0.5]]}, r"eigenvalues from 0 to 1.*0\.5 to 1\.2.*DPP\(L="),
        ({"K": [[0.5, 0.6], [0.6, 0.5]]}, r"eigenvalues from 0 to 1.*-0\.1"),
        ({"features": [[1.0, np.inf]]}, "features must be finite"),
        ({"features": np.empty((0, 3))}, "at least one item"),
    ],
)
def test_bad_kernels_are_refused(form: dict[str, Any], text: str) -> None:
    with pytest.raises(DataError, match=text):
        DPP(**form)


@pytest.mark.parametrize(
    ("subset", "text"),
    [
        ([0, N], f"from 0 to {N - 1}"),
        ([-1], "Received: -1"),
        ([1, 1], "each item once"),
        ([0.5], "distinct indices"),
        ([[0, 1]], "distinct indices"),
    ],
)
def test_bad_subsets_are_refused(subset: Any, text: str) -> None:
    for ask in (DPP(L).log_prob, DPP(L).marginal):
        with pytest.raises(DataError, match=text):
            ask(subset)


def test_wrong_requests_are_refused() -> None:
    process = DPP(L)
    with pytest.raises(OptionsError, match=r"one of them. Received: L and K"):
        DPP(L, K=KERNEL)
    with pytest.raises(OptionsError, match=r"Received: none"):
        DPP()
    with pytest.raises(OptionsError, match=r"method must be one of.*Did you mean 'cholesky'"):
        process.sample(1, method="cholesk")
    with pytest.raises(OptionsError, match=r"n must be an integer of at least 1"):
        process.sample(0)
    with pytest.raises(OptionsError, match=r"seed must be an integer of at least 0"):
        process.sample(1, seed=-1)
    with pytest.raises(DataError, match=r"both in and out. Received: \[2\]"):
        process.condition([2, 3], [2])
    with pytest.raises(DataError, match=r"probability 0"):
        process.condition(range(6))  # the rank is 5
    with pytest.raises(OptionsError, match=r"Expected draws"):
        DPP(np.eye(20)).entropy()
    with pytest.raises(DataError, match=r"eigenvalue 1"):
        DPP(K=np.eye(2)).sample(1, method="mcmc")
