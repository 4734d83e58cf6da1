"""Whether uncertainty tells rows of another origin from those like the training data.

Everywhere ``inside`` are predictions of rows like those of training and ``outside`` of others:
Predictives, whose ``uncertainty`` is taken, or numbers ``[n]`` that are larger the stranger a row
is. Only their order counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.stats

from ..errors import OptionsError
from . import checks, measures

Side = Literal["inside", "outside"]
RECALL = 0.95


@dataclass(frozen=True, kw_only=True)
class Detection:
    """How well an uncertainty detects rows from outside.

    Attributes:
        auroc: Probability that a row from outside is the more uncertain of a pair; chance is 0.5.
        fpr95: Share of the rows outside that pass for inside, where 95 % of those inside pass.
        aupr_inside, aupr_outside: Average precision, with that side as what is to be found; chance
            is its share of the rows.
        num_inside, num_outside: Rows.
    """

    auroc: float
    fpr95: float
    aupr_inside: float
    aupr_outside: float
    num_inside: int
    num_outside: int


def detection(inside: Any, outside: Any, score: str | None = None) -> Detection:
    """All figures of out-of-distribution detection at once.

    Args:
        inside, outside: Predictives or numbers ``[n]``.
        score: Of Predictives, a name as in ``uncertainty``.

    Raises:
        DataError: If numbers are not ``[n]`` or hold NaN.
        OptionsError: If there is no such score.

    Example:
        ```python
        found = tfbdl.calibration.detection(
            model.predictive(x_test), model.predictive(x_other), "mutual_information"
        )
        found.auroc
        ```
    """
    inside, outside = _pair(inside, outside, score)
    return Detection(
        auroc=auroc(inside, outside),
        fpr95=false_positive_rate(inside, outside),
        aupr_inside=average_precision(inside, outside, positive="inside"),
        aupr_outside=average_precision(inside, outside, positive="outside"),
        num_inside=len(inside),
        num_outside=len(outside),
    )


def auroc(inside: Any, outside: Any, score: str | None = None) -> float:
    """Area under the receiver operating characteristic; a tie counts half.

    Args:
        inside, outside: Predictives or numbers ``[n]``.
        score: Of Predictives, a name as in ``uncertainty``.

    Raises:
        DataError: If numbers are not ``[n]`` or hold NaN.
        OptionsError: If there is no such score.
    """
    from sklearn.metrics import roc_auc_score  # here, as it takes a while to import

    return float(roc_auc_score(*_labelled(inside, outside, score, "outside")))


def false_positive_rate(
    inside: Any,
    outside: Any,
    recall: float = RECALL,
    positive: Side = "inside",
    score: str | None = None,
) -> float:
    """Share of the other side that passes for positive, at the threshold with so much recall.

    Args:
        inside, outside: Predictives or numbers ``[n]``.
        recall: Of the positive side, in (0, 1]: the strictest threshold that passes at least so
            many of it. At 0.95 this is FPR95.
        positive: Which side is to be recognised. ``"inside"`` (Liang et al.) says how many strange
            rows slip through if 95 % of the familiar ones are let in, a threshold that needs no
            strange row; ``"outside"`` (Hendrycks et al. 2019) how many false alarms there are if
            95 % of the strange ones are found. Papers differ, and so do the figures.
        score: Of Predictives, a name as in ``uncertainty``.

    Raises:
        DataError: If numbers are not ``[n]`` or hold NaN.
        OptionsError: If an option is not admitted.

    References:
        Liang, Li & Srikant 2018, "Enhancing the reliability of out-of-distribution image detection
        in neural networks", section 4; Hendrycks, Mazeika & Dietterich 2019, "Deep anomaly
        detection with outlier exposure".
    """
    from sklearn.metrics import roc_curve

    if not isinstance(recall, (int, float, np.number)) or not 0.0 < recall <= 1.0:
        raise OptionsError(f"'recall' must be in (0, 1]. Received: {recall!r}.")
    is_positive, rank = _labelled(inside, outside, score, positive)
    fpr, tpr, _ = roc_curve(is_positive, rank, drop_intermediate=False)
    return float(fpr[np.argmax(tpr >= recall)])


def average_precision(
    inside: Any, outside: Any, positive: Side = "outside", score: str | None = None
) -> float:
    """Area under the precision-recall curve, as a sum of steps: precision times gain of recall.

    Args:
        inside, outside: Predictives or numbers ``[n]``.
        positive: Which side is to be found; chance is its share of the rows.
        score: Of Predictives, a name as in ``uncertainty``.

    Raises:
        DataError: If numbers are not ``[n]`` or hold NaN.
        OptionsError: If an option is not admitted.
    """
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(*_labelled(inside, outside, score, positive)))


def _pair(inside: Any, outside: Any, score: str | None) -> tuple[np.ndarray, np.ndarray]:
    return _scores(inside, score, "inside"), _scores(outside, score, "outside")


def _scores(given: Any, score: str | None, what: str) -> np.ndarray:
    if checks.is_predictive(given):
        return measures.cases(given, score)
    if score is not None:
        raise OptionsError(
            f"'score' names an uncertainty of Predictives. Expected: None beside numbers; "
            f"uncertainty(probs, {score!r}) makes some of probabilities. Received: {score!r}."
        )
    return measures.numbers(given, f"Uncertainties {what!r}")


def _labelled(
    inside: Any, outside: Any, score: str | None, positive: str
) -> tuple[np.ndarray, np.ndarray]:
    """(whether a row is positive, a rank that is the higher the more it looks so): ``[n]``."""
    if positive not in ("inside", "outside"):
        raise OptionsError(f"'positive' must be 'inside' or 'outside'. Received: {positive!r}.")
    inside, outside = _pair(inside, outside, score)
    is_outside = np.repeat([False, True], [len(inside), len(outside)])
    # ranks, as infinite numbers are refused by scikit-learn
    rank = scipy.stats.rankdata(np.concatenate([inside, outside]), method="dense")
    return (is_outside, rank) if positive == "outside" else (~is_outside, -rank)
