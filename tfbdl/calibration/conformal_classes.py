"""Conformal sets: of the classes, so many that the right one is among them as often as promised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DataError
from . import checks
from .conformal import ALPHA, check_score, conformal_quantile

SCORES = ("threshold", "cumulative")


@dataclass(frozen=True, kw_only=True)
class ConformalSets:
    """A rule that gives each row a set of classes.

    Attributes:
        score: By which classes are taken into a set.
        alpha: Share of rows whose class may be left out.
        threshold: The largest score of a class in a set; infinite if there were too few rows.
        num_rows: On which it rests.
        num_classes: That there are.
        seed: Of the random numbers of ``cumulative``; None: without.
    """

    score: str
    alpha: float
    threshold: float
    num_rows: int
    num_classes: int
    seed: int | None

    def apply(self, prediction: Any) -> np.ndarray:
        """Which classes are in the set of each new row: booleans ``[n, ..., classes]``.

        A set may be empty: by ``threshold`` where no class is probable, by ``cumulative`` by
        chance where one is very probable. All classes are in it if the threshold is infinite.

        Raises:
            DataError: If there are other numbers of classes.
        """
        probs = checks.probabilities(prediction)
        if probs.shape[-1] != self.num_classes:
            raise DataError(
                f"Expected: probabilities of {self.num_classes} classes. "
                f"Received: shape {probs.shape}."
            )
        return _scores(probs, self.score, self.seed, "new") <= self.threshold


def conformal_sets(
    prediction: Any,
    y: Any,
    alpha: float = ALPHA,
    score: str = "threshold",
    seed: int | None = 0,
) -> ConformalSets:
    """Sets of classes that hold the right one with a probability of at least ``1 - alpha``.

    ``threshold`` scores a class by ``1 - p``: the smallest sets on average, but of rows that are
    hard too small, of easy ones too large. ``cumulative`` (APS) by the probability of all more
    probable classes and a uniform share of its own: larger sets, which cover hard and easy rows
    more alike.

    Args:
        prediction: Of held-out rows, unseen in training: a Predictive of classes, or probabilities
            ``[n, classes]``. With n below ``1 / alpha - 1`` all classes are in every set.
        y: Their labels. Where a row has several, each counts, and the promise is of labels that
            are exchangeable.
        alpha: In (0, 1).
        score: ``"threshold"`` or ``"cumulative"``.
        seed: Of the uniform shares. None takes nothing of a class's own probability instead: sets
            that need no random numbers, are never empty, and cover more than promised.

    Raises:
        DataError: If labels and predictions do not fit.
        OptionsError: If an option is not admitted.

    References:
        Sadinle, Lei & Wasserman 2019, "Least ambiguous set-valued classifiers with bounded error
        levels" (threshold); Romano, Sesia & Candes 2020, "Classification with valid and adaptive
        coverage", section 2 (cumulative).

    Example:
        ```python
        rule = tfbdl.calibration.conformal_sets(model.predictive(x_held_out), y_held_out, 0.1)
        rule.apply(model.predictive(x_test)).sum(axis=1)  # how many classes
        ```
    """
    check_score(score, SCORES)
    alpha = checks.share(alpha, "alpha")
    probs, labels = checks.classes(prediction, y)
    scores = _scores(probs, score, seed, "held out")[np.arange(len(labels)), labels]
    return ConformalSets(
        score=score,
        alpha=alpha,
        threshold=conformal_quantile(scores, alpha),
        num_rows=len(labels),
        num_classes=probs.shape[1],
        seed=seed,
    )


def _scores(probs: np.ndarray, score: str, seed: int | None, rows: str) -> np.ndarray:
    """Of every class, ``[n, ..., classes]``."""
    if score == "threshold":
        return np.asarray(1.0 - probs)
    shares: Any = 0.0
    if seed is not None:
        # numbers of their own for either kind of rows, or they would not be exchangeable
        stream = np.random.default_rng([seed, *rows.encode()])
        shares = stream.uniform(size=(*probs.shape[:-1], 1))
    order = np.argsort(-probs, axis=-1, kind="stable")
    ordered = np.take_along_axis(probs, order, axis=-1)
    total = np.cumsum(ordered, axis=-1) - ordered + shares * ordered
    scores = np.empty_like(probs)
    np.put_along_axis(scores, order, total, axis=-1)
    return scores
