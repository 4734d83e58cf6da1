"""The panel of recursive filters, as a page draws it; light."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from tfbdl import Config, Field
from tfbdl.pictures import COLOURS

HEIGHT = 300  # pixels of the upper chart
LOW_HEIGHT = 180
FILTERED, SMOOTHED, FORECAST, OBSERVED, TRUTH = (COLOURS[i] for i in (0, 3, 1, 8, 4))
NAMES = {"filtered": FILTERED, "smoothed": SMOOTHED, "forecast": FORECAST}
MOST_GAINS = 8
MOST_AHEAD = 50

Arrays = Mapping[str, np.ndarray]


class FilterControls(Config):
    """How far the stream has come, and what is drawn of it."""

    now: float = Field(
        1.0, ge=0, le=1, description="How much of the sequence has been seen: move it to step on."
    )
    sequence: int = Field(0, ge=0, le=99, description="The sequence, where there are several.")
    window: int = Field(200, ge=10, le=500, description="Steps that are shown.")
    shown: Literal["signal", "state"] = Field(
        "signal", description="What would be seen without noise, or a coordinate of the state."
    )
    column: int = Field(0, ge=0, le=31, description="The column, or the coordinate.")
    level: float = Field(0.9, gt=0, lt=1, description="Probability of the bands.")
    horizon: int = Field(10, ge=0, le=MOST_AHEAD, description="Steps of the forecast.")


def show_filter(st: Any, arrays: Arrays) -> None:
    """Draw the bands with the forecast, the gain, and the innovations."""
    smooth, level = "smoothed_mean" in arrays, float(arrays["level"])
    st.subheader("A state followed through noise")
    st.markdown(
        "The filter knows what was observed up to now, and forecasts from there. Move "
        "**now** to let the next observations in: each one moves the estimate by the gain times "
        "its surprise." + (" The smoother knows the whole sequence." if smooth else "")
    )
    columns = st.columns(4)
    now, length = int(arrays["now"]), int(arrays["length"])
    columns[0].metric("Now", f"step {now} of {length - 1}")
    columns[1].metric("Estimate", f"{_at(arrays, 'filtered_mean', now):.5g}")
    half = 0.5 * (_at(arrays, "filtered_high", now) - _at(arrays, "filtered_low", now))
    columns[2].metric(f"Half width of the {level:.0%} band", f"{half:.4g}")
    columns[3].metric("Log likelihood so far, nats", f"{float(arrays['log_likelihood']):.5g}")
    st.altair_chart(bands_chart(arrays))
    st.altair_chart(gain_chart(arrays))
    if arrays["innovation"].size:
        st.altair_chart(innovations_chart(arrays))
        st.caption(whiteness_text(float(arrays["p_value"]), int(arrays["lags"])))


def whiteness_text(p_value: float, lags: int) -> str:
    """What the test of Ljung and Box says of the innovations, in words."""
    if np.isnan(p_value):
        return "The sequence is too short to test its innovations for whiteness."
    verdict = (
        "the model leaves correlation unexplained"
        if p_value < 0.05
        else "no sign of correlation that the model leaves unexplained"
    )
    return (
        f"Ljung-Box test of the whole sequence's innovations over {lags} lags: p = {p_value:.3g}, "
        f"{verdict}. About 19 in 20 of them should lie between the dashed lines."
    )


def bands_chart(arrays: Arrays) -> Any:
    """Observations, the bands of filter and smoother, and the forecast."""
    import altair as alt
    import pandas as pd

    present = [name for name in NAMES if arrays.get(f"{name}_mean", np.zeros(0)).size]
    parts = [
        pd.DataFrame(
            {
                "step": arrays["ahead"] if name == "forecast" else arrays["step"],
                "mean": arrays[f"{name}_mean"],
                "low": arrays[f"{name}_low"],
                "high": arrays[f"{name}_high"],
                "band": name,
            }
        )
        for name in present
    ]
    frame = pd.concat(parts)
    now = int(arrays["now"])
    frame = frame[(frame["band"] != "filtered") | (frame["step"] <= now)]
    x = alt.X("step:Q", title="step", scale=alt.Scale(nice=False, zero=False))
    scale = alt.Scale(domain=present, range=[NAMES[name] for name in present])
    colour = alt.Color("band:N", scale=scale, legend=alt.Legend(orient="top", title=None))
    base = alt.Chart(frame)
    low = alt.Y("low:Q", title=str(arrays["title"]), scale=alt.Scale(zero=False))
    layers = [
        base.mark_area(opacity=0.22).encode(x=x, y=low, y2="high:Q", color=colour),
        base.mark_line(strokeWidth=2).encode(x=x, y="mean:Q", color=colour),
    ]
    if arrays["truth"].size:
        truth = pd.DataFrame({"step": arrays["step"], "true": arrays["truth"]})
        line = alt.Chart(truth).mark_line(color=TRUTH, strokeWidth=1.5, strokeDash=[4, 3])
        layers.append(line.encode(x=x, y="true:Q", tooltip=["step", "true"]))
    if arrays["observed"].size:
        seen = pd.DataFrame({"step": arrays["step"], "observed": arrays["observed"]}).dropna()
        seen["opacity"] = np.where(seen["step"] <= now, 0.9, 0.25)
        points = alt.Chart(seen).mark_circle(size=34, color=OBSERVED)
        opacity = alt.Opacity("opacity:Q", scale=None)
        layers.append(
            points.encode(x=x, y="observed:Q", opacity=opacity, tooltip=["step", "observed"])
        )
    rule = alt.Chart(pd.DataFrame({"step": [now]})).mark_rule(strokeDash=[5, 4], color=OBSERVED)
    layers.append(rule.encode(x="step:Q"))
    title = "Dots: observations, those to come faint" + (
        "; dashed: the truth" if arrays["truth"].size else ""
    )
    return alt.layer(*layers).properties(height=HEIGHT, title=title)


def gain_chart(arrays: Arrays) -> Any:
    """The elements of the gain over the steps."""
    import altair as alt
    import pandas as pd

    gains, step = arrays["gain"], arrays["step"]
    count = min(gains.shape[1], MOST_GAINS)
    names = [str(name) for name in arrays["gain_name"][:count]]
    frame = pd.DataFrame(
        {
            "step": np.tile(step, count),
            "gain": gains[:, :count].T.ravel(),
            "element": np.repeat(names, len(step)),
        }
    )
    scale = alt.Scale(domain=names, range=[COLOURS[i % len(COLOURS)] for i in range(count)])
    legend = alt.Legend(orient="top", title=None, columns=4) if count > 1 else None
    x = alt.X("step:Q", title="step", scale=alt.Scale(nice=False, zero=False))
    y = alt.Y("gain:Q", title=None)
    line = alt.Chart(frame).mark_line(interpolate="step-after", strokeWidth=2)
    rule = alt.Chart(pd.DataFrame({"step": [int(arrays["now"])]})).mark_rule(
        strokeDash=[5, 4], color=OBSERVED
    )
    drawn = line.encode(x=x, y=y, color=alt.Color("element:N", scale=scale, legend=legend))
    title = "Gain: how far a surprise moves the state"
    return (drawn + rule.encode(x="step:Q")).properties(height=LOW_HEIGHT, title=title)


def innovations_chart(arrays: Arrays) -> Any:
    """What each observation surprised by, in standard deviations."""
    import altair as alt
    import pandas as pd

    frame = pd.DataFrame({"step": arrays["step"], "innovation": arrays["innovation"]}).dropna()
    frame = frame[frame["step"] <= int(arrays["now"])].assign(zero=0.0)
    first, last = int(arrays["step"][0]), int(arrays["step"][-1])
    domain = alt.Scale(nice=False, zero=False, domain=[first, last])
    x = alt.X("step:Q", title="step", scale=domain)
    bars = alt.Chart(frame).mark_rule(color=FILTERED, strokeWidth=2)
    limits = alt.Chart(pd.DataFrame({"limit": [-1.96, 1.96]})).mark_rule(
        strokeDash=[4, 4], color=COLOURS[2]
    )
    drawn = bars.encode(x=x, y=alt.Y("innovation:Q", title=None), y2="zero:Q")
    title = "Surprises, in standard deviations"
    return (drawn + limits.encode(y="limit:Q")).properties(height=LOW_HEIGHT, title=title)


def _at(arrays: Arrays, name: str, step: int) -> float:
    return float(arrays[name][step - int(arrays["step"][0])])
