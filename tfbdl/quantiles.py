"""Quantiles of a distribution of which only the cdf is known, by bisection."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

MAX_STEPS = 60
"""Doublings of the bracket, and halvings of it: a factor of 1e18 each."""


def bisect(
    cdf: Callable[[np.ndarray], np.ndarray],
    levels: np.ndarray,
    mean: np.ndarray,
    stddev: np.ndarray,
    *,
    discrete: bool = False,
) -> np.ndarray:
    """The smallest y with ``cdf(y) >= level``, for each element and level.

    Args:
        cdf: From values ``[levels, ...]`` to probabilities; it does not fall.
        levels: Probabilities strictly between 0 and 1: ``[levels]``.
        mean, stddev: Of each element, where the search begins and how wide.
        discrete: Whether the support is whole numbers; the result is then exact.

    Returns:
        ``[levels, *mean.shape]``; to about 1e-7 standard deviations, and 1e-10 of the value.
    """
    target = levels.reshape(-1, *[1] * mean.ndim)
    shape = (len(levels), *mean.shape)
    down, up = (np.floor, np.ceil) if discrete else (np.asarray, np.asarray)
    width = 10.0 * (stddev + 1e-12)
    low = np.broadcast_to(down(mean - width), shape).copy()
    high = np.broadcast_to(up(mean + width), shape).copy()
    for _ in range(MAX_STEPS):
        below, above = cdf(low) >= target, cdf(high) < target
        if not (below.any() or above.any()):
            break
        width = 2.0 * width
        low = np.where(below, down(mean - width), low)
        high = np.where(above, up(mean + width), high)
    for _ in range(MAX_STEPS):
        middle = down(0.5 * (low + high))
        close = 1.0 if discrete else 1e-7 * (stddev + np.abs(middle) * 1e-3)
        if np.all(high - low <= close):
            break
        smaller = cdf(middle) < target
        low, high = np.where(smaller, middle, low), np.where(smaller, high, middle)
    return high if discrete else 0.5 * (low + high)
