"""Selective prediction: what is gained if the most uncertain rows are left unanswered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DataError, ModelError, OptionsError
from . import checks, measures


@dataclass(frozen=True, kw_only=True)
class RiskCoverage:
    """Mean loss of the rows answered against their share; entry k is of the k + 1 surest rows.

    Rows of equal uncertainty come in no order: each counts as their mean.

    Attributes:
        coverage: Share of rows that are answered, ``[n]``, from 1 / n to 1.
        risk: Mean loss of those, ``[n]``.
        uncertainty: The largest among them, ``[n]``: answer at most so uncertain rows to have it.
        best: The risk if rows were answered in the order of their losses, ``[n]``.
    """

    coverage: np.ndarray
    risk: np.ndarray
    uncertainty: np.ndarray
    best: np.ndarray

    @property
    def area(self) -> float:
        """Area under the curve (AURC), the mean of ``risk``; without any order, the mean loss."""
        return float(np.mean(self.risk))

    @property
    def excess_area(self) -> float:
        """The area above that of the best order (E-AURC), at least 0 but for rounding."""
        return float(np.mean(self.risk - self.best))

    def risk_at(self, coverage: Any) -> Any:
        """The risk if at least so large a share of rows is answered, as few as that takes.

        Args:
            coverage: In (0, 1], a number or several.

        Returns:
            A number, or an array of the shape of ``coverage``.

        Raises:
            OptionsError: If it is not in (0, 1].
        """
        given = np.asarray(coverage, np.float64)
        if not np.all((given > 0.0) & (given <= 1.0)):
            raise OptionsError(f"'coverage' must be in (0, 1]. Received: {coverage!r}.")
        rows = len(self.risk)
        place = np.ceil(given * rows * (1.0 - 1e-12)).astype(int) - 1  # rounding costs no row
        return float(self.risk[place]) if given.ndim == 0 else self.risk[place]


def risk_coverage_curve(losses: Any, uncertainty: Any) -> RiskCoverage:
    """The risk-coverage curve of any losses under any uncertainty.

    ``risk_k = 1 / k sum of the losses of the k rows of least uncertainty``.

    Args:
        losses: ``[n]``, such as 1 where a class was wrong.
        uncertainty: ``[n]``; only its order counts.

    Raises:
        DataError: If they are not ``[n]`` alike, a loss is not finite or an uncertainty is NaN.

    References:
        Geifman & El-Yaniv 2017, "Selective classification for deep neural networks", section 2;
        Geifman, Uziel & El-Yaniv 2019, "Bias-reduced uncertainty estimation for deep neural
        classifiers".
    """
    loss = checks.array(losses, "Losses", ndim=1)
    uncertain = measures.numbers(uncertainty, "Uncertainties")
    if loss.shape != uncertain.shape:
        raise DataError(
            f"Expected: one uncertainty for each of {len(loss)} losses. Received: {len(uncertain)}."
        )
    values, group, size = np.unique(uncertain, return_inverse=True, return_counts=True)
    among_equals = np.bincount(group, weights=loss) / size
    answered = np.arange(1, len(loss) + 1)
    return RiskCoverage(
        coverage=answered / len(loss),
        risk=np.cumsum(np.repeat(among_equals, size)) / answered,
        uncertainty=np.repeat(values, size),
        best=np.cumsum(np.sort(loss)) / answered,
    )


def risk_coverage(prediction: Any, y: Any, score: Any = None) -> RiskCoverage:
    """The risk-coverage curve of predictions: their error if the most uncertain are left out.

    The loss is 1 for a wrong class, of which the most probable is predicted; of numbers the
    squared error of the mean.

    Args:
        prediction: A Predictive, or class probabilities ``[n, classes]``.
        y: Labels, or numbers ``[n]``. Where a row has several labels, each is a case.
        score: A name as in ``uncertainty``; by default ``max_probability`` for classes and
            ``variance`` for numbers; or numbers of one's own ``[n]``.

    Raises:
        DataError: If targets and predictions do not fit, or there are several outputs that are
            numbers: ``risk_coverage_curve`` takes a loss and an uncertainty of each row.
        OptionsError: If there is no such score.

    Example:
        ```python
        curve = tfbdl.calibration.risk_coverage(model.predictive(x), y)
        curve.area, curve.risk_at(0.8)
        ```
    """
    if checks.is_predictive(prediction) and not prediction.model.likelihood.is_classification:
        uncertain = measures.cases(prediction, "variance" if score is None else score)
        loss = (checks.targets(prediction, y) - prediction.mean) ** 2
        return risk_coverage_curve(loss.reshape(-1), uncertain)
    probs, labels = checks.classes(prediction, y)
    uncertain = measures.cases(prediction, "max_probability" if score is None else score)
    return risk_coverage_curve(probs.argmax(axis=1) != labels, uncertain)


def accuracy_at_coverage(prediction: Any, y: Any, coverage: Any, score: Any = None) -> Any:
    """Share of right classes among the surest rows.

    Args:
        prediction: A Predictive of classes, or class probabilities ``[n, classes]``.
        y: Labels.
        coverage: Share of rows that are answered, in (0, 1]; a number or several.
        score: As in ``risk_coverage``.

    Returns:
        A number, or an array of the shape of ``coverage``.

    Raises:
        DataError: If labels and predictions do not fit.
        ModelError: If the Predictive is of numbers.
        OptionsError: If an option is not admitted.
    """
    if checks.is_predictive(prediction) and not prediction.model.likelihood.is_classification:
        raise ModelError(
            "accuracy_at_coverage is for classes; the likelihood is "
            f"{prediction.model.likelihood.name!r}. Use risk_coverage, whose risk is the mean "
            "squared error."
        )
    return 1.0 - risk_coverage(prediction, y, score).risk_at(coverage)
