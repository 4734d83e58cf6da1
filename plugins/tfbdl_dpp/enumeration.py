"""The probabilities of all subsets of a small ground set, for sums that have no closed form."""

from __future__ import annotations

import numpy as np

from .checks import EPS

MAX_ITEMS = 16


def principal_minors(L: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``det L_Y`` of every subset Y, by Schur complements of all subsets of the items before.

    Args:
        L: Positive semidefinite, ``[n, n]`` with n at most 16.

    Returns:
        Minors ``[2^n]``, and the sizes of the subsets ``[2^n]``.

    References:
        Griffin & Tsatsomeros 2006, "Principal minors, part I", Linear Algebra and its Applications
        419, algorithm 2.1.
    """
    minors, sizes, rest = np.ones(1), np.zeros(1, int), L[np.newaxis]
    floor = 16.0 * len(L) * EPS * np.diagonal(L)
    for j in range(len(L)):
        pivot = rest[:, 0, 0]
        inside = pivot > floor[j]  # otherwise the item is in the span of those that were taken
        safe = np.where(inside, pivot, 1.0)
        column, without = rest[:, 1:, 0], rest[:, 1:, 1:]
        update = column[:, :, np.newaxis] * column[:, np.newaxis] / safe[:, np.newaxis, np.newaxis]
        rest = np.concatenate([without, without - update])
        minors = np.concatenate([minors, np.where(inside, minors * pivot, 0.0)])
        sizes = np.concatenate([sizes, sizes + 1])
    return minors, sizes


def subset_probabilities(K: np.ndarray) -> np.ndarray:
    """``P(Y)`` of every subset of a DPP with marginal kernel K ``[n, n]``, n at most 16: ``[2^n]``.

    Item by item: in with probability ``A_jj``, out with ``1 - A_jj``, as in the sampler without
    eigenvectors.
    """
    probabilities, rest = np.ones(1), K[np.newaxis]
    for _ in range(len(K)):
        pivot = np.clip(rest[:, 0, 0], 0.0, 1.0)
        column, others = rest[:, 1:, 0], rest[:, 1:, 1:]
        outer = column[:, :, np.newaxis] * column[:, np.newaxis]
        branches = []
        for share, sign in ((1.0 - pivot, 1.0), (pivot, -1.0)):
            possible = share > 16.0 * len(K) * EPS
            scale = np.where(possible, sign / np.where(possible, share, 1.0), 0.0)
            weights = np.where(possible, probabilities * share, 0.0)
            branches.append((weights, others + scale[:, np.newaxis, np.newaxis] * outer))
        probabilities = np.concatenate([weights for weights, _ in branches])
        rest = np.concatenate([matrix for _, matrix in branches])
    return probabilities


def entropy(probabilities: np.ndarray) -> float:
    """``-sum p log p`` in nats."""
    positive = probabilities[probabilities > 0.0]
    return float(-(positive * np.log(positive)).sum())
