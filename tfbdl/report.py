"""Pictures of a fit: what it predicts, how sure it is of it, and whether it may be.

Needs matplotlib, which the extra ``plots`` brings; it is imported when a picture is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _backend, _report_plots, evaluation  # noqa: F401 - the gate
from .data import as_dataset
from .errors import MissingDependencyError

if TYPE_CHECKING:
    from .fitted import Fit
    from .predictive import Predictive

DRAWS = 100
"""Draws of the posterior behind each picture: those that the metrics of a run rest on."""

RESOLUTION = 130
"""Dots per inch."""

Plot = Callable[[Any], None]


def write_report(fit: Fit, data: Any, folder: str | Path) -> list[Path]:
    """Draw what a fit predicts, and how it came about, as PNG files.

    For numbers: ``predictions`` (means with both bands, the parts of the variance) and
    ``calibration`` (of quantiles and intervals). For classes: ``reliability`` and ``uncertainty``.
    For every fit with a history: ``training``.

    Args:
        fit: What a run gave back.
        data: As in ``tfbdl.fit``; its test rows are shown, or its training rows if it has none.
            None leaves the pictures of predictions out.
        folder: Where the files go; made if it is missing.

    Returns:
        The files, in the order of their interest.

    Raises:
        MissingDependencyError: If matplotlib is not installed.
        DataError: If the data do not look like those of the fit.
    """
    figure_class = _figure_class()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, size, plot in _pictures(fit, data):
        figure = figure_class(figsize=size, layout="constrained")
        plot(figure)
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=RESOLUTION)
        paths.append(path)
    return paths


def _pictures(fit: Fit, data: Any) -> Iterator[tuple[str, tuple[float, float], Plot]]:
    """(name, size in inches, what draws it) of each picture that the fit has."""
    if data is not None and fit.posterior is not None and hasattr(fit.model, "likelihood"):
        yield from _of_predictions(fit, data)
    curves = _curves(fit.history)
    if curves:
        yield "training", (4.2 * len(curves), 3.4), partial(_report_plots.training, curves=curves)


def _of_predictions(fit: Fit, data: Any) -> Iterator[tuple[str, tuple[float, float], Plot]]:
    dataset = as_dataset(data)
    held_out = dataset.y_test is not None
    x, y = (dataset.x_test, dataset.y_test) if held_out else (dataset.x, dataset.y)
    if x is None or y is None:
        return
    rows = "test rows" if held_out else "training rows"
    predictive = fit.predict(x, draws=DRAWS)
    if predictive.model.likelihood.is_classification:
        probs, labels, parts = _classes(predictive, y)
        shared: dict[str, Any] = {"probs": probs, "labels": labels, "rows": rows}
        yield "reliability", (5.2, 5.6), partial(_report_plots.reliability, **shared)
        shown = partial(_report_plots.uncertainty, aleatoric=parts[0], epistemic=parts[1], **shared)
        yield "uncertainty", (9.6, 4.0), shown
        return
    columns = _numbers(predictive, x, y, fit.info)
    for number, column in enumerate(columns):
        suffix = f"-{number}" if len(columns) > 1 else ""  # a target's name may be no file's name
        shown = partial(_report_plots.predictions, column=column, rows=rows)
        yield f"predictions{suffix}", (9.0, 6.4), shown
        shown = partial(_report_plots.calibration, pit=column.pit, rows=rows)
        yield f"calibration{suffix}", (9.6, 4.6), shown


def _numbers(predictive: Predictive, x: Any, y: Any, info: Any) -> list[_report_plots.Column]:
    """What is known of each target: ``[n]`` arrays."""
    shape = predictive.mean.shape
    target = np.asarray(y, np.float64).reshape(shape)
    low, high = predictive.interval(_report_plots.LEVEL)
    flat = {
        name: np.asarray(value, np.float64).reshape(shape[0], -1)
        for name, value in {
            "y": target,
            "mean": predictive.mean,
            "aleatoric": predictive.aleatoric,
            "epistemic": predictive.epistemic,
            "low": low,
            "high": high,
            "pit": evaluation.pit(predictive, target),
        }.items()
    }
    count = flat["y"].shape[1]
    names = getattr(info, "target_names", None) or ()
    if len(names) != count:
        names = ("target",) if count == 1 else tuple(f"target {i}" for i in range(count))
    feature = np.asarray(x, np.float64).reshape(-1) if np.size(x) == shape[0] else None
    features = getattr(info, "feature_names", None) or ("x",)
    return [
        _report_plots.Column(
            target=names[i],
            feature=feature,
            feature_name=features[0],
            **{name: values[:, i] for name, values in flat.items()},
        )
        for i in range(count)
    ]


def _classes(
    predictive: Predictive, y: Any
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Probabilities ``[n, classes]``, labels ``[n]``, and the two parts of the entropy ``[n]``."""
    probs, labels = predictive.class_pairs(y)
    parts = predictive.expected_entropy.reshape(-1), predictive.mutual_information.reshape(-1)
    return probs, labels, parts


def _curves(history: Mapping[str, list[float]]) -> dict[str, dict[str, np.ndarray]]:
    """Metric -> series (training, held-out) of the curves that are worth a look."""
    found: dict[str, dict[str, np.ndarray]] = {}
    first = [name for name in ("elbo", "nll", "kl") if name in history]
    others = [n for n in history if n not in first and not n.startswith("val_") and n != "loss"]
    for name in (first + others)[: _report_plots.MAX_CURVES]:
        series = {"training": np.asarray(history[name], np.float64)}
        if f"val_{name}" in history:
            series["held out"] = np.asarray(history[f"val_{name}"], np.float64)
        if len(series["training"]) > 1:
            found[name] = series
    return found


def _figure_class() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingDependencyError(
            "Pictures need matplotlib, which is not installed. "
            "Install it with: pip install 'tfbdl[plots]'."
        ) from error
    return Figure
