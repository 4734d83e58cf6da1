"""Charts of a posterior: prior against posterior, forest, pairs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from tfbdl_dashboard import charts
from tfbdl_dashboard.draws import Draws

POSTERIOR, PRIOR = "posterior", "prior"
KNOWN = {POSTERIOR: charts.POSTERIOR, PRIOR: charts.PRIOR}
INNER, OUTER = 0.5, 0.9
"""Levels of the forest's intervals."""
TALLEST = 3.0
"""Times the posterior's peak at which a prior is cut off."""
DIVERGENT, OTHERS = "divergent", "other draws"


def limits(values: np.ndarray, room: float = 0.15) -> tuple[float, float]:
    """Where almost all draws lie, with some room: from the 0.1 % to the 99.9 % quantile."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return -1.0, 1.0
    low, high = (float(v) for v in np.quantile(finite, [0.001, 0.999]))
    width = high - low or max(abs(low), 1.0) * 0.1
    return low - room * width, high + room * width


def density_chart(
    label: str,
    values: np.ndarray,
    prior: tuple[np.ndarray, np.ndarray] | None = None,
    *,
    zoom: bool = False,
    height: int = 250,
) -> alt.LayerChart:
    """The density of one element after the data, and before them where it is known.

    Args:
        label: Of the element.
        values: Its draws, any shape.
        prior: Grid and density ``[m]``.
        zoom: Leave out where the posterior has no mass.
        height: In pixels.
    """
    low, high = limits(values)
    grid, dense = charts.density(values, low, high)
    series: dict[str, tuple[Any, Any]] = {}
    if prior is not None and np.isfinite(prior[0]).all():
        inside = (prior[0] >= low) & (prior[0] <= high) if zoom else np.ones(len(prior[0]), bool)
        series[PRIOR] = prior[0][inside], prior[1][inside]
    series[POSTERIOR] = grid, dense
    chart = charts.lines(
        series, x_title=label, y_title="density", known=KNOWN, zero=True, height=height
    )
    top = float(np.nanmax(dense, initial=0.0))
    if PRIOR in series and top > 0 and np.max(series[PRIOR][1], initial=0.0) > TALLEST * top:
        # a prior with a pole or a spike would leave nothing to see of the posterior
        mark = chart.layer[0]
        mark.mark.clip = True
        mark.encoding.y.scale = alt.Scale(domain=[0, TALLEST * top])
    return chart


def intervals(found: Draws, labels: Sequence[str]) -> pd.DataFrame:
    """Mean, standard deviation and central intervals of elements, a row each.

    Returns:
        Columns element, mean, sd, low_50, high_50, low_90, high_90.
    """
    tails = [(1 - INNER) / 2, (1 + INNER) / 2, (1 - OUTER) / 2, (1 + OUTER) / 2]
    rows = []
    for label in labels:
        values = found.element(label)
        rows.append((label, values.mean(), values.std(), *np.quantile(values, tails)))
    columns = ["element", "mean", "sd", "low_50", "high_50", "low_90", "high_90"]
    return pd.DataFrame(rows, columns=columns)


def forest(frame: pd.DataFrame) -> alt.LayerChart:
    """Means with thick 50 % and thin 90 % intervals, one row for each element.

    Args:
        frame: As ``intervals`` gives it, in the order of the rows.
    """
    base = alt.Chart(frame).encode(
        y=alt.Y("element:N", sort=None, title=None, axis=alt.Axis(labelLimit=240)),
        tooltip=[
            "element:N",
            *(alt.Tooltip(f"{name}:Q", format=".4~g") for name in frame.columns[1:]),
        ],
    )
    scale = alt.Scale(zero=False)
    outer = base.mark_rule(color=charts.POSTERIOR, strokeWidth=1.5).encode(
        x=alt.X("low_90:Q", title="value (mean, 50 % and 90 % interval)", scale=scale),
        x2="high_90:Q",
    )
    inner = base.mark_rule(color=charts.POSTERIOR, strokeWidth=5).encode(
        x="low_50:Q", x2="high_50:Q"
    )
    mean = base.mark_point(
        fill="white",
        filled=True,
        stroke=charts.POSTERIOR,
        size=36,
        opacity=1,
    ).encode(x="mean:Q")
    height = max(90, 22 * len(frame) + 40)
    return alt.layer(charts.rule(x=0.0), outer, inner, mean).properties(height=height)


def pair_frame(
    found: Draws, labels: Sequence[str], most: int = charts.MOST
) -> tuple[pd.DataFrame, int]:
    """Draws of some elements side by side, with every divergent one as far as there is room.

    Returns:
        A column for each element and ``draw`` (``divergent`` or ``other draws``), at most ``most``
        rows, the divergent ones last so that they lie on top; and how many divergent ones the run
        has.
    """
    values = {label: found.element(label).reshape(-1) for label in labels}
    size = found.num_chains * found.num_draws
    diverging = np.asarray(found.stats.get("diverging", np.zeros(size)), bool).reshape(-1)
    if diverging.size != size:
        diverging = np.zeros(size, bool)
    bad, good = np.flatnonzero(diverging), np.flatnonzero(~diverging)
    bad_shown = bad[charts.spaced(len(bad), most // 2)]
    good = good[charts.spaced(len(good), most - len(bad_shown))]
    index = np.concatenate([good, bad_shown])
    frame = pd.DataFrame({label: column[index] for label, column in values.items()})
    frame["draw"] = np.where(diverging[index], DIVERGENT, OTHERS)
    return frame, len(bad)


def pair(frame: pd.DataFrame, x: str, y: str, height: int) -> alt.LayerChart:
    """The draws of two elements; divergent ones have the colour of warnings."""
    return charts.scatter(
        frame,
        x,
        y,
        group="draw",
        known={DIVERGENT: charts.WARNING, OTHERS: charts.POSTERIOR},
        size=14,
        opacity=0.45,
        height=height,
    )
