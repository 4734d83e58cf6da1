"""Elementary symmetric polynomials in log space, and the choice of eigenvectors of a k-DPP.

``e_k(l_1, ..., l_n)`` is the sum of the products of all k-subsets. All terms are positive, so the
sums of logarithms lose no digits, and nothing overflows.

References:
    Kulesza & Taskar 2012, algorithms 7 and 8.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp


def log_polynomials(log_values: np.ndarray, k: int) -> np.ndarray:
    """``log e_j`` of the first m values, for all j up to k and m up to n.

    ``e_j(m) = e_j(m - 1) + l_m e_{j-1}(m - 1)`` (Kulesza & Taskar 2012, algorithm 7).

    Args:
        log_values: ``log l``, ``[n]``; -inf for a value 0.
        k: The largest degree.

    Returns:
        ``[n + 1, k + 1]``; -inf where j > m.
    """
    table = np.full((len(log_values) + 1, k + 1), -np.inf)
    table[:, 0] = 0.0
    for m, value in enumerate(log_values):
        np.logaddexp(table[m, 1:], value + table[m, :-1], out=table[m + 1, 1:])
    return table


def log_polynomial(log_values: np.ndarray, k: int) -> float:
    """``log e_k`` of all values, in the memory of one row."""
    row = np.full(k + 1, -np.inf)
    row[0] = 0.0
    for value in log_values:
        row[1:] = np.logaddexp(row[1:], value + row[:-1])
    return float(row[k])


def inclusion(log_values: np.ndarray, k: int) -> np.ndarray:
    """How probably each eigenvector is among the k of a k-DPP: ``l_m e_{k-1}(others) / e_k``.

    The polynomial of the others is a sum over how many of them come before m, of products of two
    tables: no difference, hence no cancellation.

    Returns:
        ``[n]``, which sums to k.
    """
    before = log_polynomials(log_values, k - 1)[:-1]
    after = log_polynomials(log_values[::-1], k - 1)[-2::-1]
    with np.errstate(invalid="ignore"):
        others = logsumexp(before + after[:, ::-1], axis=1)
    return np.asarray(np.exp(log_values + others - log_polynomial(log_values, k)))


def selection_table(log_values: np.ndarray, k: int) -> np.ndarray:
    """``P(m is chosen | j are still to be chosen from the first m)``, ``[k + 1, n]``."""
    table = log_polynomials(log_values, k)
    shape = (len(log_values), k)
    chosen = log_values[:, np.newaxis] + table[:-1, :-1]
    possible = table[1:, 1:] > -np.inf
    logs = np.subtract(chosen, table[1:, 1:], out=np.full(shape, -np.inf), where=possible)
    return np.concatenate([np.zeros((1, len(log_values))), np.exp(logs).T])


def select(table: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The eigenvectors of one draw, k of n (Kulesza & Taskar 2012, algorithm 8).

    From the last value to the first; steps at which none is chosen are passed over at once.

    Args:
        table: Of ``selection_table``.
        rng: Where the uniforms come from.

    Returns:
        k sorted indices.
    """
    k, end = len(table) - 1, table.shape[1]
    uniforms = rng.random((end,))
    chosen = np.empty(k, np.int64)
    for left in range(k, 0, -1):
        end = int(np.flatnonzero(uniforms[:end] < table[left, :end])[-1])
        chosen[left - 1] = end
    return chosen


def select_many(table: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """The eigenvectors of n draws at once: boolean ``[n, values]``."""
    left = np.full(n, len(table) - 1)
    masks = np.zeros((n, table.shape[1]), bool)
    for m in range(table.shape[1] - 1, -1, -1):
        masks[:, m] = rng.random(n) < table[left, m]
        left -= masks[:, m]
    return masks
