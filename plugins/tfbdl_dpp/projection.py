"""Exact draws of projection DPPs: the second phase of every spectral sampler.

Columns V ``[n, k]`` are orthonormal; the process has marginal kernel ``V V'`` and always k items.
By the chain rule, given t items the next is i with probability ``|r_i|^2 / (k - t)``, where r_i is
what is left of row i beyond the span of the rows that were taken.

One draw proposes items by ``|v_i|^2 / k`` and accepts one with probability ``|r_i|^2 / |v_i|^2``,
which gives that very law and looks at the proposed rows alone. When half the items are taken, the
columns are turned to the complement of their span, a projection DPP of half the rank; so an item
costs two proposals or fewer on average, and nearly all arithmetic is in matrix products.
Many draws of a small ground set take each step of the chain rule together.

References:
    Kulesza & Taskar 2012, algorithm 1.
    Gautier, Bardenet, Valko 2019, "On two ways to use determinantal point processes for Monte
    Carlo integration", section 2.2 (the chain rule with rejections).
"""

from __future__ import annotations

import numpy as np
from scipy import linalg

BLOCK = 64
SPENT = 1e-10  # of a row's squared norm: below it the row lies in the span of those taken
BATCH_BYTES = 2**26


def sample_projection(V: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One draw.

    Args:
        V: Orthonormal columns, ``[n, k]``.
        rng: Where the randomness comes from.

    Returns:
        k sorted indices.
    """
    taken: list[int] = []
    while V.shape[1] > 1:
        half = _take(V, V.shape[1] - V.shape[1] // 2, rng)
        taken += half
        Q = linalg.qr(V[half].T, check_finite=False)[0]
        V = V @ Q[:, len(half) :]
    if V.shape[1]:
        taken.append(_pick(V[:, 0] ** 2, rng))
    return np.sort(np.asarray(taken, np.int64))


def sample_projections(
    vectors: np.ndarray, masks: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Many draws, each of some of the same orthonormal columns.

    Args:
        vectors: ``[n, r]``.
        masks: Which columns each draw has: boolean ``[draws, r]``.
        rng: Where the randomness comes from.

    Returns:
        Which items each draw has: boolean ``[draws, n]``.
    """
    size = max(1, BATCH_BYTES // (8 * vectors.size))
    parts = [
        _batch(vectors, masks[start : start + size], rng) for start in range(0, len(masks), size)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, len(vectors)), bool)


def _take(V: np.ndarray, count: int, rng: np.random.Generator) -> list[int]:
    """The first ``count`` items of the chain."""
    norms = np.einsum("ij,ij->i", V, V)
    cumulative = np.cumsum(norms)
    taken: list[int] = []
    basis = np.empty((0, V.shape[1]))  # orthonormal rows, of the span of those taken
    while len(taken) < count:
        items = np.searchsorted(cumulative, rng.random(BLOCK) * cumulative[-1], side="right")
        items = np.minimum(items, len(V) - 1)
        uniforms = rng.random(BLOCK)
        rows = V[items]
        rows = rows - (rows @ basis.T) @ basis
        gram = rows @ rows.T
        bounds = np.maximum(uniforms, SPENT) * norms[items]
        kept: list[int] = []
        for j in range(BLOCK):
            pivot = gram[j, j]
            if pivot <= bounds[j]:
                continue
            kept.append(j)
            if len(taken) + len(kept) == count:
                break
            column = gram[j + 1 :, j] / np.sqrt(pivot)
            gram[j + 1 :, j + 1 :] -= column[:, np.newaxis] * column
        taken += items[kept].tolist()
        if kept:
            fresh = linalg.qr(rows[kept].T, mode="economic", check_finite=False)[0].T
            basis = np.concatenate([basis, fresh])
    return taken


def _batch(vectors: np.ndarray, masks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws that fit into memory together, the chain rule step by step."""
    left = masks.sum(axis=1)
    items = np.zeros((len(masks), len(vectors)), bool)
    V = vectors * masks[:, np.newaxis, :]
    active = np.arange(len(masks))
    for step in range(int(left.max(initial=0))):
        staying = left[active] > step
        if not staying.all():
            V, active = V[staying], active[staying]
        weights = np.einsum("cij,cij->ci", V, V)
        weights[items[active]] = 0.0
        cumulative = np.cumsum(weights, axis=1)
        edges = rng.random(len(active)) * cumulative[:, -1]
        picked = (cumulative[:, :-1] <= edges[:, np.newaxis]).sum(axis=1)
        items[active, picked] = True
        rows = V[np.arange(len(V)), picked]
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        V = V - np.matmul(V, rows[:, :, np.newaxis]) * rows[:, np.newaxis, :]
    return items


def _pick(weights: np.ndarray, rng: np.random.Generator) -> int:
    cumulative = np.cumsum(weights)
    place = np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right")
    return int(min(place, len(weights) - 1))
