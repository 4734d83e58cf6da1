"""Exact draws of a DPP by one factorisation of its marginal kernel, without eigenvectors.

Items are decided one after the other: item j is kept with probability ``A_jj``, else 1 is taken
from ``A_jj``; then column j is eliminated, and the rest of A is the marginal kernel given the
decisions so far. It is the ``L D L'`` factorisation of ``K - I_rest`` whose D the draw decides,
with the arithmetic of a Cholesky factorisation (n^3 / 3), in blocks of matrix products.

References:
    Poulson 2020, "High-performance sampling of generic determinantal point processes",
    Philosophical Transactions of the Royal Society A 378, algorithms 1 and 3 (arXiv:1905.00165).
"""

from __future__ import annotations

import numpy as np
from scipy import linalg

BLOCK = 128
SMALL = 96  # items up to which many draws are made together
MANY = 8
BATCH_BYTES = 2**26


def sample_cholesky(K: np.ndarray, n: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Draws of the DPP with marginal kernel K.

    Args:
        K: ``[items, items]``.
        n: How many.
        rng: Where the uniforms come from.

    Returns:
        Sorted indices, an array for each draw.
    """
    if n >= MANY and len(K) <= SMALL:
        size = max(1, BATCH_BYTES // K.nbytes)
        counts = [min(size, n - start) for start in range(0, n, size)]
        return [
            np.flatnonzero(row) for c in counts for row in _together(K, rng.random((c, len(K))))
        ]
    return [np.flatnonzero(_blocked(K, rng.random(len(K)))) for _ in range(n)]


def _blocked(K: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """One draw; left-looking, so that each block of columns is updated by one product."""
    n = len(K)
    kept = np.zeros(n, bool)
    factor = np.zeros((n, n))
    pivots = np.zeros(n)
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        scaled = factor[start:stop, :start] * pivots[:start]
        panel = K[start:, start:stop] - factor[start:, :start] @ scaled.T
        width = stop - start
        square = panel[:width]
        kept[start:stop] = _decide(square, uniforms[start:stop])
        pivots[start:stop] = np.diagonal(square)
        unit = np.tril(square, -1) + np.eye(width)
        factor[start:stop, start:stop] = unit
        if stop < n:
            below = linalg.solve_triangular(
                unit, panel[width:].T, lower=True, unit_diagonal=True, check_finite=False
            )
            factor[stop:, start:stop] = below.T / pivots[start:stop]
    return kept


def _decide(A: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """Decide the items of a diagonal block, which becomes its factors (Poulson, algorithm 1)."""
    kept = np.zeros(len(A), bool)
    for j, uniform in enumerate(uniforms):
        kept[j] = uniform < A[j, j]
        if not kept[j]:
            A[j, j] -= 1.0
        column = A[j + 1 :, j] / A[j, j]
        A[j + 1 :, j + 1 :] -= column[:, np.newaxis] * A[j + 1 :, j]
        A[j + 1 :, j] = column
    return kept


def _together(K: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """As ``_decide`` for draws ``[n, items]``, which take each item together."""
    kept = np.zeros(uniforms.shape, bool)
    A = np.repeat(K[np.newaxis], len(uniforms), axis=0)
    for j in range(len(K)):
        pivot = A[:, 0, 0]
        kept[:, j] = uniforms[:, j] < pivot
        pivot = pivot - ~kept[:, j]
        column = A[:, 1:, 0]
        ratio = column / pivot[:, np.newaxis]
        A = A[:, 1:, 1:] - ratio[:, :, np.newaxis] * column[:, np.newaxis, :]
    return kept
