"""The panel of Boltzmann machines, as a page draws it; light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfbdl import Config, Field
from tfbdl.pictures import COLOURS, image_grid

HEIGHT = 280  # pixels of a chart
MOST_STEPS = 200

Arrays = Mapping[str, np.ndarray]


class FilterControls(Config):
    """How long the machine dreams."""

    steps: int = Field(
        50, ge=0, le=MOST_STEPS, description="Gibbs steps from noise to the fantasies."
    )
    seed: int = Field(0, ge=0, le=20, description="Of the noise.")


def show_filters(st: Any, arrays: Arrays) -> None:
    """Draw the hidden units' weights, and fantasies."""
    st.subheader("What hidden units look for, and what the machine dreams of")
    st.markdown(
        "Left, the weights of the hidden units: good filters are local strokes, dead ones grey. "
        "Right, what Gibbs steps make of noise: the longer, the more it should look like the data."
    )
    columns = st.columns(3)
    steps = int(arrays["steps"])
    columns[0].metric("Gibbs steps", f"{steps}")
    now, of_rows = float(arrays["free_energy"][steps]), float(arrays["of_rows"])
    versus = None if np.isnan(of_rows) else f"{now - of_rows:+.3g} against the rows"
    columns[1].metric("Free energy of the fantasies", f"{now:.4g}", versus, delta_color="off")
    if "mean_active" in arrays:
        columns[2].metric("Units that are on", f"{float(arrays['mean_active']):.1%}")
    left, right = st.columns(2)
    filters, fantasies = arrays["filter"], arrays["fantasy"]
    if bool(arrays["is_image"]):
        reach = float(np.abs(filters).max())
        left.image(
            image_grid(filters, 8, -reach, reach),
            caption=f"{len(filters)} of {int(arrays['hidden'])} hidden units, most weight first",
            width="stretch",
        )
        right.image(
            image_grid(fantasies, 5), caption=f"Fantasies after {steps} steps", width="stretch"
        )
    else:
        left.altair_chart(heat_map(filters, "hidden unit", "Weights of the hidden units"))
        right.altair_chart(heat_map(fantasies, "chain", f"Fantasies after {steps} steps"))
    left, right = st.columns(2)
    left.altair_chart(energy_chart(arrays))
    if "activation" in arrays:
        right.altair_chart(activation_chart(arrays))


def heat_map(rows: np.ndarray, name: str, title: str) -> Any:
    """Rows ``[m, d]`` as colours; of many columns the first fifty."""
    import altair as alt
    import pandas as pd

    rows = rows[:, :50]
    frame = pd.DataFrame(
        {
            name: np.repeat(np.arange(len(rows)), rows.shape[1]),
            "column": np.tile(np.arange(rows.shape[1]), len(rows)),
            "value": rows.ravel(),
        }
    )
    axis = alt.Axis(labelAngle=0, labelOverlap=True)
    return (
        alt.Chart(frame, height=HEIGHT, title=title)
        .mark_rect()
        .encode(
            x=alt.X("column:O", title="column", axis=axis),
            y=alt.Y(f"{name}:O", axis=alt.Axis(labelOverlap=True)),
            color=alt.Color("value:Q", scale=alt.Scale(scheme="viridis"), title=None),
        )
    )


def energy_chart(arrays: Arrays) -> Any:
    """The fantasies' mean free energy over the steps, with that of data rows."""
    import altair as alt
    import pandas as pd

    energies, steps = arrays["free_energy"], int(arrays["steps"])
    frame = pd.DataFrame({"step": np.arange(len(energies)), "energy": energies})
    x = alt.X("step:Q", title="Gibbs step")
    y = alt.Y("energy:Q", title="free energy, nats", scale=alt.Scale(zero=False))
    layers = [
        alt.Chart(frame).mark_line(color=COLOURS[0]).encode(x=x, y=y),
        alt.Chart(frame.iloc[[steps]])
        .mark_point(size=140, filled=True, color=COLOURS[2])
        .encode(x=x, y=y),
    ]
    if not np.isnan(arrays["of_rows"]):
        level = pd.DataFrame({"energy": [float(arrays["of_rows"])]})
        rule = alt.Chart(level).mark_rule(color=COLOURS[1], strokeDash=[6, 4], strokeWidth=2)
        layers.append(rule.encode(y=y))
    return alt.layer(*layers).properties(height=HEIGHT, title="Free energy (dashed: of rows)")


def activation_chart(arrays: Arrays) -> Any:
    """How often hidden units are sure: a histogram of their probabilities."""
    import altair as alt
    import pandas as pd

    frame = pd.DataFrame({"probability": arrays["bin"], "density": arrays["activation"]})
    return (
        alt.Chart(frame, height=HEIGHT, title="p(hidden = 1 | row)")
        .mark_area(interpolate="step", color=COLOURS[0], opacity=0.7)
        .encode(
            x=alt.X("probability:Q", title="probability"),
            y=alt.Y("density:Q", title="density"),
        )
    )
