"""Exact answers for Bayesian mixtures of a few rows: conjugate updates and sums over partitions."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator

import numpy as np
from scipy import special, stats

Prior = tuple[float, float, np.ndarray, np.ndarray]
"""beta0, nu0, m0, W0 of a Gauss-Wishart distribution."""

Partition = tuple[int, ...]
"""The block of each row, blocks numbered as they first appear."""


def condition(x: np.ndarray, prior: Prior) -> Prior:
    """The Gauss-Wishart posterior given rows, one row after the other."""
    beta, nu, m, W = prior
    inverse = np.linalg.inv(W)
    for row in x:
        inverse = inverse + beta / (beta + 1) * np.outer(row - m, row - m)
        m = (beta * m + row) / (beta + 1)
        beta, nu = beta + 1, nu + 1
    return beta, nu, m, np.linalg.inv(inverse)


def predictive(prior: Prior) -> stats._multivariate.multivariate_t_frozen:
    """The distribution of a new row: SciPy's Student t (Bishop 10.81, 10.82)."""
    beta, nu, m, W = prior
    degrees = nu + 1 - len(m)
    return stats.multivariate_t(m, np.linalg.inv(W) * (1 + beta) / (beta * degrees), degrees)


def log_marginal(x: np.ndarray, prior: Prior) -> float:
    """ln p(rows) of one component, by the chain rule."""
    return sum(float(predictive(condition(x[:i], prior)).logpdf(row)) for i, row in enumerate(x))


def canonical(z: np.ndarray) -> Partition:
    """The partition that labels stand for."""
    names: dict[int, int] = {}
    return tuple(names.setdefault(int(label), len(names)) for label in z)


def partitions(n: int, most: int) -> Iterator[Partition]:
    """Every partition of n rows into at most so many blocks."""
    return (z for z in itertools.product(range(most), repeat=n) if canonical(np.array(z)) == z)


def log_joints(
    x: np.ndarray, prior: Prior, most: int, log_prior: Callable[[list[int]], float]
) -> dict[Partition, float]:
    """ln p(partition, rows), where the prior of a partition depends on the sizes of its blocks."""

    @functools.cache
    def block(rows: tuple[int, ...]) -> float:
        return log_marginal(x[list(rows)], prior)

    found = {}
    for z in partitions(len(x), most):
        blocks = [tuple(np.flatnonzero(np.array(z) == b)) for b in range(max(z) + 1)]
        found[z] = log_prior([len(b) for b in blocks]) + sum(block(b) for b in blocks)
    return found


def dirichlet_multinomial(alpha: float, k: int) -> Callable[[list[int]], float]:
    """ln p(partition) of k components with Dirichlet(alpha, ..., alpha) weights."""

    def log_prior(sizes: list[int]) -> float:
        ways = special.gammaln(k + 1) - special.gammaln(k - len(sizes) + 1)
        counts = sum(special.gammaln(alpha + s) - special.gammaln(alpha) for s in sizes)
        whole = special.gammaln(k * alpha) - special.gammaln(k * alpha + sum(sizes))
        return float(ways + counts + whole)

    return log_prior


def chinese_restaurant(alpha: float) -> Callable[[list[int]], float]:
    """ln p(partition) of a Dirichlet process of concentration alpha."""

    def log_prior(sizes: list[int]) -> float:
        whole = special.gammaln(alpha) - special.gammaln(alpha + sum(sizes))
        return float(len(sizes) * np.log(alpha) + whole + sum(map(special.gammaln, sizes)))

    return log_prior


def normalised(log_joint: dict[Partition, float]) -> tuple[float, dict[Partition, float]]:
    """The log evidence, and the posterior probability of each partition."""
    evidence = float(special.logsumexp(list(log_joint.values())))
    return evidence, {z: float(np.exp(value - evidence)) for z, value in log_joint.items()}
