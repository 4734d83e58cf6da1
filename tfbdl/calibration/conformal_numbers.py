"""Conformal intervals: predictive ones made wider or narrower until they cover as promised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DataError, ModelError
from . import checks
from .conformal import ALPHA, check_score, conformal_quantile

SCORES = ("scaled", "absolute", "quantile")


@dataclass(frozen=True, kw_only=True)
class ConformalIntervals:
    """A rule that gives each row an interval.

    Attributes:
        score: What the intervals are made of.
        alpha: Share of rows that may lie outside.
        threshold: Of each output, of the shape of a row's mean: half the width, in standard
            deviations if ``scaled``, in units of the target if ``absolute``; what is added on
            either side (less than nothing, if they were too wide) if ``quantile``. Infinite if
            there were too few rows.
        num_rows: On which it rests.
    """

    score: str
    alpha: float
    threshold: np.ndarray
    num_rows: int

    def apply(self, prediction: Any) -> tuple[np.ndarray, np.ndarray]:
        """The intervals of new rows, (low, high), of the shape of the mean.

        They are of no width where nothing is left of an interval, and infinite where the threshold
        is.

        Raises:
            DataError: If there are other outputs, or it is no Predictive.
            ModelError: If the Predictive has no finite standard deviation and the score is
                ``scaled``, or is of classes.
        """
        checks.require_numbers(prediction, "A conformal interval")
        shape = np.shape(prediction.mean)
        if shape[1:] != self.threshold.shape:
            raise DataError(
                f"Expected: a Predictive of shape [n, {str(self.threshold.shape)[1:-1]}]. "
                f"Received: {shape}."
            )
        low, high, unit = _parts(prediction, self.score, self.alpha)
        low, high = low - self.threshold * unit, high + self.threshold * unit
        crossed = low > high
        middle = 0.5 * (np.where(crossed, low, 0.0) + np.where(crossed, high, 0.0))
        return np.where(crossed, middle, low), np.where(crossed, middle, high)


def conformal_intervals(
    prediction: Any, y: Any, alpha: float = ALPHA, score: str = "scaled"
) -> ConformalIntervals:
    """Intervals that hold a new target with a probability of at least ``1 - alpha``.

    ``absolute`` scores a row by ``|y - mean|``: of one width for all rows. ``scaled`` by
    ``|y - mean| / stddev``: as wide as the model is unsure. ``quantile`` by
    ``max(low - y, y - high)`` with the predictive interval of level ``1 - alpha``: its shape is
    kept, both ends are moved by the same.

    Args:
        prediction: Of held-out rows, unseen in training: a Predictive of numbers. With fewer rows
            than ``1 / alpha - 1`` the intervals are infinite.
        y: Their targets. Each output is covered by itself, not all of a row at once.
        alpha: In (0, 1).
        score: ``"scaled"``, ``"absolute"`` or ``"quantile"``.

    Raises:
        DataError: If targets and predictions do not fit, or it is no Predictive: of predictions
            from elsewhere ``conformal_quantile(abs(y - mean), alpha)`` is what is ``absolute``.
        ModelError: If the Predictive has no finite standard deviation above 0 and the score is
            ``scaled``, or is of classes.
        OptionsError: If an option is not admitted.

    References:
        Lei et al. 2018, sections 2.2 (absolute) and 5.2 (scaled); Romano, Patterson & Candes 2019,
        "Conformalized quantile regression", section 4 (quantile).

    Example:
        ```python
        rule = tfbdl.calibration.conformal_intervals(model.predictive(x_held_out), y_held_out, 0.1)
        low, high = rule.apply(model.predictive(x_test))
        ```
    """
    check_score(score, SCORES)
    alpha = checks.share(alpha, "alpha")
    checks.require_numbers(prediction, "A conformal interval")
    target = checks.targets(prediction, y)
    low, high, unit = _parts(prediction, score, alpha)
    scores = np.maximum(low - target, target - high) / unit
    return ConformalIntervals(
        score=score,
        alpha=alpha,
        threshold=np.asarray(conformal_quantile(scores, alpha)),
        num_rows=len(target),
    )


def _parts(prediction: Any, score: str, alpha: float) -> tuple[Any, Any, Any]:
    """(low, high, unit): the interval to begin with, and in what it is widened."""
    if score == "quantile":
        low, high = prediction.interval(1.0 - alpha)
        return np.asarray(low, np.float64), np.asarray(high, np.float64), 1.0
    mean = np.asarray(prediction.mean, np.float64)
    if score == "absolute":
        return mean, mean, 1.0
    unit = np.asarray(prediction.stddev, np.float64)
    if not np.all((unit > 0.0) & np.isfinite(unit)):
        raise ModelError(
            "The score 'scaled' divides by the predictive standard deviation. Expected: finite "
            f"ones above 0. Received: from {unit.min()} to {unit.max()}. Use 'quantile'."
        )
    return mean, mean, unit
