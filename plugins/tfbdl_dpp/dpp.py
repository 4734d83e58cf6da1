"""Determinantal point processes: subsets whose probability is the volume of their features.

References:
    Kulesza & Taskar 2012, "Determinantal point processes for machine learning", Foundations and
    Trends in Machine Learning 5 (arXiv:1207.6083).
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from tfbdl.config import check_choice, check_whole

from .chains import add_delete
from .checks import check_subset
from .cholesky import sample_cholesky
from .ensemble import FeatureEnsemble, L_of
from .enumeration import subset_probabilities
from .process import SAMPLE, SubsetProcess, ensemble_of, generator
from .spectral import sample_selected

METHODS = ("spectral", "cholesky", "mcmc")


class DPP(SubsetProcess):
    """``P(Y) = det L_Y / det(L + I)`` and ``P(A in Y) = det K_A``, ``K = L (L + I)^-1``.

    Args:
        L: Kernel of an L-ensemble: symmetric, positive semidefinite, ``[n, n]``.
        K: Or the marginal kernel: symmetric, eigenvalues from 0 to 1, ``[n, n]``.
        features: Or F ``[n, d]`` with ``L = F F'``: n may be hundreds of thousands.

    Raises:
        OptionsError: If not exactly one of the three is given.
        DataError: If it is not symmetric, not positive, above one, empty, or holds NaN.

    Example:
        ```python
        from tfbdl_dpp import DPP

        dpp = DPP(L=[[1.0, 0.9], [0.9, 1.0]])
        dpp.marginal([0, 1])              # 0.06: the two are much alike
        dpp.sample(3, seed=0)             # three arrays of indices
        ```
    """

    def __init__(self, L: Any = None, *, K: Any = None, features: Any = None) -> None:
        super().__init__(ensemble_of(L, K, features), np.empty(0, np.int64))

    @property
    def log_normalizer(self) -> float:
        """``log det(L + I)`` in nats; inf where K has an eigenvalue 1."""
        return self._ensemble.log_normalizer

    @property
    def expected_size(self) -> float:
        """``E|Y| = tr K``."""
        return len(self._always) + self._ensemble.size_moments[0]

    @property
    def variance(self) -> float:
        """``Var|Y| = tr(K - K^2)``."""
        return self._ensemble.size_moments[1]

    def size_probabilities(self) -> np.ndarray:
        """``P(|Y| = s)`` for s from 0 to n: ``[n + 1]``.

        The size is a sum of independent indicators with the eigenvalues of K as probabilities.
        """
        probabilities = np.zeros(self.num_items + 1)
        probabilities[len(self._always)] = 1.0
        for share in self._ensemble.spectrum.shares:
            probabilities[1:] += share * (probabilities[:-1] - probabilities[1:])
            probabilities[0] *= 1.0 - share
        return probabilities

    def marginal(self, subset: Any) -> float:
        """``P(A in Y) = det K_A`` (Kulesza & Taskar 2012, eq. 1).

        Args:
            subset: A: distinct indices, or booleans ``[n]``.

        Raises:
            DataError: If it is no subset of the items.
        """
        items = np.setdiff1d(check_subset(subset, self.num_items), self._always)
        block = self._ensemble.marginal_block(items)
        return float(np.clip(np.linalg.det(block), 0.0, 1.0))

    def marginal_kernel(self) -> np.ndarray:
        """K, ``[n, n]``.

        Raises:
            OptionsError: If the matrix would have more than 30,000 rows.
        """
        K = self._ensemble.kernel().copy()
        K[self._always, self._always] = 1.0
        return K

    def inclusion_probabilities(self) -> np.ndarray:
        """``P(i in Y) = K_ii``, ``[n]``."""
        diagonal = np.clip(self._ensemble.diagonal, 0.0, 1.0)
        diagonal[self._always] = 1.0
        return diagonal

    def sample(self, n: int = 1, seed: int = 0, method: str = "spectral") -> list[np.ndarray]:
        """Draw subsets.

        Args:
            n: How many.
            seed: The same seed gives the same subsets.
            method: ``spectral`` decomposes the kernel once and then draws fast; ``cholesky``
                factorises K anew for each draw, and is the fast way to a single one; both are
                exact. ``mcmc`` runs chains of insertions, deletions and exchanges, which take no
                decomposition but are exact in the limit only.

        Returns:
            Sorted arrays of indices.

        Raises:
            OptionsError: If n is below 1 or the method unknown.
        """
        check_choice("method", method, METHODS)
        return self._sets(check_whole("n", n), method, generator(seed, SAMPLE))

    def _log_prob(self, items: np.ndarray) -> float:
        rest = self._rest(items)
        return -np.inf if rest is None else self._ensemble.log_prob(rest)

    def _draw(self, n: int, method: str, rng: np.random.Generator) -> list[np.ndarray]:
        if method == "cholesky":
            return sample_cholesky(self._ensemble.kernel(), n, rng)
        if method == "mcmc":
            form = L_of(self._ensemble)
            if isinstance(form, FeatureEnsemble):
                return add_delete(n, rng, features=form.F)
            return add_delete(n, rng, L=form.L)
        spectrum = self._ensemble.spectrum
        masks = rng.random((n, spectrum.rank)) < spectrum.shares
        return sample_selected(spectrum, masks, rng)

    def _probabilities(self) -> np.ndarray:
        return subset_probabilities(self._ensemble.kernel())

    def _conditioned(self, include: np.ndarray, exclude: np.ndarray) -> Self:
        given = type(self).__new__(type(self))
        always = np.union1d(self._always, include)
        SubsetProcess.__init__(given, self._ensemble.conditioned(include, exclude), always)
        return given
