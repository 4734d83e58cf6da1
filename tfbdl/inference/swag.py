"""SWAG: a normal from the weights that stochastic gradient descent passes on its way.

References:
    Maddox, Garipov, Izmailov, Vetrov and Wilson 2019, "A Simple Baseline for Bayesian Uncertainty
    in Deep Learning", algorithm 1.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Self

import numpy as np

from .normals import LowRankNormal


class Trajectory(NamedTuple):
    """What is kept of the snapshots so far.

    Attributes:
        snapshots: How many there were.
        mean: ``[D]``.
        squares: Sum of squared deviations from the mean, ``[D]``.
        deviations: ``[K, D]``: of the last snapshots, from the mean as it was then.
    """

    snapshots: np.ndarray
    mean: np.ndarray
    squares: np.ndarray
    deviations: np.ndarray

    @classmethod
    def empty(cls, size: int) -> Self:
        """Before the first snapshot."""
        zeros = np.zeros(size)
        return cls(np.zeros((), np.int64), zeros, zeros, np.zeros((0, size)))

    def with_snapshot(self, weights: np.ndarray, rank: int) -> Self:
        """With one more, ``[D]``; of deviations the last ``rank`` are kept."""
        count = self.snapshots + 1
        before = weights - self.mean
        mean = self.mean + before / count
        after = weights - mean
        deviations = np.concatenate([self.deviations, after[np.newaxis]])
        kept = deviations[len(deviations) - min(rank, len(deviations)) :]
        return type(self)(count, mean, self.squares + before * after, kept)

    def normal(self) -> LowRankNormal:
        """``N(mean, diag / 2 + deviations' deviations / (2 (K - 1)))``.

        Without deviations to speak of, the diagonal is the whole covariance (SWAG-Diagonal).
        """
        diagonal = self.squares / self.snapshots
        K = len(self.deviations)
        if K < 2:
            return LowRankNormal(self.mean, np.sqrt(diagonal), np.zeros((0, len(self.mean))))
        factors = self.deviations / math.sqrt(2.0 * (K - 1))
        return LowRankNormal(self.mean, np.sqrt(0.5 * diagonal), factors)
