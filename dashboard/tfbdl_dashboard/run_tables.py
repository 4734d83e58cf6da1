"""Tables of runs: one row each, their differences, their figures, their curves in long form."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from tfbdl.metric_names import meaning
from tfbdl.metrics_store import Summary
from tfbdl.specs import RunSpec
from tfbdl_dashboard.course import Curve
from tfbdl_dashboard.plain_text import without_paths
from tfbdl_dashboard.run_index import OBJECTIVES, Row
from tfbdl_dashboard.uploads import data_label

COLUMNS = ("nll", "rmse", "error", "coverage_90", "test_nll", "seconds")
"""Final figures that have a column where a run has them."""


def runs_table(rows: Sequence[Row]) -> pd.DataFrame:
    """One row for each run: what it was, how it stands, best and last figure, final figures.

    ``best`` and ``last`` are of the curve that ``objective`` names.
    """
    scores = [name for name in COLUMNS if any(name in row.figures for row in rows)]
    messages = any(row.message for row in rows)
    table = [
        {
            "run": row.id,
            "state": row.state,
            "model": row.model,
            "data": row.data,
            "engine": row.engine,
            "objective": row.objective,
            "best": row.best,
            "last": row.last,
            **{name: row.figures.get(name) for name in scores},
            "seed": row.seed,
            "created": row.created or None,
            **({"message": row.message} if messages else {}),
        }
        for row in rows
    ]
    frame = pd.DataFrame(table)
    frame["created"] = pd.to_datetime(frame["created"], utc=True, errors="coerce")
    numbers = ["best", "last", *scores]
    return frame.astype(dict.fromkeys(numbers, "float64"))


def shared_first(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """All names of metrics, those that most runs have first; such as ``elbo`` before others."""
    counts: dict[str, int] = {}
    for metrics in found:
        for name in metrics:
            counts[name] = counts.get(name, 0) + 1
    order = {name: place for place, name in enumerate(OBJECTIVES)}
    return sorted(counts, key=lambda n: (-counts[n], order.get(n, len(order)), n))


def comparison(rows: Sequence[Row], specs: Mapping[str, RunSpec | Any]) -> pd.DataFrame:
    """Several runs side by side: the options in which they differ, and all final figures."""
    plain = {name: _flat(spec) for name, spec in specs.items()}
    options = sorted({option for values in plain.values() for option in values})
    differing = [
        o for o in options if len({str(values.get(o, "")) for values in plain.values()}) > 1
    ]
    figures = list(dict.fromkeys(name for row in rows for name in row.figures))
    table: list[dict[str, Any]] = [
        {"": option, **{row.id: str(plain.get(row.id, {}).get(option, "")) for row in rows}}
        for option in differing
    ]
    table += [
        {"": name, **{row.id: _figure(row.figures.get(name)) for row in rows}} for name in figures
    ]
    return pd.DataFrame(table, columns=["", *[row.id for row in rows]])


def figures_table(result: Mapping[str, float]) -> pd.DataFrame:
    """The figures of a finished run with their meaning."""
    rows = [(name, value, meaning(name)) for name, value in result.items()]
    return pd.DataFrame(rows, columns=["figure", "value", "meaning"])


def extents_table(curves: Mapping[str, Summary]) -> pd.DataFrame:
    """Of each curve the last, the least and the greatest value."""
    rows = [(n, c.step, c.last, c.least, c.greatest, meaning(n)) for n, c in curves.items()]
    columns = ["curve", "step", "last", "least", "greatest", "meaning"]
    return pd.DataFrame(rows, columns=columns)


def curves_csv(found: Iterable[tuple[str, Mapping[str, Curve]]]) -> str:
    """Long form: run, metric, step, value, which is empty where it is no number.

    Args:
        found: Run and its curves; one run after the other is asked for and written.
    """
    rows = ["run,metric,step,value\n"]
    for run, metrics in found:
        for metric, curve in metrics.items():
            names = _csv_fields(run, metric)  # once for the curve: its rows are many
            rows.append("".join([f"{names},{step},{_csv_number(v)}\n" for step, v in curve]))
    return "".join(rows)


def _csv_fields(*texts: str) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(texts)
    return line.getvalue()


def _csv_number(value: float) -> str:
    return "" if math.isnan(value) else repr(value)


def options_text(spec: RunSpec) -> str:
    """What was said of a run beyond the defaults, as JSON; files by their names alone."""
    plain = _labelled(spec.model_dump(mode="json", exclude_defaults=True))
    return without_paths(json.dumps(plain, indent=2))


def _labelled(values: dict[str, Any]) -> dict[str, Any]:
    """With the data called as a person would call them."""
    return values | {"data": data_label(values["data"])} if values.get("data") else values


def _flat(spec: Any) -> dict[str, Any]:
    values = _labelled(spec.model_dump(mode="json"))
    flat = {name: values[name] for name in ("model", "data", "engine", "prior", "seed")}
    for group in ("model", "engine", "prior", "data"):
        flat |= {f"{group}.{name}": v for name, v in values[f"{group}_options"].items()}
    return flat


def _figure(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.5g}"
