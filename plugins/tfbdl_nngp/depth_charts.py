"""The charts of mean-field theory: the phase diagram, the maps, the layers; light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tfbdl.pictures import COLOURS

HEIGHT, LOWER = 460, 320  # pixels of a chart, above and below
WEIGHT, BIAS = (0.1, 5.0), (0.0, 1.0)
"""The networks that are shown: sigma_w^2 and sigma_b^2."""
DEEPEST = 100.0
"""Layers from which on depth scales have one colour."""
LEAST_NAMED = 0.04
"""Share of the diagram below which there is no room for a word."""

Arrays = Mapping[str, np.ndarray]


def phase_chart(arrays: Arrays) -> Any:
    """Depth scales over both variances, the edge of chaos, and the chosen network."""
    import altair as alt
    import pandas as pd

    weight, bias, depth = arrays["weight"], arrays["bias"], arrays["depth"]
    wide, high = (0.5 * float(cells[1] - cells[0]) for cells in (weight, bias))
    w, b = (part.reshape(-1) for part in np.meshgrid(weight, bias))
    over = 1.1  # so that no line of the background is seen between two cells
    frame = pd.DataFrame(
        {
            "x": w - wide,
            "x2": np.minimum(w + over * wide, WEIGHT[1]),
            "y": b - high,
            "y2": np.minimum(b + over * high, BIAS[1]),
            "depth": depth.reshape(-1),
        }
    )
    frame = frame[frame["depth"].notna()].replace(np.inf, 10.0 * DEEPEST)
    x = alt.X("x:Q", title="weight variance", scale=alt.Scale(domain=list(WEIGHT), nice=False))
    y = alt.Y("y:Q", title="bias variance", scale=alt.Scale(domain=list(BIAS), nice=False))
    scale = alt.Scale(type="log", domain=[1.0, DEEPEST], clamp=True, scheme="viridis")
    legend = alt.Legend(title="depth scale (layers)", orient="top", values=[1, 3, 10, 30, 100])
    cells = alt.Chart(frame).mark_rect(clip=True)
    layers = [
        cells.encode(
            x=x, y=y, x2="x2:Q", y2="y2:Q", color=alt.Color("depth:Q", scale=scale, legend=legend)
        )
    ]
    edge = pd.DataFrame(arrays["edge"], columns=["x", "y"])
    if len(edge) == 1:  # of activations that scale: He's initialisation of ReLU
        dot = alt.Chart(edge).mark_point(color=COLOURS[3], size=160, strokeWidth=3)
        layers.append(dot.encode(x=x, y=y))
    elif len(edge):
        line = alt.Chart(edge).mark_line(color="black", strokeWidth=2, strokeDash=[6, 3], clip=True)
        layers.append(line.encode(x=x, y=y, order="y:Q"))
    names = alt.Chart(_names(arrays)).mark_text(fontSize=15, fontWeight="bold")
    colour = alt.Color("colour:N", scale=None)
    layers.append(names.encode(x=x, y=y, text="name:N", color=colour))
    chosen = alt.Chart(pd.DataFrame([arrays["chosen"]], columns=["x", "y"]))
    layers.append(
        chosen.mark_point(
            size=190, filled=True, color=COLOURS[2], stroke="white", strokeWidth=2, opacity=1.0
        ).encode(x=x, y=y)
    )
    return alt.layer(*layers).properties(height=HEIGHT, title="All networks")


def _names(arrays: Arrays) -> Any:
    """What the parts of the diagram are, in their middles."""
    import pandas as pd

    w, b = np.meshgrid(arrays["weight"], arrays["bias"])
    known, chaos = ~np.isnan(arrays["depth"]), arrays["chaos"]
    parts = {
        "order": (known & ~chaos, "white"),
        "chaos": (known & chaos, "white"),
        "variances grow": (~known, COLOURS[8]),
    }
    rows = [
        {"x": w[cells].mean(), "y": b[cells].mean(), "name": name, "colour": colour}
        for name, (cells, colour) in parts.items()
        if cells.mean() > LEAST_NAMED
    ]
    return pd.DataFrame(rows, columns=["x", "y", "name", "colour"])


def layers_chart(arrays: Arrays) -> Any:
    """Correlations of pairs of inputs by layer, with a rule at the depth scale."""
    import altair as alt
    import pandas as pd

    paths = arrays["correlation_path"]
    starts, layers = paths.shape
    frame = pd.DataFrame(
        {
            "layer": np.tile(np.arange(layers), starts),
            "correlation": paths.reshape(-1),
            "start": np.repeat(paths[:, 0], layers),
        }
    )
    x = alt.X("layer:Q", scale=alt.Scale(domain=[0, layers - 1], nice=False))
    y = alt.Y("correlation:Q", scale=alt.Scale(domain=[0.0, 1.0]))
    lines = alt.Chart(frame).mark_line(color=COLOURS[1], strokeWidth=2)
    parts = [lines.encode(x=x, y=y, detail="start:N")]
    end, depth = float(arrays["correlation"]), float(arrays["correlation_depth"])
    if np.isfinite(end):
        rule = alt.Chart(pd.DataFrame({"correlation": [end]})).mark_rule(
            strokeDash=[5, 4], color=COLOURS[8]
        )
        parts.append(rule.encode(y=y))
    if 0.0 < depth < layers - 1:
        rule = alt.Chart(pd.DataFrame({"layer": [depth]})).mark_rule(
            color=COLOURS[2], strokeWidth=2
        )
        parts.append(rule.encode(x=x))
    return alt.layer(*parts).properties(height=HEIGHT, title="Pairs of inputs by layer")


def map_chart(
    values: np.ndarray, mapped: np.ndarray, fixed: float, path: np.ndarray, what: str
) -> Any:
    """A map of one layer with its fixed point, and the stairs that lead there."""
    import altair as alt
    import pandas as pd

    most = float(values[-1])
    scale = alt.Scale(domain=[0.0, most], nice=False)
    x = alt.X("before:Q", title=f"{what} before a layer", scale=scale)
    y = alt.Y("after:Q", title="and after it", scale=scale)
    curve = alt.Chart(pd.DataFrame({"before": values, "after": mapped}))
    same = alt.Chart(pd.DataFrame({"before": [0.0, most], "after": [0.0, most]}))
    # (p0, p0), (p0, p1), (p1, p1), (p1, p2), ...
    stairs = np.repeat(path, 2)
    steps = pd.DataFrame(
        {"before": stairs[:-1], "after": stairs[1:], "step": range(len(stairs) - 1)}
    )
    parts = [
        same.mark_line(strokeDash=[5, 4], color=COLOURS[8]).encode(x=x, y=y),
        alt.Chart(steps)
        .mark_line(strokeWidth=1, color=COLOURS[2], clip=True)
        .encode(x=x, y=y, order="step:Q"),
        curve.mark_line(strokeWidth=3, color=COLOURS[0], clip=True).encode(x=x, y=y),
    ]
    if np.isfinite(fixed):
        point = alt.Chart(pd.DataFrame({"before": [fixed], "after": [fixed]}))
        mark = point.mark_point(size=130, filled=True, color=COLOURS[3], opacity=1.0)
        parts.append(mark.encode(x=x, y=y))
    title = f"{what.capitalize()} from layer to layer"
    return alt.layer(*parts).properties(height=LOWER, title=title)
