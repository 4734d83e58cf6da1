"""Greedy maximisation of the determinant, by a Cholesky factor that grows by a row at a time.

Each step takes the item that adds most to ``log det L_Y``: the one whose feature is furthest from
the span of those taken. It is a deterministic subset and no draw of the DPP.

References:
    Chen, Zhang, Zhou 2018, "Fast greedy MAP inference for determinantal point process to improve
    recommendation diversity", NeurIPS, algorithm 1.
    Minoux 1978, "Accelerated greedy algorithms for maximizing submodular set functions"; Hemmi et
    al. 2022, "Lazy and fast greedy MAP inference for determinantal point process", NeurIPS.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import linalg

from tfbdl.errors import DataError, OptionsError

from .checks import (
    EPS,
    check_array,
    check_L,
    check_size,
    check_symmetric,
    rounding,
)

CHECKED = 300  # items up to which L is factorised beforehand


def greedy_map(
    L: Any = None, k: int | None = None, *, features: Any = None, lazy: bool = False
) -> np.ndarray:
    """Items that make ``log det L_Y`` large, greedily.

    Args:
        L: Symmetric, positive semidefinite, ``[n, n]``.
        k: How many; None: as long as the determinant grows, so that the subset may be empty.
        features: F ``[n, d]`` with ``L = F F'``, in place of L.
        lazy: Update an item's gain only when it comes up for choice. The items are the same; of
            large ground sets with unequal qualities most are never looked at.

    Returns:
        Indices in the order in which they were taken, so that the first m are the answer for m.

    Raises:
        OptionsError: If k is above the number of items, or above the rank of the kernel.
        DataError: If the kernel is not symmetric, not positive, empty, or holds NaN.
    """
    if (L is None) == (features is None):
        raise OptionsError("Expected one of L and features. Received: both or none.")
    if features is not None:
        F = check_array(features, "features")
        size = None if k is None else check_size(k, len(F))
        diagonal = np.einsum("ij,ij->i", F, F)
        return _search(diagonal, lambda i: F @ F[i], lambda rows, i: F[rows] @ F[i], size, lazy)
    matrix = _kernel_of(L)
    size = None if k is None else check_size(k, len(matrix))
    diagonal = np.diagonal(matrix).copy()
    items = _search(
        diagonal, lambda i: _row(matrix, i), lambda rows, i: matrix[i, rows], size, lazy
    )
    if len(items):
        check_symmetric(matrix[np.ix_(items, items)], "L, between the items chosen,")
    return items


Row = Callable[[int], np.ndarray]
Entries = Callable[[np.ndarray, int], np.ndarray]


def _kernel_of(L: Any) -> np.ndarray:
    """A square matrix with a finite diagonal; a small one is checked whole.

    To read all of a large kernel takes ten times longer than the choice, which reads some of its
    rows alone: those are checked, and gains below zero tell that L is not positive.
    """
    matrix = np.asarray(L)
    if matrix.ndim != 2 or len(matrix) <= CHECKED or matrix.shape[0] != matrix.shape[1]:
        return check_L(L)
    diagonal = check_array(np.diagonal(matrix)[:, np.newaxis], "L")[:, 0]
    if diagonal.min() < 0.0:
        raise DataError(
            "L must be positive semidefinite: no eigenvalue below 0. "
            f"Received: {diagonal.min():g} on the diagonal."
        )
    return np.asarray(matrix, np.float64)


def _row(L: np.ndarray, item: int) -> np.ndarray:
    """A row of finite numbers."""
    row = L[item]
    if not np.isfinite(row).all():
        check_array(L, "L")
    return row


def _search(
    diagonal: np.ndarray, row: Row, entries: Entries, k: int | None, lazy: bool
) -> np.ndarray:
    floor = 16.0 * len(diagonal) * EPS * diagonal
    items = _lazy(diagonal, entries, floor, k) if lazy else _eager(diagonal, row, floor, k)
    if k is not None and len(items) < k:
        raise OptionsError(
            f"k must be at most {len(items)}, the rank of the kernel that greedy choice meets: "
            f"more items have determinant 0. Received: {k}."
        )
    return items


def _eager(d2: np.ndarray, row: Row, floor: np.ndarray, k: int | None) -> np.ndarray:
    """Chen et al. 2018, algorithm 1, with the rows of C as columns."""
    gains = d2.copy()
    limit = len(gains) if k is None else k
    C = np.empty((min(limit, 64), len(gains)))
    items: list[int] = []
    while len(items) < limit:
        best = int(gains.argmax())
        if gains[best] <= floor[best] or (k is None and gains[best] <= 1.0):
            break
        t = len(items)
        if t == len(C):
            C = np.concatenate([C, np.empty((min(t, limit - t), len(gains)))])
        e = (row(best) - C[:t, best] @ C[:t]) / np.sqrt(gains[best])
        C[t] = e
        gains -= e**2
        gains[best] = -np.inf
        items.append(best)
    _check_gain(float(gains[np.isfinite(gains)].min(initial=0.0)), d2)
    return np.asarray(items, np.int64)


def _lazy(d2: np.ndarray, entries: Entries, floor: np.ndarray, k: int | None) -> np.ndarray:
    """A gain only falls as items are taken: one that is up to date and still leads is the best."""
    limit = len(d2) if k is None else k
    heap = [(-gain, i, 0) for i, gain in enumerate(d2.tolist())]
    heapq.heapify(heap)
    rows: dict[int, np.ndarray] = {}
    factor = np.zeros((0, 0))
    items: list[int] = []
    while heap and len(items) < limit:
        gain, item, age = heap[0]
        _check_gain(-gain, d2)
        if -gain <= floor[item] or (k is None and -gain <= 1.0):
            break
        t = len(items)
        if age == t:
            heapq.heappop(heap)
            grown = np.zeros((t + 1, t + 1))
            grown[:t, :t] = factor
            grown[t, :t] = rows.pop(item, np.empty(0))
            grown[t, t] = np.sqrt(-gain)
            factor = grown
            items.append(item)
            continue
        known = rows.get(item, np.empty(0))
        fresh = entries(np.asarray(items[age:]), item) - factor[age:, :age] @ known
        fresh = linalg.solve_triangular(factor[age:, age:], fresh, lower=True, check_finite=False)
        if not np.isfinite(fresh).all():
            raise DataError(f"L must be finite. Received: NaN or infinite ones at item {item}.")
        rows[item] = np.concatenate([known, fresh])
        heapq.heapreplace(heap, (gain + float(fresh @ fresh), item, t))
    return np.asarray(items, np.int64)


def _check_gain(gain: float, diagonal: np.ndarray) -> None:
    """What an item adds to a determinant is below zero only where L is not positive."""
    if gain < -rounding(len(diagonal), float(diagonal.max(initial=0.0))):
        raise DataError(
            "L must be positive semidefinite: no eigenvalue below 0. "
            f"Received: a matrix whose principal minors have a ratio of {gain:g}."
        )
