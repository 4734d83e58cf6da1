"""Graphs of sites as arrays: edges of a grid, colours, connected components."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from ...errors import OptionsError


def grid_edges(shape: Sequence[int], *, periodic: bool = False) -> np.ndarray:
    """The nearest neighbours of a grid whose sites are numbered row by row: ``[m, 2]``.

    Args:
        shape: Sites along each axis, as of an image ``(height, width)``.
        periodic: Whether the last site of an axis is a neighbour of its first. Along an axis of
            two sites these are neighbours twice, and along one of a single site not at all.

    Raises:
        OptionsError: If an axis has no sites, or there is no axis.
    """
    sides = tuple(shape) if np.iterable(shape) else (shape,)
    if not sides or not all(isinstance(s, (int, np.integer)) and s >= 1 for s in sides):
        raise OptionsError(
            "A grid has at least one axis, and at least one site along each. "
            f"Received: shape={shape!r}."
        )
    sites = np.arange(np.prod(sides)).reshape(sides)
    pairs = [np.empty((0, 2), np.int64)]
    for axis, side in enumerate(sides):
        if side == 1:
            continue
        first = np.moveaxis(sites, axis, 0)
        second = np.roll(first, -1, axis=0)
        last = side if periodic else side - 1
        pairs.append(np.stack([first[:last].ravel(), second[:last].ravel()], axis=1))
    return np.concatenate(pairs)


def greedy_coloring(edges: np.ndarray, num_sites: int) -> np.ndarray:
    """A colour from 0 of each site, ``[site]``, so that no two neighbours share one.

    Each site in turn takes the first colour that none of its neighbours has: two colours on a grid
    (a checkerboard), at most one more than the largest number of neighbours on any graph.
    """
    starts, neighbours = adjacency(edges, num_sites)
    bounds, around = starts.tolist(), neighbours.tolist()
    colors = [-1] * num_sites
    for site in range(num_sites):
        taken = {colors[other] for other in around[bounds[site] : bounds[site + 1]]}
        colors[site] = next(color for color in itertools.count() if color not in taken)
    return np.asarray(colors)


def adjacency(edges: np.ndarray, num_sites: int) -> tuple[np.ndarray, np.ndarray]:
    """The neighbours of each site in a row: those of ``i`` lie from ``starts[i]`` on."""
    both = np.concatenate([edges, edges[:, ::-1]])
    order = np.argsort(both[:, 0], kind="stable")
    counts = np.bincount(both[:, 0], minlength=num_sites)
    return np.concatenate([[0], np.cumsum(counts)]), both[order, 1]


def components(
    bonds: np.ndarray, first: np.ndarray, second: np.ndarray, num_sites: int
) -> tuple[np.ndarray, int]:
    """What bonds tie together, of all chains in one call.

    Args:
        bonds: Whether the edge is there, ``[chain, edge]``.
        first: Its one site, ``[edge]``, in ascending order.
        second: Its other site, ``[edge]``.
        num_sites: Of one chain.

    Returns:
        The component of each site, ``[chain, site]``, and how many there are. They are numbered
        from 0 over all chains, in the order of their first sites.
    """
    chains = len(bonds)
    size = chains * num_sites
    chain, edge = np.nonzero(bonds)
    rows, columns = first[edge] + chain * num_sites, second[edge] + chain * num_sites
    starts = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=size))])
    graph = sparse.csr_array((np.ones(len(rows)), columns, starts), (size, size))
    count, labels = csgraph.connected_components(graph, directed=False)
    return labels.reshape(chains, num_sites), int(count)
