"""The three ways to say what a DPP is: L, features with ``L = F F'``, and the marginal kernel K.

Each answers the same questions by the cheapest way that its form allows; DPP and KDPP ask them.

References:
    Kulesza & Taskar 2012, sections 2.2 to 2.4 and 3.3.
"""

from __future__ import annotations

import abc
from functools import cached_property

import numpy as np
from scipy import linalg

from tfbdl.errors import DataError, OptionsError

from . import spectral
from .checks import EPS, log_det, mirrored, rounding
from .spectral import Spectrum

MAX_DENSE = 30_000
LOST = 1e-9
"""Largest error of K that the Cholesky factor of L + I may leave: trace(L) times rounding."""
IMPOSSIBLE = "The items {items} have probability 0 of being in a subset together{rest}."


class Ensemble(abc.ABC):
    """A DPP over items 0 to n - 1."""

    num_items: int

    @property
    @abc.abstractmethod
    def log_normalizer(self) -> float:
        """``log det(L + I)``; inf where there is no L."""

    @property
    @abc.abstractmethod
    def diagonal(self) -> np.ndarray:
        """How probably each item is in a subset, ``[n]``."""

    @property
    @abc.abstractmethod
    def size_moments(self) -> tuple[float, float]:
        """Mean ``tr K`` and variance ``tr(K - K^2)`` of the number of items."""

    @property
    @abc.abstractmethod
    def spectrum(self) -> Spectrum:
        """Computed on first use."""

    @abc.abstractmethod
    def log_prob(self, items: np.ndarray) -> float:
        """``log P(Y = items)``."""

    @abc.abstractmethod
    def marginal_block(self, items: np.ndarray) -> np.ndarray:
        """``K_A`` of items A."""

    @abc.abstractmethod
    def kernel(self) -> np.ndarray:
        """K, ``[n, n]``."""

    @abc.abstractmethod
    def conditioned(self, include: np.ndarray, exclude: np.ndarray) -> Ensemble:
        """The other items given some inside and some outside, whose rows become zero."""


class LEnsemble(Ensemble):
    """``P(Y) = det L_Y / det(L + I)``.

    Args:
        L: Symmetric and positive semidefinite, ``[n, n]``.
    """

    def __init__(self, L: np.ndarray) -> None:
        self.L, self.num_items = L, len(L)

    @property
    def log_normalizer(self) -> float:
        """By the Cholesky factor of ``L + I``."""
        return float(2.0 * np.log(np.diagonal(self._factor[0])).sum())

    @property
    def diagonal(self) -> np.ndarray:
        """Of K."""
        return np.diagonal(self._K).copy()

    @property
    def size_moments(self) -> tuple[float, float]:
        """From K, without eigenvalues."""
        mean = float(np.trace(self._K))
        return mean, mean - float((self._K**2).sum())

    @cached_property
    def spectrum(self) -> Spectrum:
        """Of L."""
        return spectral.of_L(self.L)

    def log_minor(self, items: np.ndarray) -> float:
        """``log det L_Y``; -inf where it is zero up to rounding."""
        return log_det(self.L[np.ix_(items, items)])

    def log_prob(self, items: np.ndarray) -> float:
        """Kulesza & Taskar 2012, eq. 12."""
        return self.log_minor(items) - self.log_normalizer

    def marginal_block(self, items: np.ndarray) -> np.ndarray:
        """``K = I - (L + I)^-1`` (eq. 15), of these items alone."""
        unit = np.zeros((self.num_items, len(items)))
        unit[items, np.arange(len(items))] = 1.0
        solved = linalg.cho_solve(self._factor, unit, check_finite=False)
        return np.asarray(np.eye(len(items)) - solved[items])

    def kernel(self) -> np.ndarray:
        """``K = I - (L + I)^-1`` by the Cholesky factor."""
        return self._K

    def conditioned(self, include: np.ndarray, exclude: np.ndarray) -> LEnsemble:
        """The Schur complement of ``L_A`` (eq. 42), without the rows of ``exclude``.

        Raises:
            DataError: If the items of ``include`` never come together.
        """
        L = self.L.copy()
        if len(include):
            if not np.isfinite(self.log_minor(include)):
                raise DataError(IMPOSSIBLE.format(items=include.tolist(), rest=""))
            factor = np.linalg.cholesky(L[np.ix_(include, include)])
            half = linalg.solve_triangular(factor, L[include], lower=True)
            L -= half.T @ half
        gone = np.concatenate([include, exclude])
        L[gone], L[:, gone] = 0.0, 0.0
        return l_ensemble(_without_dust(L, np.diagonal(self.L)))

    @cached_property
    def _factor(self) -> tuple[np.ndarray, bool]:
        shifted = self.L.copy(order="C").T  # symmetric: in the order of LAPACK
        shifted[np.diag_indices_from(shifted)] += 1.0
        return linalg.cho_factor(shifted, lower=True, overwrite_a=True, check_finite=False)

    @cached_property
    def _K(self) -> np.ndarray:
        K = linalg.lapack.dpotri(self._factor[0], lower=1)[0]
        np.negative(K, out=K)
        K[np.diag_indices_from(K)] += 1.0
        return mirrored(K)


