"""The panel of DPPs, as a page draws it; light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from tfbdl import Config, Field
from tfbdl.pictures import COLOURS, image_grid

HEIGHT = 340  # pixels of a chart, its title and legend included
CHOSEN, RANDOM = "chosen", "at random"
DRAWS, AT_RANDOM = "draws", "random subsets"
PALETTE = (COLOURS[0], COLOURS[1])

Arrays = Mapping[str, np.ndarray]


class SubsetControls(Config):
    """Which subset is shown."""

    how: Literal["draw", "greedy"] = Field(
        "draw", description="A draw of the process, or the greedy choice of the most diverse items."
    )
    seed: int = Field(0, ge=0, le=99, description="Of the draw and of the random items.")


def show_subset(st: Any, arrays: Arrays) -> None:
    """Draw the chosen items beside random ones: where they are, and how alike."""
    chosen, volume = arrays["chosen"], float(arrays["chosen_volume"])
    at_random = arrays["random_volume"]
    st.subheader("Items that keep their distance")
    st.markdown(
        "Items at random crowd where items are many. Those of a determinantal point process repel "
        "one another: the more alike two are, the seldomer they come together. Look at the "
        "squares of the kernels off the diagonal: those coloured as the diagonal is are pairs that "
        "are alike. A draw is left to "
        "chance, and may be less diverse than random items; the volumes of many tell the "
        "difference. The greedy choice is left to none."
    )
    columns = st.columns(3)
    columns[0].metric("Items chosen", f"{len(chosen)} of {int(arrays['items']):,}")
    volumes = {DRAWS: arrays["drawn_volume"], AT_RANDOM: at_random}
    finite = {name: values[np.isfinite(values)] for name, values in volumes.items()}
    columns[1].metric("Log volume", f"{volume:.4g}")
    columns[2].metric("Random subsets of less volume", f"{float((at_random < volume).mean()):.0%}")
    left, right = st.columns(2)
    if "chosen_image" in arrays and len(arrays["chosen_image"]):
        for column, name, title in ((left, "chosen", CHOSEN), (right, "random", RANDOM)):
            images = arrays[f"{name}_image"]
            column.image(
                image_grid(images, max(1, int(np.ceil(np.sqrt(len(images)))))),
                caption=f"{len(images)} items {title}",
                width="stretch",
            )
        left, right = st.columns(2)
    left.altair_chart(plane_chart(arrays))
    if any(len(values) for values in finite.values()):
        right.altair_chart(volume_chart(finite, volume))
    left, right = st.columns(2)
    left.altair_chart(kernel_chart(arrays["chosen_kernel"], "Likeness of the chosen items"))
    right.altair_chart(kernel_chart(arrays["random_kernel"], "Likeness of random items"))
    st.caption(
        "Likeness is the kernel without the items' quality, L_ij / sqrt(L_ii L_jj); the volume is "
        "its determinant, in nats. Kulesza & Taskar 2012, section 2.2."
    )


def plane_chart(arrays: Arrays) -> Any:
    """All items by their probability, with the chosen ones and as many at random."""
    import altair as alt
    import pandas as pd

    first, second = (str(axis) for axis in arrays["axis"])
    x = alt.X("x:Q", title=first, scale=alt.Scale(zero=False))
    y = alt.Y("y:Q", title=second, scale=alt.Scale(zero=False))
    item, points = arrays["item"], arrays["point"]
    frame = pd.DataFrame(
        {"x": points[:, 0], "y": points[:, 1], "item": item, "probability": arrays["inclusion"]}
    )
    tip = ["item:O", alt.Tooltip("probability:Q", format=".3f")]
    everything = (
        alt.Chart(frame)
        .mark_circle(size=22, color=COLOURS[8], opacity=0.35)
        .encode(x=x, y=y, tooltip=tip)
    )
    marked = pd.concat(
        frame[np.isin(item, arrays[name])].assign(subset=title)
        for name, title in (("random", RANDOM), ("chosen", CHOSEN))
    )
    scale = alt.Scale(domain=[CHOSEN, RANDOM], range=list(PALETTE))
    legend = alt.Legend(orient="top", title=None)
    marks = (
        alt.Chart(marked)
        .mark_point(size=110, filled=True, opacity=0.9)
        .encode(
            x=x,
            y=y,
            tooltip=tip,
            color=alt.Color("subset:N", scale=scale, legend=legend),
            shape=alt.Shape("subset:N", scale=alt.Scale(domain=[CHOSEN, RANDOM]), legend=legend),
        )
    )
    return (everything + marks).properties(height=HEIGHT, title="Items")


def volume_chart(volumes: Mapping[str, np.ndarray], shown: float) -> Any:
    """Log volumes of subsets by how they came, with a rule at that of the shown one."""
    import altair as alt
    import pandas as pd

    frames = [
        pd.DataFrame({"volume": values, "share": 1.0 / len(values), "subsets": name})
        for name, values in volumes.items()
        if len(values)
    ]
    scale = alt.Scale(domain=[DRAWS, AT_RANDOM], range=list(PALETTE))
    bars = (
        alt.Chart(pd.concat(frames))
        .mark_bar(opacity=0.6)
        .encode(
            x=alt.X("volume:Q", title="log volume (nats)", bin=alt.Bin(maxbins=25)),
            y=alt.Y("sum(share):Q", title="share of subsets", stack=None),
            color=alt.Color("subsets:N", scale=scale, legend=alt.Legend(orient="top", title=None)),
        )
    )
    if np.isfinite(shown):
        frame = pd.DataFrame({"volume": [shown]})
        rule = alt.Chart(frame).mark_rule(color=COLOURS[2], strokeWidth=3)
        bars = bars + rule.encode(x=alt.X("volume:Q"))
    return bars.properties(height=HEIGHT, title="Volume; line: those chosen")


def kernel_chart(kernel: np.ndarray, title: str) -> Any:
    """The likeness of items ``[s, s]`` as a picture."""
    import altair as alt
    import pandas as pd

    rows, columns = np.indices(kernel.shape).reshape(2, -1)
    frame = pd.DataFrame({"item": columns, "other": rows, "likeness": kernel.reshape(-1)})
    axis = alt.Axis(labels=False, ticks=False)
    return (
        alt.Chart(frame)
        .mark_rect()
        .encode(
            x=alt.X("item:O", axis=axis, title="item"),
            y=alt.Y("other:O", axis=axis, title="item"),
            color=alt.Color("likeness:Q", scale=alt.Scale(domain=[0.0, 1.0], clamp=True)),
            tooltip=["item:O", "other:O", alt.Tooltip("likeness:Q", format=".3f")],
        )
        .properties(height=HEIGHT, title=title)
    )
