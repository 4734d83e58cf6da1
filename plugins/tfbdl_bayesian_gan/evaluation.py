"""How near generated rows are to real ones: modes covered, divergence, neighbours, distances."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import linalg, stats

from tfbdl.errors import DataError

MODE_SHARE = 0.02
"""A mode is covered where it gets at least this share of the samples."""
POINTS = 3000  # of a kernel density estimate
GRID = 0.25  # width of a cell, in the units of the principal components
MOST_CELLS = 400  # along one axis
TINY = 1e-10  # least probability of a cell
BLOCK = 2**24  # distances held at once


class Neighbours(NamedTuple):
    """The nearest rows of each sample.

    Attributes:
        distances: ``[n, k]``, Euclidean, ascending.
        indices: ``[n, k]``, of the rows.
    """

    distances: np.ndarray
    indices: np.ndarray


def mode_shares(samples: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The share of the samples that is nearest to each centre: ``[k]``, of sum one.

    Args:
        samples: ``[n, ...]``.
        centres: ``[k, ...]``.
    """
    nearest = nearest_neighbours(samples, centres).indices[:, 0]
    return np.bincount(nearest, minlength=len(centres)) / len(nearest)


def modes_covered(samples: np.ndarray, centres: np.ndarray, share: float = MODE_SHARE) -> int:
    """How many modes get at least ``share`` of the samples, by the nearest centre.

    Args:
        samples: ``[n, ...]``.
        centres: ``[k, ...]``, of the true modes.
        share: From 0 to 1.
    """
    return int((mode_shares(samples, centres) >= share).sum())


def jensen_shannon(
    real: np.ndarray,
    fake: np.ndarray,
    points: int = POINTS,
    grid: float = GRID,
    seed: int = 0,
) -> float:
    r"""The Jensen-Shannon divergence in nats, from 0 to log 2, of two principal components.

    Both sets are projected on the first two principal components of the real rows; a Gaussian
    kernel density estimate of each (Scott's bandwidth) is read off a grid of square cells and
    normalised. ``JS = (KL(p || m) + KL(q || m)) / 2`` with ``m = (p + q) / 2``.

    Args:
        real: ``[n, ...]``.
        fake: ``[m, ...]``.
        points: At most so many rows of each, drawn without replacement.
        grid: The width of a cell in the units of the projection.
        seed: Of the choice of rows.

    Raises:
        DataError: If the rows of the two differ in shape, there are fewer than three of a set, or
            a value is not finite.

    References:
        Saatchi & Wilson 2017, "Bayesian GAN", section 4.1.
    """
    real, fake = _matched(real, fake)
    rng = np.random.default_rng(seed)
    project = principal_plane(real)
    a, b = (project(_some(x, points, rng)) for x in (real, fake))
    both = np.concatenate([a, b])
    edges = [
        np.linspace(low, high, min(int((high - low) / grid) + 2, MOST_CELLS))
        for low, high in zip(both.min(axis=0) - 1.0, both.max(axis=0) + 1.0, strict=True)
    ]
    p, q = (_on_grid(x, edges) for x in (a, b))
    m = 0.5 * (p + q)
    return float(0.5 * (p * np.log(p / m)).sum() + 0.5 * (q * np.log(q / m)).sum())


