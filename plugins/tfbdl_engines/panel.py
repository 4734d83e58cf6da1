"""The panels of samplers, as a page draws them; light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from tfbdl import Config, Field
from tfbdl.pictures import COLOURS

HEIGHT = 460  # pixels of the plane
HALF = 230

Arrays = Mapping[str, np.ndarray]


class SamplerPathControls(Config):
    """A density, a sampler and its step."""

    density: Literal["correlated_normal", "banana", "two_modes", "funnel"] = Field(
        "banana", description="What is sampled."
    )
    sampler: Literal["random_walk", "mala", "hmc", "nuts", "sgld"] = Field(
        "hmc", description="How; sgld is the Langevin step of mala without its acceptance."
    )
    step_size: float = Field(
        0.3, ge=0.02, le=2, description="Of a proposal or a leapfrog step; of sgld its square root."
    )
    draws: int = Field(200, ge=10, le=500, description="Draws of each of the four chains.")
    seed: int = Field(0, ge=0, le=20, description="Of the chains.")


class DrawPathControls(Config):
    """Which chain, which coordinates, how far."""

    chain: int = Field(0, ge=0, le=15, description="The chain that is followed.")
    length: float = Field(
        0.1, ge=0, le=1, description="Share of its draws that are passed through."
    )
    first: int = Field(0, ge=0, le=99, description="The number of the coordinate to the right.")
    second: int = Field(1, ge=0, le=99, description="The number of the coordinate upwards.")


def show_sampler_paths(st: Any, arrays: Arrays) -> None:
    """Draw a sampler's path over exact contours, and how well it covers the density."""
    draws = arrays["draw"]
    total = draws.shape[0] * draws.shape[1]
    st.subheader("How a sampler walks")
    st.markdown(
        "The contours are exact: they hold 50, 90 and 99 % of the mass. Change the step size and "
        "watch the trade: small steps are accepted and lead nowhere, large ones are refused. Then "
        "try a harder density, or a sampler that follows the gradient for longer."
    )
    columns = st.columns(4)
    acceptance = float(arrays["acceptance"])
    accepted = "nothing refused" if np.isnan(acceptance) else f"{acceptance:.0%}"
    columns[0].metric("Acceptance", accepted)
    columns[1].metric("Effective draws", f"{arrays['ess'].min():.0f} of {total:,}")
    columns[2].metric("R-hat", f"{arrays['r_hat'].max():.2f}")
    columns[3].metric("Gradients a draw", f"{float(arrays['evaluations']):.1f}")
    left, right = st.columns([3, 2])
    left.altair_chart(plane_chart(arrays))
    right.altair_chart(marginal_chart(arrays))
    right.altair_chart(trace_chart(draws[:, :, 0]))
    st.caption(
        "The path is of the first of four chains, which begin at one place. Of independent draws "
        f"{total:,} of {total:,} would be effective; a chain has fewer, and where R-hat is above "
        "1.01 the chains do not agree yet, whatever the other figures say."
    )


def plane_chart(arrays: Arrays) -> Any:
    """The first chain's path over the contours."""
    import altair as alt
    import pandas as pd

    contours, draws = arrays["contour"], arrays["draw"][0]
    parts = [
        pd.DataFrame(
            {
                "u": contours[i, piece, :, 0],
                "v": contours[i, piece, :, 1],
                "mass": f"{arrays['mass'][i]:.0%}",
                "line": f"{i}.{piece}",
                "place": np.arange(contours.shape[2]),
            }
        )
        for i in range(len(contours))
        for piece in range(2)
    ]
    frame = pd.concat(parts)
    low, high = np.nanmin(contours, axis=(0, 1, 2)), np.nanmax(contours, axis=(0, 1, 2))
    margin = 0.06 * (high - low)
    scales = [
        alt.Scale(domain=[float(a), float(b)], nice=False)
        for a, b in zip(low - margin, high + margin, strict=True)
    ]
    x = alt.X("u:Q", title="first coordinate", scale=scales[0])
    y = alt.Y("v:Q", title="second coordinate", scale=scales[1])
    lines = (
        alt.Chart(frame)
        .mark_line(strokeWidth=1.5, clip=True, color=COLOURS[8])
        .encode(x=x, y=y, detail="line:N", order="place:Q", tooltip="mass:N")
    )
    path = pd.DataFrame({"u": draws[:, 0], "v": draws[:, 1], "draw": np.arange(len(draws))})
    walk = (
        alt.Chart(path)
        .mark_line(strokeWidth=1, opacity=0.45, clip=True, color=COLOURS[0])
        .encode(x=x, y=y, order="draw:Q")
    )
    points = (
        alt.Chart(path)
        .mark_circle(size=28, opacity=0.8, clip=True, color=COLOURS[0])
        .encode(x=x, y=y, tooltip="draw:Q")
    )
    first = alt.Chart(path.iloc[[0]]).mark_point(
        size=140, filled=True, shape="diamond", color=COLOURS[2], opacity=1.0
    )
    return (lines + walk + points + first.encode(x=x, y=y)).properties(height=2 * HALF)


