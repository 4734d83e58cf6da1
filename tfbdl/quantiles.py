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
    width: np.ndarray,
    *,
    discrete: bool = False,
) -> np.ndarray:
    """The smallest y with ``cdf(y) >= level``, for each element and level.

    Args:
        cdf: From values ``[levels, ...]`` to probabilities; it does not fall.
        levels: Probabilities strictly between 0 and 1: ``[levels]``.
        mean, width: Of each element, where the search begins and how wide: finite, such as the
            standard deviation.
        discrete: Whether the support is whole numbers; the result is then exact.

    Returns:
        ``[levels, *mean.shape]``. The search ends at 1e-7 widths and 1e-10 of the value, so the
        cdf's own rounding decides: in float32, whose last digit is 6e-8, a value is right to
        6e-8 of itself and 1e-7 over its density (1e-6 standard deviations at the 5 % point of a
        normal, 3e-5 at the 0.1 % point).
    """
    target = levels.reshape(-1, *[1] * mean.ndim)
    shape = (len(levels), *mean.shape)
    down, up = (np.floor, np.ceil) if discrete else (np.asarray, np.asarray)
    reach = 10.0 * (width + 1e-12)
    low = np.broadcast_to(down(mean - reach), shape).copy()
    high = np.broadcast_to(up(mean + reach), shape).copy()
    for _ in range(MAX_STEPS):
        below, above = cdf(low) >= target, cdf(high) < target
        if not (below.any() or above.any()):
            break
        reach = 2.0 * reach
        low = np.where(below, down(mean - reach), low)
        high = np.where(above, up(mean + reach), high)
    for _ in range(MAX_STEPS):
        middle = down(0.5 * (low + high))
        close = 1.0 if discrete else 1e-7 * (width + np.abs(middle) * 1e-3)
        if np.all(high - low <= close):
            break
        smaller = cdf(middle) < target
        low, high = np.where(smaller, middle, low), np.where(smaller, high, middle)
    return high if discrete else 0.5 * (low + high)
