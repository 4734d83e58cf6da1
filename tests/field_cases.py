"""Discrete fields small enough to sum over all their states, and what the sums give."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

from tfbdl import diagnostics


class Case(NamedTuple):
    """A field in plain numbers: pairs of sites with a coupling each, and what labels add."""

    sites: int
    states: int
    pairs: list[tuple[int, int]]
    beta: Any
    log_likelihood: Any = None


def neighbours(rows: int, columns: int, periodic: bool = False) -> list[tuple[int, int]]:
    """Each pair of neighbours of a grid once, found by looking at all pairs of cells."""

    def apart(a: int, b: int, side: int) -> int:
        return min(abs(a - b), side - abs(a - b)) if periodic else abs(a - b)

    cells = list(itertools.product(range(rows), range(columns)))
    return [
        (i, j)
        for (i, a), (j, b) in itertools.combinations(enumerate(cells), 2)
        if apart(a[0], b[0], rows) + apart(a[1], b[1], columns) == 1
    ]


class Exact:
    """All states of a case, with their probabilities."""

    def __init__(self, case: Case) -> None:
        states = itertools.product(range(case.states), repeat=case.sites)
        self.z = np.array(list(states), np.int8)
        beta = np.broadcast_to(case.beta, len(case.pairs))
        self.bonds = np.zeros(len(self.z))
        self.log_weight = np.zeros(len(self.z))
        for (i, j), coupling in zip(case.pairs, beta, strict=True):
            equal = self.z[:, i] == self.z[:, j]
            self.bonds += equal
            self.log_weight += coupling * equal
        if case.log_likelihood is not None:
            for i, row in enumerate(case.log_likelihood):
                self.log_weight += np.asarray(row)[self.z[:, i]]
        largest = self.log_weight.max()
        weight = np.exp(self.log_weight - largest)
        self.log_z = float(np.log(weight.sum()) + largest)
        self.p = weight / weight.sum()

    def mean(self, values: Any) -> float:
        """The expectation of one number for each state."""
        return float(self.p @ values)

    def marginals(self, states: int) -> np.ndarray:
        """``[site, state]``."""
        return np.stack([self.p @ (self.z == state) for state in range(states)], axis=1)


def z_score(draws: Any, expected: float) -> float:
    """How many standard errors, corrected for autocorrelation, ``[chain, draw]`` is off."""
    values = np.asarray(draws, np.float64)
    return float((values.mean() - expected) / diagnostics.mcse_mean(values))


RNG = np.random.default_rng(7)
GRID = neighbours(3, 3)
TORUS = neighbours(3, 3, periodic=True)
CASES = {
    "free, beta 0.5": Case(9, 3, GRID, 0.5),
    "periodic, beta 0.8": Case(9, 3, TORUS, 0.8),
    "Ising 4 x 4, near criticality": Case(16, 2, neighbours(4, 4, periodic=True), 0.8814),
    "with data": Case(9, 3, GRID, 0.5, RNG.normal(size=(9, 3))),
    "data, couplings that differ, any graph": Case(
        7,
        3,
        [(0, 1), (0, 2), (0, 3), (1, 2), (3, 4), (4, 5), (5, 3), (2, 6), (1, 2)],
        RNG.uniform(0.0, 1.5, 9),
        RNG.normal(size=(7, 3)),
    ),
}
BONDS = {"free, beta 0.5": 5.492778, "periodic, beta 0.8": 12.893858}
BONDS["Ising 4 x 4, near criticality"] = 28.525416
"""Expected numbers of equal neighbours, published beside the methods."""
