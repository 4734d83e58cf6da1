"""The k-DPP from which mini-batches come: exact, of low rank, or of clusters.

All three are k-DPPs of a kernel, drawn exactly and with exact probabilities of inclusion; the last
two have a kernel that is near the one asked for, so that hundreds of thousands of items will do.
"""

from __future__ import annotations

import warnings
from typing import Any, Protocol

import numpy as np
from scipy.cluster.vq import kmeans2, vq

from tfbdl.config import check_choice, check_whole
from tfbdl.errors import DataError, OptionsError

from .checks import check_array, check_size
from .ensemble import MAX_DENSE
from .k_dpp import KDPP
from .kernels import chosen_length_scale, rbf
from .process import generator

METHODS = ("auto", "exact", "low_rank", "clusters")
KERNELS = ("rbf", "linear")
EXACT_ITEMS = 3_000  # up to which auto decomposes a whole kernel, in seconds
LEAST_COLUMNS = 256
ROWS_A_CLUSTER = 64  # of those by which k-means finds its centres
RANDOM, CENTRES, WITHIN = 21, 22, 23  # streams of a seed


class BatchProcess(Protocol):
    """What draws subsets of fixed size and knows how probable each item is."""

    def sample(self, n: int = 1, seed: int = 0) -> np.ndarray:
        """Sorted indices ``[n, k]``."""

    def inclusion_probabilities(self) -> np.ndarray:
        """``P(i in Y)``, ``[num_items]``, which sums to k."""


class ClusterKDPP:
    """The k-DPP whose kernel takes each item for the centre of its cluster.

    Items of one cluster are duplicates then, of which no two come together. A draw is a k-DPP of
    the clusters with ``L_ab = sqrt(n_a) k(c_a, c_b) sqrt(n_b)`` and one item of each, uniformly:
    its cost does not depend on the number of items.

    Args:
        labels: The cluster of each item, ``[n]``; each from 0 to c - 1 has at least one.
        L: The kernel of the centres, ``[c, c]``.
        k: Items of a subset; at most the rank of L.
    """

    def __init__(self, labels: np.ndarray, L: np.ndarray, k: int) -> None:
        self._labels = labels
        self._counts = np.bincount(labels, minlength=len(L))
        self._items = np.argsort(labels, kind="stable")
        self._starts = np.cumsum(self._counts) - self._counts
        root = np.sqrt(self._counts)
        self._clusters = KDPP(root[:, np.newaxis] * L * root, k)

    def sample(self, n: int = 1, seed: int = 0) -> np.ndarray:
        """Sorted indices ``[n, k]``."""
        chosen = self._clusters.sample(n, seed)
        uniform = generator(seed, WITHIN).random(chosen.shape)
        places = self._starts[chosen] + (uniform * self._counts[chosen]).astype(np.int64)
        return np.sort(self._items[places], axis=1)

    def inclusion_probabilities(self) -> np.ndarray:
        """``P(i in Y) = P(a in Z) / n_a`` of the cluster a of item i, ``[n]``."""
        of_clusters = self._clusters.inclusion_probabilities() / self._counts
        return np.asarray(of_clusters[self._labels])


