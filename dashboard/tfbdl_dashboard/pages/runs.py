"""The page of runs: a table, and one run with its figures and curves."""

from __future__ import annotations

import math
import os
from datetime import datetime
from pathlib import Path

import altair as alt
import pandas as pd
import streamlit as st

from tfbdl.errors import RunError
from tfbdl.metric_names import meaning
from tfbdl.runs import RunFolder, list_runs
from tfbdl_dashboard.server import RUNS_VARIABLE

HEADLINES = ("nll", "rmse", "error", "coverage_90", "elbo")
"""Final figures that stand in the table where a run has them."""


def show() -> None:
    """Draw the page."""
    root = Path(os.environ.get(RUNS_VARIABLE, "runs"))
    st.title("Runs")
    folders = list_runs(root)
    if not folders:
        st.info(f"There is no run in {root}. Start one: tfbdl run MODEL --data NAME")
        return
    st.dataframe(runs_table(folders), hide_index=True)
    by_name = {folder.path.name: folder for folder in folders}
    show_run(by_name[st.selectbox("Run", list(by_name))])


def runs_table(folders: list[RunFolder]) -> pd.DataFrame:
    """One row for each run: what it was, how it stands, its headline figures."""
    rows = []
    for folder in folders:
        row: dict[str, object] = {"run": folder.path.name}
        try:
            record, spec = folder.read_record(), folder.read_spec()
        except RunError as error:
            rows.append(row | {"state": "unreadable", "message": str(error)})
            continue
        status, result = folder.status(), folder.read_result()
        row |= {
            "state": status.state,
            "model": spec.model or "(object)",
            "data": spec.data or "(object)",
            "engine": spec.engine or "(default)",
            "seed": spec.seed,
            "created": _local_time(record.get("created")),
            **{name: result[name] for name in HEADLINES if name in result},
            "message": status.message,
        }
        rows.append(row)
    return pd.DataFrame(rows)


def show_run(folder: RunFolder) -> None:
    """Draw one run."""
    try:
        spec, status = folder.read_spec(), folder.status()
        curves, result = folder.read_metrics(), folder.read_result()
    except RunError as error:
        st.error("This run cannot be read.")
        st.text(str(error))
        return
    st.subheader(f"{folder.path.name}: {status.state}")
    if status.message:
        st.text(status.message)
    if status.state in ("lost", "failed", "cancelled"):
        st.code(f"tfbdl resume {folder.path}", language=None)
    st.dataframe(figures_table(curves, result), hide_index=True)
    shown = st.multiselect("Curves", list(curves), default=[n for n in HEADLINES if n in curves])
    for name in shown:
        st.altair_chart(curve_chart(name, curves[name]))
    with st.expander("Options of this run"):
        st.json(spec.model_dump(mode="json", exclude_defaults=True))


def figures_table(
    curves: dict[str, list[tuple[int, float]]], result: dict[str, float]
) -> pd.DataFrame:
    """Final figures, or the last and the smallest and largest while a run is on its way."""
    rows = [{"metric": n, "final": v, "meaning": meaning(n)} for n, v in result.items()]
    for name, points in curves.items():
        finite = [value for _, value in points if math.isfinite(value)]
        rows.append(
            {
                "metric": f"{name} (curve)",
                "last": points[-1][1],
                "smallest": min(finite, default=math.nan),
                "largest": max(finite, default=math.nan),
                "meaning": meaning(name),
            }
        )
    columns = ["metric", "final", "last", "smallest", "largest", "meaning"]
    return pd.DataFrame(rows, columns=columns).dropna(axis="columns", how="all")


def curve_chart(name: str, points: list[tuple[int, float]]) -> alt.Chart:
    """A metric over the steps."""
    frame = pd.DataFrame(points, columns=["step", "value"])
    scale = alt.Scale(zero=False)
    return (
        alt.Chart(frame, title=name, height=220)
        .mark_line()
        .encode(
            x=alt.X("step:Q", title="step"),
            y=alt.Y("value:Q", title=name, scale=scale),
            tooltip=["step:Q", "value:Q"],
        )
    )


def _local_time(created: object) -> str:
    try:
        return datetime.fromisoformat(str(created)).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return ""
