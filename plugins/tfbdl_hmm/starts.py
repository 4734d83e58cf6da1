"""Where Baum-Welch begins: states found by k-means on the observations, or at random.

References:
    Arthur & Vassilvitskii 2007, "k-means++: the advantages of careful seeding".
"""

from __future__ import annotations

import numpy as np

from tfbdl.standardization import standardised

LLOYD_STEPS = 20
STAYING = 0.5
"""The probability to stay in a state that random starts give at least."""


def k_means(points: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """The cluster of each point, by Lloyd's algorithm from k-means++ seeds.

    Distances are in standard deviations of each column.

    Args:
        points: ``[m, d]``, at least one.
        k: Clusters.
        rng: Of the seeds.

    Returns:
        ``[m]``, from 0 to k - 1.
    """
    scaled = standardised(points)
    centres = scaled[rng.integers(len(scaled))][np.newaxis]
    while len(centres) < k:
        gap = _squared_distances(scaled, centres).min(axis=1)
        total = gap.sum()
        chance = gap / total if total > 0 else np.full(len(gap), 1.0 / len(gap))
        centres = np.vstack([centres, scaled[rng.choice(len(scaled), p=chance)]])
    labels = _squared_distances(scaled, centres).argmin(axis=1)
    for _ in range(LLOYD_STEPS):
        for j in np.unique(labels):
            centres[j] = scaled[labels == j].mean(axis=0)
        before, labels = labels, _squared_distances(scaled, centres).argmin(axis=1)
        if (before == labels).all():
            break
    return labels


def chain_of_labels(labels: np.ndarray, k: int) -> dict[str, np.ndarray]:
    """``initial [k]`` and ``transition [k, k]`` of labelled steps, with one more of each kind.

    Args:
        labels: ``[n, T]``; -1 where the label is not known.
        k: States.
    """
    counts = np.ones((k, k))
    before, after = labels[:, :-1], labels[:, 1:]
    known = (before >= 0) & (after >= 0)
    np.add.at(counts, (before[known], after[known]), 1.0)
    return {
        "initial": np.full(k, 1.0 / k),
        "transition": counts / counts.sum(axis=1, keepdims=True),
    }


def random_chain(k: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """``initial [k]`` even, ``transition [k, k]`` at random with a tendency to stay."""
    rows = rng.dirichlet(np.ones(k), size=k)
    transition = STAYING * np.eye(k) + (1.0 - STAYING) * rows
    return {"initial": np.full(k, 1.0 / k), "transition": transition}


def random_probs(counts: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """The frequencies of the symbols, tilted at random for each state: ``[k, symbols]``."""
    tilted = (counts + 0.5) * rng.gamma(1.0, size=(k, len(counts)))
    return tilted / tilted.sum(axis=1, keepdims=True)


def _squared_distances(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """``[m, k]``."""
    return np.stack([((points - centre) ** 2).sum(axis=1) for centre in centres], axis=1)
