"""The panel of infinitely wide networks, as a page draws it; light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pydantic

from tfbdl import Config, Field
from tfbdl.clicks import clicked
from tfbdl.config import SET_BY_SHOW, Array
from tfbdl.pictures import COLOURS

HEIGHT = 420  # pixels of a chart
REACH, TOP = 3.0, 4.0
"""Inputs are from -REACH to REACH, outputs of points from -TOP to TOP."""
MOST = 40
"""Points that are seen at most."""
NEAR = (0.14, 0.3)
"""How far from a point a click is still one on it, along both axes: about its mark's size."""

Arrays = Mapping[str, np.ndarray]
Point = tuple[float, float]

# offered one by one to those who do not click; the first are seen at once
CURVE: tuple[Point, ...] = tuple(
    (x, round(float(np.sin(1.5 * x) + 0.3 * x), 3))
    for x in (-2.0, 0.5, 1.8, -0.7, 2.7, -2.8, 1.1, -1.4, 0.0, 2.2, -2.4, 1.5)
)
AT_FIRST: Any = CURVE[:3]


class NetworkControls(Config):
    """The network, and the points that it has seen."""

    points: Array | None = Field(
        AT_FIRST,
        description=f"Points (input, output) that are seen, at most {MOST}; none: the prior.",
        json_schema_extra=SET_BY_SHOW,
    )
    depth: int = Field(3, ge=0, le=20, description="Hidden layers, each infinitely wide.")
    activation: Literal["relu", "leaky_relu", "abs", "erf", "tanh", "gelu", "sin"] = Field(
        "erf", description="Of the hidden layers."
    )
    weight_variance: float = Field(4.0, ge=0.2, le=8.0, description="sigma_w^2 of every layer.")
    bias_variance: float = Field(0.3, ge=0.0, le=2.0, description="sigma_b^2 of every layer.")
    noise: float = Field(0.01, ge=0.0, le=0.5, description="Variance of the noise of the points.")
    seed: int = Field(0, ge=0, le=20, description="Of the functions that are drawn.")

    @pydantic.field_validator("points", mode="before")
    @classmethod
    def _none_for_empty(cls, value: Any) -> Any:
        return None if isinstance(value, (list, tuple)) and not value else value

    @pydantic.field_validator("points")
    @classmethod
    def _admitted(cls, value: Any) -> Any:
        if value is None:
            return None
        if np.ndim(value) != 2 or np.shape(value)[1] != 2:
            raise ValueError(f"Expected pairs of numbers; the shape is {list(np.shape(value))}")
        if len(value) > MOST:
            raise ValueError(f"Expected at most {MOST} points; there are {len(value)}")
        for x, y in value:
            if abs(x) > REACH or abs(y) > TOP:
                raise ValueError(
                    f"Expected inputs from -{REACH:g} to {REACH:g} and outputs from -{TOP:g} to "
                    f"{TOP:g}; one point is ({x:g}, {y:g})"
                )
        return value


def show_network(st: Any, arrays: Arrays) -> dict[str, Any] | None:
    """Draw functions of infinitely wide networks, and what depth does to inputs that are alike.

    Returns:
        The points as they are after a click or a button, or None without one.
    """
    points: list[Point] = list(zip(arrays["x"].tolist(), arrays["y"].tolist(), strict=True))
    st.subheader("A network of infinitely many units")
    st.markdown(
        "Before it has seen a point, a random network of infinite width is a Gaussian process: the "
        "dashed lines are two standard deviations of it. Thin lines are such networks that agree "
        "with the points, the thick line is their mean, the band two standard deviations: all "
        "that there is to learn, without any training. **Click into the chart** to add a point, "
        "and on a point to take it away."
    )
    columns = st.columns(3)
    columns[0].metric("Points seen", str(len(points)))
    columns[1].metric(
        "Mean sd of the function",
        f"{arrays['sd'].mean():.3g}",
        f"prior {arrays['prior_sd'].mean():.3g}",
        delta_color="off",
        delta_arrow="off",
    )
    evidence = f"{float(arrays['log_evidence']):.4g}" if points else "none"
    columns[2].metric("Log evidence", evidence)
    left, right = st.columns([2, 1])
    with left:
        place = clicked(
            st,
            function_chart(arrays),
            (-REACH, REACH),
            (-TOP, TOP),
            key="wide network",
            titles=("input", "output"),
        )
        wanted = _buttons(st, points)
        if 2.0 * np.median(arrays["prior_sd"]) > TOP:
            st.caption(
                "Without points, functions of this network are larger than the picture. With a "
                "smaller weight variance, 2 for relu, they keep their size from layer to layer."
            )
    right.altair_chart(correlation_chart(arrays))
    st.caption(
        "Right: how alike two inputs of correlation 0.5 are after each layer; the dashed line is "
        "the depth of the network. Where the curve goes "
        "to 1 the net forgets what told them apart; where it stays below, small differences grow "
        "(chaos). Lee et al. 2018; Schoenholz et al. 2017."
    )
    if place is not None:
        wanted = after_click(points, place)
    if wanted is None or len(wanted) > MOST:
        return None
    return {"points": wanted}


