"""The panels of auto-encoders, as a page draws them; light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfbdl import Config, Field
from tfbdl.pictures import COLOURS, image_grid

HEIGHT = 340  # pixels of a chart, its title and legend included

Arrays = Mapping[str, np.ndarray]


class TraversalControls(Config):
    """Which code moves, and how far."""

    row: int = Field(0, ge=0, le=199, description="The row that the walk begins at.")
    dimension: int = Field(
        0, ge=0, le=31, description="The latent that moves: 0 is the one with most to say."
    )
    reach: float = Field(
        3.0, ge=0.5, le=5, description="How far it goes to both sides, in standard deviations."
    )


class ManifoldControls(Config):
    """How fine the plane is drawn."""

    steps: int = Field(15, ge=3, le=25, description="Codes along each side of the plane.")
    column: int = Field(
        0, ge=0, le=99, description="Of rows that are no images: the column that is drawn."
    )


class ReconstructionControls(Config):
    """Which rows are given back."""

    first: int = Field(0, ge=0, le=199, description="The first of the rows.")
    rows: int = Field(10, ge=1, le=20, description="How many.")


def show_traversal(st: Any, arrays: Arrays) -> None:
    """Draw the walk along one latent, and the same of the others."""
    st.subheader("Walk along a latent variable")
    st.markdown(
        "One number of a row's code moves, the others stay. Watch which property of the row "
        "changes with it: in a code that parts the factors of the data, one and only one."
    )
    place, dimensions = int(arrays["place"]), int(arrays["dimensions"])
    columns = st.columns(3)
    columns[0].metric("Latent that moves", f"z{int(arrays['dimension'])}")
    columns[1].metric("Its place by use", f"{place + 1} of {dimensions}")
    columns[2].metric("Reach, in sd", f"{float(arrays['stops'][-1]):.1f}")
    stops = [f"{stop:+.1f}" for stop in arrays["stops"]]
    if not bool(arrays["is_image"]):
        st.altair_chart(walk_chart(arrays))
        st.caption(
            f"Row {int(arrays['row_index'])} as the latent goes through {', '.join(stops)} "
            f"sd of {arrays['unit']}. Columns are in their own standard deviations."
        )
        return
    both = np.concatenate([arrays["original"], arrays["walk"]])
    low, high = float(both.min()), float(both.max())
    left, right = st.columns([1, 8])
    left.image(image_grid(arrays["original"], 1, low, high, side=120), caption="the row")
    right.image(
        image_grid(arrays["walk"], len(stops), low, high, side=1000),
        caption=f"{', '.join(stops)} sd of {arrays['unit']}",
        width="stretch",
    )
    latents = [str(int(latent)) for latent in arrays["latent"]]
    overview = arrays["overview"]
    flat = overview.reshape(-1, *overview.shape[2:])
    st.image(
        image_grid(flat, len(stops), low, high, side=1000),
        caption=f"The same walk along each of the latents {', '.join(latents)}, from above.",
        width="stretch",
    )


def walk_chart(arrays: Arrays) -> Any:
    """The columns of the decoded rows, a line for each stop of the walk."""
    import altair as alt
    import pandas as pd

    walk, stops = arrays["walk"], arrays["stops"]
    columns = np.arange(walk.shape[1])
    frame = pd.DataFrame(
        {
            "column": np.tile(columns, len(stops)),
            "value": walk.ravel(),
            "latent": np.repeat(stops, len(columns)),
        }
    )
    scale = alt.Scale(scheme="blueorange")
    x = alt.X("column:O", title="column", axis=alt.Axis(labelAngle=0, labelOverlap=True))
    lines = (
        alt.Chart(frame)
        .mark_line(point=len(columns) < 60)
        .encode(
            x=x,
            y=alt.Y("value:Q", title="value, in sd", scale=alt.Scale(zero=False)),
            color=alt.Color("latent:Q", scale=scale, title="latent, sd"),
            detail="latent:Q",
        )
    )
    row = pd.DataFrame({"column": columns, "value": arrays["original"][0]})
    points = alt.Chart(row).mark_point(size=70, color="#94a3b8", strokeWidth=2)
    return (lines + points.encode(x=x, y="value:Q")).properties(height=HEIGHT)


def show_manifold(st: Any, arrays: Arrays) -> None:
    """Draw the plane of codes: decoded, and with the rows that lie in it."""
    first, second = (int(latent) for latent in arrays["latents"])
    st.subheader("The plane of codes")
    whole = int(arrays["dimensions"]) == 2
    which = "both latents" if whole else f"latents {first} and {second}, which say most,"
    st.markdown(
        f"On the left what codes decode to as {which} go through the quantiles of "
        f"{arrays['unit']}; on the right where the rows of the data lie. Look for neighbours: "
        "codes that are close should mean rows that are alike."
    )
    left, right = st.columns(2)
    if bool(arrays["is_image"]):
        steps = len(arrays["first"])
        left.image(image_grid(arrays["grid"], steps, side=900), width="stretch")
    else:
        left.altair_chart(column_chart(arrays))
    right.altair_chart(codes_chart(arrays))
    if not whole:
        st.caption("The other latents stay at their means, so the picture is a cut.")


def column_chart(arrays: Arrays) -> Any:
    """One column of decoded rows over the plane, as a heat map."""
    import altair as alt
    import pandas as pd

    steps, grid = len(arrays["first"]), arrays["grid"]
    column = int(arrays["column"]) % grid.shape[1]
    frame = pd.DataFrame(
        {
            "first": np.tile(np.round(arrays["first"], 2), steps),
            "second": np.repeat(np.round(arrays["second"], 2), steps),
            "value": grid[:, column],
        }
    )
    axis = alt.Axis(labelAngle=0, labelOverlap=True)
    return (
        alt.Chart(frame, height=HEIGHT, title=f"E[column {column} | z], in sd")
        .mark_rect()
        .encode(
            x=alt.X("first:O", title=f"z{int(arrays['latents'][0])}", axis=axis),
            y=alt.Y("second:O", title=f"z{int(arrays['latents'][1])}", sort="descending"),
            color=alt.Color("value:Q", scale=alt.Scale(scheme="viridis"), title=None),
        )
    )


def codes_chart(arrays: Arrays) -> Any:
    """The codes of rows, coloured by class where there are classes."""
    import altair as alt
    import pandas as pd

    labels = [str(label) for label in arrays["label"]]
    frame = pd.DataFrame(
        {"first": arrays["codes"][:, 0], "second": arrays["codes"][:, 1], "class": labels}
    )
    names = sorted(set(labels))
    scale = alt.Scale(domain=names, range=[COLOURS[i % len(COLOURS)] for i in range(len(names))])
    legend = alt.Legend(orient="top", title=None, columns=10) if any(labels) else None
    return (
        alt.Chart(frame, height=480)
        .mark_circle(size=45, opacity=0.8)
        .encode(
            x=alt.X("first:Q", title=f"z{int(arrays['latents'][0])}"),
            y=alt.Y("second:Q", title=f"z{int(arrays['latents'][1])}"),
            color=alt.Color("class:N", scale=scale, legend=legend),
            tooltip=["class:N", "first:Q", "second:Q"],
        )
    )


def show_reconstructions(st: Any, arrays: Arrays) -> None:
    """Draw rows above what the model gives back of them, and the parts of their bounds."""
    import pandas as pd

    st.subheader("Rows, and what is left of them")
    st.markdown(
        "Above the rows, below what their codes decode to. Watch what is kept and what is smoothed "
        "away, and which latents carry the difference: one without a KL says nothing of the row."
    )
    original, given_back = arrays["original"], arrays["given_back"]
    both = np.concatenate([original, given_back])
    if bool(arrays["is_image"]):
        low, high = float(original.min()), float(original.max())
        st.image(image_grid(both, len(original), low, high, side=1000), width="stretch")
    else:
        st.altair_chart(pairs_chart(arrays))
    parts = {"row": arrays["row_index"], "reconstruction, nats": arrays["reconstruction"]}
    columns = st.columns(3)
    columns[0].metric("Reconstruction, nats", f"{arrays['reconstruction'].mean():.2f}")
    if "kl" in arrays:
        parts |= {"KL, nats": arrays["kl"], "ELBO, nats": arrays["reconstruction"] - arrays["kl"]}
        columns[1].metric("KL, nats", f"{arrays['kl'].mean():.2f}")
    elif "commitment" in arrays:
        parts["commitment"] = arrays["commitment"]
        columns[1].metric("Commitment", f"{arrays['commitment'].mean():.4g}")
    if "mean_kl" in arrays:
        active = arrays["active"]
        columns[2].metric("Active latents", f"{int(active.sum())} of {len(active)}")
        left, right = st.columns(2)
        left.altair_chart(kl_chart(arrays))
    else:
        right = st
    right.dataframe(pd.DataFrame(parts).round(2), hide_index=True)


def kl_chart(arrays: Arrays) -> Any:
    """The mean KL of each latent, as bars; those in use stand out."""
    import altair as alt
    import pandas as pd

    mean_kl, active = arrays["mean_kl"], arrays["active"]
    names = ["active", "collapsed"]
    frame = pd.DataFrame(
        {
            "latent": np.arange(len(mean_kl)),
            "kl": mean_kl,
            "state": np.where(active, *names),
        }
    )
    scale = alt.Scale(domain=names, range=[COLOURS[0], COLOURS[8]])
    axis = alt.Axis(labelAngle=0, labelOverlap=True)
    return (
        alt.Chart(frame, height=HEIGHT, title="Mean KL of each latent")
        .mark_bar()
        .encode(
            x=alt.X("latent:O", title="latent", axis=axis),
            y=alt.Y("kl:Q", title="nats"),
            color=alt.Color("state:N", scale=scale, legend=alt.Legend(orient="top", title=None)),
        )
    )


def pairs_chart(arrays: Arrays) -> Any:
    """Values given back over values of the rows: on the diagonal nothing is lost."""
    import altair as alt
    import pandas as pd

    original, given_back = arrays["original"].ravel(), arrays["given_back"].ravel()
    step = -(-original.size // 2_000)
    frame = pd.DataFrame({"row": original[::step], "given back": given_back[::step]})
    ends = [float(original.min()), float(original.max())]
    line = alt.Chart(pd.DataFrame({"row": ends, "given back": ends})).mark_line(color=COLOURS[8])
    x = alt.X("row:Q", title="value of the row, in sd of its column")
    y = alt.Y("given back:Q", title="value given back")
    points = alt.Chart(frame).mark_circle(opacity=0.7).encode(x=x, y=y)
    return (line.encode(x=x, y=y) + points).properties(height=HEIGHT)
