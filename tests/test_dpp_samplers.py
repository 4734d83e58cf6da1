"""Every sampler against the probabilities of all subsets, by chi-square of 20,000 draws."""

from __future__ import annotations

import dpp_cases as cases
import numpy as np
import pytest
from tfbdl_dpp import DPP, KDPP, cholesky, kernels, spectral
from tfbdl_dpp.greedy import greedy_map

from tfbdl.errors import DataError, OptionsError

N, K, DRAWS = 7, 3, 20_000
FEATURES = cases.random_kernel(N, 4, seed=1)[:, :4] * 2.0
L = FEATURES @ FEATURES.T
FULL = L + 0.2 * np.eye(N)
LIMIT = 4.0  # standard deviations of the statistic


@pytest.mark.parametrize("method", ["spectral", "cholesky", "mcmc"])
def test_draws_of_a_dpp_follow_its_probabilities(method: str) -> None:
    draws = DPP(FULL).sample(DRAWS, seed=1, method=method)
    assert abs(cases.chi_square_z(draws, cases.probabilities(FULL), N)) < LIMIT


@pytest.mark.parametrize("method", ["spectral", pytest.param("mcmc", marks=pytest.mark.slow)])
def test_draws_from_features_follow_the_probabilities_of_their_kernel(method: str) -> None:
    draws = DPP(features=FEATURES).sample(DRAWS, seed=2, method=method)
    assert abs(cases.chi_square_z(draws, cases.probabilities(L), N)) < LIMIT


@pytest.mark.parametrize("method", ["spectral", pytest.param("mcmc", marks=pytest.mark.slow)])
def test_draws_of_a_k_dpp_follow_its_probabilities(method: str) -> None:
    draws = KDPP(FULL, K).sample(DRAWS, seed=3, method=method)
    assert draws.shape == (DRAWS, K)
    assert abs(cases.chi_square_z(draws, cases.probabilities(FULL, K), N)) < LIMIT


