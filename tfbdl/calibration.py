"""Whether stated probabilities hold: calibration, proper scores and coverage, in NumPy.

Everywhere ``probs`` are class probabilities ``[n, classes]``, or ``[n]`` for the probability of
class 1 of two; ``labels`` are integers ``[n]`` or one-hot ``[n, classes]``.

References:
    Guo, Pleiss, Sun & Weinberger 2017, "On calibration of modern neural networks".
    Gneiting & Raftery 2007, "Strictly proper scoring rules, prediction, and estimation".
    Kuleshov, Fenner & Ermon 2018, "Accurate uncertainties for deep learning using calibrated
    regression".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special
import scipy.stats

from .errors import DataError, OptionsError

__all__ = [
    "CalibrationCurve",
    "ReliabilityCurve",
    "brier",
    "coverage",
    "crps_gaussian",
    "crps_samples",
    "crps_student_t",
    "expected_calibration_error",
    "interval_width",
    "nll",
    "regression_calibration",
    "reliability_curve",
    "wilson_interval",
]


@dataclass(frozen=True, kw_only=True)
class ReliabilityCurve:
    """Accuracy against confidence; one entry for each bin that holds a prediction.

    Attributes:
        confidence: Mean probability of the predicted class in the bin.
        accuracy: Share of right predictions in the bin.
        count: Predictions in the bin.
        low, high: Wilson's band around the accuracy.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True, kw_only=True)
class CalibrationCurve:
    """Share of observations at or below each predicted quantile.

    Attributes:
        expected: The quantiles' levels, in (0, 1).
        observed: The share of observations at or below them; equal to ``expected`` up to noise
            if the predictive distributions are calibrated.
        low, high: Wilson's band around ``observed``.
        error: Mean of ``|expected - observed|``.
    """

    expected: np.ndarray
    observed: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def error(self) -> float:
        """Mean distance from the diagonal, in [0, 1]."""
        return float(np.mean(np.abs(self.expected - self.observed)))


def expected_calibration_error(
    probs: Any, labels: Any, bins: int = 15, adaptive: bool = False
) -> float:
    """Expected calibration error of the predicted class.

    ``sum_b n_b / n |accuracy_b - confidence_b|`` over bins of the confidence.

    Args:
        probs: Class probabilities.
        labels: Classes.
        bins: Number of bins, at least 1.
        adaptive: Bins of equal counts; otherwise of equal width on (0, 1].

    Returns:
        A number in [0, 1]; it is biased upward where bins hold few data.

    Raises:
        DataError: If the arrays are no probabilities, no labels or do not fit.
        OptionsError: If ``bins`` is below 1.

    References:
        Guo et al. 2017, section 2; Nguyen & O'Connor 2015 for bins of equal counts.
    """
    curve = reliability_curve(probs, labels, bins, adaptive=adaptive)
    gaps = np.abs(curve.accuracy - curve.confidence)
    return float(np.sum(curve.count / curve.count.sum() * gaps))


def reliability_curve(
    probs: Any, labels: Any, bins: int = 15, level: float = 0.9, adaptive: bool = False
) -> ReliabilityCurve:
    """Accuracy of the predicted class against its confidence, in bins.

    Args:
        probs: Class probabilities.
        labels: Classes.
        bins: Number of bins, at least 1; empty ones are left out.
        level: Of the band around each accuracy, in (0, 1).
        adaptive: Bins of equal counts; otherwise of equal width on (0, 1].

    Raises:
        DataError: If the arrays are no probabilities, no labels or do not fit.
        OptionsError: If ``bins`` is below 1 or ``level`` is not in (0, 1).
    """
    probs, labels = _classes(probs, labels)
    if bins < 1:
        raise OptionsError(f"'bins' must be at least 1. Received: {bins!r}.")
    confidence = probs.max(axis=1)
    correct = probs.argmax(axis=1) == labels
    if adaptive:
        ranks = np.empty(len(confidence), dtype=int)
        ranks[np.argsort(confidence, kind="stable")] = np.arange(len(confidence))
        index = ranks * bins // len(confidence)
    else:
        index = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    count = np.bincount(index, minlength=bins)
    full = count > 0
    hits = np.bincount(index, weights=correct, minlength=bins)[full]
    total = np.bincount(index, weights=confidence, minlength=bins)[full]
    low, high = wilson_interval(hits, count[full], level)
    return ReliabilityCurve(
        confidence=total / count[full],
        accuracy=hits / count[full],
        count=count[full],
        low=low,
        high=high,
    )


def brier(probs: Any, labels: Any) -> float:
    """Brier score ``mean_n sum_c (p_nc - 1[y_n = c])^2``, in [0, 2], for two classes too.

    Raises:
        DataError: If the arrays are no probabilities, no labels or do not fit.

    References:
        Brier 1950; Gneiting & Raftery 2007, section 3.1.
    """
    probs, labels = _classes(probs, labels)
    hits = probs[np.arange(len(labels)), labels]
    return float(np.mean(np.sum(probs**2, axis=1) - 2 * hits + 1))


