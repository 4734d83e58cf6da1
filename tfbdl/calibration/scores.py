"""Figures of predictions against what was observed: calibration error, proper scores, coverage."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DataError
from . import checks
from .reliability import reliability_curve


def expected_calibration_error(
    probs: Any, labels: Any, bins: int = 15, adaptive: bool = False
) -> float:
    """Expected calibration error of the predicted class.

    ``sum_b n_b / n |accuracy_b - confidence_b|`` over bins of the confidence.

    Args:
        probs: Class probabilities, or a Predictive of classes.
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


def brier(probs: Any, labels: Any) -> float:
    """Brier score ``mean_n sum_c (p_nc - 1[y_n = c])^2``, in [0, 2], for two classes too.

    Raises:
        DataError: If the arrays are no probabilities, no labels or do not fit.

    References:
        Brier 1950; Gneiting & Raftery 2007, section 3.1.
    """
    probs, labels = checks.classes(probs, labels)
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
        log_prob = checks.array(values, "Log likelihoods", ndim=1, finite=False)
        if np.isnan(log_prob).any():
            raise DataError("Log likelihoods must be without NaN.")
        return float(-np.mean(log_prob))
    probs, labels = checks.classes(values, labels)
    with np.errstate(divide="ignore"):
        return float(-np.mean(np.log(probs[np.arange(len(labels)), labels])))


def coverage(y: Any, low: Any, high: Any) -> float:
    """Share of the elements of ``y`` in their intervals ``[low, high]``.

    Raises:
        DataError: If the shapes differ or a value is NaN.
    """
    y, low, high = checks.same_shape(y=y, low=low, high=high)
    return float(np.mean((low <= y) & (y <= high)))


def interval_width(low: Any, high: Any) -> float:
    """Mean width of intervals: of two that cover alike, the narrower is the sharper.

    Raises:
        DataError: If the shapes differ, a value is NaN or a width is negative.
    """
    low, high = checks.same_shape(low=low, high=high)
    if np.any(high < low):
        raise DataError("The upper ends of intervals must be at or above the lower ones.")
    return float(np.mean(high - low))