class LargeEnsemble(LEnsemble):
    """The same where L is so large that 1 is lost beside it: by eigenvalues."""

    @property
    def log_normalizer(self) -> float:
        """``sum log(1 + l)``."""
        return float(np.logaddexp(0.0, self.spectrum.log_values).sum())

    @property
    def size_moments(self) -> tuple[float, float]:
        """From the eigenvalues."""
        return self.spectrum.size_moments

    def marginal_block(self, items: np.ndarray) -> np.ndarray:
        """A block of K."""
        return np.asarray(self._K[np.ix_(items, items)])

    @cached_property
    def _K(self) -> np.ndarray:
        found = self.spectrum
        return np.asarray((found.vectors * found.shares) @ found.vectors.T)


def l_ensemble(L: np.ndarray) -> LEnsemble:
    """The ensemble of a symmetric and positive semidefinite L, ``[n, n]``."""
    return LargeEnsemble(L) if np.trace(L) * EPS > LOST else LEnsemble(L)


class FeatureEnsemble(Ensemble):
    """``L = F F'``, by matrices of the number of features alone (the dual form).

    Args:
        F: ``[n, d]``.
    """

    def __init__(self, F: np.ndarray) -> None:
        self.F, self.num_items = F, len(F)

    @property
    def log_normalizer(self) -> float:
        """``log det(I + C)``."""
        return float(2.0 * np.log(np.diagonal(self._factor)).sum())

    @property
    def diagonal(self) -> np.ndarray:
        """Of K."""
        return np.asarray((self._rooted**2).sum(axis=0))

    @property
    def size_moments(self) -> tuple[float, float]:
        """From the eigenvalues of C."""
        return self.spectrum.size_moments

    @cached_property
    def spectrum(self) -> Spectrum:
        """Of ``F F'``."""
        return spectral.of_features(self.F)

    def log_minor(self, items: np.ndarray) -> float:
        """``log det F_Y F_Y'``; -inf where it is zero up to rounding."""
        if len(items) > self.F.shape[1]:
            return -np.inf
        return log_det(self.F[items] @ self.F[items].T)

    def log_prob(self, items: np.ndarray) -> float:
        """Kulesza & Taskar 2012, eq. 12."""
        return self.log_minor(items) - self.log_normalizer

    def marginal_block(self, items: np.ndarray) -> np.ndarray:
        """``K = F (I + C)^-1 F'``, of these items."""
        rows = self._rooted[:, items]
        return np.asarray(rows.T @ rows)

    def kernel(self) -> np.ndarray:
        """K, for as many items as a matrix may have rows.

        Raises:
            OptionsError: If there are more than 30,000.
        """
        if self.num_items > MAX_DENSE:
            raise OptionsError(
                f"A kernel matrix of {self.num_items:,} items would take "
                f"{8e-9 * self.num_items**2:.0f} GB. Use method='spectral', which needs none."
            )
        return np.asarray(self._rooted.T @ self._rooted)

    def conditioned(self, include: np.ndarray, exclude: np.ndarray) -> FeatureEnsemble:
        """Features beyond the span of those of ``include``.

        Raises:
            DataError: If the items of ``include`` never come together.
        """
        F = self.F.copy()
        if len(include):
            if not np.isfinite(self.log_minor(include)):
                raise DataError(IMPOSSIBLE.format(items=include.tolist(), rest=""))
            Q = linalg.qr(F[include].T, mode="economic")[0]
            F -= (F @ Q) @ Q.T
            F -= (F @ Q) @ Q.T  # once more, for the digits that the first time lost
        F[np.concatenate([include, exclude])] = 0.0
        before = np.linalg.norm(self.F, axis=1)
        F[np.linalg.norm(F, axis=1) <= 64.0 * EPS * F.shape[1] * before] = 0.0
        return FeatureEnsemble(F)

    @cached_property
    def _factor(self) -> np.ndarray:
        C = self.F.T @ self.F
        return np.linalg.cholesky(C + np.eye(len(C)))

    @cached_property
    def _rooted(self) -> np.ndarray:
        """``R`` with ``R'R = K``: ``[d, n]``."""
        solved = linalg.solve_triangular(self._factor, self.F.T, lower=True, check_finite=False)
        return np.asarray(solved)