def batch_process(
    features: Any,
    k: int,
    *,
    kernel: str = "rbf",
    length_scale: float | None = None,
    method: str = "auto",
    columns: int | None = None,
    seed: int = 0,
) -> BatchProcess:
    """The k-DPP over items with these features.

    Args:
        features: Items ``[n, d]``.
        k: Items of a subset.
        kernel: ``rbf``, or ``linear`` (whose rank, d at most, bounds k).
        length_scale: Of ``rbf``; None: the median distance between two items.
        method: ``exact`` decomposes the kernel: of ``rbf`` in seconds for thousands of items, of
            ``linear`` by the dual form for any number. ``low_rank`` puts random Fourier features in
            place of ``rbf``. ``clusters`` takes each item for the centre of its cluster. ``auto``:
            exact of up to 3,000 items or of ``linear``, else low_rank.
        columns: How many random features or clusters; None: 256, or 4 k if that is more.
        seed: Of random features and of the starts of k-means.

    Raises:
        DataError: If the features are no matrix of finite numbers.
        OptionsError: If k is above the rank, a word is unknown, or a kernel matrix would be too
            large.
    """
    check_choice("kernel", kernel, KERNELS)
    check_choice("method", method, METHODS)
    x = check_array(features, "features")
    size = check_size(k, len(x))
    width = max(LEAST_COLUMNS, 4 * size) if columns is None else check_whole("columns", columns)
    if method == "auto":
        method = "exact" if kernel == "linear" or len(x) <= EXACT_ITEMS else "low_rank"
    scale = chosen_length_scale(length_scale, x)
    if method == "clusters":
        return _of_clusters(x, size, kernel, scale, min(width, len(x)), seed)
    if kernel == "linear":
        return KDPP(features=x, k=size)
    if method == "low_rank":
        return KDPP(features=fourier_features(x, width, scale, seed), k=size)
    if len(x) > MAX_DENSE:
        raise OptionsError(
            f"A kernel of {len(x):,} items would take {8e-9 * len(x) ** 2:.0f} GB. "
            "Expected method='low_rank' or 'clusters', or kernel='linear'. Received: 'exact'."
        )
    return KDPP(rbf(x, length_scale=scale), size)


def fourier_features(
    x: np.ndarray, columns: int, length_scale: float = 1.0, seed: int = 0
) -> np.ndarray:
    """Random features F with ``E F F' = rbf(x)`` and rows of length exactly 1.

    ``F = sqrt(2 / m) [cos(x W), sin(x W)]``, ``W ~ N(0, 1 / l^2)`` (Rahimi & Recht 2007, algorithm
    1, with pairs). An entry of ``F F'`` has a standard deviation of at most ``1 / sqrt(m)``.

    Args:
        x: Items ``[n, d]``.
        columns: m, rounded up to an even number.
        length_scale: l, above 0.
        seed: Of W.

    Returns:
        ``[n, m]``.
    """
    half = -(-columns // 2)
    W = generator(seed, RANDOM).normal(scale=1.0 / length_scale, size=(x.shape[1], half))
    angles = x @ W
    return np.concatenate([np.cos(angles), np.sin(angles)], axis=1) / np.sqrt(half)


def batch_weights(process: BatchProcess) -> np.ndarray:
    """``k / (N p_i)``: with them a batch's mean is the mean over all items, on average.

    The estimate ``sum_{i in Y} g_i / (N p_i)`` of ``sum_i g_i / N`` is that of Horvitz & Thompson
    (1952); Keras divides a batch's sum by its k items, hence the factor. They are 1 where all items
    are equally probable.

    Raises:
        DataError: If an item has probability 0, so that it would never be learned from.
    """
    p = process.inclusion_probabilities()
    if not (p > 0.0).all():
        never = np.flatnonzero(p <= 0.0)
        raise DataError(
            f"Each item must have a chance to be in a batch. Received: {len(never)} items of "
            f"probability 0, the first is item {int(never[0])}: with kernel='linear' an item whose "
            "features are all zero. kernel='rbf' gives each a chance."
        )
    return np.asarray(p.sum() / (len(p) * p))


def _of_clusters(
    x: np.ndarray, k: int, kernel: str, scale: float, count: int, seed: int
) -> ClusterKDPP:
    rng = generator(seed, CENTRES)
    most = ROWS_A_CLUSTER * count
    some = x if len(x) <= most else x[rng.choice(len(x), most, replace=False)]
    start = some[rng.choice(len(some), count, replace=False)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "One of the clusters is empty")  # it is left out below
        centres = kmeans2(some, start, minit="matrix")[0]
    used, labels = np.unique(vq(x, centres)[0], return_inverse=True)
    c = centres[used]
    L = c @ c.T if kernel == "linear" else rbf(c, length_scale=scale)
    return ClusterKDPP(labels, L, k)
