"""The panel of linear regression, as a page draws it; light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from tfbdl import Config, Field
from tfbdl.pictures import COLOURS

HEIGHT = 460  # pixels of the chart

Arrays = Mapping[str, np.ndarray]


class BandControls(Config):
    """How many rows are taken in, and what is fitted to them."""

    rows: int = Field(4, ge=2, le=200, description="Rows that are taken in.")
    column: int = Field(0, ge=0, le=99, description="The input; the others are left out.")
    basis: Literal["run", "identity", "polynomial", "gaussian", "fourier"] = Field(
        "run", description="Functions of the input: those of the run, or others."
    )
    num_basis: int = Field(9, ge=1, le=25, description="Of others, how many.")
    lines: int = Field(6, ge=1, le=20, description="Functions drawn from the posterior.")
    seed: int = Field(0, ge=0, le=20, description="Of the order of the rows, and of the draws.")


def show_band(st: Any, arrays: Arrays) -> None:
    """Draw the predictive band, functions from the posterior, and the rows."""
    rows, total = int(arrays["rows"]), int(arrays["all"])
    st.subheader("What a few rows say of a line")
    st.markdown(
        "The dark band is what is not known of the function, one sd to both sides; the light one "
        "adds the noise. Take in more rows: the dark band closes where rows lie and stays open "
        "elsewhere, the light one closes down to the noise and no further."
    )
    columns = st.columns(3)
    columns[0].metric("Rows", f"{rows} of {total:,}")
    columns[1].metric("Mean sd of the function", f"{arrays['function_sd'].mean():.4g}")
    columns[2].metric("Sd of the noise", f"{float(arrays['noise_sd']):.4g}")
    st.altair_chart(band_chart(arrays))
    st.caption(
        f"{int(arrays['weights'])} weights. Input: column {int(arrays['column'])}. The precision "
        "of the noise is that of all rows."
    )


def band_chart(arrays: Arrays) -> Any:
    """Both bands, the mean, draws of the function, the rows taken in and those to come."""
    import altair as alt
    import pandas as pd

    grid, mean, lines = arrays["grid"], arrays["mean"], arrays["line"]
    seen = np.concatenate([arrays["y"], arrays["rest_y"]])
    margin = 0.25 * np.ptp(seen) or 1.0
    domain = [float(seen.min() - margin), float(seen.max() + margin)]
    x = alt.X("x:Q", title=f"column {int(arrays['column'])}", scale=alt.Scale(nice=False))
    y = alt.Y("y:Q", title="target", scale=alt.Scale(domain=domain, nice=False))
    layers = []
    for name, opacity in (("target_sd", 0.16), ("function_sd", 0.35)):
        sd = arrays[name]
        band = pd.DataFrame({"x": grid, "y": mean - sd, "above": mean + sd})
        area = alt.Chart(band).mark_area(opacity=opacity, color=COLOURS[0], clip=True)
        layers.append(area.encode(x=x, y=y, y2="above:Q"))
    drawn = pd.DataFrame(
        {
            "x": np.tile(grid, len(lines)),
            "y": lines.ravel(),
            "line": np.repeat(np.arange(len(lines)), len(grid)),
        }
    )
    thin = alt.Chart(drawn).mark_line(strokeWidth=1, color=COLOURS[2], opacity=0.7, clip=True)
    layers.append(thin.encode(x=x, y=y, detail="line:N"))
    middle = pd.DataFrame({"x": grid, "y": mean})
    layers.append(
        alt.Chart(middle).mark_line(color=COLOURS[0], strokeWidth=3, clip=True).encode(x=x, y=y)
    )
    rest = pd.DataFrame({"x": arrays["rest_x"], "y": arrays["rest_y"]})
    layers.append(
        alt.Chart(rest).mark_circle(size=14, color=COLOURS[8], opacity=0.5).encode(x=x, y=y)
    )
    taken = pd.DataFrame({"x": arrays["x"], "y": arrays["y"]})
    dots = alt.Chart(taken).mark_point(size=90, strokeWidth=2.5, color=COLOURS[3], opacity=1.0)
    layers.append(dots.encode(x=x, y=y))
    return alt.layer(*layers).properties(height=HEIGHT)
