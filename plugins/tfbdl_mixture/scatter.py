"""Scatter: count, mean and scatter matrix of rows, as a root that more rows can be added to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Scatter:
    """What PCA needs of rows: ``F'F = sum (x - mean)(x - mean)'``, with orthogonal rows of F.

    Rows that come later are taken in exactly: nothing of F is cut away but rows of zeros.

    Attributes:
        num_rows: How many rows it stands for.
        mean: ``[d]``.
        root: F, ``[r, d]`` with ``r = min(num_rows, d)``; the longest rows first.
        squares: ``sum (x - mean)^2`` of each column, ``[d]``, without the rounding of F.

    References:
        Ross et al. 2008, "Incremental Learning for Robust Visual Tracking", section 3.1.
    """

    num_rows: int
    mean: np.ndarray
    root: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, rows: np.ndarray) -> Scatter:
        """Of rows ``[n, d]``, in float64.

        With fewer rows than columns through a thin SVD of the rows, ``O(n^2 d)``, otherwise
        through the scatter matrix, ``O(n d^2)``.
        """
        rows = np.asarray(rows, np.float64)
        mean = rows.mean(axis=0)
        gaps = rows - mean
        return cls(len(rows), mean, _orthogonal_root(gaps), np.einsum("nd,nd->d", gaps, gaps))

    def merged(self, other: Scatter) -> Scatter:
        """Of the rows of both."""
        total = self.num_rows + other.num_rows
        gap = other.mean - self.mean
        between = np.sqrt(self.num_rows * other.num_rows / total) * gap
        root = _orthogonal_root(np.vstack([self.root, other.root, between]))
        root = root[: min(total, len(gap))]  # the rank is lower: the others are zero
        squares = self.squares + other.squares + between**2
        return Scatter(total, self.mean + gap * (other.num_rows / total), root, squares)

    @property
    def variances(self) -> np.ndarray:
        """Eigenvalues of the covariance with divisor N, ``[r]``, the largest first.

        The others, to make up d, are zero.
        """
        squares: np.ndarray = np.einsum("rd,rd->r", self.root, self.root)
        return squares / self.num_rows

    @property
    def constant_columns(self) -> tuple[int, ...]:
        """The columns that do not vary, but for rounding of the mean."""
        return constant_columns(self.mean, self.squares / self.num_rows)

    @property
    def axes(self) -> np.ndarray:
        """Eigenvectors that belong to them, ``[r, d]``, of length one.

        The sign makes the entry of largest size positive.
        """
        lengths = np.linalg.norm(self.root, axis=1, keepdims=True)
        return with_positive_peaks(self.root / np.where(lengths > 0, lengths, 1.0))


def constant_columns(mean: np.ndarray, variance: np.ndarray) -> tuple[int, ...]:
    """The columns whose variance is no more than what rounding of their mean makes."""
    rounding = 16.0 * np.finfo(np.float64).eps * np.abs(mean)
    return tuple(int(i) for i in np.flatnonzero(variance <= rounding**2))


def with_positive_peaks(axes: np.ndarray) -> np.ndarray:
    """Axes ``[r, d]``, each turned round if its entry of largest size is negative."""
    peaks = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, np.newaxis], axis=1)
    return axes * np.where(peaks < 0, -1.0, 1.0)


def _orthogonal_root(rows: np.ndarray) -> np.ndarray:
    """A matrix of at most d orthogonal rows, the longest first, with the same ``F'F``."""
    if len(rows) < rows.shape[1]:
        _, lengths, axes = np.linalg.svd(rows, full_matrices=False)
        return np.asarray(lengths[:, np.newaxis] * axes)
    squares, vectors = np.linalg.eigh(rows.T @ rows)
    lengths = np.sqrt(np.maximum(squares[::-1], 0.0))
    return np.asarray(lengths[:, np.newaxis] * vectors.T[::-1])
