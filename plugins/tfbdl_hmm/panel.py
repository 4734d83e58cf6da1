"""The panel of hidden Markov models, as a page draws it; light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from tfbdl import Config, Field
from tfbdl.pictures import COLOURS

HEIGHT = 260  # pixels of a chart

Arrays = Mapping[str, np.ndarray]


class StatesControls(Config):
    """Which part of which sequence is shown."""

    sequence: int = Field(0, ge=0, le=99, description="The sequence, where there are several.")
    window: int = Field(200, ge=10, le=500, description="Steps that are shown.")
    position: float = Field(0.0, ge=0, le=1, description="Where in the sequence they lie.")
    column: int = Field(0, ge=0, le=31, description="The column of observations that is drawn.")
    probabilities: Literal["smoothed", "filtered"] = Field(
        "smoothed", description="Given the whole sequence, or what was seen up to the step."
    )


def show_states(st: Any, arrays: Arrays) -> None:
    """Draw the observations in the colours of their states, and the states' probabilities."""
    import pandas as pd

    chosen = str(arrays["shown"])
    st.subheader("The states behind a sequence")
    st.markdown(
        "Each step has the colour of its state on the most probable path. Below, how probable each "
        "state is: change from smoothed to filtered, and watch where the future settles what the "
        "past left open."
    )
    columns = st.columns(3)
    step = arrays["step"]
    columns[0].metric("Steps", f"{step[0]} to {step[-1]} of {int(arrays['length'])}")
    sure = float(arrays[chosen].max(axis=1).mean())
    columns[1].metric("Mean probability of the best state", f"{sure:.3f}")
    columns[2].metric("Steps that the future changes", f"{float(arrays['changed']):.1%}")
    st.altair_chart(observations_chart(arrays))
    st.altair_chart(probabilities_chart(step, arrays[chosen], chosen))
    transition = arrays["transition"]
    names = [f"state {k}" for k in range(len(transition))]
    st.caption("Transition probabilities, from the row's state to the column's")
    st.dataframe(pd.DataFrame(transition, index=names, columns=names).round(3))


def observations_chart(arrays: Arrays) -> Any:
    """One column over the steps, coloured by the most probable path."""
    import altair as alt
    import pandas as pd

    column, path = int(arrays["column"]), arrays["path"]
    frame = pd.DataFrame(
        {
            "step": arrays["step"],
            "value": arrays["observed"][:, column],
            "state": path,
            "colour": [COLOURS[int(k) % len(COLOURS)] for k in path],
        }
    )
    x = alt.X("step:Q", title="step", scale=alt.Scale(nice=False))
    y = alt.Y("value:Q", title=f"column {column}", scale=alt.Scale(zero=False))
    line = alt.Chart(frame).mark_line(strokeWidth=1, color=COLOURS[8], opacity=0.6)
    points = alt.Chart(frame).mark_circle(size=40, opacity=0.9)
    layers = [
        line.encode(x=x, y=y),
        points.encode(x=x, y=y, color=alt.Color("colour:N", scale=None), tooltip="state:O"),
    ]
    if arrays["level"].size:
        used = sorted({int(k) for k in path})
        levels = pd.DataFrame(
            {
                "value": arrays["level"][used],
                "colour": [COLOURS[k % len(COLOURS)] for k in used],
            }
        )
        rules = alt.Chart(levels).mark_rule(strokeDash=[6, 4])
        layers.append(rules.encode(y=y, color=alt.Color("colour:N", scale=None)))
    return alt.layer(*layers).properties(height=HEIGHT, title="Observations, and states' means")


def probabilities_chart(step: np.ndarray, probabilities: np.ndarray, name: str) -> Any:
    """State probabilities ``[w, k]`` stacked over the steps."""
    import altair as alt
    import pandas as pd

    width, k = probabilities.shape
    frame = pd.DataFrame(
        {
            "step": np.repeat(step, k),
            "probability": probabilities.ravel(),
            "state": np.tile(np.arange(k), width),
        }
    )
    scale = alt.Scale(domain=list(range(k)), range=[COLOURS[i % len(COLOURS)] for i in range(k)])
    legend = alt.Legend(orient="top", title="state", columns=10)
    return (
        alt.Chart(frame, height=HEIGHT, title=f"{name.capitalize()} probabilities of the states")
        .mark_area()
        .encode(
            x=alt.X("step:Q", title="step", scale=alt.Scale(nice=False)),
            y=alt.Y("probability:Q", title=None, scale=alt.Scale(domain=[0, 1])).stack("zero"),
            color=alt.Color("state:N", scale=scale, legend=legend),
        )
    )
