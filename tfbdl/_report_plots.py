"""The single pictures of a report; each function fills a matplotlib figure from plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.stats

from . import calibration as scores

LEVEL = 0.9
MAX_ROWS = 150
MAX_CURVES = 3
BINS = 10

# Distinguishable without colour vision (Okabe & Ito 2008), and by lightness in print.
BLUE, SKY, ORANGE, RED, GREY = "#0072b2", "#56b4e9", "#e69f00", "#c8102e", "#6e6e6e"


@dataclass(frozen=True, kw_only=True, eq=False)
class Column:
    """Predictions of one target; all arrays are ``[n]``, in units of the target.

    Attributes:
        target: Its name.
        y: What was observed.
        mean: The predictive mean.
        aleatoric, epistemic: The parts of the predictive variance.
        low, high: The ends of the central interval of level LEVEL.
        pit: The predictive cdf at ``y``.
        feature: The input, if there is only one.
        feature_name: Its name.
    """

    target: str
    y: np.ndarray
    mean: np.ndarray
    aleatoric: np.ndarray
    epistemic: np.ndarray
    low: np.ndarray
    high: np.ndarray
    pit: np.ndarray
    feature: np.ndarray | None = None
    feature_name: str = "x"


def predictions(figure: Any, column: Column, rows: str) -> None:
    """Means with both bands over the observations; beneath, the parts of the variance."""
    order = np.argsort(column.mean if column.feature is None else column.feature, kind="stable")
    shown = order[np.unique(np.linspace(0, len(order) - 1, MAX_ROWS).astype(int))]
    if column.feature is None:
        x = np.arange(1, len(shown) + 1, dtype=float)
        some = "" if len(shown) == len(order) else f" ({len(shown)} of {len(order)})"
        label = f"{rows}{some}, in the order of the predicted mean"
    else:
        x, label = column.feature[shown], f"{column.feature_name} ({rows})"
    mean, y = column.mean[shown], column.y[shown]
    low, high = column.low[shown], column.high[shown]
    half = scipy.stats.norm.ppf(0.5 + LEVEL / 2) * np.sqrt(column.epistemic[shown])
    inside = (low <= y) & (y <= high)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    percent = f"{LEVEL:.0%}".replace("%", " %")
    top.fill_between(
        x, low, high, color=SKY, alpha=0.3, lw=0, label=f"{percent} interval of an observation"
    )
    top.fill_between(
        x, mean - half, mean + half, color=BLUE, alpha=0.45, lw=0,
        label=f"{percent} interval of the mean (epistemic alone)",
    )  # fmt: skip
    top.plot(x, mean, color=BLUE, lw=1.6, label="predicted mean")
    top.plot(x[inside], y[inside], "o", color="black", ms=3.2, label="observed, inside")
    top.plot(x[~inside], y[~inside], "X", color=RED, ms=6, mew=0, label="observed, outside")
    covered = scores.coverage(column.y, column.low, column.high)
    top.set_title(
        f"{covered:.1%} of {len(column.y)} {rows} are inside their {percent} interval".replace(
            "%", " %", 1
        )
    )
    top.set_ylabel(f"{column.target} (its own units)")
    figure.legend(loc="outside upper center", fontsize="small", ncols=3, frameon=False)
    bottom.stackplot(
        x, column.aleatoric[shown], column.epistemic[shown], colors=(ORANGE, BLUE), alpha=0.75,
        labels=("aleatoric: noise in the data", "epistemic: more data would remove it"),
    )  # fmt: skip
    bottom.set_ylabel("variance (units²)")
    bottom.set_xlabel(label)
    bottom.set_ylim(
        bottom=0.0, top=1.45 * float(np.max((column.aleatoric + column.epistemic)[shown]))
    )
    bottom.legend(loc="upper left", fontsize="small", ncols=2, framealpha=0.9)
    bottom.set_xlim(x[0], x[-1])
    _quiet(top, bottom)


def calibration(figure: Any, pit: np.ndarray, rows: str) -> None:
    """Observed shares below predicted quantiles, and inside central intervals, with bands."""
    left, right = figure.subplots(1, 2)
    curve = scores.regression_calibration(pit, band_level=LEVEL)
    _against_diagonal(left, curve.expected, curve.observed, curve.low, curve.high)
    left.set_title(f"Quantiles (mean distance {curve.error:.3f})")
    left.set_xlabel("level of the predicted quantile")
    left.set_ylabel(f"share of {rows} at or below it")
    central = scores.regression_calibration(np.abs(2.0 * pit - 1.0), band_level=LEVEL)
    _against_diagonal(right, central.expected, central.observed, central.low, central.high)
    right.set_title("Central intervals (coverage)")
    right.set_xlabel("level of the predicted interval")
    right.set_ylabel(f"share of {rows} inside it")
    right.text(0.97, 0.06, "below the diagonal: too sure", transform=right.transAxes, ha="right",
               color=GREY, fontsize="small")  # fmt: skip
    right.text(0.03, 0.72, "above: too careful", transform=right.transAxes, color=GREY,
               fontsize="small")  # fmt: skip
    left.legend(loc="upper left", fontsize="small")


def reliability(figure: Any, probs: np.ndarray, labels: np.ndarray, rows: str) -> None:
    """Accuracy against confidence with bands; beneath, how often each confidence is given."""
    curve = scores.reliability_curve(probs, labels, BINS, LEVEL)
    error = scores.expected_calibration_error(probs, labels)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    top.plot((0, 1), (0, 1), "--", color=GREY, lw=1, label="calibrated")
    top.errorbar(
        curve.confidence, curve.accuracy,
        np.maximum((curve.accuracy - curve.low, curve.high - curve.accuracy), 0.0),
        fmt="o-", color=BLUE, ecolor=SKY, elinewidth=5, ms=5,
        label=f"observed, with {LEVEL * 100:.0f} % band",
    )  # fmt: skip
    wrong = np.mean(probs.argmax(axis=1) != labels)
    top.set_title(f"ECE {error:.3f}, error {100 * wrong:.1f} % of {len(labels)} {rows}")
    top.set_ylabel("accuracy: share of right predictions")
    top.legend(loc="upper left", fontsize="small")
    top.set_ylim(-0.02, 1.02)
    confidence = probs.max(axis=1)
    bottom.hist(confidence, np.linspace(0, 1, 2 * BINS + 1), color=BLUE, alpha=0.75)
    bottom.set_yscale("log")
    bottom.set_xlabel("confidence: probability of the predicted class")
    bottom.set_ylabel("predictions")
    bottom.set_xlim(min(1.0 / probs.shape[1], float(confidence.min())) - 0.02, 1.02)
    _quiet(top, bottom)


def uncertainty(
    figure: Any,
    probs: np.ndarray,
    labels: np.ndarray,
    aleatoric: np.ndarray,
    epistemic: np.ndarray,
    rows: str,
) -> None:
    """Whether the model knows when it is wrong: entropies, and the error if it may abstain."""
    wrong = probs.argmax(axis=1) != labels
    left, right = figure.subplots(1, 2)
    groups = [(f"right ({np.sum(~wrong)})", ~wrong), (f"wrong ({np.sum(wrong)})", wrong)]
    groups = [(name, rows_) for name, rows_ in groups if rows_.any()]
    names = [name for name, _ in groups]
    noise = np.array([aleatoric[of].mean() for _, of in groups])
    known = np.array([epistemic[of].mean() for _, of in groups])
    left.bar(names, noise, 0.55, color=ORANGE, alpha=0.8, label="aleatoric (expected entropy)")
    left.bar(
        names, known, 0.55, noise, color=BLUE, alpha=0.8, label="epistemic (mutual information)"
    )
    left.set_ylim(0, 1.3 * float(np.max(noise + known)))
    left.set_ylabel("mean entropy of the prediction (nats)")
    left.set_title(f"Predictions on {rows}")
    left.legend(loc="upper left", fontsize="small")
    curve = scores.risk_coverage_curve(wrong, aleatoric + epistemic)
    share, error = 100 * curve.coverage, 100 * curve.risk
    right.plot(share, error, color=BLUE, lw=1.8, label="the surest first, by entropy")
    right.axhline(error[-1], color=GREY, ls="--", lw=1, label="in any order (expected)")
    right.set_xlabel(f"share of {rows} that are answered (%)")
    right.set_ylabel("error among those answered (%)")
    right.set_title("The error if the model may abstain")
    right.set_ylim(bottom=0.0, top=max(1.4 * float(error.max()), 0.1))
    right.set_xlim(0, 100)
    right.legend(loc="upper left", fontsize="small")
    _quiet(left, right)


def training(figure: Any, curves: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Each metric over the epochs; the first ones, while all is far off, may leave the frame."""
    axes = np.atleast_1d(figure.subplots(1, len(curves)))
    for axis, (name, series) in zip(axes, curves.items(), strict=True):
        for (label, values), colour in zip(series.items(), (BLUE, ORANGE), strict=False):
            axis.plot(np.arange(1, len(values) + 1), values, color=colour, lw=1.4, label=label)
        late = np.concatenate([values[len(values) // 20 :] for values in series.values()])
        late = late[np.isfinite(late)]
        if late.size and late.min() < late.max():
            room = 0.05 * (late.max() - late.min())
            axis.set_ylim(late.min() - room, late.max() + room)
        axis.set_title(_TITLES.get(name, name))
        axis.set_xlabel("epoch or step")
        if len(series) > 1:
            axis.legend(fontsize="small")
    _quiet(*axes)


_TITLES = {
    "elbo": "ELBO (nats, whole data set)",
    "nll": "negative log-likelihood (nats per row)",
    "kl": "KL from prior to posterior (nats)",
}


def _against_diagonal(
    axis: Any, expected: np.ndarray, observed: np.ndarray, low: np.ndarray, high: np.ndarray
) -> None:
    axis.plot((0, 1), (0, 1), "--", color=GREY, lw=1, label="calibrated")
    axis.fill_between(expected, low, high, color=SKY, alpha=0.35, lw=0,
                      label=f"{LEVEL * 100:.0f} % band of the share")  # fmt: skip
    axis.plot(expected, observed, "o-", color=BLUE, ms=4, label="observed")
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
    axis.set_aspect("equal")
    _quiet(axis)


def _quiet(*axes: Any) -> None:
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25, lw=0.6)
        axis.set_axisbelow(True)