def _buttons(st: Any, points: list[Point]) -> list[Point] | None:
    """The points as a button leaves them; None if none was pressed."""
    row = st.container(horizontal=True)
    rest = [point for point in CURVE if point not in points]
    full = len(points) >= MOST
    pressed: tuple[tuple[bool, list[Point]], ...] = (
        (row.button("Add a point of a curve", disabled=full or not rest), [*points, *rest[:1]]),
        (row.button("Take the last away", disabled=not points), points[:-1]),
        (row.button("Clear", disabled=not points), []),
    )
    if full:
        row.caption(f"There are {MOST} points; more would hide the picture.")
    return next((left for is_pressed, left in pressed if is_pressed), None)


def after_click(points: list[Point], place: Point) -> list[Point]:
    """The points after a click: without the one that it is on, or with another one there."""
    distances = [np.hypot(*(np.subtract(point, place) / NEAR)) for point in points]
    if points and min(distances) <= 1.0:
        hit = int(np.argmin(distances))
        return points[:hit] + points[hit + 1 :]
    return [*points, place]


def function_chart(arrays: Arrays) -> Any:
    """The prior's band, the posterior's with its mean, functions drawn and the points."""
    import altair as alt
    import pandas as pd

    grid, mean, sd, lines = (arrays[name] for name in ("grid", "mean", "sd", "line"))
    ends = alt.Scale(domain=[-REACH, REACH], nice=False)
    x = alt.X("x:Q", title="input", scale=ends)
    # one scale for all networks and points, so that what they change is seen
    y = alt.Y("y:Q", title="output", scale=alt.Scale(domain=[-TOP, TOP], nice=False))
    both = 2.0 * np.concatenate([arrays["prior_sd"], -arrays["prior_sd"]])
    prior = pd.DataFrame({"x": np.tile(grid, 2), "y": both, "line": np.sign(both)})
    bounds = alt.Chart(prior).mark_line(
        strokeWidth=1.5, strokeDash=[5, 4], color=COLOURS[8], clip=True
    )
    band = pd.DataFrame({"x": grid, "y": mean - 2.0 * sd, "above": mean + 2.0 * sd})
    area = alt.Chart(band).mark_area(opacity=0.25, color=COLOURS[0], clip=True)
    drawn = pd.DataFrame(
        {
            "x": np.tile(grid, len(lines)),
            "y": lines.ravel(),
            "line": np.repeat(np.arange(len(lines)), len(grid)),
        }
    )
    thin = alt.Chart(drawn).mark_line(strokeWidth=1, color=COLOURS[2], opacity=0.8, clip=True)
    middle = alt.Chart(pd.DataFrame({"x": grid, "y": mean}))
    dots = alt.Chart(pd.DataFrame({"x": arrays["x"], "y": arrays["y"]}))
    return alt.layer(
        bounds.encode(x=x, y=y, detail="line:N"),
        area.encode(x=x, y=y, y2="above:Q"),
        thin.encode(x=x, y=y, detail="line:N"),
        middle.mark_line(color=COLOURS[0], strokeWidth=3, clip=True).encode(x=x, y=y),
        dots.mark_point(size=100, filled=True, color=COLOURS[3], opacity=1.0).encode(x=x, y=y),
    ).properties(height=HEIGHT, title="Functions")


def correlation_chart(arrays: Arrays) -> Any:
    """The correlation of two inputs by layer, with a rule at the network's depth."""
    import altair as alt
    import pandas as pd

    values = arrays["correlation"]
    frame = pd.DataFrame({"layer": np.arange(len(values)), "correlation": values})
    y = alt.Y("correlation:Q", scale=alt.Scale(domain=[min(0.0, float(values.min())), 1.0]))
    lines = alt.Chart(frame).mark_line(point={"color": COLOURS[1]}, color=COLOURS[1])
    rule = alt.Chart(pd.DataFrame({"layer": [int(arrays["depth"])]}))
    return alt.layer(
        rule.mark_rule(strokeDash=[5, 4], color=COLOURS[8]).encode(x="layer:Q"),
        lines.encode(x=alt.X("layer:Q"), y=y),
    ).properties(height=HEIGHT, title="Two inputs")
