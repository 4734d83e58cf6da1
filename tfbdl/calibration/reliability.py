"""Reliability of classes: how often predictions of some confidence are right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.stats

from ..errors import OptionsError
from . import checks


@dataclass(frozen=True, kw_only=True)
class ReliabilityCurve:
    """Accuracy against confidence; one entry for each bin that holds a prediction.

    Attributes:
        confidence: Mean probability of the predicted class, or of one class, in the bin.
        accuracy: Share of right predictions, or of that class, in the bin.
        count: Predictions in the bin.
        low, high: Wilson's band around the accuracy.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray
    low: np.ndarray
    high: np.ndarray


def reliability_curve(
    probs: Any,
    labels: Any,
    bins: int = 15,
    level: float = 0.9,
    adaptive: bool = False,
    of_class: int | None = None,
) -> ReliabilityCurve:
    """Accuracy of the predicted class against its confidence, in bins.

    Args:
        probs: Class probabilities, or a Predictive of classes.
        labels: Classes.
        bins: Number of bins, at least 1; empty ones are left out.
        level: Of the band around each accuracy, in (0, 1).
        adaptive: Bins of equal counts; otherwise of equal width on (0, 1].
        of_class: A class whose probability is held against its share; None: the predicted one.

    Raises:
        DataError: If the arrays are no probabilities, no labels or do not fit.
        OptionsError: If ``bins`` is below 1, ``level`` is not in (0, 1) or there is no such class.
    """
    probs, labels = checks.classes(probs, labels)
    if bins < 1:
        raise OptionsError(f"'bins' must be at least 1. Received: {bins!r}.")
    if of_class is None:
        confidence, correct = probs.max(axis=1), probs.argmax(axis=1) == labels
    elif of_class in range(probs.shape[1]):
        confidence, correct = probs[:, of_class], labels == of_class
    else:
        raise OptionsError(
            f"'of_class' must be from 0 to {probs.shape[1] - 1}. Received: {of_class!r}."
        )
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
