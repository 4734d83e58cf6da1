"""The figures that tell how good a predictive distribution is."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np

from . import calibration
from .calibration import pit as pit
from .closed_form import ClosedFormPredictive
from .predictive import Predictive

LEVEL = 0.9
MOST_ROWS = 20_000


def evaluate(predictive: Predictive, y: Any) -> dict[str, float]:
    """Score a predictive distribution on targets.

    Args:
        predictive: Of the inputs.
        y: Their targets, in original units.

    Returns:
        For numbers: nll, rmse, mae, crps, coverage_90, interval_width_90, epistemic_share; those
        that do not exist are left out (a Student t of at most one degree of freedom has no CRPS,
        one of at most two no variance to share). For classes: nll, error, brier, ece, entropy,
        epistemic_share. Nats and units of the target.
    """
    y = np.asarray(y)
    scores = {"nll": float(-np.mean(predictive.log_prob(y)))}
    if predictive.model.likelihood.is_classification:
        return scores | _of_classes(predictive, y)
    return scores | _of_numbers(predictive, y)


def spaced(rows: Any) -> Any:
    """Evenly spaced rows of many: at most 20,000, of each array of a structure."""
    step = math.ceil(len(keras.tree.flatten(rows)[0]) / MOST_ROWS)
    return keras.tree.map_structure(lambda part: part[::step], rows)


def _of_numbers(predictive: Predictive, y: np.ndarray) -> dict[str, float]:
    mean = predictive.mean
    target = y.reshape(mean.shape).astype(np.float64)
    low, high = predictive.interval(LEVEL)
    residual = mean - target
    figures = {
        "rmse": float(np.sqrt(np.mean(residual**2))),
        "mae": float(np.mean(np.abs(residual))),
        "crps": float(np.mean(_crps(predictive, target))),
        "coverage_90": float(np.mean((low <= target) & (target <= high))),
        "interval_width_90": float(np.mean(high - low)),
        "epistemic_share": _share(predictive.epistemic, predictive.variance),
    }
    return {name: value for name, value in figures.items() if np.isfinite(value)}


def _crps(predictive: Predictive, target: np.ndarray) -> np.ndarray:
    """By a formula where there is one, else from 200 draws."""
    if isinstance(predictive, ClosedFormPredictive):
        return predictive.crps(target)
    return calibration.crps_samples(predictive.sample(200), target)


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
    if not np.isfinite(total):
        return np.nan
    return float(np.sum(part)) / total if total > 0 else 0.0
