"""The generalised algorithm of Swendsen and Wang, for an unknown number of labels.

Bonds tie sites into clusters by a share ``delta`` of each coupling. Each cluster in turn then joins
a segment, or opens a new one, given all others:

    p(segment k) ~ Gamma(n_k + |C|) / Gamma(n_k) p(y_k, y_C) / p(y_k) exp(residual couplings)
    p(new) ~ concentration Gamma(|C|) p(y_C)

With ``delta = 1`` nothing is left of the couplings; with ``delta = 0`` each site is a cluster,
which is the collapsed single-site Gibbs sampler.

References:
    Xu, Caron & Doucet 2016, arXiv:1602.03048; Neal 2000, Algorithm 3.
"""

from __future__ import annotations

import numpy as np
from scipy import optimize

from .dirichlet_potts import DirichletPotts, in_order_of_appearance
from .draws import BONDS, LABELS, Streams
from .reassignment import Around, Clusters, Segments, reassigned, tables_of
from .swendsen_wang import Bonds

ROOM = 8  # empty segments beside those in use
BONDS_A_SITE = 0.7  # on the square grid, where clusters percolate at 1


class PartitionSweeps:
    """A sweep over all chains at once, cluster after cluster of each.

    Args:
        field: The field.
        bond_share: The share ``delta`` of each coupling that ties, from 0 to 1; None: the largest
            by which a segment has at most ``BONDS_A_SITE`` bonds a site, and so falls into many
            clusters. A segment in one cluster can only move as a whole, and never parts.

    Raises:
        ModelError: If a coupling is negative, and the share is not 0.
    """

    def __init__(self, field: DirichletPotts, bond_share: float | None = None) -> None:
        share = _share(field) if bond_share is None else bond_share
        self.field, self.bonds = field, Bonds(field, share)
        self.residual = (1.0 - share) * self.bonds.beta
        self.tables = tables_of(field)

    def sweep(self, z: np.ndarray, streams: Streams, number: int) -> np.ndarray:
        """New labels ``[chain, site]`` after those of the sweep before."""
        chains, n = z.shape
        numbered, total = self.bonds.clusters(z, streams.generator(number, BONDS))
        begins = numbered[:, :1]  # they are numbered chain by chain
        local = numbered - begins
        chain = np.arange(chains)[:, np.newaxis]
        parts = self.field.evidence.sums(local * chains + chain, n * chains)
        size, sums, squares = (part.reshape(n, chains, *part.shape[1:]) for part in parts)
        u = streams.generator(number, LABELS).random((chains, n)).T
        clusters = Clusters(np.diff(begins[:, 0], append=total), size, sums, squares, u)
        segment = np.zeros((n, chains), np.int64)
        segment[local, chain] = z
        around = self._around(local) if self.residual.any() else None
        segments = Segments(*self.field.segments(z, _room(z)))
        drawn = reassigned(self.tables, segment, segments, clusters, around)
        return in_order_of_appearance(drawn[local, chain])

    def _around(self, local: np.ndarray) -> Around:
        """The couplings left between the clusters of each chain."""
        chains, n = local.shape
        i, j = local[:, self.bonds.first], local[:, self.bonds.second]
        places = 2 * i.shape[1]
        begins = np.zeros((n + 1, chains), np.int64)
        others, couplings = np.zeros((chains, places), np.int64), np.zeros((chains, places))
        for chain in range(chains):
            (left,) = np.nonzero((i[chain] != j[chain]) & (self.residual != 0))
            a, b = i[chain, left], j[chain, left]
            one, other = np.concatenate([a, b]), np.concatenate([b, a])
            order = np.argsort(one, kind="stable")
            begins[1:, chain] = np.cumsum(np.bincount(one, minlength=n))
            others[chain, : len(one)] = other[order]
            couplings[chain, : len(one)] = np.tile(self.residual[left], 2)[order]
        return Around(begins, others, couplings)


def _share(field: DirichletPotts) -> float:
    """The share of the couplings by which equal sites have not too many bonds."""

    def excess(share: float) -> float:
        bonds = -np.expm1(-share * np.maximum(field.beta, 0.0)).sum()
        return bonds / field.num_sites - BONDS_A_SITE

    return 1.0 if excess(1.0) <= 0 else float(optimize.brentq(excess, 0.0, 1.0))


def _room(z: np.ndarray) -> int:
    """Empty segments to add, so that there are a power of two in all."""
    used = int(z.max()) + 1
    return (1 << (used + ROOM - 1).bit_length()) - used