def test_draws_of_a_k_dpp_from_features_follow_its_probabilities() -> None:
    draws = KDPP(features=FEATURES, k=K).sample(DRAWS, seed=4)
    assert abs(cases.chi_square_z(draws, cases.probabilities(L, K), N)) < LIMIT


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spectral", "cholesky"])
def test_draws_one_by_one_follow_the_probabilities_too(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large ground sets are drawn from by other code than many draws of a small one."""
    monkeypatch.setattr(spectral, "SMALL", 0)
    monkeypatch.setattr(cholesky, "SMALL", 0)
    monkeypatch.setattr(cholesky, "BLOCK", 3)  # so that seven items are three blocks
    draws = DPP(FULL).sample(DRAWS, seed=5, method=method)
    assert abs(cases.chi_square_z(draws, cases.probabilities(FULL), N)) < LIMIT


def test_large_ground_sets_have_the_expected_sizes_and_inclusions() -> None:
    x = np.random.default_rng(0).uniform(size=(400, 2))
    process = DPP(5.0 * kernels.rbf(x, length_scale=0.1))
    assert process.variance > 1.0
    by_method = {m: process.sample(24, seed=6, method=m) for m in ("spectral", "cholesky")}
    for draws in by_method.values():
        sizes = np.array([len(draw) for draw in draws])
        error = np.sqrt(process.variance / len(draws))
        assert abs(sizes.mean() - process.expected_size) < 4.0 * error
        left = np.array([(x[draw, 0] < 0.5).sum() for draw in draws])
        inside = x[:, 0] < 0.5
        expected = process.inclusion_probabilities()[inside].sum()
        error = np.sqrt(expected / len(draws))  # repulsion makes it smaller than Poisson's
        assert abs(left.mean() - expected) < 4.0 * error


def test_mcmc_of_a_larger_ground_set_has_the_exact_inclusions() -> None:
    x = np.random.default_rng(0).uniform(size=(60, 2))
    process = DPP(4.0 * kernels.rbf(x, length_scale=0.2))
    p = process.inclusion_probabilities()
    masks = np.zeros((512, 60), bool)
    for mask, draw in zip(masks, process.sample(512, seed=7, method="mcmc"), strict=True):
        mask[draw] = True
    z = (masks.mean(axis=0) - p) / np.sqrt(p * (1.0 - p) / 512)
    assert np.abs(z).max() < 4.5  # of sixty


@pytest.mark.parametrize("process", [DPP(FULL), DPP(features=FEATURES), KDPP(FULL, K)])
def test_the_same_seed_gives_the_same_subsets_and_another_others(process: DPP | KDPP) -> None:
    first, again, other = (process.sample(20, seed=s) for s in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_greedy_is_the_exhaustive_optimum_where_items_come_in_tight_groups(
    k: int, lazy: bool
) -> None:
    """Three orthogonal groups of different quality: the best k are the best of the best groups."""
    quality = np.array([2.0, 1.9, 1.5, 1.4, 1.2, 1.1])
    similarity = np.kron(np.eye(3), [[1.0, 0.99], [0.99, 1.0]])
    kernel = kernels.quality_diversity(quality, similarity)
    minors = cases.determinants(kernel)
    sizes = np.array([len(s) for s in cases.subsets_of(6)])
    best = cases.subsets_of(6)[int(np.where(sizes == k, minors, 0.0).argmax())]
    assert tuple(sorted(greedy_map(kernel, k, lazy=lazy).tolist())) == best


@pytest.mark.parametrize("k", [None, 10, 40])
def test_lazy_greedy_is_greedy_from_a_kernel_and_from_features(k: int | None) -> None:
    rng = np.random.default_rng(2)
    F = rng.normal(size=(300, 50)) * np.exp(rng.normal(size=(300, 1)))
    plain = greedy_map(F @ F.T, k)
    for other in (
        greedy_map(F @ F.T, k, lazy=True),
        greedy_map(features=F, k=k),
        greedy_map(features=F, k=k, lazy=True),
    ):
        np.testing.assert_array_equal(other, plain)


def test_greedy_takes_at_each_step_what_adds_most() -> None:
    taken: list[int] = []
    for item in greedy_map(FULL, 4):
        others = [i for i in range(N) if i not in taken]
        minors = [np.linalg.det(FULL[np.ix_([*taken, i], [*taken, i])]) for i in others]
        assert item == others[int(np.argmax(minors))]
        taken.append(int(item))


def test_greedy_without_k_stops_where_the_determinant_falls() -> None:
    assert sorted(greedy_map(np.diag([3.0, 0.5, 2.0, 0.9])).tolist()) == [0, 2]
    assert greedy_map(0.5 * np.eye(3)).tolist() == []


@pytest.mark.parametrize("lazy", [False, True])
def test_greedy_refuses_what_it_cannot_choose_from(lazy: bool) -> None:
    with pytest.raises(OptionsError, match=r"at most 2, the rank of the kernel that greedy"):
        greedy_map(features=np.eye(4)[:, :2], k=3, lazy=lazy)
    with pytest.raises(OptionsError, match=r"at most 2, the number of items"):
        greedy_map(np.eye(2), 3, lazy=lazy)
    with pytest.raises(DataError, match=r"symmetric"):
        greedy_map([[1.0, 0.5], [0.0, 1.0]], 1, lazy=lazy)
    large = np.eye(1200)
    large[0, 1] = large[1, 0] = 1.5
    with pytest.raises(DataError, match=r"positive semidefinite"):
        greedy_map(large, 1200, lazy=lazy)
    large[0, 0] = large[1, 1] = 3.0
    large[0, 1] = 0.5
    with pytest.raises(DataError, match=r"between the items chosen, must be symmetric"):
        greedy_map(large, 2, lazy=lazy)
    large[0, 1] = large[1, 0] = np.nan
    with pytest.raises(DataError, match=r"must be finite"):
        greedy_map(large, 2, lazy=lazy)
    with pytest.raises(DataError, match=r"Received: -1 on the diagonal"):
        greedy_map(np.diag(np.where(np.arange(1200) == 7, -1.0, 1.0)), 3, lazy=lazy)