def nll(values: Any, labels: Any = None) -> float:
    """Mean negative log likelihood, in nats per datum; infinite if what happened had probability 0.

    Args:
        values: Log likelihoods ``[n]``; with ``labels``, class probabilities.
        labels: Classes, or None.

    Raises:
        DataError: If the arrays hold NaN, are no probabilities, no labels or do not fit.
    """
    if labels is None:
        log_prob = _array(values, "Log likelihoods", ndim=1, finite=False)
        if np.isnan(log_prob).any():
            raise DataError("Log likelihoods must be without NaN.")
        return float(-np.mean(log_prob))
    probs, labels = _classes(values, labels)
    with np.errstate(divide="ignore"):
        return float(-np.mean(np.log(probs[np.arange(len(labels)), labels])))


def coverage(y: Any, low: Any, high: Any) -> float:
    """Share of the elements of ``y`` in their intervals ``[low, high]``.

    Raises:
        DataError: If the shapes differ or a value is NaN.
    """
    y, low, high = _same_shape(y=y, low=low, high=high)
    return float(np.mean((low <= y) & (y <= high)))


def interval_width(low: Any, high: Any) -> float:
    """Mean width of intervals: of two that cover alike, the narrower is the sharper.

    Raises:
        DataError: If the shapes differ, a value is NaN or a width is negative.
    """
    low, high = _same_shape(low=low, high=high)
    if np.any(high < low):
        raise DataError("The upper ends of intervals must be at or above the lower ones.")
    return float(np.mean(high - low))


def crps_gaussian(mean: Any, sd: Any, y: Any) -> np.ndarray:
    """Continuous ranked probability score of ``N(mean, sd^2)``; less is better.

    ``sd [z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)]`` with ``z = (y - mean) / sd``, in the units
    of ``y``; for ``sd = 0`` it is ``|y - mean|``.

    Returns:
        One score per element.

    Raises:
        DataError: If the shapes differ, a value is NaN or ``sd`` is negative.

    References:
        Gneiting & Raftery 2007, section 4.2.
    """
    mean, sd, y = _same_shape(mean=mean, sd=sd, y=y)
    if np.any(sd < 0):
        raise DataError(f"'sd' must be at least 0. Received: {float(sd.min())}.")
    error = y - mean
    z = error / np.where(sd > 0, sd, 1.0)
    phi: np.ndarray = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    spread = error * (2 * scipy.special.ndtr(z) - 1) + sd * (2 * phi - 1 / math.sqrt(math.pi))
    return np.asarray(np.where(sd > 0, spread, np.abs(error)))


def crps_student_t(df: Any, loc: Any, scale: Any, y: Any) -> np.ndarray:
    """Continuous ranked probability score of a Student t distribution; less is better.

    Of the standard one at z: ``z (2 F(z) - 1) + 2 f(z) (df + z^2) / (df - 1) - 2 sqrt(df) / (df -
    1) B(1/2, df - 1/2) / B(1/2, df/2)^2``, in the units of ``y`` after the scale.

    Returns:
        One score per element; infinite where ``df`` is at most 1, which leaves no mean.

    Raises:
        DataError: If the shapes differ, a value is NaN, or ``df`` or ``scale`` is not above 0.

    References:
        Jordan, Krueger & Lerch 2019, "Evaluating probabilistic forecasts with scoringRules",
        appendix A.2.
    """
    df, loc, scale, y = _same_shape(df=df, loc=loc, scale=scale, y=y)
    for name, value in (("df", df), ("scale", scale)):
        if np.any(value <= 0):
            raise DataError(f"'{name}' must be above 0. Received: {float(value.min())}.")
    has_mean = df > 1.0
    nu, z = np.where(has_mean, df, 2.0), (y - loc) / scale
    density = scipy.stats.t.pdf(z, nu)
    betas = scipy.special.betaln(0.5, nu - 0.5) - 2.0 * scipy.special.betaln(0.5, 0.5 * nu)
    spread = 2.0 * (density * (nu + z**2) - np.sqrt(nu) * np.exp(betas)) / (nu - 1.0)
    score = scale * (z * (2.0 * scipy.special.stdtr(nu, z) - 1.0) + spread)
    return np.asarray(np.where(has_mean, score, np.inf))


def crps_samples(samples: Any, y: Any) -> np.ndarray:
    """Continuous ranked probability score from draws, by the unbiased ("fair") estimator.

    ``mean_i |x_i - y| - 1 / (2 k (k - 1)) sum_ij |x_i - x_j|``, the second sum by sorting.

    Args:
        samples: Draws of each predictive distribution, ``[k, ...]`` with k of at least 2.
        y: Observations ``[...]``.

    Returns:
        One score per element of ``y``, in its units. A single score may be negative.

    Raises:
        DataError: If the shapes do not fit or a value is not finite.

    References:
        Gneiting & Raftery 2007, section 4.2; Zamo & Naveau 2018, section 2.
    """
    samples, y = _array(samples, "Samples"), _array(y, "Observations")
    k = len(samples) if samples.ndim else 0
    if k < 2 or samples.shape[1:] != y.shape:
        raise DataError(
            f"Expected: samples of shape [k, *{y.shape}] with k of at least 2. "
            f"Received: {samples.shape}."
        )
    weights = 2.0 * np.arange(1, k + 1) - k - 1  # sum_ij |x_i - x_j| = 2 sum_i w_i x_(i)
    spread = np.tensordot(weights, np.sort(samples, axis=0), axes=1) / (k * (k - 1))
    return np.asarray(np.mean(np.abs(samples - y), axis=0) - spread)


