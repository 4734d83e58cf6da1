"""The synthetic data of Saatchi and Wilson: ten clusters in a hundred dimensions."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tfbdl.data import Dataset, as_dataset

from .data_config import SyntheticOptions

PLANE = 2  # dimensions in which a cluster has its spread
SPREAD = 5.0  # standard deviation of the elements of a cluster's mean and of its map
CLUSTERS, TRAIN, TEST = 0, 1, 2
"""Streams of random numbers: the clusters do not depend on how many rows are drawn."""


class Synthetic(NamedTuple):
    """Rows whose modes are known.

    Attributes:
        x: ``[n, dimensions]`` float32; each column has mean 0 and standard deviation 1.
        labels: ``[n]`` int32: the cluster of each row.
        centres: ``[clusters, dimensions]``: the means of the clusters, in the units of ``x``.
    """

    x: np.ndarray
    labels: np.ndarray
    centres: np.ndarray


def synthetic(n: int, seed: int = 0, dimensions: int = 100, clusters: int = 10) -> Synthetic:
    r"""Rows of ``x = A_k (m_k + e)`` with ``e ~ N(0, I_2)``, standardised by column.

    The elements of ``m_k`` (2) and of ``A_k`` (dimensions x 2) are drawn from N(0, 5^2), anew for
    each cluster, so that each cluster lies on a plane of its own. As many rows come from each
    cluster; where they do not divide, the first clusters have one more.

    Args:
        n: Rows.
        seed: Of clusters and rows.
        dimensions: Columns.
        clusters: Modes.

    References:
        Saatchi & Wilson 2017, "Bayesian GAN", section 4.1.
    """
    rng = np.random.default_rng([seed, CLUSTERS])
    means = SPREAD * rng.standard_normal((clusters, PLANE))
    maps = SPREAD * rng.standard_normal((clusters, dimensions, PLANE))
    x, labels = _rows(means, maps, n, seed, TRAIN)
    return _standardised(x, labels, means, maps, x.mean(axis=0), x.std(axis=0))


def gan_synthetic(options: SyntheticOptions) -> Dataset:
    """The rows as a data set, with the cluster of each as its label.

    Held-out rows come from the same clusters, in the units of the training rows.

    Shapes:
        x: ``[n, dimensions]``; y: ``[n]``.
    """
    size = (options.dimensions, options.clusters)
    train = synthetic(options.num_rows, options.cluster_seed, *size)
    held_out: dict[str, Any] = {}
    if options.num_test:
        test = synthetic_test(options.num_rows, options.num_test, options.cluster_seed, *size)
        held_out = {"x_test": test.x, "y_test": test.labels}
    return as_dataset(
        (train.x, train.labels), name="gan_synthetic", task="classification", **held_out
    )


def synthetic_test(
    n: int, num_test: int, seed: int = 0, dimensions: int = 100, clusters: int = 10
) -> Synthetic:
    """New rows of the clusters of ``synthetic(n, seed, ...)``, in the units of its rows.

    Args:
        n: Rows of the set whose units are taken.
        num_test: Rows to draw.
        seed, dimensions, clusters: As for ``synthetic``.
    """
    rng = np.random.default_rng([seed, CLUSTERS])
    means = SPREAD * rng.standard_normal((clusters, PLANE))
    maps = SPREAD * rng.standard_normal((clusters, dimensions, PLANE))
    known = _rows(means, maps, n, seed, TRAIN)[0]
    x, labels = _rows(means, maps, num_test, seed, TEST)
    return _standardised(x, labels, means, maps, known.mean(axis=0), known.std(axis=0))


def _rows(
    means: np.ndarray, maps: np.ndarray, n: int, seed: int, stream: int
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([seed, stream])
    labels = rng.permutation(np.arange(n) % len(means))
    codes = means[labels] + rng.standard_normal((n, PLANE))
    x = np.empty((n, maps.shape[1]))
    for k, A in enumerate(maps):
        x[labels == k] = codes[labels == k] @ A.T
    return x, labels.astype(np.int32)


def _standardised(
    x: np.ndarray,
    labels: np.ndarray,
    means: np.ndarray,
    maps: np.ndarray,
    centre: np.ndarray,
    scale: np.ndarray,
) -> Synthetic:
    centres = (np.einsum("kdp,kp->kd", maps, means) - centre) / scale
    return Synthetic(((x - centre) / scale).astype(np.float32), labels, centres)
