"""Calibration of numbers: quantiles and central intervals against the share that they hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DataError, OptionsError
from . import checks
from .reliability import wilson_interval


@dataclass(frozen=True, kw_only=True)
class CalibrationCurve:
    """Share of observations at or below each predicted quantile, or inside each interval.

    Attributes:
        expected: The levels of the quantiles or intervals, in (0, 1).
        observed: The share of observations at or below, or inside; equal to ``expected`` up to
            noise if the predictive distributions are calibrated.
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
    values = checks.array(cdf_values, "Values of a cdf").ravel()
    if np.any((values < 0) | (values > 1)):
        raise DataError(
            "Values of a cdf must be in [0, 1]. "
            f"Received: values from {values.min()} to {values.max()}."
        )
    expected = _levels(levels)
    hits = np.searchsorted(np.sort(values), expected, side="right")
    return _curve(expected, hits, values.size, band_level)


def pit(prediction: Any, y: Any) -> np.ndarray:
    """The cdf of each output at its target, of the shape of the mean; uniform if calibrated.

    Of a discrete likelihood halfway through the jump of the cdf.

    Args:
        prediction: A Predictive of numbers.
        y: Their targets, in original units.

    Raises:
        DataError: If the targets are not as many or not finite, or it is no Predictive.
        ModelError: If the Predictive is of classes.

    References:
        Czado, Gneiting & Held 2009, "Predictive model assessment for count data", section 2.1.
    """
    below, upto = _cdf_around(prediction, y)
    return 0.5 * (below + upto)


def interval_calibration(
    prediction: Any, y: Any, levels: int = 19, band_level: float = 0.9
) -> CalibrationCurve:
    """Observed against nominal coverage of the central intervals, ``interval(level)``.

    Args:
        prediction: A Predictive of numbers.
        y: Their targets, in original units; each output counts as an observation.
        levels: How many, evenly spaced in (0, 1), at least 1.
        band_level: Of the band around each share, in (0, 1).

    Raises:
        DataError: If the targets are not as many or not finite, or it is no Predictive.
        ModelError: If the Predictive is of classes.
        OptionsError: If ``levels`` is below 1 or ``band_level`` is not in (0, 1).

    References:
        Kuleshov et al. 2018, section 3; Gneiting, Balabdaoui & Raftery 2007, "Probabilistic
        forecasts, calibration and sharpness", section 3.

    Example:
        ```python
        curve = tfbdl.calibration.interval_calibration(model.predictive(x), y)
        curve.observed - curve.expected  # below nothing: too sure
        ```
    """
    below, upto = (values.ravel() for values in _cdf_around(prediction, y))
    expected = _levels(levels)[:, np.newaxis]
    # the quantile of q is at or below y where F(y) >= q, at or above where F(before y) < q
    inside = (upto >= 0.5 * (1.0 - expected)) & (below < 0.5 * (1.0 + expected))
    return _curve(expected[:, 0], inside.sum(axis=1), below.size, band_level)


def _cdf_around(prediction: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """``P(Y < y)`` and ``P(Y <= y)`` of each output, of the shape of the mean."""
    checks.require_numbers(prediction, "A calibration of numbers")
    target = checks.targets(prediction, y)
    upto = np.clip(prediction.cdf(target), 0.0, 1.0)
    likelihood = prediction.model.likelihood
    if not likelihood.is_discrete:
        return upto, upto
    _, unit = likelihood.lattice or (0.0, 1.0)
    return np.clip(prediction.cdf(target - unit), 0.0, 1.0), upto


def _levels(levels: int) -> np.ndarray:
    if levels < 1:
        raise OptionsError(f"'levels' must be at least 1. Received: {levels!r}.")
    return np.arange(1, levels + 1) / (levels + 1)


def _curve(
    expected: np.ndarray, hits: np.ndarray, count: int, band_level: float
) -> CalibrationCurve:
    low, high = wilson_interval(hits, np.full(len(expected), count), band_level)
    return CalibrationCurve(expected=expected, observed=hits / count, low=low, high=high)
