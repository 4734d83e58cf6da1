"""Subsets of chains that run side by side, with the inverses of their kernel blocks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Entries = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From items ``[c]`` and ``[c, m]`` to the kernel between them, ``[c, m]``."""


def entries_of(
    L: np.ndarray | None, features: np.ndarray | None
) -> tuple[int, Entries, np.ndarray]:
    """The number of items, the kernel between some of them, and its diagonal."""
    if L is not None:
        matrix = L
        return len(L), lambda i, Y: matrix[i[:, np.newaxis], Y], np.diagonal(L).copy()
    if features is None:
        raise ValueError("Expected L or features.")
    F = features
    diagonal = np.einsum("ij,ij->i", F, F)
    return len(F), lambda i, Y: np.einsum("cd,cmd->cm", F[i], F[Y]), diagonal


class ChainState:
    """Subsets, padded to one length.

    Args:
        subsets: One for each chain.
        entries: The kernel between items.
        diagonal: Of the kernel, ``[n]``.

    Attributes:
        sizes: Items of each subset, ``[c]``.
    """

    def __init__(self, subsets: list[np.ndarray], entries: Entries, diagonal: np.ndarray) -> None:
        self.entries, self.diagonal = entries, diagonal
        self.num_chains = len(subsets)
        self.sizes = np.array([len(subset) for subset in subsets])
        capacity = max(8, int(self.sizes.max()))
        self.items = np.full((self.num_chains, capacity), -1)
        for row, subset in zip(self.items, subsets, strict=True):
            row[: len(subset)] = subset
        self.inverse = np.zeros((self.num_chains, capacity, capacity))  # zero in the padding
        self._rows = np.arange(self.num_chains)
        self.refresh()

    def subsets(self) -> list[np.ndarray]:
        """The present subsets, sorted."""
        pairs = zip(self.items, self.sizes, strict=True)
        return [np.sort(row[:size]) for row, size in pairs]

    def find(self, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Whether each chain's subset has the item ``[c]``, and at which place."""
        hits = self.items == items[:, np.newaxis]
        return hits.any(axis=1), hits.argmax(axis=1)

    def deletion_ratio(self, slot: np.ndarray) -> np.ndarray:
        """``det L_{Y - s} / det L_Y = (L_Y^-1)_ss``, ``[c]``."""
        return self.inverse[self._rows, slot, slot]

    def addition_ratio(self, items: np.ndarray) -> np.ndarray:
        """``det L_{Y + t} / det L_Y``, the Schur complement of t, ``[c]``."""
        cross = self._cross(items)
        solved = np.einsum("cij,cj->ci", self.inverse, cross)
        return self.diagonal[items] - (cross * solved).sum(axis=1)

    def exchange_ratio(self, slot: np.ndarray, items: np.ndarray) -> np.ndarray:
        """``det L_{Y - s + t} / det L_Y = (L_Y^-1)_ss schur_t + (L_Y^-1 L_Yt)_s^2``, ``[c]``."""
        cross = self._cross(items)
        solved = np.einsum("cij,cj->ci", self.inverse, cross)
        schur = self.diagonal[items] - (cross * solved).sum(axis=1)
        return self.deletion_ratio(slot) * schur + solved[self._rows, slot] ** 2

    def delete(self, slot: np.ndarray, where: np.ndarray) -> None:
        """Take out the item at a place, in the chains of the boolean ``where`` ``[c]``."""
        c = np.flatnonzero(where)
        if len(c) == 0:
            return
        s, last = slot[c], self.sizes[c] - 1
        M = self.inverse[c]
        every = np.arange(len(c))
        column = M[every, :, s]
        M -= column[:, :, np.newaxis] * (column / column[every, s][:, np.newaxis])[:, np.newaxis]
        M[every, s], M[every, :, s] = M[every, last], M[every, :, last]
        M[every, s, s] = M[every, last, last]
        M[every, last], M[every, :, last] = 0.0, 0.0
        self.inverse[c] = M
        self.items[c, s] = self.items[c, last]
        self.items[c, last] = -1
        self.sizes[c] = last

    def add(self, items: np.ndarray, where: np.ndarray) -> None:
        """Put in an item, in the chains of the boolean ``where`` ``[c]``."""
        c = np.flatnonzero(where)
        if len(c) == 0:
            return
        if self.sizes[c].max() == self.items.shape[1]:
            self._grow()
        t, end = items[c], self.sizes[c]
        M, every = self.inverse[c], np.arange(len(c))
        cross = self._cross(items)[c]
        solved = np.einsum("cij,cj->ci", M, cross)
        schur = self.diagonal[t] - (cross * solved).sum(axis=1)
        solved[every, end] = -1.0
        M += solved[:, :, np.newaxis] * (solved / schur[:, np.newaxis])[:, np.newaxis]
        self.inverse[c] = M
        self.items[c, end] = t
        self.sizes[c] = end + 1

    def refresh(self) -> None:
        """Compute the inverses anew, without the rounding of many updates."""
        padding = self.items < 0
        known = np.where(padding, 0, self.items)
        blocks = np.stack([self.entries(known[:, j], known) for j in range(known.shape[1])], 1)
        both = padding[:, :, np.newaxis] | padding[:, np.newaxis]
        identity = np.eye(known.shape[1], dtype=bool)
        blocks = np.where(both, identity, blocks)
        self.inverse = np.where(both, 0.0, np.linalg.inv(blocks))

    def _cross(self, items: np.ndarray) -> np.ndarray:
        """``L_Yt``, zero in the padding: ``[c, capacity]``."""
        padding = self.items < 0
        return np.where(padding, 0.0, self.entries(items, np.where(padding, 0, self.items)))

    def _grow(self) -> None:
        more = self.items.shape[1]
        self.items = np.pad(self.items, ((0, 0), (0, more)), constant_values=-1)
        self.inverse = np.pad(self.inverse, ((0, 0), (0, more), (0, more)))
