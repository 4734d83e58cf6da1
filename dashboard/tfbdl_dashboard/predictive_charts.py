"""Charts of predictions: both uncertainties apart, and whether stated shares hold."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import numpy as np
import pandas as pd

from tfbdl_dashboard import charts

ALEATORIC, EPISTEMIC = "aleatoric (noise)", "epistemic (not known yet)"
KNOWN = {ALEATORIC: charts.ALEATORIC, EPISTEMIC: charts.EPISTEMIC}
RIGHT, WRONG = "right", "wrong"
MOST_BARS = 400
"""Rows with an error bar: more would hide one another."""
Answer = Mapping[str, np.ndarray]


def observed(answer: Answer, target: int, level: int, name: str) -> alt.LayerChart:
    """Observed targets against predicted means, with two bars on each point.

    The long bar is the predictive interval, which holds both uncertainties; the thick one inside is
    the mean plus and minus its epistemic standard deviation.

    Args:
        answer: Of the task ``predictions``.
        target: Which one.
        level: Which of ``answer["level"]`` the long bar has.
        name: Of the target.
    """
    index = charts.spaced(len(answer["y"]), MOST_BARS)
    mean = answer["mean"][index, target]
    sd = np.sqrt(answer["epistemic"][index, target])
    share = float(answer["level"][level])
    frame = pd.DataFrame(
        {
            "row": answer["index"][index],
            "observed": answer["y"][index, target],
            "mean": mean,
            "low": answer["low"][level][index, target],
            "high": answer["high"][level][index, target],
            "from": mean - sd,
            "to": mean + sd,
        }
    ).replace([np.inf, -np.inf], np.nan)
    ends = frame[["observed", "mean"]].to_numpy()
    base = alt.Chart(frame).encode(
        x=alt.X("observed:Q", title=f"observed {name}", scale=alt.Scale(zero=False)),
        tooltip=[
            "row:Q",
            *(alt.Tooltip(f"{n}:Q", format=".4~g") for n in ("observed", "mean", "low", "high")),
        ],
    )
    scale = alt.Scale(zero=False)
    long_bar = base.mark_rule(color=charts.ALEATORIC, opacity=0.45, strokeWidth=1.2).encode(
        y=alt.Y("low:Q", title=f"predicted {name}, {share:.0%} interval", scale=scale),
        y2="high:Q",
    )
    thick_bar = base.mark_rule(color=charts.EPISTEMIC, opacity=0.7, strokeWidth=4).encode(
        y="from:Q", y2="to:Q"
    )
    point = base.mark_circle(color=charts.EPISTEMIC, size=22, opacity=0.9).encode(y="mean:Q")
    line = charts.diagonal(float(np.nanmin(ends)), float(np.nanmax(ends)))
    return alt.layer(long_bar, thick_bar, line, point).properties(height=360)


def parts(aleatoric: np.ndarray, epistemic: np.ndarray, unit: str, height: int = 260) -> alt.Chart:
    """Both parts of the uncertainty, one above the other, rows by their total.

    Args:
        aleatoric, epistemic: ``[n]``.
        unit: Title of the axis.
        height: In pixels.
    """
    total = aleatoric + epistemic
    order = np.argsort(total, kind="stable")
    order = order[np.isfinite(total[order])]
    kept = charts.spaced(len(order), charts.MOST // 2)
    rank = 100 * (kept + 0.5) / max(1, len(order))
    frame = pd.concat(
        [
            pd.DataFrame({"row": rank, "value": values[order][kept], "part": name, "first": i})
            for i, (name, values) in enumerate(((ALEATORIC, aleatoric), (EPISTEMIC, epistemic)))
        ]
    )
    return (
        alt.Chart(frame, height=height)
        .mark_area(opacity=0.75)
        .encode(
            x=alt.X("row:Q", title="rows, the surest first (%)", scale=alt.Scale(nice=False)),
            y=alt.Y("value:Q", title=unit, stack="zero"),
            order="first:O",
            color=alt.Color(
                "part:N",
                title=None,
                scale=charts.colours([ALEATORIC, EPISTEMIC], KNOWN),
                legend=alt.Legend(orient="top", direction="horizontal"),
            ),
            tooltip=[
                "part:N",
                alt.Tooltip("row:Q", format=".0f"),
                alt.Tooltip("value:Q", format=".4~g"),
            ],
        )
    )


def reliability(
    stated: np.ndarray,
    found: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    *,
    x_title: str,
    y_title: str,
    counts: np.ndarray | None = None,
) -> alt.LayerChart:
    """What was found against what was stated, with a band for the noise of counting.

    Args:
        stated, found, low, high: ``[k]``, shares in [0, 1].
        x_title, y_title: Of the axes.
        counts: How many predictions each point stands for; points are then drawn with bars, as
            large as they weigh.
    """
    frame = pd.DataFrame({"stated": stated, "found": found, "low": low, "high": high})
    frame["count"] = np.ones(len(frame)) if counts is None else counts
    domain = alt.Scale(domain=[0, 1])
    base = alt.Chart(frame).encode(
        x=alt.X("stated:Q", title=x_title, scale=domain),
        tooltip=[
            alt.Tooltip("stated:Q", format=".3f"),
            alt.Tooltip("found:Q", format=".3f"),
            alt.Tooltip("low:Q", title="90 % band from", format=".3f"),
            alt.Tooltip("high:Q", title="90 % band to", format=".3f"),
            *([] if counts is None else [alt.Tooltip("count:Q", title="predictions")]),
        ],
    )
    y = alt.Y("low:Q", title=y_title, scale=domain)
    if counts is None:
        band = base.mark_area(color=charts.POSTERIOR, opacity=0.25).encode(y=y, y2="high:Q")
        line = base.mark_line(color=charts.POSTERIOR, point={"color": charts.POSTERIOR, "size": 24})
        layers = [band, charts.diagonal(0.0, 1.0), line.encode(y="found:Q")]
    else:
        bars = base.mark_rule(color=charts.POSTERIOR, strokeWidth=2, opacity=0.6).encode(
            y=y, y2="high:Q"
        )
        points = base.mark_circle(color=charts.POSTERIOR, opacity=0.9).encode(
            y="found:Q",
            size=alt.Size("count:Q", scale=alt.Scale(range=[30, 300]), legend=None),
        )
        layers = [bars, charts.diagonal(0.0, 1.0), points]
    return alt.layer(*layers).properties(height=320)


def coverage_table(answer: Answer, target: int | None = None) -> pd.DataFrame:
    """Nominal and found coverage with its band, a row for each level.

    Args:
        answer: Of the task ``predictions``.
        target: Which one, of numbers; None for classes.

    Returns:
        Columns nominal, found, band from, band to, and the mean width of the interval (of numbers)
        or the mean size of the set of classes; and ``says``: in words.
    """

    def column(name: str) -> np.ndarray:
        return answer[name] if target is None else answer[name][:, target]

    frame = pd.DataFrame(
        {
            "nominal": answer["level"],
            "found": column("found"),
            "band from": column("band_low"),
            "band to": column("band_high"),
        }
    )
    if target is None:
        frame["classes"] = answer["size"]
    else:
        frame["mean width"] = (answer["high"] - answer["low"])[:, :, target].mean(axis=1)
    words = ["covers less than it states", "covers more than it states", "as stated, up to noise"]
    below, above = frame["band to"] < frame["nominal"], frame["band from"] > frame["nominal"]
    frame["says"] = np.select([below, above], words[:2], words[2])
    return frame


def confusion_scatter(answer: Answer) -> alt.LayerChart:
    """Rows of classes by the two parts of their entropy, coloured by whether they are right."""
    wrong = answer["label"] != answer["predicted"]
    order = np.argsort(wrong, kind="stable")  # wrong ones on top
    names = answer["class"]
    frame = pd.DataFrame(
        {
            "aleatoric": answer["aleatoric"],
            "epistemic": answer["epistemic"],
            "answer": np.where(wrong, WRONG, RIGHT),
            "class": names[answer["label"]],
            "predicted": names[answer["predicted"]],
        }
    ).iloc[order]
    return charts.scatter(
        frame,
        "aleatoric",
        "epistemic",
        x_title="aleatoric: expected entropy (nats)",
        y_title="epistemic: mutual information (nats)",
        group="answer",
        known={RIGHT: charts.POSTERIOR, WRONG: charts.WARNING},
        tooltip=("class", "predicted"),
        size=32,
        opacity=0.6,
        height=320,
    )
