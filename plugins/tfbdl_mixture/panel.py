"""The panel of mixtures, as a page draws it; light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from tfbdl import Config, Field
from tfbdl.pictures import COLOURS

HEIGHT = 300  # pixels of a chart, its title and legend included
LEAST_WEIGHT = 1e-3
NAMES = {"log_likelihood": "Log likelihood", "elbo": "ELBO", "score": "Minus inertia"}

Arrays = Mapping[str, np.ndarray]


class StepControls(Config):
    """Which step is shown, and how."""

    step: int = Field(5, ge=0, le=200, description="M-steps made (of a Gibbs sampler: the draw).")
    start: Literal["run", "random"] = Field(
        "run", description="The steps of the run, or of a climb that begins at random rows."
    )
    seed: int = Field(0, ge=0, le=20, description="Of the random rows.")
    axes: Literal["principal", "columns"] = Field(
        "principal", description="Draw the first two principal axes of the rows, or two columns."
    )
    first: int = Field(0, ge=0, le=63, description="The column to the right.")
    second: int = Field(1, ge=0, le=63, description="The column upwards.")


def show_responsibilities(st: Any, arrays: Arrays) -> None:
    """Draw the components over the rows, the objective and the weights over the steps."""
    step, steps = int(arrays["step"]), int(arrays["steps"])
    by_draws = str(arrays["kind"]) == "gibbs"
    climbs = bool(arrays["climbs"])
    st.subheader("Rows share themselves among components")
    st.markdown(
        "Each row has the colour of the component that it was drawn for: from draw to draw rows "
        "change sides, and components come and go."
        if by_draws
        else "Each row is a blend of the colours of the components that may have made it. Go "
        "through the steps: shares are computed from components, then components from shares"
        + (", and the objective never falls." if climbs else "; the objective may fall by chance.")
    )
    values, rows = arrays["value"], int(arrays["rows"])
    weights = arrays["weight"][step]
    columns = st.columns(3)
    columns[0].metric("Draw" if by_draws else "Step", f"{step} of {steps}")
    name = NAMES.get(str(arrays["objective"]), "Components with rows")
    unit = "draw" if by_draws else "step"
    if by_draws:
        columns[1].metric(name, f"{int(values[step])}")
    else:
        gain = float(values[step] - values[step - 1]) / rows if step else 0.0
        columns[1].metric(f"{name} per row", f"{values[step] / rows:.5g}", f"{gain:+.2g}")
    share = weights[weights > 0]
    effective = float(np.exp(-(share * np.log(share)).sum()))
    columns[2].metric("Components in effect", f"{effective:.2f} of {len(weights)}")
    left, right = st.columns([3, 2])
    left.altair_chart(plane_chart(arrays))
    right.altair_chart(value_chart(values, step, name, unit))
    right.altair_chart(weights_chart(arrays["weight"], step, unit))


def blended(shares: np.ndarray) -> list[str]:
    """The colour of each row ``[n, k]``: its components' colours in the row's shares."""
    palette = np.array([_rgb(COLOURS[k % len(COLOURS)]) for k in range(shares.shape[1])])
    mixed = np.clip(np.round(shares @ palette), 0, 255).astype(int)
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in mixed]


def plane_chart(arrays: Arrays) -> Any:
    """Rows, means with where they came from, and ellipses at one and two sd."""
    import altair as alt
    import pandas as pd

    shares, points = arrays["share"], arrays["point"]
    first, second = (str(axis) for axis in arrays["axis"])
    x = alt.X("x:Q", title=first, scale=alt.Scale(zero=False))
    y = alt.Y("y:Q", title=second, scale=alt.Scale(zero=False))
    frame = pd.DataFrame(
        {
            "x": points[:, 0],
            "y": points[:, 1],
            "colour": blended(shares),
            "component": shares.argmax(axis=1),
            "share": shares.max(axis=1),
        }
    )
    layers = [
        alt.Chart(frame)
        .mark_circle(size=36, opacity=0.75)
        .encode(
            x=x,
            y=y,
            color=alt.Color("colour:N", scale=None),
            tooltip=["component:O", alt.Tooltip("share:Q", format=".3f")],
        )
    ]
    alive = np.flatnonzero(arrays["weight"][int(arrays["step"])] > LEAST_WEIGHT).tolist()
    if "ellipse" in arrays:
        layers.append(_outlines(arrays["ellipse"], alive).encode(x=x, y=y))
    layers.append(_paths(arrays["path"], alive).encode(x=x, y=y))
    centres = pd.DataFrame(
        {
            "x": arrays["mean"][alive, 0],
            "y": arrays["mean"][alive, 1],
            "colour": [COLOURS[k % len(COLOURS)] for k in alive],
        }
    )
    marks = alt.Chart(centres).mark_point(shape="cross", size=160, filled=True, opacity=1.0)
    layers.append(marks.encode(x=x, y=y, color=alt.Color("colour:N", scale=None)))
    return alt.layer(*layers).properties(height=2 * HEIGHT)


def _outlines(ellipses: np.ndarray, alive: list[int]) -> Any:
    """The ellipses ``[k, 2, points, 2]`` of components that have a weight."""
    import altair as alt
    import pandas as pd

    parts = [
        pd.DataFrame(
            {
                "x": ellipses[k, i, :, 0],
                "y": ellipses[k, i, :, 1],
                "colour": COLOURS[k % len(COLOURS)],
                "outline": f"{k}.{i}",
                "place": np.arange(ellipses.shape[2]),
            }
        )
        for k in alive
        for i in range(2)
    ]
    frame = pd.concat(parts) if parts else pd.DataFrame({"x": [], "y": []})
    return (
        alt.Chart(frame)
        .mark_line(strokeWidth=2)
        .encode(color=alt.Color("colour:N", scale=None), detail="outline:N", order="place:Q")
    )


def _paths(path: np.ndarray, alive: list[int]) -> Any:
    """Where the means ``[steps, k, 2]`` came from."""
    import altair as alt
    import pandas as pd

    steps = len(path)
    frame = pd.DataFrame(
        {
            "x": path[:, alive, 0].ravel(),
            "y": path[:, alive, 1].ravel(),
            "component": np.tile(alive, steps),
            "place": np.repeat(np.arange(steps), len(alive)),
        }
    )
    line = alt.Chart(frame).mark_line(color=COLOURS[8], strokeDash=[3, 3], strokeWidth=1.5)
    return line.encode(detail="component:N", order="place:Q")


def value_chart(values: np.ndarray, step: int, name: str, unit: str) -> Any:
    """The objective over the steps, with the step that is shown."""
    import altair as alt
    import pandas as pd

    frame = pd.DataFrame({"step": np.arange(len(values)), "value": values})
    x = alt.X("step:Q", title=unit)
    y = alt.Y("value:Q", title=None, scale=alt.Scale(zero=False))
    line = alt.Chart(frame).mark_line(color=COLOURS[0])
    here = alt.Chart(frame.iloc[[step]]).mark_point(size=140, color=COLOURS[2], filled=True)
    return (line.encode(x=x, y=y) + here.encode(x=x, y=y)).properties(height=HEIGHT, title=name)


def weights_chart(weights: np.ndarray, step: int, unit: str) -> Any:
    """The weight of each component over the steps; some may die out."""
    import altair as alt
    import pandas as pd

    steps, k = weights.shape
    frame = pd.DataFrame(
        {
            "step": np.repeat(np.arange(steps), k),
            "weight": weights.ravel(),
            "colour": np.tile([COLOURS[i % len(COLOURS)] for i in range(k)], steps),
            "component": np.tile(np.arange(k), steps),
        }
    )
    lines = (
        alt.Chart(frame)
        .mark_line()
        .encode(
            x=alt.X("step:Q", title=unit),
            y=alt.Y("weight:Q", title=None),
            color=alt.Color("colour:N", scale=None),
            detail="component:N",
            tooltip=["component:O", "weight:Q"],
        )
    )
    rule = alt.Chart(pd.DataFrame({"step": [step]})).mark_rule(color=COLOURS[2], strokeDash=[6, 4])
    return (lines + rule.encode(x="step:Q")).properties(
        height=HEIGHT, title="Weights of the components"
    )


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
