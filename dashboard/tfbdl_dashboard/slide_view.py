"""The part of the page Predictions that moves an input away from the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import streamlit as st

from tfbdl import pictures
from tfbdl_dashboard import side, slide_charts
from tfbdl_dashboard.predictive_tables import numbered

Answer = Mapping[str, np.ndarray]

FEATURE, ROW, NOISE, SCALE = "one feature", "to another row", "to noise", "away from the mean"
DIRECTIONS = {FEATURE: "feature", ROW: "row", NOISE: "noise", SCALE: "scale"}
POSITIONS = {
    ROW: "position (0: the row, 1: the other)",
    NOISE: "share of noise",
    SCALE: "distance from the mean (1: the row)",
}
MOST_FEATURES = 64
"""Columns without names that are moved one by one; images are rather blended."""


@st.fragment
def draw(run: str, answer: Answer, info: Mapping[str, Any]) -> None:
    """Draw it; its widgets run this part of the page alone.

    Args:
        run: Its id.
        answer: Of the task ``predictions``.
        info: The data's description in ``run.json``.
    """
    st.subheader("Away from the data")
    st.caption(
        "One input is moved and predicted anew. Where no training row is near, what the model "
        "cannot know should grow: that is the epistemic part."
    )
    shape = info.get("x_shape")
    if not isinstance(shape, list):
        st.info("The inputs of this run are several arrays by name, so none can be moved.")
        return
    arguments, x_title = _controls(run, answer, info, shape)
    found = side.computed("slide", run, **arguments)
    if found is None:
        return
    at = _position(found, x_title, f"{run} {sorted(arguments.items())}")
    _show(found, at, answer, x_title, pictures.image_shape(shape, info.get("feature_names")))


def _controls(
    run: str, answer: Answer, info: Mapping[str, Any], shape: list[Any]
) -> tuple[dict[str, Any], str]:
    """The task's arguments, and the title of the axis that it moves along."""
    named = info.get("feature_names")
    options = [ROW, NOISE, SCALE]
    if len(shape) == 1 and (named or shape[0] <= MOST_FEATURES):
        is_image = pictures.image_shape(shape, named) is not None
        options = [*options, FEATURE] if is_image else [FEATURE, *options]
    first, second, third = st.columns(3)
    direction = first.selectbox("Move", options, key=f"move {run}")
    size = len(answer["index"])
    row = second.number_input(
        f"Row (of {size:,} {answer['rows']})", 0, size - 1, 0, key=f"slide row {run}"
    )
    arguments = {"direction": DIRECTIONS[direction], "row": int(row)}
    if direction == FEATURE:
        names = named or numbered(shape[0])
        feature = third.selectbox(
            "Feature", range(shape[0]), format_func=lambda i: str(names[i]), key=f"feature {run}"
        )
        return arguments | {"feature": int(feature)}, str(names[feature])
    if direction == ROW:
        other = third.number_input(
            "Other row", 0, size - 1, min(1, size - 1), key=f"slide other {run}"
        )
        arguments["other"] = int(other)
    return arguments, POSITIONS[direction]


def _position(found: Answer, label: str, key: str) -> float:
    """Where the slider stands: at the row itself to begin with."""
    position = found["position"]
    start = int(np.argmin(np.abs(position - float(found["at"]))))
    return float(
        st.select_slider(
            "Position", [float(p) for p in position], value=float(position[start]),
            format_func=lambda p: f"{p:.4g}", key=f"position {key}",
        )
    )  # fmt: skip


def _show(
    found: Answer, at: float, answer: Answer, x_title: str, shape: tuple[int, ...] | None
) -> None:
    i = int(np.argmin(np.abs(found["position"] - at)))
    left, right = st.columns([3, 1]) if shape and "x" in found else (st.container(), None)
    with left:
        if "probs" in found:
            names = [str(name) for name in answer["class"]]
            _say_classes(found, i, names)
            st.altair_chart(slide_charts.probabilities(found, names, at, x_title))
            st.altair_chart(slide_charts.uncertainties(found, None, at, x_title, "entropy (nats)"))
        else:
            for target, name in enumerate(str(n) for n in answer["target"]):
                _say_number(found, i, target)
                st.altair_chart(slide_charts.means(found, target, at, x_title, name))
                title = f"sd of {name}"
                st.altair_chart(slide_charts.uncertainties(found, target, at, x_title, title))
        st.altair_chart(slide_charts.distances(found, at, x_title))
        st.caption("Distance from the nearest training row, a mean over the features.")
    if right is not None:
        frames = np.reshape(found["x"], (-1, *(shape or ())))
        low, high = float(np.nanmin(frames)), float(np.nanmax(frames))  # one scale for the line
        picture = pictures.image_grid(frames[i : i + 1], 1, low, high, side=160)
        right.image(picture, caption="the input")


def _say_number(found: Answer, i: int, target: int) -> None:
    noise, unknown = (float(found[n][i, target]) for n in ("aleatoric", "epistemic"))
    columns = st.columns(4)
    columns[0].metric("mean", f"{found['mean'][i, target]:.4g}")
    columns[1].metric("aleatoric sd", f"{np.sqrt(noise):.3g}")
    columns[2].metric("epistemic sd", f"{np.sqrt(unknown):.3g}")
    columns[3].metric("from the data", f"{found['distance'][i]:.2g} sd")


def _say_classes(found: Answer, i: int, names: list[str]) -> None:
    best = int(found["probs"][i].argmax())
    columns = st.columns(4)
    columns[0].metric("class", f"{names[best]} ({found['probs'][i, best]:.0%})")
    columns[1].metric("aleatoric", f"{found['aleatoric'][i]:.3g} nats")
    columns[2].metric("epistemic", f"{found['epistemic'][i]:.3g} nats")
    columns[3].metric("from the data", f"{found['distance'][i]:.2g} sd")