def marginal_chart(arrays: Arrays) -> Any:
    """The histogram of the first coordinate against its exact density."""
    import altair as alt
    import pandas as pd

    frame = pd.DataFrame({"u": arrays["first"], "exact": arrays["exact"], "drawn": arrays["drawn"]})
    x = alt.X("u:Q", title="first coordinate")
    bars = alt.Chart(frame).mark_area(interpolate="step", opacity=0.5, color=COLOURS[0])
    line = alt.Chart(frame).mark_line(color=COLOURS[2], strokeWidth=2)
    y = "density"
    return (
        bars.encode(x=x, y=alt.Y("drawn:Q", title=y))
        + line.encode(x=x, y=alt.Y("exact:Q", title=y))
    ).properties(height=HALF, title="All draws, and the truth")


def trace_chart(draws: np.ndarray) -> Any:
    """The first coordinate of each chain ``[chain, draw]`` over the draws."""
    import altair as alt
    import pandas as pd

    chains, number = draws.shape
    frame = pd.DataFrame(
        {
            "draw": np.tile(np.arange(number), chains),
            "value": draws.ravel(),
            "colour": np.repeat([COLOURS[i] for i in range(chains)], number),
        }
    )
    return (
        alt.Chart(frame, height=HALF, title="Four chains")
        .mark_line(strokeWidth=1, opacity=0.8)
        .encode(
            x=alt.X("draw:Q", title="draw"),
            y=alt.Y("value:Q", title="first coordinate", scale=alt.Scale(zero=False)),
            color=alt.Color("colour:N", scale=None),
        )
    )


def show_draw_paths(st: Any, arrays: Arrays) -> None:
    """Draw the path of a chain of the run over all its draws."""
    import altair as alt
    import pandas as pd

    first, second = (str(axis) for axis in arrays["axis"])
    length, draws = int(arrays["length"]), int(arrays["draws"])
    st.subheader("The path of a chain")
    st.markdown(
        "Grey are the draws of all chains, blue is the way of one of them. A chain that mixes well "
        "is soon everywhere; one that creeps along, or keeps to a corner, has few effective draws."
    )
    columns = st.columns(3)
    columns[0].metric("Passed through", f"{length:,} of {draws:,}")
    ess = " and ".join(f"{value:,.0f}" for value in arrays["ess"])
    columns[1].metric("Effective draws", ess)
    columns[2].metric("R-hat", " and ".join(f"{value:.3f}" for value in arrays["r_hat"]))
    points = pd.DataFrame({"u": arrays["point"][:, 0], "v": arrays["point"][:, 1]})
    x = alt.X("u:Q", title=first, scale=alt.Scale(zero=False))
    y = alt.Y("v:Q", title=second, scale=alt.Scale(zero=False))
    layers = [alt.Chart(points).mark_circle(size=16, opacity=0.35, color=COLOURS[8])]
    marked = "diverging" in arrays and bool(arrays["diverging"].any())
    if marked:
        marks = alt.Chart(points[arrays["diverging"].astype(bool)])
        layers.append(marks.mark_point(size=60, color=COLOURS[2], shape="cross"))
    path = pd.DataFrame({"u": arrays["path"][:, 0], "v": arrays["path"][:, 1]})
    path["draw"] = np.arange(len(path))
    walk = alt.Chart(path).mark_line(strokeWidth=1, opacity=0.6, color=COLOURS[0])
    dots = alt.Chart(path).mark_circle(size=22, color=COLOURS[0])
    drawn = [layer.encode(x=x, y=y) for layer in (*layers, dots)]
    drawn.append(walk.encode(x=x, y=y, order="draw:Q"))
    st.altair_chart(alt.layer(*drawn).properties(height=HEIGHT))
    names = [f"{i}: {name}" for i, name in enumerate(arrays["coordinate"])]
    crosses = " Red crosses are divergences." if marked else ""
    st.caption(f"At most 2,000 draws are shown.{crosses}")
    with st.expander("Numbers of the coordinates"):
        st.text("\n".join(names))
