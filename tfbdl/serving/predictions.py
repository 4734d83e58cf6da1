"""The task ``predictions``: what a run says of rows, how sure it is, and whether it may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import calibration, evaluation
from .rows import Rows, require_targets, rows_of
from .tasks import FitsByRun

DRAWS = 100
"""Draws of the posterior: those that the metrics of a run rest on."""
LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)
BAND = 0.9
"""Level of the bands around shares that were counted."""
BINS = 10
MOST_UNCERTAIN = 40


def predictions(runs: FitsByRun, arguments: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Predictions of test rows (else of training rows), at most 2,000, evenly spaced.

    Args:
        runs: Where the fits are.
        arguments: ``run``.

    Returns:
        ``kind`` (``numbers`` or ``classes``), ``rows`` (which they are), ``index`` ``[n]``,
        ``aleatoric`` and ``epistemic``, ``uncertain`` (places of the most uncertain rows, ``[k]``)
        with their inputs ``uncertain_x``, and what ``of_numbers`` or ``of_classes`` says.

    Raises:
        DataError: If the run's data cannot be read again.
        ModelError: If the model predicts nothing.
    """
    run = str(arguments["run"])
    fit, rows = runs.fit(run), rows_of(runs.data(run))
    require_targets(fit, rows)
    predictive = fit.predict(rows.x, draws=DRAWS)
    of = of_classes if predictive.model.likelihood.is_classification else of_numbers
    found = of(predictive, rows.y, fit.info)
    total = (found["aleatoric"] + found["epistemic"]).reshape(len(rows.index), -1).mean(axis=1)
    uncertain = np.argsort(-total, kind="stable")[:MOST_UNCERTAIN]
    return {
        "rows": np.asarray(rows.kind),
        "index": rows.index,
        "uncertain": uncertain,
        **found,
        **_inputs(rows, uncertain, fit.info),
    }


def of_numbers(predictive: Any, y: Any, info: Any) -> dict[str, np.ndarray]:
    """What is known of targets that are numbers.

    Returns:
        ``y mean aleatoric epistemic pit`` ``[n, targets]``; ``level`` ``[l]`` with ``low high``
        ``[l, n, targets]``; the coverage table ``found band_low band_high`` ``[l, targets]``;
        the reliability curve ``expected`` ``[q]``, ``observed observed_low observed_high``
        ``[q, targets]``; ``target`` ``[targets]``, their names.
    """
    shape = predictive.mean.shape
    columns = {
        "y": np.asarray(y, np.float64).reshape(shape),
        "mean": predictive.mean,
        "aleatoric": predictive.aleatoric,
        "epistemic": predictive.epistemic,
        "pit": evaluation.pit(predictive, y),
    }
    flat = {name: np.asarray(v, np.float64).reshape(shape[0], -1) for name, v in columns.items()}
    count = flat["y"].shape[1]
    tails = [(1.0 + sign * level) / 2.0 for level in LEVELS for sign in (-1.0, 1.0)]
    ends = np.asarray(predictive.quantile(tails), np.float64).reshape(len(LEVELS), 2, -1, count)
    low, high = ends[:, 0], ends[:, 1]
    hits = ((low <= flat["y"]) & (flat["y"] <= high)).sum(axis=1)  # [level, target]
    band = calibration.wilson_interval(hits, shape[0], BAND)
    curves = [calibration.regression_calibration(flat["pit"][:, i]) for i in range(count)]
    return {
        "kind": np.asarray("numbers"),
        **flat,
        "level": np.asarray(LEVELS),
        "low": low,
        "high": high,
        "found": hits / shape[0],
        "band_low": band[0],
        "band_high": band[1],
        "expected": curves[0].expected,
        "observed": np.stack([curve.observed for curve in curves], axis=1),
        "observed_low": np.stack([curve.low for curve in curves], axis=1),
        "observed_high": np.stack([curve.high for curve in curves], axis=1),
        "target": np.asarray(_targets(info, count), np.str_),
    }


def of_classes(predictive: Any, y: Any, info: Any) -> dict[str, np.ndarray]:
    """What is known of targets that are classes.

    Returns:
        ``probs`` ``[n, classes]``, ``label predicted aleatoric epistemic`` ``[n]`` (expected
        entropy and mutual information, nats); the reliability curve ``confidence accuracy count
        accuracy_low accuracy_high`` ``[bins]``; the coverage table of the smallest sets of classes
        that hold a level of the probability, ``level found band_low band_high size`` ``[l]``;
        ``ece``; ``class`` ``[classes]``, their names. A row with several targets has as many
        entries.
    """
    probs, labels = predictive.class_pairs(y)
    curve = calibration.reliability_curve(probs, labels, bins=BINS, level=BAND)
    inside, size = prediction_sets(probs, labels)
    hits = inside.sum(axis=1)
    band = calibration.wilson_interval(hits, len(labels), BAND)
    return {
        "kind": np.asarray("classes"),
        "probs": probs,
        "label": labels,
        "predicted": probs.argmax(axis=1),
        "aleatoric": np.asarray(predictive.expected_entropy, np.float64).reshape(-1),
        "epistemic": np.maximum(
            np.asarray(predictive.mutual_information, np.float64).reshape(-1), 0.0
        ),
        "confidence": curve.confidence,
        "accuracy": curve.accuracy,
        "count": curve.count,
        "accuracy_low": curve.low,
        "accuracy_high": curve.high,
        "ece": np.asarray(calibration.expected_calibration_error(probs, labels)),
        "level": np.asarray(LEVELS),
        "found": hits / len(labels),
        "band_low": band[0],
        "band_high": band[1],
        "size": size.mean(axis=1),
        "class": np.asarray(_classes(info, probs.shape[1]), np.str_),
    }


def prediction_sets(probs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether a label is in the smallest set of classes of each level, and the set's size.

    Args:
        probs: ``[n, classes]``.
        labels: ``[n]``.

    Returns:
        Both ``[levels, n]``. A set holds at least its level, so it is meant to cover as much or
        more.
    """
    order = np.argsort(-probs, axis=1, kind="stable")
    total = np.cumsum(np.take_along_axis(probs, order, axis=1), axis=1)
    place = np.argmax(order == labels[:, np.newaxis], axis=1)
    # rounding must not call for one more class
    size = np.stack([(total < level - 1e-9).sum(axis=1) + 1 for level in LEVELS])
    size = np.minimum(size, probs.shape[1])
    return place < size, size


def _inputs(rows: Rows, index: np.ndarray, info: Any) -> dict[str, np.ndarray]:
    """The inputs of some rows, where they are one array of numbers."""
    if isinstance(rows.x, Mapping) or np.asarray(rows.x).dtype.kind not in "biuf":
        return {}
    names = getattr(info, "feature_names", None) or ()
    return {"uncertain_x": np.asarray(rows.x)[index], "feature": np.asarray(names, np.str_)}


def _targets(info: Any, count: int) -> list[str]:
    names = getattr(info, "target_names", None) or ()
    if len(names) == count:
        return list(names)
    return ["target"] if count == 1 else [f"target {i}" for i in range(count)]


def _classes(info: Any, count: int) -> list[str]:
    names = getattr(info, "class_names", None) or ()
    return list(names) if len(names) == count else [str(i) for i in range(count)]
