"""Field: what a Potts model and its nonparametric relative have in common."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from ...errors import DataError, ModelError
from ...specs import Capability
from .graph import grid_edges


class Field(abc.ABC):
    """Labels ``z`` of the sites of a graph with couplings along its edges.

    Args:
        edges: Pairs of neighbours, ``[m, 2]``; a pair that is given twice counts twice.
        num_sites: How many sites there are.
        beta: Coupling of each edge, ``[m]`` or one number for all: what equal labels at its two
            ends add to the log density, in nats.

    Attributes:
        beta: ``[m]``, float64.

    Raises:
        ModelError: If the edges are no pairs of different sites, or a coupling is not finite.
    """

    capabilities = frozenset({Capability.POTTS})
    default_engine = "swendsen_wang"
    takes_no_data = True
    stat_names: ClassVar[tuple[str, ...]]
    grid = staticmethod(grid_edges)

    def __init__(self, edges: Any, num_sites: int, beta: Any) -> None:
        if not isinstance(num_sites, (int, np.integer)) or num_sites < 1:
            raise ModelError(
                f"A field has a whole number of sites, at least one. Received: {num_sites!r}."
            )
        self.num_sites = int(num_sites)
        self.edges = _edges(edges, self.num_sites)
        self.beta = _couplings(beta, len(self.edges))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.num_sites} sites, {len(self.edges)} edges)"

    @abc.abstractmethod
    def log_prob(self, z: Any) -> np.ndarray:
        """The log density of labels ``[..., site]``, up to a constant, in nats: ``[...]``."""

    @abc.abstractmethod
    def statistics(self, z: np.ndarray) -> Mapping[str, np.ndarray]:
        """Figures of labels ``[..., site]`` by the names of ``stat_names``, each ``[...]``."""

    @abc.abstractmethod
    def initial(self, chains: int, rng: np.random.Generator) -> np.ndarray:
        """Labels to begin with, ``[chain, site]``, spread more widely than the field's own."""

    @abc.abstractmethod
    def get_state(self) -> Mapping[str, np.ndarray]:
        """The arguments as arrays, from which ``from_state`` makes the same field."""

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The inverse of ``get_state``."""
        return cls(**{n: v.item() if np.ndim(v) == 0 else v for n, v in state.items()})

    def equal_edges(self, z: Any) -> np.ndarray:
        """How many edges have equal labels at both ends, of labels ``[..., site]``: ``[...]``."""
        return np.count_nonzero(self._equal(self.checked(z)), axis=-1)

    def energy(self, z: Any) -> np.ndarray:
        """Minus the sum of the couplings between equal labels, in nats: ``[...]``."""
        return -(self._equal(self.checked(z)) @ self.beta)

    def checked(self, z: Any) -> np.ndarray:
        """Labels ``[..., site]`` as an array.

        Raises:
            DataError: If they are not whole numbers from 0, one for each site.
        """
        labels = np.asarray(z)
        whole = labels.dtype.kind in "iu" or (
            labels.dtype.kind == "f" and np.array_equal(labels, np.round(labels))
        )
        if not whole or labels.shape[-1:] != (self.num_sites,):
            raise DataError(
                f"Expected labels [..., {self.num_sites}], whole numbers. Received: "
                f"{labels.dtype.name} {list(labels.shape)}."
            )
        labels = labels if labels.dtype.kind in "iu" else labels.astype(np.int64)
        most = getattr(self, "num_states", self.num_sites)
        if labels.size and not (labels.min() >= 0 and labels.max() < most):
            raise DataError(
                f"Labels are from 0 to {most - 1}. Received: {labels.min()} to {labels.max()}."
            )
        return labels

    def _equal(self, z: np.ndarray) -> np.ndarray:
        """Whether the two ends of each edge are equal: ``[..., edge]``."""
        return z[..., self.edges[:, 0]] == z[..., self.edges[:, 1]]


def _edges(edges: Any, num_sites: int) -> np.ndarray:
    given = np.asarray(edges)
    pairs = given.reshape(0, 2) if given.size == 0 else given
    if pairs.ndim != 2 or pairs.shape[1] != 2 or (pairs.size and pairs.dtype.kind not in "iu"):
        raise ModelError(
            "Expected edges [m, 2], pairs of sites as whole numbers. "
            f"Received: {given.dtype.name} {list(given.shape)}."
        )
    pairs = pairs.astype(np.int64)
    outside = ((pairs < 0) | (pairs >= num_sites)).any(axis=1)
    if outside.any():
        raise ModelError(
            f"The sites are 0 to {num_sites - 1}. Received: the edge {pairs[outside][0].tolist()}."
        )
    loops = pairs[:, 0] == pairs[:, 1]
    if loops.any():
        raise ModelError(
            f"An edge joins two different sites. Received: {pairs[loops][0].tolist()}."
        )
    return pairs


def _couplings(beta: Any, num_edges: int) -> np.ndarray:
    try:
        given = np.asarray(beta, np.float64)
    except (TypeError, ValueError):
        raise ModelError(f"beta is a number or [edge]. Received: {beta!r}.") from None
    if given.shape not in ((), (num_edges,)):
        raise ModelError(
            f"beta is one number, or one for each of the {num_edges} edges. "
            f"Received: shape {list(given.shape)}."
        )
    if not np.isfinite(given).all():
        raise ModelError(
            f"Couplings are finite. Received: {given[~np.isfinite(given)].ravel()[0]}."
        )
    return np.broadcast_to(given, (num_edges,)).copy()
