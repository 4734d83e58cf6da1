"""The figures that tell how good a predictive distribution is."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import calibration
from .predictive import Predictive

LEVEL = 0.9


def evaluate(predictive: Predictive, y: Any) -> dict[str, float]:
    """Score a predictive distribution on targets.

    Args:
        predictive: Of the inputs.
        y: Their targets, in original units.

    Returns:
        For numbers: nll, rmse, mae, crps, coverage_90, interval_width_90, epistemic_share. For
        classes: nll, error, brier, ece, entropy, epistemic_share. Nats and units of the target.
    """
    y = np.asarray(y)
    scores = {"nll": float(-np.mean(predictive.log_prob(y)))}
    if predictive.model.likelihood.is_classification:
        return scores | _of_classes(predictive, y)
    return scores | _of_numbers(predictive, y)


def _of_numbers(predictive: Predictive, y: np.ndarray) -> dict[str, float]:
    mean = predictive.mean
    target = y.reshape(mean.shape).astype(np.float64)
    low, high = predictive.interval(LEVEL)
    residual = mean - target
    return {
        "rmse": float(np.sqrt(np.mean(residual**2))),
        "mae": float(np.mean(np.abs(residual))),
        "crps": float(np.mean(calibration.crps_samples(predictive.sample(200), target))),
        "coverage_90": float(calibration.coverage(target, low, high)),
        "interval_width_90": float(calibration.interval_width(low, high)),
        "epistemic_share": _share(predictive.epistemic, predictive.variance),
    }


def _of_classes(predictive: Predictive, y: np.ndarray) -> dict[str, float]:
    probs, labels = predictive.class_pairs(y)
    return {
        "error": float(np.mean(probs.argmax(axis=-1) != labels)),
        "brier": float(calibration.brier(probs, labels)),
        "ece": float(calibration.expected_calibration_error(probs, labels)),
        "entropy": float(np.mean(predictive.entropy)),
        "epistemic_share": _share(predictive.mutual_information, predictive.entropy),
    }


def _share(part: np.ndarray, whole: np.ndarray) -> float:
    total = float(np.sum(whole))
    return float(np.sum(part)) / total if total > 0 else 0.0
