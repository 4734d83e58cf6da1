"""The panel of mean-field theory, as a page draws it: how deep a signal reaches; light."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from tfbdl import Config, Field
from tfbdl.clicks import clicked

from .depth_charts import BIAS, WEIGHT, Arrays, layers_chart, map_chart, phase_chart

CLICKS = (98, 50)
"""Networks that can be chosen by a click, along both."""
AT_EDGE = 0.005
"""How far from 1 the slope of a network is that one may call one at the edge."""


class DepthControls(Config):
    """The network, as the theory of infinite width knows it."""

    activation: Literal["tanh", "erf", "relu", "leaky_relu", "abs", "gelu", "sin"] = Field(
        "tanh", description="Of the hidden layers."
    )
    weight_variance: float = Field(
        1.5, ge=WEIGHT[0], le=WEIGHT[1], description="sigma_w^2 of every layer."
    )
    bias_variance: float = Field(
        0.1, ge=BIAS[0], le=BIAS[1], description="sigma_b^2 of every layer."
    )
    keep_prob: float = Field(
        1.0, ge=0.5, le=1.0, description="Share of units that dropout keeps; 1: no dropout."
    )


def show_depth(st: Any, arrays: Arrays) -> dict[str, Any] | None:
    """Draw the phase diagram, the maps, and what becomes of inputs from layer to layer.

    Returns:
        The network that was chosen by a click, or None.
    """
    st.subheader("How deep a signal reaches")
    st.markdown(
        "A layer of random weights makes the correlation of two inputs to another one. In the "
        "**ordered** phase it goes to 1: the net forgets what told them apart. In **chaos** it "
        "goes below: inputs that are nearly alike are torn apart. Between the two, at the edge of "
        "chaos, a signal reaches as deep as one likes, and so do gradients. **Click into the "
        "diagram** to choose another network."
    )
    columns = st.columns(5)
    columns[0].metric("Phase", phase(arrays))
    columns[1].metric("Fixed variance q*", number(arrays["variance"]))
    columns[2].metric("Fixed correlation c*", number(arrays["correlation"]))
    columns[3].metric("Slope at 1, chi_1", number(arrays["slope"]))
    columns[4].metric("Depth scale xi_c", number(arrays["correlation_depth"], " layers"))
    if str(arrays["why"]):
        st.info(str(arrays["why"]))
    left, right = st.columns([3, 2])
    with left:
        place = clicked(
            st,
            phase_chart(arrays),
            WEIGHT,
            BIAS,
            key="depth of networks",
            titles=("weight variance", "bias variance"),
            cells=CLICKS,
        )
    right.altair_chart(layers_chart(arrays))
    left, right = st.columns(2)
    left.altair_chart(
        map_chart(
            arrays["q"],
            arrays["variance_map"],
            float(arrays["variance"]),
            arrays["variance_path"],
            "variance",
        )
    )
    path = arrays["correlation_path"]
    farthest = path[np.argmax(np.abs(path[:, 0] - path[:, -1]))]
    right.altair_chart(
        map_chart(
            arrays["c"],
            arrays["correlation_map"],
            float(arrays["correlation"]),
            farthest,
            "correlation",
        )
    )
    st.caption(
        "Above: the depth scale is the number of layers in which a correlation comes e times "
        "nearer to its end (the upright line at the right); nets were found to train about as "
        "deep as signals reach. The black dashes are the edge of chaos; activations that scale, "
        "as relu does, have a single network there (the ring at the foot). Below: where a map "
        "meets the dashed line, the next layer is as the one before; the thin stairs are the way "
        "there. Poole et al. 2016; Schoenholz et al. 2017."
    )
    if place is None:
        return None
    return {"weight_variance": round(place[0], 6), "bias_variance": round(place[1], 6)}


def phase(arrays: Arrays) -> str:
    """The phase of the chosen network, in a word."""
    slope = float(arrays["slope"])
    if not np.isfinite(slope):
        return "no fixed point"
    if float(arrays["keep_prob"]) == 1.0 and abs(slope - 1.0) < AT_EDGE:
        return "edge of chaos"
    return "chaos" if slope > 1.0 else "order"


def number(value: Any, unit: str = "") -> str:
    """A figure that may be infinite, or none."""
    if np.isnan(value):
        return "none"
    return "infinite" if np.isinf(value) else f"{float(value):.3g}{unit}"
