"""Charts of a run's curves: the bound and its parts, KL by part, several runs in one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from tfbdl_dashboard import charts
from tfbdl_dashboard.course import Bound, Curve, focus

LIKELIHOOD = charts.SERIES[2]
ELBO = charts.SERIES[0]
KL = charts.SERIES[1]


def bound_chart(parts: Bound, whole: bool = False, height: int = 300) -> alt.LayerChart:
    """ELBO and likelihood over the steps; what lies between them is the KL.

    Args:
        parts: Of the ELBO.
        whole: Whether the range holds the first steps too.
        height: In pixels.
    """
    index = charts.spaced(len(parts.step))
    frame = pd.DataFrame(
        {
            "step": parts.step[index],
            "ELBO": parts.elbo[index],
            "likelihood": parts.likelihood[index],
            "KL": parts.kl[index],
        }
    )
    everything = np.stack([parts.elbo, parts.likelihood], axis=1)
    low, high = focus(everything.reshape(-1), 0.0 if whole else 0.1)
    colour = alt.Color(
        "part:N",
        title=None,
        scale=alt.Scale(
            domain=["likelihood", "KL (between)", "ELBO"], range=[LIKELIHOOD, KL, ELBO]
        ),
        legend=alt.Legend(
            orient="top", direction="horizontal", symbolOpacity=1, symbolType="square"
        ),
    )
    y = {"scale": alt.Scale(domain=[low, high], zero=False), "title": "nats"}
    base = alt.Chart(frame).encode(
        x=alt.X("step:Q", title="step", scale=alt.Scale(zero=False, nice=False)),
        tooltip=[alt.Tooltip(f"{name}:Q", format=",.5~g") for name in frame.columns],
    )
    area = base.transform_calculate(part="'KL (between)'").mark_area(opacity=0.3, clip=True)
    lines = [
        base.transform_calculate(part=f"'{name}'")
        .mark_line(strokeWidth=1.8, clip=True)
        .encode(y=alt.Y(f"{name}:Q", **y), color=colour)
        for name in ("likelihood", "ELBO")
    ]
    band = area.encode(y=alt.Y("ELBO:Q", **y), y2="likelihood:Q", color=colour)
    return alt.layer(band, *lines).properties(height=height)


def parts_chart(parts: Mapping[str, float], limit: float, most: int = 60) -> alt.LayerChart:
    """KL by layer or latent dimension, as bars; those below ``limit`` in the colour of warnings.

    Args:
        parts: Name -> nats.
        limit: Below it a part is idle.
        most: Bars; of more parts the greatest are shown.
    """
    names = sorted(parts, key=lambda name: -parts[name])[:most]
    shown = [name for name in parts if name in names]
    frame = pd.DataFrame(
        {
            "part": shown,
            "KL": [parts[name] for name in shown],
            "state": ["idle" if parts[name] < limit else "used" for name in shown],
        }
    )
    return alt.layer(
        alt.Chart(frame)
        .mark_bar(height={"band": 0.8})
        .encode(
            y=alt.Y("part:N", sort=None, title=None, axis=alt.Axis(labelLimit=220)),
            x=alt.X("KL:Q", title="KL in nats"),
            color=alt.Color(
                "state:N",
                scale=alt.Scale(domain=["used", "idle"], range=[KL, charts.WARNING]),
                legend=None,
            ),
            tooltip=["part:N", alt.Tooltip("KL:Q", format=",.4~g")],
        )
    ).properties(height=70 + 26 * len(shown))


def curve_chart(
    curves: Mapping[str, Curve],
    title: str,
    *,
    known: Mapping[str, str] | None = None,
    whole: bool = True,
) -> Any:
    """One line for each curve.

    Args:
        curves: Name -> ``[(step, value), ...]``.
        title: Of the axis.
        known: Name -> colour.
        whole: Whether the range holds the first steps too.
    """
    series = {
        name: ([step for step, _ in points], [value for _, value in points])
        for name, points in curves.items()
        if points
    }
    chart = charts.lines(series, x_title="step", y_title=title, known=known)
    if whole or not series:
        return chart
    ends = [focus(np.array(values)) for _, values in series.values()]
    domain = [min(low for low, _ in ends), max(high for _, high in ends)]
    lines = chart.layer[0]
    lines.mark.clip = True
    lines.encoding.y.scale = alt.Scale(domain=domain, zero=False)
    return chart
