"""k-DPPs: determinantal point processes given that the subset has k items.

References:
    Kulesza & Taskar 2011, "k-DPPs: fixed-size determinantal point processes", ICML.
    Kulesza & Taskar 2012, section 5.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Self

import numpy as np

from tfbdl.config import check_choice, check_whole
from tfbdl.errors import DataError

from . import symmetric_polynomials as polynomials
from .chains import exchange
from .checks import check_size, check_subset
from .ensemble import FeatureEnsemble, L_of, LEnsemble
from .enumeration import principal_minors
from .process import SAMPLE, SubsetProcess, ensemble_of, generator
from .spectral import MANY, Spectrum, sample_selected

METHODS = ("spectral", "mcmc")


class KDPP(SubsetProcess):
    """``P(Y) = det L_Y / e_k(l)`` for subsets of k items; l are the eigenvalues of L.

    The kernel is decomposed when the process is made, since its rank bounds k.

    Args:
        L: Symmetric, positive semidefinite, ``[n, n]``.
        k: Items of a subset; at most the rank of the kernel.
        K: Or a marginal kernel with eigenvalues below 1.
        features: Or F ``[n, d]`` with ``L = F F'``.

    Raises:
        OptionsError: If k is above the rank, or not exactly one form is given.
        DataError: If the form is not what it should be.

    Example:
        ```python
        from tfbdl_dpp import KDPP

        k_dpp = KDPP(features=[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], k=2)
        k_dpp.sample(5, seed=0)               # [5, 2]
        k_dpp.inclusion_probabilities()       # [3], which sums to 2
        ```
    """

    def __init__(self, L: Any = None, k: int = 1, *, K: Any = None, features: Any = None) -> None:
        form = L_of(ensemble_of(L, K, features))
        super().__init__(form, np.empty(0, np.int64))
        self._form = form
        self.k = check_size(k, self.num_items, form.spectrum.rank)

    @property
    def log_normalizer(self) -> float:
        """``log e_k`` in nats."""
        return polynomials.log_polynomial(self._spectrum.log_values, self._free)

    @property
    def expected_size(self) -> float:
        """K."""
        return float(self.k)

    @property
    def variance(self) -> float:
        """0: the size is fixed."""
        return 0.0

    def marginal(self, subset: Any) -> float:
        """``P(A in Y) = det L_A e_{k-a}(L^A) / e_k(L)``, with the Schur complement ``L^A``.

        Args:
            subset: A: distinct indices, or booleans ``[n]``.

        Raises:
            DataError: If it is no subset of the items.
        """
        items = np.setdiff1d(check_subset(subset, self.num_items), self._always)
        left = self._free - len(items)
        minor = self._form.log_minor(items) if left >= 0 else -np.inf
        if not np.isfinite(minor):
            return 0.0
        rest = self._form.conditioned(items, items[:0]).spectrum.log_values
        log_share = minor + polynomials.log_polynomial(rest, left) - self._log_normalizer
        return float(min(np.exp(log_share), 1.0))

    def inclusion_probabilities(self) -> np.ndarray:
        """``P(i in Y) = sum_m P(m is chosen) v_mi^2``, ``[n]``, which sums to k."""
        found = np.zeros(self.num_items)
        if self._free:
            shares = polynomials.inclusion(self._spectrum.log_values, self._free)
            vectors = self._spectrum.columns(np.ones(self._spectrum.rank, bool))
            found = np.clip(vectors**2 @ shares, 0.0, 1.0)
        found[self._always] = 1.0
        return found

    def sample(self, n: int = 1, seed: int = 0, method: str = "spectral") -> np.ndarray:
        """Draw subsets.

        Args:
            n: How many.
            seed: The same seed gives the same subsets.
            method: ``spectral`` is exact (Kulesza & Taskar 2012, algorithms 1 and 8); ``mcmc``
                runs chains of exchanges, exact in the limit only.

        Returns:
            Sorted indices ``[n, k]``.

        Raises:
            OptionsError: If n is below 1 or the method unknown.
        """
        check_choice("method", method, METHODS)
        return np.array(self._sets(check_whole("n", n), method, generator(seed, SAMPLE)))

    @property
    def _free(self) -> int:
        """Items of a subset beside those that are always in."""
        return self.k - len(self._always)

    @property
    def _spectrum(self) -> Spectrum:
        return self._form.spectrum

    @cached_property
    def _log_normalizer(self) -> float:
        return self.log_normalizer

    @cached_property
    def _table(self) -> np.ndarray:
        return polynomials.selection_table(self._spectrum.log_values, self._free)

    def _log_prob(self, items: np.ndarray) -> float:
        rest = self._rest(items)
        if rest is None or len(rest) != self._free:
            return -np.inf
        return self._form.log_minor(rest) - self._log_normalizer

    def _draw(self, n: int, method: str, rng: np.random.Generator) -> list[np.ndarray]:
        if self._free == 0:
            return [np.empty(0, np.int64)] * n
        if method == "mcmc":
            if isinstance(self._form, FeatureEnsemble):
                return exchange(self._free, n, rng, features=self._form.F)
            return exchange(self._free, n, rng, L=self._form.L)
        if n >= MANY:
            masks = polynomials.select_many(self._table, n, rng)
        else:
            masks = np.zeros((n, self._spectrum.rank), bool)
            for row in masks:
                row[polynomials.select(self._table, rng)] = True
        return sample_selected(self._spectrum, masks, rng)

    def _probabilities(self) -> np.ndarray:
        form = self._form
        L = form.L if isinstance(form, LEnsemble) else form.F @ form.F.T
        minors, sizes = principal_minors(L)
        minors = minors[sizes == self._free]
        return minors / minors.sum()

    def _conditioned(self, include: np.ndarray, exclude: np.ndarray) -> Self:
        form = self._form.conditioned(include, exclude)
        always = np.union1d(self._always, include)
        if self.k - len(always) > form.spectrum.rank or len(always) > self.k:
            raise DataError(
                f"No subset of {self.k} items holds {always.tolist()} without "
                f"{exclude.tolist()}: its probability is 0."
            )
        given = type(self).__new__(type(self))
        SubsetProcess.__init__(given, form, always)
        given._form, given.k = form, self.k
        return given
