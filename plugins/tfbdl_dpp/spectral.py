"""The spectrum of a kernel, and exact draws from it by eigenvectors.

A DPP is a mixture of projection DPPs: eigenvector m takes part with probability
``l_m / (1 + l_m)`` (Kulesza & Taskar 2012, algorithm 1). Of ``L = F F'`` the eigenvectors come from
the small matrix ``C = F'F`` (the dual form, section 3.3), so that hundreds of thousands of items
with a few hundred features need no kernel matrix at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from tfbdl.blas import one_thread

from .checks import rounding
from .projection import sample_projection, sample_projections

SMALL = 256  # items up to which many draws are made together
MANY = 8
SPREAD = 1e6  # of eigenvalues, beyond which vectors of the dual form are orthonormalised again


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues above zero of a kernel, and their eigenvectors.

    Attributes:
        log_values: Logarithms of those of L, ``[r]``; inf where K has an eigenvalue 1.
        shares: Eigenvalues of K, ``l / (1 + l)``: ``[r]``.
        vectors: ``[n, r]``; of the dual form those of C, ``[d, r]``.
        features: F of the dual form, ``[n, d]``; None: the eigenvectors are ``vectors``.
    """

    log_values: np.ndarray
    shares: np.ndarray
    vectors: np.ndarray
    features: np.ndarray | None = None

    @property
    def num_items(self) -> int:
        """Items of the ground set."""
        return len(self.vectors if self.features is None else self.features)

    @property
    def rank(self) -> int:
        """How many eigenvalues are above zero."""
        return len(self.shares)

    @property
    def size_moments(self) -> tuple[float, float]:
        """Mean and variance of the number of items."""
        return float(self.shares.sum()), float((self.shares * (1.0 - self.shares)).sum())

    def columns(self, chosen: np.ndarray) -> np.ndarray:
        """Orthonormal eigenvectors ``[n, s]``.

        Args:
            chosen: Which: s indices, or a boolean array ``[r]``.
        """
        vectors = self.vectors[:, chosen]
        if self.features is None or vectors.shape[1] == 0:
            return vectors if self.features is None else np.empty((self.num_items, 0))
        logs = self.log_values[chosen]
        V = self.features @ (vectors * np.exp(-0.5 * logs))  # Kulesza & Taskar 2012, prop. 3.1
        if logs.max() - logs.min() > np.log(SPREAD):
            V = linalg.qr(V, mode="economic", check_finite=False)[0]
        return V


def of_L(L: np.ndarray) -> Spectrum:
    """The spectrum of an L-ensemble's kernel ``[n, n]``."""
    values, vectors = np.linalg.eigh(L)
    return _kept(values, vectors)


def of_K(K: np.ndarray) -> Spectrum:
    """The spectrum of a marginal kernel ``[n, n]``; eigenvalues within rounding of 1 are 1."""
    shares, vectors = np.linalg.eigh(K)
    slack = rounding(len(K), 1.0)
    shares = np.where(shares > 1.0 - slack, 1.0, shares)
    keep = shares > slack * max(float(shares.max(initial=0.0)), 0.0)
    shares = shares[keep]
    with np.errstate(divide="ignore"):
        logs = np.log(shares) - np.log1p(-shares)
    return Spectrum(logs, shares, vectors[:, keep])


def of_features(F: np.ndarray) -> Spectrum:
    """The spectrum of ``F F'``, by the smaller one of ``F'F`` and ``F F'``."""
    if F.shape[1] >= F.shape[0]:
        return of_L(F @ F.T)
    values, vectors = np.linalg.eigh(F.T @ F)
    return _kept(values, vectors, F)


def sample_selected(
    spectrum: Spectrum, masks: np.ndarray, rng: np.random.Generator
) -> list[np.ndarray]:
    """A draw of the projection DPP of each selection of eigenvectors.

    Args:
        spectrum: Of the kernel.
        masks: Which eigenvectors each draw has: boolean ``[draws, r]``.
        rng: Where the randomness comes from.

    Returns:
        Sorted indices, an array for each draw.
    """
    if len(masks) >= MANY and spectrum.num_items <= SMALL:
        everything = spectrum.columns(np.ones(spectrum.rank, bool))
        with one_thread():
            return [np.flatnonzero(row) for row in sample_projections(everything, masks, rng)]
    return [_sample_one(spectrum.columns(mask), rng) for mask in masks]


def _sample_one(columns: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    with one_thread():  # its steps are products of a matrix and a vector
        return sample_projection(columns, rng)


def _kept(values: np.ndarray, vectors: np.ndarray, features: np.ndarray | None = None) -> Spectrum:
    """Without the eigenvalues that rounding alone keeps from zero."""
    keep = values > 16.0 * len(values) * np.finfo(float).eps * values[-1]
    values = values[keep]
    with np.errstate(over="ignore"):
        shares = values / (1.0 + values)
    return Spectrum(np.log(values), shares, vectors[:, keep], features)
