"""Ground sets small enough to enumerate, and what enumeration says of them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

Subset = tuple[int, ...]


def subsets_of(n: int) -> list[Subset]:
    """All subsets of n items."""
    return [s for size in range(n + 1) for s in itertools.combinations(range(n), size)]


def determinants(L: np.ndarray) -> np.ndarray:
    """``det L_Y`` of all subsets, by LU factors of each block."""
    return np.array([np.linalg.det(L[np.ix_(s, s)]) if s else 1.0 for s in subsets_of(len(L))])


def probabilities(L: np.ndarray, k: int | None = None) -> np.ndarray:
    """``P(Y)`` of all subsets of the DPP, or of the k-DPP, by the sum of all determinants."""
    found = determinants(L)
    if k is not None:
        found = np.where([len(s) == k for s in subsets_of(len(L))], found, 0.0)
    return found / found.sum()


def given(p: np.ndarray, n: int, include: Iterable[int], exclude: Iterable[int]) -> np.ndarray:
    """The same under a condition, by Bayes' rule."""
    inside, outside = set(include), set(exclude)
    fits = [inside <= set(s) and not outside & set(s) for s in subsets_of(n)]
    found = np.where(fits, p, 0.0)
    return found / found.sum()


def marginals(p: np.ndarray, n: int) -> np.ndarray:
    """``P(A in Y)`` of all subsets A, by sums over all that hold A."""
    bits = np.array([sum(1 << i for i in s) for s in subsets_of(n)])
    return np.array([p[(bits & a) == a].sum() for a in bits])


def chi_square_z(draws: Sequence[np.ndarray] | np.ndarray, p: np.ndarray, n: int) -> float:
    """Pearson's statistic of draws, centred and scaled: about N(0, 1) if they follow p.

    Subsets that are expected fewer than five times are counted together. One of probability 0 that
    was drawn gives inf.
    """
    place = {s: i for i, s in enumerate(subsets_of(n))}
    drawn = [place[tuple(int(i) for i in draw)] for draw in draws]
    counts = np.bincount(drawn, minlength=len(p)).astype(float)
    if counts[p <= 0.0].any():
        return float("inf")
    expected = len(drawn) * p
    large = expected >= 5.0
    counts = np.append(counts[large], counts[~large].sum())
    expected = np.append(expected[large], expected[~large].sum())
    used = expected > 0.0
    degrees = int(used.sum()) - 1
    statistic = ((counts[used] - expected[used]) ** 2 / expected[used]).sum()
    return float((statistic - degrees) / np.sqrt(2.0 * degrees))


def random_kernel(n: int, rank: int, seed: int = 0) -> np.ndarray:
    """``B B'`` with normal B, whose subsets have about half of ``rank`` items."""
    B = np.random.default_rng(seed).normal(size=(n, rank)) / np.sqrt(n)
    return B @ B.T
