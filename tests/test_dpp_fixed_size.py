"""k-DPPs, and the elementary symmetric polynomials that they need."""

from __future__ import annotations

import itertools
from fractions import Fraction

import dpp_cases as cases
import numpy as np
import pytest
from tfbdl_dpp import KDPP
from tfbdl_dpp import symmetric_polynomials as polynomials

from tfbdl.errors import DataError, OptionsError

N, K = 8, 3
SUBSETS = cases.subsets_of(N)
F = np.random.default_rng(5).normal(size=(N, 5))
L = F @ F.T
EXACT = 1e-10


@pytest.fixture(params=["L", "features", "K"])
def k_dpp(request: pytest.FixtureRequest) -> KDPP:
    marginal = L @ np.linalg.inv(L + np.eye(N))
    forms = {"L": {"L": L}, "features": {"features": F}, "K": {"K": marginal}}
    return KDPP(k=K, **forms[request.param])


def test_probabilities_and_marginals_are_those_of_enumeration(k_dpp: KDPP) -> None:
    p = cases.probabilities(L, K)
    found = np.exp([k_dpp.log_prob(list(s)) for s in SUBSETS])
    np.testing.assert_allclose(found, p, atol=EXACT)
    marginals = cases.marginals(p, N)
    np.testing.assert_allclose([k_dpp.marginal(list(s)) for s in SUBSETS], marginals, atol=EXACT)
    np.testing.assert_allclose(k_dpp.inclusion_probabilities(), marginals[1 : N + 1], atol=EXACT)
    positive = p[p > 1e-14]
    assert k_dpp.entropy() == pytest.approx(-(positive * np.log(positive)).sum(), abs=EXACT)
    assert k_dpp.expected_size == K
    assert k_dpp.variance == 0.0


def test_condition_is_bayes_rule(k_dpp: KDPP) -> None:
    expected = cases.given(cases.probabilities(L, K), N, [1], [0, 6])
    found = k_dpp.condition([1], [0, 6])
    np.testing.assert_allclose(
        np.exp([found.log_prob(list(s)) for s in SUBSETS]), expected, atol=EXACT
    )
    singles = cases.marginals(expected, N)[1 : N + 1]
    np.testing.assert_allclose(found.inclusion_probabilities(), singles, atol=EXACT)
    draws = found.sample(3000, seed=1)
    assert draws.shape == (3000, K)
    assert abs(cases.chi_square_z(draws, expected, N)) < 4.0


def test_condition_upon_all_k_items_leaves_one_subset(k_dpp: KDPP) -> None:
    only = k_dpp.condition([1, 2, 5])
    assert only.log_prob([1, 2, 5]) == pytest.approx(0.0, abs=EXACT)
    np.testing.assert_array_equal(only.sample(2, seed=0), [[1, 2, 5], [1, 2, 5]])


def test_inclusion_probabilities_of_many_items_sum_to_k() -> None:
    values = np.exp(np.random.default_rng(0).normal(size=600) * 4.0)
    shares = polynomials.inclusion(np.log(values), 100)
    assert shares.sum() == pytest.approx(100.0, rel=1e-10)
    assert shares.max() <= 1.0 + 1e-10


def test_polynomials_are_sums_of_products() -> None:
    values = np.array([0.5, 2.0, 0.0, 3.0, 1e-3])
    with np.errstate(divide="ignore"):
        table = polynomials.log_polynomials(np.log(values), 5)
    for k in range(6):
        brute = sum(np.prod(c) for c in itertools.combinations(values, k))
        assert np.exp(table[-1, k]) == pytest.approx(brute, rel=1e-12, abs=1e-300)


def test_polynomial_of_500_values_has_the_digits_of_exact_arithmetic() -> None:
    values = np.exp(np.random.default_rng(1).normal(size=500) * 3.0)
    row = [1] + [0] * 100  # in integers, each value times 2^60 to the lowest place
    scaled = [round(Fraction(float(v)) * 2**60) for v in values]
    for v in scaled:
        for j in range(100, 0, -1):
            row[j] += v * row[j - 1]
    bits = row[100].bit_length() - 64
    exact = np.log(float(row[100] >> bits)) + (bits - 60 * 100) * np.log(2.0)
    found = polynomials.log_polynomial(np.log(values), 100)
    assert found == pytest.approx(exact, rel=1e-12)
    whole = polynomials.log_polynomials(np.log(values), 100)[-1, 100]
    assert whole == pytest.approx(exact, rel=1e-12)


def test_choice_of_eigenvectors_has_the_probabilities_of_enumeration() -> None:
    values = np.array([0.3, 1.0, 2.0, 0.7, 5.0])
    table = polynomials.selection_table(np.log(values), 2)
    rng = np.random.default_rng(2)
    pairs = list(itertools.combinations(range(5), 2))
    weights = np.array([values[list(pair)].prod() for pair in pairs])
    single = [tuple(polynomials.select(table, rng).tolist()) for _ in range(5000)]
    together = [
        tuple(np.flatnonzero(m).tolist()) for m in polynomials.select_many(table, 5000, rng)
    ]
    for drawn in (single, together):
        counts = np.array([drawn.count(pair) for pair in pairs])
        expected = 5000 * weights / weights.sum()
        statistic = ((counts - expected) ** 2 / expected).sum()
        assert (statistic - 9) / np.sqrt(18) < 4.0


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(OptionsError, match=r"at most 5, the rank of the kernel.*Received: 6"):
        KDPP(L, 6)
    with pytest.raises(OptionsError, match=r"at most 8, the number of items.*Received: 9"):
        KDPP(L, 9)
    with pytest.raises(OptionsError, match=r"k must be an integer of at least 1"):
        KDPP(L, 0)
    with pytest.raises(DataError, match=r"symmetric"):
        KDPP(np.triu(np.ones((2, 2))), 1)
    with pytest.raises(DataError, match=r"eigenvalue 1"):
        KDPP(K=np.eye(3), k=2)
    with pytest.raises(DataError, match=r"probability is 0"):
        KDPP(L, 2).condition([0, 1, 2])
    assert KDPP(L, 2).log_prob([0]) == -np.inf
