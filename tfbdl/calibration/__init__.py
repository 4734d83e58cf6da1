"""Whether stated probabilities hold, and how to make them: evaluation of predictions, in NumPy.

Everywhere ``probs`` are class probabilities ``[n, classes]``, or ``[n]`` for the probability of
class 1 of two, or a Predictive of classes; ``labels`` are integers ``[n]`` or one-hot
``[n, classes]``; ``prediction`` is a Predictive of any model, or such probabilities where those
are enough.

References:
    Guo, Pleiss, Sun & Weinberger 2017, "On calibration of modern neural networks".
    Gneiting & Raftery 2007, "Strictly proper scoring rules, prediction, and estimation".
    Kuleshov, Fenner & Ermon 2018, "Accurate uncertainties for deep learning using calibrated
    regression".
"""

from __future__ import annotations

from .conformal import conformal_quantile
from .conformal_classes import ConformalSets, conformal_sets
from .conformal_numbers import ConformalIntervals, conformal_intervals
from .crps import crps_gaussian, crps_samples, crps_student_t
from .measures import uncertainty
from .out_of_distribution import (
    Detection,
    auroc,
    average_precision,
    detection,
    false_positive_rate,
)
from .quantile_calibration import (
    CalibrationCurve,
    interval_calibration,
    pit,
    regression_calibration,
)
from .reliability import ReliabilityCurve, reliability_curve, wilson_interval
from .scores import brier, coverage, expected_calibration_error, interval_width, nll
from .selective import RiskCoverage, accuracy_at_coverage, risk_coverage, risk_coverage_curve
from .temperature import Temperature, fit_temperature, temper

__all__ = [
    "CalibrationCurve",
    "ConformalIntervals",
    "ConformalSets",
    "Detection",
    "ReliabilityCurve",
    "RiskCoverage",
    "Temperature",
    "accuracy_at_coverage",
    "auroc",
    "average_precision",
    "brier",
    "conformal_intervals",
    "conformal_quantile",
    "conformal_sets",
    "coverage",
    "crps_gaussian",
    "crps_samples",
    "crps_student_t",
    "detection",
    "expected_calibration_error",
    "false_positive_rate",
    "fit_temperature",
    "interval_calibration",
    "interval_width",
    "nll",
    "pit",
    "regression_calibration",
    "reliability_curve",
    "risk_coverage",
    "risk_coverage_curve",
    "temper",
    "uncertainty",
    "wilson_interval",
]
