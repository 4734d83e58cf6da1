"""The panels of Bayes by Backprop, as a page draws them; light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from tfbdl import Config, Field
from tfbdl.pictures import COLOURS

ORDERS = ("signal_to_noise", "magnitude", "reversed")
LABELS = {
    "signal_to_noise": "least signal to noise first",
    "magnitude": "smallest mean first",
    "reversed": "most signal to noise first",
}

HEIGHT = 340  # pixels of a chart, its title and legend included

Arrays = Mapping[str, np.ndarray]


class PruningControls(Config):
    """Which weights are set to zero."""

    pruned: float = Field(0.75, ge=0, le=1, description="Share of all weights that are removed.")
    order: Literal["signal_to_noise", "magnitude", "reversed"] = Field(
        "signal_to_noise",
        description="Which go first: the weights of least |mean| / sd, those of the smallest "
        "mean, or (as a check) those of most |mean| / sd.",
    )


def show_pruning(st: Any, arrays: Arrays) -> None:
    """Draw signal-to-noise ratios, and the figures of pruned nets."""
    removed, weights = int(arrays["removed"]), int(arrays["weights"])
    st.subheader("Weights that can go")
    st.markdown(
        "Bayes by Backprop knows how sure it is of each weight. Watch how many of the weights with "
        "the least |mean| / sd can be removed before the test figure changes, and how soon it "
        "breaks if the best weights go first."
    )
    columns = st.columns(3)
    columns[0].metric("Weights removed", f"{removed:,} of {weights:,}")
    if "figure" in arrays:
        name = str(arrays["figure_name"])
        for column, label, index in ((columns[1], name, 0), (columns[2], "nll", 1)):
            now, whole = float(arrays["now"][index]), float(arrays["whole"][index])
            column.metric(label, f"{now:.4g}", f"{now - whole:+.3g}", delta_color="inverse")
    left, right = st.columns(2)
    left.altair_chart(ratio_chart(arrays))
    right.altair_chart(cdf_chart(arrays))
    if "figure" not in arrays:
        st.info("The data of this run are not stored with it, so pruned nets cannot be scored.")
        return
    left, right = st.columns(2)
    left.altair_chart(curve_chart(arrays, "figure", name, 0))
    right.altair_chart(curve_chart(arrays, "nll", "nll", 1))
    st.caption(
        f"Scored on {int(arrays['rows']):,} {arrays['rows_name']} rows. The change is from the "
        "whole net. Blundell et al. 2015, section 5.1."
    )


def ratio_chart(arrays: Arrays) -> Any:
    """The density of signal-to-noise ratios by layer, with the cut."""
    import altair as alt
    import pandas as pd

    layers = [str(name) for name in arrays["layer"]]
    bins = len(arrays["ratio"])
    frame = pd.DataFrame(
        {
            "ratio": np.tile(arrays["ratio"], len(layers)),
            "density": arrays["density"].ravel(),
            "layer": np.repeat(layers, bins),
        }
    )
    chart = (
        alt.Chart(frame)
        .mark_area(opacity=0.7, interpolate="step")
        .encode(
            x=_ratio_axis(alt),
            y=alt.Y("density:Q", title="density (of the logarithm)").stack("zero"),
            color=_color(alt, "layer", layers, columns=2),
        )
    )
    return _with_cut(alt, chart, arrays, "Signal to noise, by layer")


def cdf_chart(arrays: Arrays) -> Any:
    """The share of weights up to each ratio, with the cut."""
    import altair as alt
    import pandas as pd

    frame = pd.DataFrame({"ratio": arrays["ratio"], "share": arrays["cdf"]})
    chart = (
        alt.Chart(frame)
        .mark_line()
        .encode(
            x=_ratio_axis(alt),
            y=alt.Y("share:Q", title="share of weights", axis=alt.Axis(format="%")),
        )
    )
    return _with_cut(alt, chart, arrays, "Weights up to each ratio")


def curve_chart(arrays: Arrays, what: str, title: str, index: int) -> Any:
    """A figure of pruned nets over the share removed, with the chosen net as a point."""
    import altair as alt
    import pandas as pd

    orders, shares = [str(order) for order in arrays["order"]], arrays["share"]
    labels = [LABELS[order] for order in orders]
    frame = pd.DataFrame(
        {
            "removed": np.tile(shares, len(orders)),
            "value": arrays[what].ravel(),
            "order": np.repeat(labels, len(shares)),
        }
    )
    x = alt.X("removed:Q", title="weights removed", axis=alt.Axis(format="%"))
    y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=False))
    color = _color(alt, "order", labels, columns=1)
    lines = alt.Chart(frame).mark_line(point={"size": 25}).encode(x=x, y=y, color=color)
    chosen = {
        "removed": [int(arrays["removed"]) / max(1, int(arrays["weights"]))],
        "value": [float(arrays["now"][index])],
        "order": [LABELS[str(arrays["chosen_order"])]],
    }
    point = (
        alt.Chart(pd.DataFrame(chosen))
        .mark_point(size=220, filled=False, strokeWidth=3)
        .encode(x=x, y=y, color=color, tooltip=["removed:Q", "value:Q"])
    )
    return (lines + point).properties(height=HEIGHT, title=f"{title} of the pruned net")


def show_densities(st: Any, arrays: Arrays) -> None:
    """Draw the densities of all weights, and a table by layer."""
    import altair as alt
    import pandas as pd

    st.subheader("What the net learned about its weights")
    st.markdown(
        "The prior says how large weights may be; the data move the posterior away from it only "
        "where they have something to say. Compare the three curves."
    )
    curves = [str(name) for name in arrays["curve"]]
    value = arrays["value"]
    frame = pd.DataFrame(
        {
            "weight": np.tile(value, len(curves)),
            "density": arrays["density"].ravel(),
            "curve": np.repeat(curves, len(value)),
        }
    )
    chart = (
        alt.Chart(frame, height=HEIGHT)
        .mark_line()
        .encode(
            x=alt.X("weight:Q", title="weight"),
            y=alt.Y("density:Q", title="density"),
            color=_color(alt, "curve", curves, columns=3),
        )
    )
    st.altair_chart(chart)
    table = {
        "layer": [str(name) for name in arrays["layer"]],
        "weights": arrays["count"],
        "mean sd": arrays["mean_sd"],
        "median |mean| / sd": arrays["median_ratio"],
    }
    st.dataframe(pd.DataFrame(table), hide_index=True)


def _ratio_axis(alt: Any) -> Any:
    axis = alt.Axis(format="~g", tickCount=5)
    scale = alt.Scale(type="log", nice=False)
    return alt.X("ratio:Q", title="|mean| / sd", scale=scale, axis=axis)


def _color(alt: Any, name: str, values: list[str], columns: int) -> Any:
    """A colour for each value, with a legend below the title."""
    scale = alt.Scale(domain=values, range=list(COLOURS[: len(values)]))
    legend = alt.Legend(
        orient="top", title=None, columns=columns, symbolSize=60, labelLimit=300, rowPadding=0
    )
    return alt.Color(f"{name}:N", scale=scale, legend=legend)


def _with_cut(alt: Any, chart: Any, arrays: Arrays, title: str) -> Any:
    """The chart with a dashed rule at the cut, where there is one."""
    import pandas as pd

    cut, ratio = float(arrays["cut"]), arrays["ratio"]
    if np.isfinite(cut):
        frame = pd.DataFrame({"ratio": [float(np.clip(cut, ratio[0], ratio[-1]))]})
        rule = alt.Chart(frame).mark_rule(color=COLOURS[2], strokeDash=[6, 4], strokeWidth=2)
        chart = chart + rule.encode(x=_ratio_axis(alt))
    return chart.properties(height=HEIGHT, title=title)