class MarginalEnsemble(Ensemble):
    """``P(A in Y) = det K_A``; eigenvalues of K may be 1, where there is no L.

    Args:
        K: Symmetric with eigenvalues from 0 to 1, ``[n, n]``.
    """

    def __init__(self, K: np.ndarray) -> None:
        self.K, self.num_items = K, len(K)

    @property
    def log_normalizer(self) -> float:
        """``-log det(I - K)``."""
        shares = self.spectrum.shares
        with np.errstate(divide="ignore"):
            return float(-np.log1p(-shares).sum())

    @property
    def diagonal(self) -> np.ndarray:
        """Of K."""
        return np.clip(np.diagonal(self.K), 0.0, 1.0)

    @property
    def size_moments(self) -> tuple[float, float]:
        """``tr K`` and ``tr(K - K^2)``."""
        mean = float(np.trace(self.K))
        return mean, max(mean - float((self.K**2).sum()), 0.0)

    @cached_property
    def spectrum(self) -> Spectrum:
        """Of K."""
        return spectral.of_K(self.K)

    def log_prob(self, items: np.ndarray) -> float:
        """``log |det(K - I_rest)|`` (Kulesza & Taskar 2012, section 2.2), by eigenvalues."""
        shifted = self.K.copy()
        rest = np.setdiff1d(np.arange(self.num_items), items)
        shifted[rest, rest] -= 1.0
        sizes = np.abs(np.linalg.eigvalsh(shifted))
        if sizes.min() <= 4.0 * self.num_items * EPS:
            return -np.inf
        return float(np.log(sizes).sum())

    def marginal_block(self, items: np.ndarray) -> np.ndarray:
        """``K_A`` itself."""
        return self.K[np.ix_(items, items)]

    def kernel(self) -> np.ndarray:
        """K itself."""
        return self.K

    def conditioned(self, include: np.ndarray, exclude: np.ndarray) -> MarginalEnsemble:
        """``K - K_A' K_A^-1 K_A``, then ``K + K_B' (I - K_B)^-1 K_B``.

        Raises:
            DataError: If that many items never come, or never stay out, together.
        """
        K = self.K.copy()
        for items, sign in ((include, 1.0), (exclude, -1.0)):
            block = K[np.ix_(items, items)]
            block = block if sign > 0 else np.eye(len(items)) - block
            if not np.isfinite(log_det(block)):
                rest = "" if sign > 0 else ", or of being outside together, given the others"
                raise DataError(IMPOSSIBLE.format(items=items.tolist(), rest=rest))
            if len(items):
                half = linalg.solve_triangular(np.linalg.cholesky(block), K[items], lower=True)
                K -= sign * half.T @ half
                K[items], K[:, items] = 0.0, 0.0
        return MarginalEnsemble(K)


def L_of(ensemble: Ensemble) -> LEnsemble | FeatureEnsemble:
    """The ensemble by L or features.

    Raises:
        DataError: If K has an eigenvalue 1.
    """
    if isinstance(ensemble, (LEnsemble, FeatureEnsemble)):
        return ensemble
    found = ensemble.spectrum
    if (found.shares > 1.0 - rounding(ensemble.num_items, 1.0)).any():
        raise DataError(
            "K has an eigenvalue 1, so that there is no L with K = L (L + I)^-1. Expected "
            "eigenvalues below 1, or a method that needs K alone: 'spectral' or 'cholesky'."
        )
    return l_ensemble((found.vectors * np.exp(found.log_values)) @ found.vectors.T)


def _without_dust(L: np.ndarray, before: np.ndarray) -> np.ndarray:
    """What rounding left of items that the included ones rule out is taken for zero."""
    dust = np.diagonal(L) <= 64.0 * EPS * len(L) * before
    L[dust], L[:, dust] = 0.0, 0.0
    return 0.5 * (L + L.T)
