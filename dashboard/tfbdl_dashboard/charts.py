"""Altair pieces for all pages: few marks, one colour for one meaning, light and dark alike.

Colours are those of ``tfbdl.pictures``, told apart in every common form of colour blindness and
readable on white and on black. Axes, grid and text are left to Streamlit's theme.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle, pairwise
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from tfbdl.pictures import COLOURS

MOST = 2000
"""Points of a series that a browser is given."""

FEW = 12
"""A line through no more points than these shows each of them."""

POSTERIOR = "#2B8CC4"
PRIOR = "#8C919A"
REFERENCE = "#9A7B66"
EPISTEMIC = "#2B8CC4"
ALEATORIC = "#E69F00"
WARNING = "#D55E00"
SERIES = tuple(COLOURS[i] for i in (0, 1, 3, 4, 2, 5, 6, 8))
"""For chains, runs and other things of equal rank, in order."""

HEIGHT = 260
Pairs = Mapping[str, tuple[Any, Any]]


def thinned(x: Any, y: Any, most: int = MOST) -> tuple[np.ndarray, np.ndarray]:
    """At most ``most`` points of a series, of which no peak is lost.

    The series is cut into bins of equal counts, and of each its least and its greatest value are
    kept, in their order. Points that are not finite are left out.

    Args:
        x, y: ``[n]``; x in ascending order.
        most: At least 2.

    Returns:
        x and y of the points that are kept, in float64.
    """
    x, y = np.asarray(x, np.float64).reshape(-1), np.asarray(y, np.float64).reshape(-1)
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = x[finite], y[finite]
    if len(x) <= most:
        return x, y
    edges = np.arange(max(1, most // 2) + 1) * len(x) // max(1, most // 2)
    kept = [
        start + np.array([np.argmin(y[start:end]), np.argmax(y[start:end])])
        for start, end in pairwise(edges)
    ]
    index = np.unique(np.concatenate(kept))
    return x[index], y[index]


def spaced(size: int, most: int = MOST) -> np.ndarray:
    """Indices of at most ``most`` of ``size`` points, evenly spaced."""
    return np.arange(min(size, most)) * size // max(1, min(size, most))


def colours(names: Sequence[str], known: Mapping[str, str] | None = None) -> alt.Scale:
    """A colour for each name: the one that it is known by, else the next of the palette."""
    known = known or {}
    rest = (colour for colour in cycle(SERIES) if colour not in known.values())
    return alt.Scale(
        domain=list(names), range=[known[name] if name in known else next(rest) for name in names]
    )


def lines(
    series: Pairs,
    *,
    x_title: str,
    y_title: str,
    known: Mapping[str, str] | None = None,
    dashed: Sequence[str] = (),
    height: int = HEIGHT,
    log_y: bool = False,
    zero: bool = False,
    most: int = MOST,
) -> alt.LayerChart:
    """One line for each series, with a legend where there are several.

    Args:
        series: Name -> ``(x [n], y [n])``; x ascending.
        x_title, y_title: Of the axes, with their units.
        known: Name -> colour.
        dashed: Names of those that are drawn dashed, so that what lies below them is seen.
        height: In pixels.
        log_y: A logarithmic axis; what is not above zero is left out.
        zero: Whether the axis of y begins at zero.
        most: Points of a series.
    """
    frames = []
    for name, (x, y) in series.items():
        values = np.asarray(y, np.float64)
        xs, ys = thinned(x, np.where(values > 0, values, np.nan) if log_y else values, most)
        frames.append(pd.DataFrame({"x": xs, "y": ys, "series": name}))
    frame = _joined(frames, ("x", "y", "series"))
    scale = alt.Scale(type="log") if log_y else alt.Scale(zero=zero)
    few = any(len(part) <= FEW for part in frames)  # a line through one point is none
    return alt.layer(
        alt.Chart(frame)
        .mark_line(strokeWidth=1.6, point={"size": 25} if few else False)
        .encode(
            **({"strokeDash": _dashes(list(series), dashed)} if dashed else {}),
            x=alt.X("x:Q", title=x_title, scale=alt.Scale(zero=False, nice=False)),
            y=alt.Y("y:Q", title=y_title, scale=scale),
            color=_series_colour(list(series), known),
            tooltip=[
                alt.Tooltip("series:N", title="series"),
                alt.Tooltip("x:Q", title=x_title, format=",.6~g"),
                alt.Tooltip("y:Q", title=y_title, format=".5~g"),
            ],
        )
    ).properties(height=height)


def line(x: Any, y: Any, *, colour: str = POSTERIOR, width: float = 1.8) -> alt.Chart:
    """One line without a legend, to lay over another chart.

    Args:
        x, y: ``[n]``; x ascending.
        colour: Of the line.
        width: In pixels.
    """
    xs, ys = thinned(x, y)
    mark = alt.Chart(pd.DataFrame({"x": xs, "y": ys})).mark_line(color=colour, strokeWidth=width)
    return mark.encode(x="x:Q", y="y:Q")


def bands(
    x: Any,
    layers: Mapping[str, tuple[Any, Any]],
    *,
    x_title: str,
    y_title: str,
    known: Mapping[str, str] | None = None,
    opacity: float = 0.35,
    height: int = HEIGHT,
) -> alt.LayerChart:
    """Areas between a low and a high curve, the first behind the others.

    Args:
        x: ``[n]``, ascending.
        layers: Name -> ``(low [n], high [n])``.
        x_title, y_title: Of the axes, with their units.
        known: Name -> colour.
        opacity: Of each area, in (0, 1].
        height: In pixels.
    """
    x = np.asarray(x, np.float64)
    index = spaced(len(x))
    frames = [
        pd.DataFrame(
            {
                "x": x[index],
                "low": np.asarray(low, np.float64)[index],
                "high": np.asarray(high, np.float64)[index],
                "series": name,
            }
        )
        for name, (low, high) in layers.items()
    ]
    frame = _joined(frames, ("x", "low", "high", "series"))
    parts = [
        alt.Chart(frame[frame["series"] == name])
        .mark_area(opacity=opacity)
        .encode(
            x=alt.X("x:Q", title=x_title, scale=alt.Scale(zero=False, nice=False)),
            y=alt.Y("low:Q", title=y_title, scale=alt.Scale(zero=False)),
            y2="high:Q",
            color=_series_colour(list(layers), known),
            tooltip=[
                alt.Tooltip("series:N", title="band"),
                alt.Tooltip("x:Q", title=x_title, format=".5~g"),
                alt.Tooltip("low:Q", title="from", format=".5~g"),
                alt.Tooltip("high:Q", title="to", format=".5~g"),
            ],
        )
        for name in layers
    ]
    return alt.layer(*parts).properties(height=height)


def scatter(
    frame: pd.DataFrame,
    x: str,
    y: str,
    *,
    x_title: str | None = None,
    y_title: str | None = None,
    group: str | None = None,
    known: Mapping[str, str] | None = None,
    tooltip: Sequence[str] = (),
    colour: str = POSTERIOR,
    size: float = 22,
    opacity: float = 0.5,
    height: int = HEIGHT,
) -> alt.LayerChart:
    """Points of two columns of a frame; of more than 2,000 rows as many, evenly spaced.

    Args:
        frame: The points.
        x, y: Names of its columns of numbers.
        x_title, y_title: Of the axes; by default the columns' names.
        group: A column by which points are coloured, each value with a colour of its own.
        known: Value of ``group`` -> colour.
        tooltip: Further columns to tell of a point.
        colour: Where there is no group.
        size: Of a point, in square pixels.
        opacity: In (0, 1].
        height: In pixels.
    """
    shown = _plain_columns(frame.iloc[spaced(len(frame))])
    titles = {f"c{i}": name for i, name in enumerate(frame.columns)}
    column = {name: short for short, name in titles.items()}
    told = [x, y, *([group] if group else []), *tooltip]
    names = [] if group is None else [str(name) for name in pd.unique(frame[group])]
    chart = alt.Chart(shown).mark_circle(size=size, opacity=opacity)
    encoded = chart.encode(
        x=alt.X(f"{column[x]}:Q", title=x_title or x, scale=alt.Scale(zero=False)),
        y=alt.Y(f"{column[y]}:Q", title=y_title or y, scale=alt.Scale(zero=False)),
        color=alt.value(colour)
        if group is None
        else alt.Color(
            f"{column[group]}:N", title=None, scale=colours(names, known), legend=_legend(names)
        ),
        tooltip=[alt.Tooltip(column[name], title=name) for name in dict.fromkeys(told)],
    )
    return alt.layer(encoded).properties(height=height)


def histogram(
    values: Any,
    *,
    x_title: str,
    bins: int = 30,
    limits: tuple[float, float] | None = None,
    colour: str = POSTERIOR,
    level: float | None = None,
    height: int = HEIGHT,
) -> alt.LayerChart:
    """Counts in bins of equal width.

    Args:
        values: Any shape; what is not finite is left out.
        x_title: Of the axis, with its unit.
        bins: How many.
        limits: The ends of the first and the last bin; by default those of the values.
        colour: Of the bars.
        level: A count to draw a line at, such as the one expected.
        height: In pixels.
    """
    flat = np.asarray(values, np.float64).reshape(-1)
    counts, edges = np.histogram(flat[np.isfinite(flat)], bins=bins, range=limits)
    frame = pd.DataFrame({"low": edges[:-1], "high": edges[1:], "count": counts, "zero": 0})
    bars = (
        alt.Chart(frame)
        .mark_rect(color=colour, opacity=0.75, stroke=colour, strokeWidth=0.5)
        .encode(
            x=alt.X("low:Q", title=x_title, scale=alt.Scale(zero=False, nice=False)),
            x2="high:Q",
            y=alt.Y("zero:Q", title="count"),
            y2="count:Q",
            tooltip=[
                alt.Tooltip("low:Q", title="from", format=".4~g"),
                alt.Tooltip("high:Q", title="to", format=".4~g"),
                alt.Tooltip("count:Q", title="count"),
            ],
        )
    )
    layers = [bars] if level is None else [bars, rule(y=level)]
    return alt.layer(*layers).properties(height=height)


def rule(
    *, x: float | None = None, y: float | None = None, colour: str = REFERENCE, dashed: bool = True
) -> alt.Chart:
    """A straight line across the chart at one x or one y."""
    axis, value = ("x", x) if x is not None else ("y", y)
    mark = alt.Chart(pd.DataFrame({axis: [value]})).mark_rule(
        color=colour, strokeWidth=1.2, strokeDash=[4, 4] if dashed else [1, 0]
    )
    return mark.encode(**{axis: f"{axis}:Q"})


def diagonal(low: float, high: float) -> alt.Chart:
    """The line y = x, to compare with."""
    frame = pd.DataFrame({"x": [low, high], "y": [low, high]})
    return (
        alt.Chart(frame)
        .mark_line(color=REFERENCE, strokeWidth=1.2, strokeDash=[4, 4])
        .encode(x="x:Q", y="y:Q")
    )


def density(values: Any, low: float, high: float, points: int = 200) -> tuple[np.ndarray, ...]:
    """A smoothed density of draws on a grid, by a normal kernel.

    The bandwidth is Silverman's with the smaller of standard deviation and scaled interquartile
    range, so that a heavy tail does not blur the centre.

    Args:
        values: Draws, any shape; what is not finite is left out.
        low, high: Ends of the grid.
        points: Of the grid.

    Returns:
        The grid ``[points]`` and the density ``[points]``; zero where there are no draws, and NaN
        where all draws are equal.

    References:
        Silverman 1986, "Density estimation for statistics and data analysis", eq. 3.31.
    """
    flat = np.asarray(values, np.float64).reshape(-1)
    flat = flat[np.isfinite(flat)]
    grid = np.linspace(low, high, points)
    if len(flat) == 0:
        return grid, np.zeros(points)
    quartiles = np.percentile(flat, [25, 75])
    spread = min(flat.std(), (quartiles[1] - quartiles[0]) / 1.349) or flat.std()
    if spread == 0 or high <= low:
        return grid, np.full(points, np.nan)
    width = 0.9 * spread * len(flat) ** -0.2
    # on bins much finer than the kernel, so that a million draws cost what a thousand do
    fine = np.linspace(low - 4 * width, high + 4 * width, max(1024, 4 * points))
    counts, edges = np.histogram(flat, bins=fine)
    centres = 0.5 * (edges[:-1] + edges[1:])
    full = counts > 0
    z = (grid[:, np.newaxis] - centres[np.newaxis, full]) / width
    total = np.exp(-0.5 * z**2) @ counts[full]
    return grid, total / (len(flat) * width * np.sqrt(2 * np.pi))


def _series_colour(names: list[str], known: Mapping[str, str] | None) -> alt.Color:
    return alt.Color("series:N", title=None, scale=colours(names, known), legend=_legend(names))


def _dashes(names: list[str], dashed: Sequence[str]) -> alt.StrokeDash:
    """Of the same field as the colour, so that both share a legend."""
    marks = [[5, 4] if name in dashed else [1, 0] for name in names]
    scale = alt.Scale(domain=names, range=marks)
    return alt.StrokeDash("series:N", title=None, scale=scale, legend=_legend(names))


def _legend(names: Sequence[str]) -> alt.Legend | None:
    """Above the chart, and none where there is nothing to tell apart."""
    if len(names) < 2:
        return None
    return alt.Legend(orient="top", direction="horizontal", columns=4, labelLimit=240)


def _plain_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns named c0, c1, ...: dots and brackets of a name mean something else to Vega."""
    return frame.set_axis([f"c{i}" for i in range(frame.shape[1])], axis=1)


def _joined(frames: list[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    kept = [frame for frame in frames if len(frame)]
    return pd.concat(kept, ignore_index=True) if kept else pd.DataFrame(columns=list(columns))