def principal_plane(rows: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The projection on the first two principal components of ``rows [n, d]``: to ``[m, 2]``.

    Of rows of one number the second coordinate is zero.
    """
    centre = rows.mean(axis=0)
    covariance = np.atleast_2d(np.cov(rows, rowvar=False))
    axes = np.zeros((len(covariance), 2))
    first = np.linalg.eigh(covariance)[1][:, ::-1][:, :2]
    axes[:, : first.shape[1]] = first
    return lambda x: (x - centre) @ axes


def nearest_neighbours(samples: np.ndarray, rows: np.ndarray, k: int = 1) -> Neighbours:
    """The k rows nearest to each sample, by Euclidean distance.

    A generator that has learned its training rows by heart gives samples at distance zero.

    Args:
        samples: ``[n, ...]``.
        rows: ``[m, ...]``.
        k: From 1 to m.

    Raises:
        DataError: If the shapes differ or k is out of range.
    """
    samples, rows = _flat(samples), _flat(rows)
    if samples.shape[1] != rows.shape[1]:
        raise DataError(
            "Samples and rows must have as many numbers each. "
            f"Received: {samples.shape[1]} and {rows.shape[1]}."
        )
    if not 1 <= k <= len(rows):
        raise DataError(f"k must be from 1 to the number of rows, {len(rows)}. Received: {k}.")
    step = max(1, BLOCK // len(rows))
    indices = np.empty((len(samples), k), np.int64)
    norms = np.square(rows).sum(axis=1)
    for begin in range(0, len(samples), step):
        some = samples[begin : begin + step]
        apart = norms - 2.0 * some @ rows.T  # less the sample's own norm, which orders nothing
        best = np.argpartition(apart, k - 1, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(apart, best, axis=1), axis=1, kind="stable")
        indices[begin : begin + step] = np.take_along_axis(best, order, axis=1)
    # From the differences, for the expanded square loses small distances
    distances = np.stack(
        [np.linalg.norm(samples - rows[indices[:, j]], axis=1) for j in range(k)], axis=1
    )
    return Neighbours(distances, indices)


def frechet_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """The squared Frechet distance between Gaussians of the moments of two sets of features.

    Of the features of a small classifier it compares pictures (``features.Features``); of rows
    themselves it compares their means and covariances.

    Args:
        real: ``[n, d]``.
        fake: ``[m, d]``.

    Raises:
        DataError: As for ``jensen_shannon``.

    References:
        Heusel et al. 2017, "GANs trained by a two time-scale update rule", eq. 6.
    """
    real, fake = _matched(real, fake)
    moments = [(x.mean(axis=0), np.atleast_2d(np.cov(x, rowvar=False))) for x in (real, fake)]
    return gaussian_frechet(*moments[0], *moments[1])


def gaussian_frechet(m1: np.ndarray, C1: np.ndarray, m2: np.ndarray, C2: np.ndarray) -> float:
    r"""``|m1 - m2|^2 + tr(C1 + C2 - 2 (C1^{1/2} C2 C1^{1/2})^{1/2})``.

    Args:
        m1, m2: ``[d]``.
        C1, C2: ``[d, d]``, symmetric and positive semi-definite.

    References:
        Dowson & Landau 1982, "The Frechet distance between multivariate normal distributions".
    """
    values, vectors = linalg.eigh(C1)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    cross = linalg.eigvalsh(root @ C2 @ root)  # those of C1 C2, which is not symmetric
    overlap = np.sqrt(np.maximum(cross, 0.0)).sum()
    return float(np.square(m1 - m2).sum() + np.trace(C1) + np.trace(C2) - 2.0 * overlap)


def _on_grid(points: np.ndarray, edges: list[np.ndarray]) -> np.ndarray:
    """A kernel density estimate on a grid, floored and normalised: ``[cells]``."""
    cells = np.stack(np.meshgrid(*edges, indexing="ij")).reshape(2, -1)
    try:
        density = stats.gaussian_kde(points.T)(cells)
    except np.linalg.LinAlgError:  # all points on a line or at one place
        spread = 1e-3 * np.random.default_rng(0).standard_normal(points.shape)
        density = stats.gaussian_kde((points + spread).T)(cells)
    p = np.maximum(density / max(density.sum(), TINY), TINY)
    return p / p.sum()


def _some(x: np.ndarray, points: int, rng: np.random.Generator) -> np.ndarray:
    return x if len(x) <= points else x[rng.choice(len(x), points, replace=False)]


def _flat(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, np.float64)
    return x.reshape(len(x), -1)


def _matched(real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both as finite rows ``[n, d]`` of float64."""
    pair = _flat(real), _flat(fake)
    if pair[0].shape[1] != pair[1].shape[1]:
        raise DataError(
            "Real and generated rows must have as many numbers each. "
            f"Received: {pair[0].shape[1]} and {pair[1].shape[1]}."
        )
    for name, x in zip(("real", "generated"), pair, strict=True):
        if len(x) < 3:
            raise DataError(f"There must be at least 3 {name} rows. Received: {len(x)}.")
        if not np.isfinite(x).all():
            raise DataError(f"The {name} rows must be finite. Received: NaN or infinite values.")
    return pair
