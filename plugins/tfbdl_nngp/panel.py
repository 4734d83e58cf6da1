"""The panel of infinitely wide networks, as a page draws it; light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from tfbdl import Config, Field
from tfbdl.pictures import COLOURS

HEIGHT = 380  # pixels of a chart

Arrays = Mapping[str, np.ndarray]


class NetworkControls(Config):
    """The network, and how many points it has seen."""

    points: int = Field(0, ge=0, le=12, description="Points that are seen; 0: the prior.")
    depth: int = Field(3, ge=0, le=20, description="Hidden layers, each infinitely wide.")
    activation: Literal["relu", "leaky_relu", "abs", "erf", "tanh", "gelu", "sin"] = Field(
        "erf", description="Of the hidden layers."
    )
    weight_variance: float = Field(4.0, ge=0.2, le=8.0, description="sigma_w^2 of every layer.")
    bias_variance: float = Field(0.3, ge=0.0, le=2.0, description="sigma_b^2 of every layer.")
    noise: float = Field(0.01, ge=0.0, le=0.5, description="Variance of the noise of the points.")
    seed: int = Field(0, ge=0, le=20, description="Of the functions that are drawn.")


def show_network(st: Any, arrays: Arrays) -> None:
    """Draw functions of infinitely wide networks, and what depth does to inputs that are alike."""
    count = len(arrays["x"])
    st.subheader("A network of infinitely many units")
    st.markdown(
        "Before it has seen a point, a random network of infinite width is a Gaussian process: the "
        "thin lines are such networks, the band is two standard deviations. Add points: the lines "
        "that do not pass them are gone, without any training."
    )
    columns = st.columns(3)
    columns[0].metric("Points seen", str(count))
    columns[1].metric("Mean sd of the function", f"{arrays['sd'].mean():.3g}")
    columns[2].metric("Log evidence", f"{float(arrays['log_evidence']):.4g}" if count else "none")
    left, right = st.columns([2, 1])
    left.altair_chart(function_chart(arrays))
    right.altair_chart(correlation_chart(arrays))
    st.caption(
        "Right: how alike two inputs of correlation 0.5 are after each layer. Where the curve goes "
        "to 1 the net forgets what told them apart; where it stays below, small differences grow "
        "(chaos). Lee et al. 2018; Schoenholz et al. 2017."
    )


def function_chart(arrays: Arrays) -> Any:
    """The band, the mean, functions drawn and the points."""
    import altair as alt
    import pandas as pd

    grid, mean, sd, lines = (arrays[name] for name in ("grid", "mean", "sd", "line"))
    x = alt.X("x:Q", title="input", scale=alt.Scale(nice=False))
    reach = float(max(np.abs(arrays["y_all"]).max(), 2.5 * np.median(sd)))
    y = alt.Y("y:Q", title="output", scale=alt.Scale(domain=[-reach, reach], nice=False))
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
        area.encode(x=x, y=y, y2="above:Q"),
        thin.encode(x=x, y=y, detail="line:N"),
        middle.mark_line(color=COLOURS[0], strokeWidth=3, clip=True).encode(x=x, y=y),
        dots.mark_point(size=90, strokeWidth=2.5, color=COLOURS[3], opacity=1.0).encode(x=x, y=y),
    ).properties(height=HEIGHT, title="Functions")


def correlation_chart(arrays: Arrays) -> Any:
    """The correlation of two inputs by layer."""
    import altair as alt
    import pandas as pd

    values = arrays["correlation"]
    frame = pd.DataFrame({"layer": np.arange(len(values)), "correlation": values})
    y = alt.Y("correlation:Q", scale=alt.Scale(domain=[min(0.0, float(values.min())), 1.0]))
    lines = alt.Chart(frame).mark_line(point=True, color=COLOURS[1])
    return lines.encode(x=alt.X("layer:Q"), y=y).properties(height=HEIGHT, title="Two inputs")
