"""Which rows to take for inducing points."""

from __future__ import annotations

import math

import numpy as np

from tfbdl import random

from .covariance_function import CovarianceFunction

POOL = 4_096
"""Rows that points are chosen from, at least; 20 for each point where that is more."""
NOTHING = 1e-10
"""Conditional variance, of the largest variance, below which a row tells nothing new."""


def chosen(covariance: CovarianceFunction, rows: np.ndarray, most: int) -> np.ndarray:
    """Indices of at most ``most`` rows, each where the function is least known from those before.

    It is a pivoted Cholesky decomposition, of a pool of rows drawn at seed 0. There are fewer where
    the function is known everywhere.

    Args:
        covariance: Of the function.
        rows: ``[n, ...]``.
        most: How many.

    References:
        Burt, Rasmussen & van der Wilk 2020, "Convergence of sparse variational inference in
        Gaussian process regression", section 4.2.
    """
    most = min(most, len(rows))
    order = np.argsort(random.uniform((len(rows),), random.key(0, "inducing")).numpy())
    pool = np.sort(order[: max(20 * most, POOL)])
    residual = covariance.diagonal(rows[pool]).astype(np.float64)
    level, factors = residual.max(), np.zeros((most, len(pool)))
    found: list[int] = []
    for step in range(most):
        best = int(residual.argmax())
        if residual[best] <= NOTHING * level:
            break
        found.append(best)
        row = covariance.matrix(rows[pool[[best]]], rows[pool])[0]
        row = row - factors[:step, best] @ factors[:step]
        factors[step] = row / math.sqrt(residual[best])
        residual = np.maximum(residual - factors[step] ** 2, 0.0)
        residual[best] = 0.0
    return pool[found]
