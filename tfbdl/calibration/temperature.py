"""Temperature scaling: one number that makes class probabilities as sure as they may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.optimize
import scipy.special

from ..errors import DataError, OptionsError
from . import checks

BOUNDS = (1e-3, 1e3)
"""Between which a temperature is looked for."""
LEAST = float(np.finfo(np.float32).tiny)
"""What a smaller probability counts as: of logits in float32 none is known more exactly."""


@dataclass(frozen=True, kw_only=True)
class Temperature:
    """A temperature that was fitted on held-out rows.

    Attributes:
        value: Above 1 the probabilities were too sure, below 1 not sure enough.
        nll_before, nll_after: Mean negative log likelihood of those rows at 1 and at ``value``,
            nats.
        num_rows: How many they were.
    """

    value: float
    nll_before: float
    nll_after: float
    num_rows: int

    def apply(self, prediction: Any) -> np.ndarray:
        """Calibrated probabilities ``[n, ..., classes]`` of new rows: see ``temper``."""
        return temper(prediction, self.value)


def temper(prediction: Any, temperature: float) -> np.ndarray:
    """Class probabilities at another temperature: ``softmax(log p / T)``.

    Of a single net this is ``softmax(logits / T)``, as logits and ``log p`` differ by a constant.
    Of a Predictive the mean over draws is taken first and then tempered, which calibrates it,
    where tempered draws would be averaged to something less sure again. The order of classes stays.

    Args:
        prediction: A Predictive of classes, or probabilities ``[n, classes]`` (of class 1 of two
            ``[n]``).
        temperature: Above 0.

    Returns:
        ``[n, ..., classes]``, of two classes both.

    Raises:
        DataError: If the array holds no probabilities.
        OptionsError: If the temperature is not above 0.

    References:
        Guo et al. 2017, section 4.2; Rahaman & Thiery 2021, "Uncertainty quantification and deep
        ensembles", for pooling before calibration.
    """
    if not isinstance(temperature, (int, float, np.number)) or not 0.0 < temperature < np.inf:
        raise OptionsError(
            f"'temperature' must be a finite number above 0. Received: {temperature!r}."
        )
    return np.asarray(scipy.special.softmax(_logits(prediction) / temperature, axis=-1))


def fit_temperature(prediction: Any, y: Any) -> Temperature:
    """The temperature of the greatest likelihood on held-out rows.

    Minimises ``NLL(T) = -mean_n log softmax(log p_n / T)[y_n]``, which is convex in ``1 / T``, by
    the root of its derivative ``mean_n (E_T[log p_n] - log p_n[y_n])``. The rows must not be those
    of training, on which a model is surer than it may be.

    Args:
        prediction: Of held-out rows: a Predictive of classes, or probabilities ``[n, classes]``.
        y: Their labels.

    Raises:
        DataError: If they do not fit, or no temperature from 0.001 to 1000 is best: if all rows
            are right (the likelihood then grows without end as T falls), or the probabilities say
            less of the labels than equal ones would.

    References:
        Guo et al. 2017, section 4.2.

    Example:
        ```python
        scaling = tfbdl.calibration.fit_temperature(model.predictive(x_held_out), y_held_out)
        probs = scaling.apply(model.predictive(x_test))
        ```
    """
    probs, labels = checks.classes(prediction, y)
    logits, rows = _logits(probs), np.arange(len(labels))

    def slope(log_inverse: float) -> float:
        """Of the NLL in ``1 / T``; it rises."""
        inverse = np.exp(log_inverse)
        expected = (scipy.special.softmax(inverse * logits, axis=1) * logits).sum(axis=1)
        return float(np.mean(expected - logits[rows, labels]))

    low, high = -np.log(BOUNDS[1]), -np.log(BOUNDS[0])
    if slope(high) <= 0.0:
        raise DataError(
            "No temperature is the best: the likelihood grows as it falls below "
            f"{BOUNDS[0]:g}, since (nearly) all {len(labels)} rows are predicted right. Expected: "
            "held-out rows, so many that some are wrong."
        )
    if slope(low) >= 0.0:
        raise DataError(
            "No temperature is the best: the likelihood grows as it rises above "
            f"{BOUNDS[1]:g}, since the probabilities say less of the labels than equal ones would. "
            "Expected: labels in the order of the predictions, and classes coded alike."
        )
    value = float(np.exp(-scipy.optimize.brentq(slope, low, high, xtol=1e-12)))
    before, after = (
        float(-np.mean(scipy.special.log_softmax(logits / at, axis=1)[rows, labels]))
        for at in (1.0, value)
    )
    return Temperature(value=value, nll_before=before, nll_after=after, num_rows=len(labels))


def _logits(prediction: Any) -> np.ndarray:
    return np.asarray(np.log(np.maximum(checks.probabilities(prediction), LEAST)))
