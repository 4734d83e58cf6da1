"""The panel of the engine: how often each chain moved, which tells whether its steps suit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import tfbdl

if TYPE_CHECKING:
    from tfbdl import Fit

BEST = 0.57
"""The acceptance rate at which Barker's proposal mixes best in many dimensions."""

MOST = 1000
"""Points of each curve."""


class AcceptanceControls(tfbdl.Config):
    """What the panel ``barker_acceptance`` shows."""

    window: int = tfbdl.Field(
        50, ge=1, le=500, description="Draws over which the acceptance rate is averaged."
    )


def compute(fit: Fit, controls: AcceptanceControls) -> dict[str, Any]:
    """The acceptance rate of each chain as it went on; runs beside the model.

    Returns:
        ``draw`` ``[point]``, ``rate`` ``[chain, point]``, and ``overall`` ``[chain]``.
    """
    accepted = np.asarray(fit.posterior.sample_stats["acceptance_rate"], np.float64)
    rate = running_mean(accepted, min(controls.window, accepted.shape[1]))
    first = accepted.shape[1] - rate.shape[1] + 1  # the draw that fills the window
    shown = np.unique(np.linspace(0, rate.shape[1] - 1, MOST).astype(int))
    return {"draw": shown + first, "rate": rate[:, shown], "overall": accepted.mean(axis=1)}


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Means of each ``window`` neighbours: ``[chain, draw]`` to ``[chain, draw - window + 1]``."""
    sums = np.cumsum(np.pad(values, ((0, 0), (1, 0))), axis=1)
    return (sums[:, window:] - sums[:, :-window]) / window


def show(st: Any, arrays: Mapping[str, np.ndarray]) -> None:
    """Draw it; runs in the dashboard's server, without TensorFlow."""
    import altair as alt
    import pandas as pd

    overall = float(arrays["overall"].mean())
    st.subheader("How often a proposal is accepted")
    st.markdown(
        f"In many dimensions the chains mix best near {BEST:.0%}. Far above it the steps are too "
        "small, far below it too large; a chain apart from the others is stuck."
    )
    st.metric("Acceptance rate", f"{overall:.0%}", f"{overall - BEST:+.0%}", delta_color="off")
    chains, points = arrays["rate"].shape
    frame = pd.DataFrame(
        {
            "draw": np.tile(arrays["draw"], chains),
            "rate": arrays["rate"].ravel(),
            "chain": np.repeat(np.arange(1, chains + 1), points),
        }
    )
    lines = (
        alt.Chart(frame)
        .mark_line()
        .encode(
            alt.X("draw:Q", title="draw"),
            alt.Y("rate:Q", title="acceptance rate", scale=alt.Scale(domain=[0, 1])),
            alt.Color("chain:N", title="chain"),
        )
    )
    best = alt.Chart(pd.DataFrame({"rate": [BEST]})).mark_rule(strokeDash=[4, 4]).encode(y="rate:Q")
    st.altair_chart(lines + best)
