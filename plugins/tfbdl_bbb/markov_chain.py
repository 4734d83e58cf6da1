"""A stationary Markov chain over symbols, whose entropy rate is in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .rnn_config import MarkovTextOptions


@dataclass(frozen=True, kw_only=True, eq=False)
class MarkovChain:
    """``p(x_t | x_t-k, ..., x_t-1)``.

    Attributes:
        transition: ``[K^k, K]``; the rows are the last k symbols, the oldest the most significant.
        order: k.
    """

    transition: np.ndarray
    order: int

    @classmethod
    def of(cls, options: MarkovTextOptions) -> MarkovChain:
        """The chain of a data set: rows from a symmetric Dirichlet distribution."""
        K = options.num_symbols
        random = np.random.default_rng([options.chain_seed, K, options.order])
        alpha = np.full(K, options.concentration)
        rows = random.dirichlet(alpha, K**options.order)
        return cls(transition=(rows + 1e-6) / (1.0 + K * 1e-6), order=options.order)

    @property
    def num_symbols(self) -> int:
        """K."""
        return int(self.transition.shape[1])

    @property
    def stationary(self) -> np.ndarray:
        """``[K^k]``: how often each k symbols in a row occur.

        By the power method: one step is an einsum over the oldest symbol, in ``K^(k+1)`` products.
        """
        K, contexts = self.num_symbols, len(self.transition)
        now = np.full(contexts, 1.0 / contexts)
        for _ in range(100_000):
            after = (now[:, np.newaxis] * self.transition).reshape(K, -1, K).sum(axis=0).ravel()
            if np.abs(after - now).sum() < 1e-14:
                break
            now = after
        return after / after.sum()

    @property
    def entropy_rate(self) -> float:
        """``- sum_c pi_c sum_x p(x | c) log p(x | c)``, in nats per symbol.

        References:
            Cover & Thomas 2006, "Elements of Information Theory", theorem 4.2.4.
        """
        entropies = -np.sum(self.transition * np.log(self.transition), axis=1)
        return float(self.stationary @ entropies)

    def sample(self, rows: int, length: int, seed: Any) -> np.ndarray:
        """Independent rows ``[rows, length]`` that begin in the stationary distribution."""
        random, K = np.random.default_rng(seed), self.num_symbols
        context = random.choice(len(self.transition), rows, p=self.stationary)
        cumulative = np.cumsum(self.transition, axis=1)
        cumulative[:, -1] = 1.0
        found = np.empty((rows, length), np.int32)
        for t in range(length):
            uniform = random.random(rows)[:, np.newaxis]
            symbol = (uniform >= cumulative[context]).sum(axis=1)
            found[:, t] = symbol
            context = (context * K + symbol) % len(self.transition)
        return found

    def log_probs(self, rows: np.ndarray) -> np.ndarray:
        """``log p(x_t | ...)`` of the symbols of ``rows [n, T]`` but k of each: ``[n, T - k]``."""
        K, k = self.num_symbols, self.order
        rows = np.asarray(rows, np.int64)
        length = rows.shape[1]
        context = sum(rows[:, i : length - k + i] * K ** (k - 1 - i) for i in range(k))
        found: np.ndarray = np.log(self.transition[context, rows[:, k:]])
        return found
