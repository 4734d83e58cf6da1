"""Pareto-smoothed importance sampling: whether weights can be trusted, and smoother ones.

References:
    Vehtari, Simpson, Gelman, Yao & Gabry 2024, "Pareto Smoothed Importance Sampling", JMLR 25.
"""

from __future__ import annotations

import numpy as np
from arviz_stats.base import array_stats
from scipy import special

from ..errors import DataError

RELIABLE = 0.7
"""The greatest k-hat at which estimates converge at a practical rate (section 3.2.4)."""
ALIKE = 1e-8
"""Nats, up to which weights differ by rounding alone."""
FEWEST = 25
"""Weights, below which too few are in the tail to fit it."""


def pareto_k(log_weights: np.ndarray) -> float:
    """The shape k-hat of the generalised Pareto distribution that fits the largest weights.

    The weights have as many moments as 1 / k; above 0.7 neither means nor error bars are reliable.

    Args:
        log_weights: ``[n]``, up to a constant; minus infinity for a weight of zero.

    Returns:
        k-hat; minus infinity where the weights are all alike, infinity where too few are positive.

    Raises:
        DataError: If a weight is NaN or infinite, or all are zero.
    """
    return _fitted(log_weights)[1]


def smoothed(log_weights: np.ndarray) -> np.ndarray:
    """Normalised log weights ``[n]``, the largest of them expected order statistics of the fit.

    Args:
        log_weights: As for ``pareto_k``, and so are the errors.
    """
    return _fitted(log_weights)[0]


def _fitted(log_weights: np.ndarray) -> tuple[np.ndarray, float]:
    values = np.asarray(log_weights, np.float64)
    if values.ndim != 1 or np.isnan(values).any() or not np.isfinite(values.max(initial=-np.inf)):
        raise DataError(
            "Log weights must be numbers [n] below infinity, one of them finite. "
            f"Received: shape {values.shape}, {np.array2string(values, threshold=8)}."
        )
    finite = np.isfinite(values)
    if np.ptp(values[finite]) < ALIKE:
        return values - special.logsumexp(values), -np.inf
    if finite.sum() < FEWEST:
        return values - special.logsumexp(values), np.inf
    with np.errstate(divide="ignore", invalid="ignore"):  # weights beyond the range of exp
        found, k = array_stats.psislw(-values[finite])  # which takes log likelihoods left out
    if not np.isfinite(found).all() or np.isnan(k):
        return values - special.logsumexp(values), np.inf
    log_smooth = np.full(values.shape, -np.inf)
    log_smooth[finite] = found
    return log_smooth - special.logsumexp(log_smooth), float(k)
