"""Kernels over items: similarity of their features, and how good each is.

References:
    Kulesza & Taskar 2012, "Determinantal point processes for machine learning", section 3.1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.distance import cdist, pdist

from tfbdl.errors import DataError, OptionsError

from .checks import check_array

MEDIAN_ROWS = 1_000


def linear(x: Any, y: Any = None) -> np.ndarray:
    """``k(x, y) = x'y``.

    Args:
        x: Items ``[n, d]``.
        y: Other items ``[m, d]``; None: x.

    Returns:
        ``[n, m]``.

    Raises:
        DataError: If they are no matrices of finite numbers with equally many columns.
    """
    x, y = _pair(x, y)
    return np.asarray(x @ y.T)


def rbf(x: Any, y: Any = None, length_scale: float = 1.0) -> np.ndarray:
    """``k(x, y) = exp(-|x - y|^2 / (2 l^2))``.

    Args:
        x: Items ``[n, d]``.
        y: Other items ``[m, d]``; None: x.
        length_scale: l, in units of the features, above 0.

    Returns:
        ``[n, m]``; the diagonal is exactly 1 where y is None.

    Raises:
        DataError: As ``linear``.
        OptionsError: If the length scale is not above 0.
    """
    chosen_length_scale(length_scale, x)
    x, y = _pair(x, y)
    return np.asarray(np.exp(cdist(x, y, "sqeuclidean") * (-0.5 / length_scale**2)))


def chosen_length_scale(length_scale: float | None, x: Any) -> float:
    """A length scale as it is given, or the median distance of items ``[n, d]``.

    Raises:
        DataError: As ``linear``.
        OptionsError: If it is not above 0.
    """
    if length_scale is None:
        return median_length_scale(x)
    if not (np.isfinite(length_scale) and length_scale > 0.0):
        raise OptionsError(f"length_scale must be above 0. Received: {length_scale!r}.")
    return float(length_scale)


def median_length_scale(x: Any) -> float:
    """The median distance between two items, of at most 1,000 evenly spaced ones; 1 if it is 0.

    Args:
        x: Items ``[n, d]``.

    Raises:
        DataError: As ``linear``.
    """
    x = check_array(x, "x")
    rows = x[np.linspace(0, len(x) - 1, min(len(x), MEDIAN_ROWS)).astype(int)]
    median = float(np.median(pdist(rows))) if len(rows) > 1 else 0.0
    return median if median > 0.0 else 1.0


def quality_diversity(quality: Any, similarity: Any) -> np.ndarray:
    """``L_ij = q_i S_ij q_j`` (Kulesza & Taskar 2012, eq. 98).

    Args:
        quality: How good each item is, ``[n]``, at least 0.
        similarity: S, ``[n, n]``, positive semidefinite.

    Returns:
        ``[n, n]``.

    Raises:
        DataError: If a quality is negative or missing, or the shapes do not agree.
    """
    S = check_array(similarity, "similarity")
    q = np.asarray(quality, np.float64)
    if q.shape != (len(S),) or S.shape[0] != S.shape[1]:
        raise DataError(
            f"quality must be [n] and similarity [n, n]. Received: shapes {q.shape} and {S.shape}."
        )
    if not (q >= 0.0).all() or not np.isfinite(q).all():
        raise DataError(f"quality must be finite and at least 0. Received: {q.min():g} at least.")
    return q[:, np.newaxis] * S * q


def _pair(x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    x = check_array(x, "x")
    y = x if y is None else check_array(y, "y")
    if x.shape[1] != y.shape[1]:
        raise DataError(
            f"x and y must have equally many columns. Received: {x.shape[1]} and {y.shape[1]}."
        )
    return x, y
