"""Charts of predictions along a line that leads an input away from the data."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import numpy as np
import pandas as pd

from tfbdl_dashboard import charts
from tfbdl_dashboard.predictive_charts import ALEATORIC, EPISTEMIC, KNOWN

Answer = Mapping[str, np.ndarray]
INTERVAL, KNOWLEDGE = "90 % interval", "mean ± 2 epistemic sd"
MOST_CLASSES = 6
OTHER_CLASSES = "other classes"
LABELS = 56
"""Pixels that the labels of y have at the least."""


def means(answer: Answer, target: int, at: float, x_title: str, y_title: str) -> alt.LayerChart:
    """The predicted mean with the interval and the part of it that is not known yet.

    Args:
        answer: Of the task ``slide``.
        target: Which one.
        at: Where the slider stands.
        x_title, y_title: Of the axes.
    """
    x, mean = answer["position"], answer["mean"][:, target]
    sd = np.sqrt(answer["epistemic"][:, target])
    layers = charts.bands(
        x,
        {
            INTERVAL: (answer["low"][:, target], answer["high"][:, target]),
            KNOWLEDGE: (mean - 2 * sd, mean + 2 * sd),
        },
        x_title=x_title,
        y_title=y_title,
        known={INTERVAL: charts.ALEATORIC, KNOWLEDGE: charts.EPISTEMIC},
        opacity=0.4,
    )
    line = charts.line(x, mean, colour=charts.EPISTEMIC)
    return _framed(alt.layer(layers, line, *_marks(answer, at)), 300)


def uncertainties(
    answer: Answer, target: int | None, at: float, x_title: str, y_title: str
) -> alt.LayerChart:
    """Both uncertainties along the line: standard deviations of numbers, nats of classes.

    Args:
        answer: Of the task ``slide``.
        target: Which one, of numbers; None for classes.
        at: Where the slider stands.
        x_title, y_title: Of the axes.
    """
    series = {}
    for name, key in ((ALEATORIC, "aleatoric"), (EPISTEMIC, "epistemic")):
        values = answer[key] if target is None else np.sqrt(answer[key][:, target])
        series[name] = answer["position"], values
    chart = charts.lines(series, x_title=x_title, y_title=y_title, known=KNOWN, zero=True)
    return _framed(alt.layer(chart, *_marks(answer, at)), 240)


def probabilities(answer: Answer, names: list[str], at: float, x_title: str) -> alt.LayerChart:
    """The probabilities of the classes that matter along the line; the others are summed.

    Args:
        answer: Of the task ``slide``.
        names: Of the classes.
        at: Where the slider stands.
        x_title: Of the axis.
    """
    probs = answer["probs"]
    first = np.argsort(-probs.max(axis=0), kind="stable")[:MOST_CLASSES]
    series = {names[i]: (answer["position"], probs[:, i]) for i in sorted(first)}
    if len(first) < probs.shape[1]:
        rest = 1.0 - probs[:, first].sum(axis=1)
        series[OTHER_CLASSES] = answer["position"], np.maximum(rest, 0.0)
    chart = charts.lines(
        series,
        x_title=x_title,
        y_title="probability",
        known={OTHER_CLASSES: charts.REFERENCE},
        zero=True,
    )
    return _framed(alt.layer(chart, *_marks(answer, at)), 300)


def distances(answer: Answer, at: float, x_title: str) -> alt.LayerChart:
    """How far from the nearest training row the input is, in standard deviations of features."""
    chart = charts.lines(
        {"distance": (answer["position"], answer["distance"])},
        x_title=x_title,
        y_title="distance (sd)",
        known={"distance": charts.REFERENCE},
        zero=True,
    )
    return _framed(alt.layer(chart, charts.rule(x=at, dashed=False)), 180)


def _framed(chart: alt.LayerChart, height: int) -> alt.LayerChart:
    """A chart whose x-axis lies below those of the others, whatever its labels of y are."""
    return chart.properties(height=height).configure_axisY(minExtent=LABELS)


def _marks(answer: Answer, at: float) -> list[alt.Chart]:
    """A line where the slider stands, and ticks below where training rows lie."""
    found = [charts.rule(x=at, dashed=False)]
    if answer["marks"].size:
        ticks = alt.Chart(pd.DataFrame({"x": np.unique(answer["marks"])}))
        bottom = alt.value(alt.ExprRef("height - 8"))
        found.append(
            ticks.mark_tick(color=charts.REFERENCE, thickness=1, size=10, opacity=0.6).encode(
                x="x:Q", y=bottom
            )
        )
    return found
