"""The panel of generators, as a page draws it; light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from tfbdl import Config, Field
from tfbdl.pictures import COLOURS, image_grid

HEIGHT = 320  # pixels of a chart

Arrays = Mapping[str, np.ndarray]


class SampleControls(Config):
    """Which samples of the posterior, and how many rows of each."""

    by: Literal["draw", "generator"] = Field(
        "draw",
        description="Of a Bayesian GAN: a group for each posterior draw, or for each generator of "
        "the newest draw.",
    )
    groups: int = Field(6, ge=1, le=12, description="Draws or generators side by side.")
    rows: int = Field(12, ge=1, le=24, description="Rows shown of each.")
    seed: int = Field(0, ge=0, le=20, description="Of the noise.")


def show_samples(st: Any, arrays: Arrays) -> None:
    """Draw the samples of each group, where they lie, the modes and the course of the game."""
    st.subheader("What the generators make")
    names = [str(name) for name in arrays["group"]]
    several = len(names) > 1
    st.markdown(
        "Each line is one sample of the posterior: where lines differ, the data leave the "
        "generator open. Look for modes that all of them miss, and for rows that come again."
        if several
        else "Rows that the generator makes of noise. Look for modes that it misses, and for rows "
        "that come again."
    )
    figures = st.columns(3)
    if "share" in arrays:
        modes = arrays["share"].shape[1]
        figures[0].metric("Modes covered, all lines", f"{int(arrays['covered'][0])} of {modes}")
    if "js" in arrays:
        figures[1].metric("Jensen-Shannon, nats", f"{float(arrays['js'][0]):.3f}")
        figures[2].metric("Distance to the nearest row", f"{float(arrays['nearest'].mean()):.3g}")
    if bool(arrays["is_image"]):
        made = arrays["generated"]
        low, high = float(arrays["low"]), float(arrays["high"])
        st.image(
            image_grid(made.reshape(-1, *made.shape[2:]), made.shape[1], low, high, side=1000),
            caption="From above: " + ", ".join(names),
            width="stretch",
        )
    left, right = st.columns(2)
    if "point" in arrays:
        left.altair_chart(points_chart(arrays))
        left.caption("Components of the data; a point is a row.")
    if "share" in arrays:
        right.altair_chart(modes_chart(arrays))
        right.caption("Rows count for the class whose mean is nearest; 2 % cover a mode.")
    chart = history_chart(arrays)
    if chart is not None:
        st.altair_chart(chart)


def points_chart(arrays: Arrays) -> Any:
    """Rows of the data and generated ones on two principal components of the data."""
    import altair as alt
    import pandas as pd

    names = ["data", *map(str, arrays["group"])]
    points = arrays["point"]
    frame = pd.DataFrame(
        {
            "first": points[:, 0],
            "second": points[:, 1],
            "of": [names[i] for i in arrays["point_of"]],
        }
    )
    colours = ["#94a3b8", *(COLOURS[i % len(COLOURS)] for i in range(len(names) - 1))]
    return (
        alt.Chart(frame, height=HEIGHT, title="Two principal components")
        .mark_circle(size=18, opacity=0.6)
        .encode(
            x=alt.X("first:Q", title="first component"),
            y=alt.Y("second:Q", title="second component"),
            color=alt.Color(
                "of:N",
                scale=alt.Scale(domain=names, range=colours),
                sort=names,
                legend=alt.Legend(orient="bottom", title=None, columns=4),
            ),
            tooltip=["of:N"],
        )
    )


def modes_chart(arrays: Arrays) -> Any:
    """The share of each mode in each group, with that of the data, as a heat map."""
    import altair as alt
    import pandas as pd

    names = ["data", "all", *map(str, arrays["group"])][: len(arrays["share"])]
    modes = [str(mode) for mode in arrays["mode"]]
    frame = pd.DataFrame(
        {
            "of": np.repeat(names, len(modes)),
            "mode": modes * len(names),
            "share": arrays["share"].ravel(),
        }
    )
    return (
        alt.Chart(frame, height=HEIGHT, title="Share of each mode")
        .mark_rect()
        .encode(
            x=alt.X("mode:N", title="mode", sort=modes, axis=alt.Axis(labelAngle=0)),
            y=alt.Y("of:N", title=None, sort=names),
            color=alt.Color("share:Q", title="share", scale=alt.Scale(scheme="viridis")),
            tooltip=["of:N", "mode:N", alt.Tooltip("share:Q", format=".3f")],
        )
    )


def history_chart(arrays: Arrays) -> Any:
    """Losses of both sides over epochs; None without a history."""
    import altair as alt
    import pandas as pd

    curves = [name for name in arrays if name.startswith("history_")]
    if not curves:
        return None
    frame = pd.concat(
        pd.DataFrame(
            {
                "epoch": np.arange(1, len(arrays[name]) + 1),
                "value": arrays[name],
                "figure": name.removeprefix("history_").replace("_", " "),
            }
        )
        for name in curves
    )
    return (
        alt.Chart(frame, height=HEIGHT, title="The game between generator and discriminator")
        .mark_line(point=len(arrays[curves[0]]) < 30)
        .encode(
            x=alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1)),
            y=alt.Y("value:Q", title="nats, or a probability", scale=alt.Scale(zero=False)),
            color=alt.Color(
                "figure:N",
                scale=alt.Scale(range=list(COLOURS)),
                legend=alt.Legend(orient="top", title=None),
            ),
            tooltip=["figure:N", "epoch:Q", "value:Q"],
        )
    )