def regression_calibration(
    cdf_values: Any, levels: int = 19, band_level: float = 0.9
) -> CalibrationCurve:
    """Observed against expected share of observations below the predicted quantiles.

    Args:
        cdf_values: Each predictive distribution's cdf at its observation, in [0, 1]; any shape.
        levels: How many quantiles, evenly spaced in (0, 1), at least 1.
        band_level: Of the band around each share, in (0, 1).

    Raises:
        DataError: If the values are not in [0, 1].
        OptionsError: If ``levels`` is below 1 or ``band_level`` is not in (0, 1).

    References:
        Kuleshov et al. 2018, section 3.
    """
    values = _array(cdf_values, "Values of a cdf").ravel()
    if np.any((values < 0) | (values > 1)):
        raise DataError(
            "Values of a cdf must be in [0, 1]. "
            f"Received: values from {values.min()} to {values.max()}."
        )
    if levels < 1:
        raise OptionsError(f"'levels' must be at least 1. Received: {levels!r}.")
    expected = np.arange(1, levels + 1) / (levels + 1)
    hits = np.searchsorted(np.sort(values), expected, side="right")
    low, high = wilson_interval(hits, np.full(levels, values.size), band_level)
    return CalibrationCurve(expected=expected, observed=hits / values.size, low=low, high=high)


def wilson_interval(hits: Any, count: Any, level: float = 0.9) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's (1927) score interval of a binomial share: (low, high), each in [0, 1].

    Args:
        hits: How often it happened, of any shape.
        count: Out of how many, above 0.
        level: Of the interval, in (0, 1).

    Raises:
        OptionsError: If ``level`` is not in (0, 1).
    """
    if not 0 < level < 1:
        raise OptionsError(f"The level of a band must be in (0, 1). Received: {level!r}.")
    z2 = float(scipy.stats.norm.ppf((1 + level) / 2)) ** 2
    hits, count = np.asarray(hits), np.asarray(count)
    share = hits / count
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = np.sqrt(z2 * (share * (1 - share) / count + z2 / (4 * count**2))) / (1 + z2 / count)
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)


def _classes(probs: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities ``[n, classes]`` in float64 and labels ``[n]``, checked."""
    probs = _array(probs, "Class probabilities")
    if probs.ndim == 1:
        probs = np.stack([1 - probs, probs], axis=1)
    if probs.ndim != 2 or probs.shape[1] < 2:
        raise DataError(
            f"Class probabilities must have the shape [n] or [n, classes]. Received: {probs.shape}."
        )
    if np.any((probs < 0) | (probs > 1)) or np.any(np.abs(probs.sum(axis=1) - 1) > 1e-3):
        raise DataError("Class probabilities must be in [0, 1], and each row must sum to 1.")
    labels = _array(labels, "Labels")
    if labels.shape == probs.shape:
        if np.any((labels != 0) & (labels != 1)) or np.any(labels.sum(axis=1) != 1):
            raise DataError("One-hot labels must be 0 but for a single 1 in each row.")
        labels = labels.argmax(axis=1)
    if labels.shape != probs.shape[:1]:
        raise DataError(
            f"Expected: labels of shape {probs.shape[:1]}, or one-hot of shape {probs.shape}. "
            f"Received: {labels.shape}."
        )
    bad = (labels != np.floor(labels)) | (labels < 0) | (labels >= probs.shape[1])
    if bad.any():
        raise DataError(
            f"Labels must be integers from 0 to {probs.shape[1] - 1}. Received: {labels[bad][0]}."
        )
    return probs, labels.astype(int)


def _same_shape(**arrays: Any) -> tuple[np.ndarray, ...]:
    values = tuple(_array(value, repr(name)) for name, value in arrays.items())
    if len({value.shape for value in values}) > 1:
        shapes = ", ".join(f"{name} {v.shape}" for name, v in zip(arrays, values, strict=True))
        raise DataError(f"Expected: arrays of one shape. Received: {shapes}.")
    return values


def _array(value: Any, what: str, ndim: int | None = None, finite: bool = True) -> np.ndarray:
    try:
        array = np.asarray(value, dtype="float64")
    except (TypeError, ValueError):
        raise DataError(f"{what} must be an array of numbers. Received: {type(value)}.") from None
    if ndim is not None and array.ndim != ndim:
        raise DataError(f"{what} must have {ndim} axis. Received: shape {array.shape}.")
    if array.size == 0:
        raise DataError(f"{what} must not be empty. Received: shape {array.shape}.")
    if finite and not np.isfinite(array).all():
        raise DataError(f"{what} must be finite, without NaN.")
    return array
