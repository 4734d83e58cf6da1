"""Measures of how uncertain a prediction is, by name: one number for each row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.special

from ..errors import DataError, OptionsError, did_you_mean
from . import checks

Measure = Callable[[Any], np.ndarray]


def _entropy(prediction: Any) -> np.ndarray:
    return np.asarray(scipy.special.entr(checks.probabilities(prediction)).sum(axis=-1))


def _max_probability(prediction: Any) -> np.ndarray:
    return np.asarray(1.0 - checks.probabilities(prediction).max(axis=-1))


def _mutual_information(prediction: Any) -> np.ndarray:
    return np.maximum(prediction.mutual_information, 0.0)  # but for rounding it is


OF_PROBABILITIES: Mapping[str, Measure] = {
    "entropy": _entropy,
    "max_probability": _max_probability,
}
OF_CLASSES: Mapping[str, Measure] = {
    **OF_PROBABILITIES,
    "mutual_information": _mutual_information,
    "expected_entropy": lambda prediction: prediction.expected_entropy,
}
OF_NUMBERS: Mapping[str, Measure] = {
    "variance": lambda prediction: prediction.variance,
    "epistemic": lambda prediction: prediction.epistemic,
    "aleatoric": lambda prediction: prediction.aleatoric,
}


def uncertainty(prediction: Any, score: str | None = None) -> np.ndarray:
    """How uncertain each prediction is, the more the larger.

    Of classes, in nats but for the second: ``entropy`` of the predictive probabilities, the total
    (the default); ``max_probability``, 1 - the largest probability; and, of a Predictive alone,
    ``mutual_information`` of label and weights, the epistemic part of the entropy, and
    ``expected_entropy``, the aleatoric part. Of numbers, in squared units: ``variance`` of an
    observation, the total (the default), and its parts ``epistemic`` and ``aleatoric``.

    Args:
        prediction: A Predictive, or class probabilities ``[n, classes]`` (of class 1 of two
            ``[n]``).
        score: One of these names.

    Returns:
        ``[n]``; where a row has several labels or outputs, one number for each: ``[n, ...]``.

    Raises:
        OptionsError: If there is no such score of such a prediction.
        DataError: If an array holds no probabilities.

    References:
        Hendrycks & Gimpel 2017, "A baseline for detecting misclassified and out-of-distribution
        examples"; Depeweg et al. 2018, "Decomposition of uncertainty in Bayesian deep learning".

    Example:
        ```python
        tfbdl.calibration.uncertainty(model.predictive(x), "mutual_information")
        ```
    """
    known = _known(prediction)
    name = next(iter(known)) if score is None else score
    if name not in known:
        raise OptionsError(
            f"No uncertainty of {_kind(prediction)} is named {name!r}.{did_you_mean(name, known)} "
            f"Expected one of: {', '.join(known)}."
        )
    values = np.asarray(known[name](prediction), np.float64)
    return values[..., 0] if values.ndim > 1 and values.shape[-1] == 1 else values


def cases(prediction: Any, score: Any = None) -> np.ndarray:
    """Uncertainties ``[m]``, one for each case: of several labels of a row each is a case.

    Args:
        prediction: As in ``uncertainty``.
        score: A name, None for the default, or numbers of one's own ``[m]``.

    Raises:
        DataError: If rows have several outputs that are numbers, or the given numbers are not
            ``[m]`` or hold NaN.
    """
    if score is not None and not isinstance(score, str):
        return numbers(score, "Uncertainties")
    found = uncertainty(prediction, score)
    if found.ndim > 1 and not prediction.model.likelihood.is_classification:
        raise DataError(
            "Outputs have units of their own, and are not put into one order. Expected: one "
            f"uncertainty for each row, such as uncertainty(p).sum(axis=1) or that of one output. "
            f"Received: a Predictive of shape {found.shape}."
        )
    return numbers(found.reshape(-1), "Uncertainties")


def numbers(values: Any, what: str) -> np.ndarray:
    """``[n]`` without NaN; infinite ones have their place in an order.

    Raises:
        DataError: If they are not.
    """
    found = checks.array(values, what, ndim=1, finite=False)
    if np.isnan(found).any():
        raise DataError(f"{what} must be without NaN.")
    return found


def _known(prediction: Any) -> Mapping[str, Measure]:
    if not checks.is_predictive(prediction):
        return OF_PROBABILITIES
    return OF_CLASSES if prediction.model.likelihood.is_classification else OF_NUMBERS


def _kind(prediction: Any) -> str:
    if not checks.is_predictive(prediction):
        return "class probabilities alone"
    return f"the likelihood {prediction.model.likelihood.name!r}"
