"""Images and tables as features of the sites of a grid."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tfbdl.data import Dataset
from tfbdl.errors import DataError


def features_of(
    data: Dataset | None, shape: tuple[int, ...] | None
) -> tuple[np.ndarray, tuple[int, ...]]:
    """The features ``[site, d]`` of a grid, and its shape.

    Args:
        data: Rows of an image, or sites line by line.
        shape: Of the grid, where the rows are sites.

    Raises:
        DataError: If there are none, they have weights or targets, or another shape.
    """
    if data is None or (not isinstance(data.x, np.ndarray) and data.stream is None):
        raise DataError("A field is fitted to one array, an image or a table. Received: none.")
    if data.sample_weight is not None:
        raise DataError("A field takes each site once. Received: a sample_weight.")
    x = np.asarray(data.in_memory().x, np.float64)
    if shape is None:
        return _of_image(x)
    if len(x) != math.prod(shape) or x.ndim > 2:
        raise DataError(
            f"Expected [{math.prod(shape)}, d], the sites of a grid of {list(shape)} line by "
            f"line. Received: {list(x.shape)}."
        )
    return x.reshape(len(x), -1), tuple(shape)


def _of_image(x: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
    if x.ndim not in (2, 3):
        raise DataError(
            "Expected an image [height, width] or [height, width, channel], or the option shape "
            f"for a table of sites. Received: {list(x.shape)}."
        )
    return x.reshape(math.prod(x.shape[:2]), -1), x.shape[:2]


def principal_axes(x: np.ndarray) -> np.ndarray:
    """The rotation ``[d, d]`` to the principal axes of rows ``[n, d]``: ``x @ rotation``."""
    return np.linalg.eigh(np.atleast_2d(np.cov(x, rowvar=False)))[1]


def clusters(x: np.ndarray, k: int, seed: int, restarts: int = 5) -> np.ndarray:
    """The cluster of each row by k-means++ and Lloyd's steps, the best of some restarts.

    Args:
        x: Rows ``[n, d]``.
        k: Clusters.
        seed: Of the starts.
        restarts: How many.

    Returns:
        ``[n]``, in the order of the clusters' mean over columns.

    Raises:
        DataError: If there are fewer than k different rows.
    """
    from scipy.cluster.vq import ClusterError, kmeans2

    distinct = len(np.unique(x, axis=0))
    if distinct < k:
        raise DataError(f"{k} labels ask for as many different sites. Received: {distinct}.")
    spread = x.std(axis=0)
    scaled = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    rng = np.random.default_rng(seed)
    best: tuple[float, Any] = np.inf, None
    for _ in range(restarts):
        try:
            centres, labels = kmeans2(scaled, k, iter=50, minit="++", missing="raise", rng=rng)
        except ClusterError:  # a cluster lost its rows
            continue
        inertia = float(np.sum((scaled - centres[labels]) ** 2))
        if inertia < best[0]:
            best = inertia, labels
    if best[1] is None:
        raise DataError(f"k-means found no {k} clusters that keep their sites. Take fewer labels.")
    labels = best[1]
    order = np.argsort([scaled[labels == c].mean() for c in range(k)], kind="stable")
    return np.argsort(order)[labels]
