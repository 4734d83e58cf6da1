"""Whether a filter's covariances and innovations are as they should be.

References:
    Bar-Shalom, Li & Kirubarajan 2001, "Estimation with Applications to Tracking and Navigation",
    section 5.4; Ljung & Box 1978, "On a measure of lack of fit in time series models".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from tfbdl.config import check_whole
from tfbdl.errors import DataError, OptionsError


@dataclass(frozen=True, kw_only=True)
class Consistency:
    """Squared errors in units of the covariance that was claimed for them.

    Attributes:
        values: Of each sequence and step, ``[n, T]``; NaN where nothing could be compared.
        mean: Over sequences at each step, ``[T]``. It should be about the degrees of freedom: more
            says that the filter is too sure.
        low, high: The band in which ``mean`` lies with the probability asked for if the
            covariances are right, ``[T]``.
        inside: Share of the steps whose mean is in the band. Steps are not independent of one
            another.
    """

    values: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    inside: float


@dataclass(frozen=True, kw_only=True)
class Whiteness:
    """A portmanteau test that a series has no correlation with its own past.

    Attributes:
        autocorrelation: At lags 1 to L, ``[L]``.
        statistic: Ljung and Box's Q.
        p_value: Of a chi-square with L degrees of freedom, less those of fitted parameters: small
            where the series is not white.
    """

    autocorrelation: np.ndarray
    statistic: float
    p_value: float


def nees(
    means: np.ndarray, covariances: np.ndarray, states: np.ndarray, level: float = 0.95
) -> Consistency:
    """Normalised estimation error squared: ``(x - m)' P^-1 (x - m)``.

    Args:
        means: Of a filter or smoother, ``[T, d]`` or ``[n, T, d]``.
        covariances: ``[T, d, d]`` or ``[n, T, d, d]``.
        states: The true ones, of the shape of ``means``.
        level: Probability of the band.

    Raises:
        DataError: If shapes do not fit, or a covariance is not positive definite.
        OptionsError: If ``level`` is not strictly between 0 and 1.
    """
    if np.shape(means) != np.shape(states):
        raise DataError(
            f"True states must be {list(np.shape(means))}, as the means. "
            f"Received: shape {list(np.shape(states))}."
        )
    errors = np.asarray(states, np.float64) - means
    return _consistency(errors, np.asarray(covariances, np.float64), level)


def nis(
    predicted: np.ndarray, covariances: np.ndarray, y: np.ndarray, level: float = 0.95
) -> Consistency:
    """Normalised innovation squared, of what was observed whole.

    Args:
        predicted: ``E[y_t | y_1..t-1]``, ``[T, m]`` or ``[n, T, m]``.
        covariances: ``S_t``, ``[T, m, m]`` or ``[n, T, m, m]``.
        y: Observations, of the shape of ``predicted``; NaN where one is missing.
        level: Probability of the band.

    Raises:
        DataError: If shapes do not fit, or a covariance is not positive definite.
        OptionsError: If ``level`` is not strictly between 0 and 1.
    """
    if np.shape(predicted) != np.shape(y):
        raise DataError(
            f"Observations must be {list(np.shape(predicted))}, as the predictions. "
            f"Received: shape {list(np.shape(y))}."
        )
    return _consistency(np.asarray(y, np.float64) - predicted, np.asarray(covariances), level)


def standardised(residuals: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """Residuals in standard deviations, each element for itself: NaN stays NaN.

    Args:
        residuals: ``[..., m]``.
        covariances: ``[..., m, m]``.
    """
    variances = np.diagonal(covariances, axis1=-2, axis2=-1)
    return np.asarray(residuals / np.sqrt(variances))


def ljung_box(series: np.ndarray, lags: int = 10, fitted: int = 0) -> Whiteness:
    """Test one series for whiteness.

    Args:
        series: ``[T]``; of missing values (NaN) the pairs are left out.
        lags: L.
        fitted: Parameters that were fitted to the same series, fewer than L.

    Raises:
        DataError: If fewer than ``lags`` + 2 values are there, or all are equal.
        OptionsError: If ``lags`` is no positive integer, or ``fitted`` is not below it.
    """
    check_whole("lags", lags)
    check_whole("fitted", fitted, 0)
    if fitted >= lags:
        raise OptionsError(f"fitted must be below lags ({lags}). Received: {fitted}.")
    values = np.asarray(series, np.float64)
    seen = ~np.isnan(values)
    if values.ndim != 1 or seen.sum() < lags + 2 or np.ptp(values[seen]) == 0.0:
        raise DataError(
            f"Expected a series [T] with at least {lags + 2} values, not all equal. Received: "
            f"shape {list(values.shape)} with {int(seen.sum())} values."
        )
    centred = np.where(seen, values - values[seen].mean(), 0.0)
    total, count = centred @ centred, int(seen.sum())
    correlation = np.zeros(lags)
    terms = np.zeros(lags)
    for lag in range(1, lags + 1):
        pairs = int((seen[lag:] & seen[:-lag]).sum())
        if not pairs:
            continue
        correlation[lag - 1] = centred[lag:] @ centred[:-lag] / total
        # Without gaps there are T - lag pairs: n (n + 2) r^2 / (n - lag).
        terms[lag - 1] = count * (count + 2) * correlation[lag - 1] ** 2 / pairs
    statistic = float(terms.sum())
    degrees = int((terms > 0.0).sum()) - fitted
    p_value = float(stats.chi2.sf(statistic, max(degrees, 1)))
    return Whiteness(autocorrelation=correlation, statistic=statistic, p_value=p_value)


def _consistency(errors: np.ndarray, covariances: np.ndarray, level: float) -> Consistency:
    if not 0.0 < level < 1.0:
        raise OptionsError(f"level must be strictly between 0 and 1. Received: {level!r}.")
    if covariances.shape != (*errors.shape, errors.shape[-1]) or errors.ndim not in (2, 3):
        wanted = "[T, {0}, {0}] or [n, T, {0}, {0}]".format(errors.shape[-1] if errors.ndim else 1)
        raise DataError(
            f"Expected a covariance for each of the errors {list(errors.shape)}, {wanted}. "
            f"Received: shape {list(covariances.shape)}."
        )
    if errors.ndim == 2:
        errors, covariances = errors[np.newaxis], covariances[np.newaxis]
    try:
        roots = np.linalg.cholesky(covariances)
    except np.linalg.LinAlgError:
        raise DataError(
            "Errors cannot be measured in units of a singular covariance, or of one that is none. "
            "Expected: positive definite ones. Received: one with an eigenvalue that is not above "
            "0."
        ) from None
    scaled = np.linalg.solve(roots, errors[..., np.newaxis])[..., 0]
    values = np.square(scaled).sum(axis=-1)
    count = (~np.isnan(values)).sum(axis=0)
    known = np.maximum(count, 1)
    mean = np.where(count > 0, np.nansum(values, axis=0) / known, np.nan)
    degrees = known * errors.shape[-1]  # a sum of n chi-squares of d has n d degrees
    low = stats.chi2.ppf(0.5 * (1.0 - level), degrees) / known
    high = stats.chi2.ppf(0.5 * (1.0 + level), degrees) / known
    there = count > 0
    inside = float(np.mean((low <= mean)[there] & (mean <= high)[there])) if there.any() else np.nan
    return Consistency(values=values, mean=mean, low=low, high=high, inside=inside)
