"""What stands in the columns of a table, and what would keep a run from starting with them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

Kind = Literal["number", "whole number", "true/false", "true/false with gaps", "text", "other"]

MANY_CLASSES = 1000
"""Whole numbers from here on are quantities where they outnumber the rows, as a run takes them."""

COUNTED = 50
"""A column of more different values than this has none of them counted."""

_LISTED = 8


@dataclass(frozen=True, kw_only=True)
class ColumnCheck:
    """One column.

    Attributes:
        name: Of the column.
        kind: What it holds.
        missing, infinite: How many rows have no value, or an infinite one.
        first_missing, first_infinite: The first such row, counted from 1; None if there is none.
        low, high: Of finite numbers, else None.
        distinct: How many different values occur, missing ones aside.
        counts: Value as text and number of rows, the most frequent first; empty above ``COUNTED``.
        decimal_commas: Whether these texts would be numbers with points in place of commas.
    """

    name: str
    kind: Kind
    missing: int
    infinite: int
    first_missing: int | None
    first_infinite: int | None
    low: float | None
    high: float | None
    distinct: int
    counts: tuple[tuple[str, int], ...]
    decimal_commas: bool = False

    @property
    def numeric(self) -> bool:
        """Whether it can be a feature."""
        return self.kind in ("number", "whole number", "true/false")

    @property
    def constant(self) -> bool:
        """Whether it holds one value alone."""
        return self.distinct <= 1


@dataclass(frozen=True)
class Finding:
    """Something to know before a run: an ``error`` keeps it from starting."""

    level: Literal["error", "warning", "info"]
    text: str


def check_columns(frame: pd.DataFrame) -> tuple[ColumnCheck, ...]:
    """Look at each column of a table ``[rows, columns]``."""
    return tuple(_check(str(name), frame.iloc[:, i]) for i, name in enumerate(frame.columns))


def summary(checks: Sequence[ColumnCheck]) -> pd.DataFrame:
    """One row for each column, to be shown."""
    rows = [
        {
            "column": check.name,
            "holds": check.kind,
            "missing": check.missing,
            "infinite": check.infinite,
            "different values": check.distinct,
            "least": check.low,
            "largest": check.high,
        }
        for check in checks
    ]
    return pd.DataFrame(rows)


def findings(
    checks: Sequence[ColumnCheck],
    *,
    rows: int,
    target: Collection[str],
    features: Collection[str],
    missing_allowed: bool = False,
    task: str | None = None,
) -> list[Finding]:
    """What there is to say of the chosen roles, errors first.

    Args:
        checks: Of all columns.
        rows: Of the table.
        target: Columns to predict; may be empty.
        features: Columns to predict from.
        missing_allowed: Whether the model takes a missing value for one that was not observed.
        task: ``"regression"`` or ``"classification"`` where it was chosen, else None.
    """
    found: list[Finding] = []
    if not features:
        found.append(Finding("error", "No column is left as a feature. Expected at least one."))
    if rows < 2:
        found.append(Finding("error", "There is one row alone. Expected two at least."))
    for check in checks:
        if check.name in features:
            found += _of_feature(check, missing_allowed)
        elif check.name in target:
            found += _of_target(check, rows, missing_allowed, task)
    order = ("error", "warning", "info")
    return sorted(found, key=lambda finding: order.index(finding.level))


def target_task(check: ColumnCheck, rows: int) -> str:
    """``"classification"`` or ``"regression"``, as a run takes a target unless it is told."""
    if check.kind == "number":
        return "regression"
    if check.kind == "whole number":
        quantity = (check.high or 0.0) >= max(MANY_CLASSES, rows)
        return "regression" if quantity else "classification"
    return "classification"


def num_classes(check: ColumnCheck) -> int:
    """How many classes a run makes of a target: whole numbers count from 0."""
    if check.kind in ("whole number", "number") and check.high is not None:
        return max(int(check.high) + 1, 2)
    return check.distinct


def _of_feature(check: ColumnCheck, missing_allowed: bool) -> list[Finding]:
    name = repr(check.name)
    if not check.numeric:
        hint = (
            "Write its numbers with points in place of commas"
            if check.decimal_commas
            else "Encode it as numbers"
        )
        example = f", for example {check.counts[0][0]!r}" if check.counts else ""
        text = (
            f"{name} holds {_what(check)}{example}. Expected numbers: ignore it. {hint} to use it."
        )
        return [Finding("error", text)]
    found = _gaps(check, missing_allowed)
    if check.constant:
        text = f"{name} holds one value in all rows. It tells nothing; it may be ignored."
        found.append(Finding("warning", text))
    return found


def _of_target(
    check: ColumnCheck, rows: int, missing_allowed: bool, task: str | None
) -> list[Finding]:
    name = repr(check.name)
    found = _gaps(check, missing_allowed and check.kind == "number")
    if check.constant:
        found.append(Finding("error", f"The target {name} holds one value in all rows."))
    taken = task or target_task(check, rows)
    if taken == "regression":
        if not check.numeric:
            text = f"The target {name} holds {_what(check)}. Expected numbers for a regression."
            found.append(Finding("error", text))
        else:
            found.append(Finding("info", f"{name} is taken as a number: a regression."))
    elif check.kind == "other":
        text = f"The target {name} holds {_what(check)}. Expected numbers or class names."
        found.append(Finding("error", text))
    elif check.kind == "whole number" and (check.low or 0.0) < 0.0:
        text = (
            f"The target {name} has whole numbers below zero. Expected classes 0, 1, 2, ...: set "
            "the task to regression to take them as numbers."
        )
        found.append(Finding("error", text))
    else:
        found += _classes(check)
    return found


def _classes(check: ColumnCheck) -> list[Finding]:
    listed = ", ".join(f"{value} ({_rows(count)})" for value, count in check.counts[:_LISTED])
    more = f" and {check.distinct - _LISTED} more" if check.distinct > _LISTED else ""
    count = num_classes(check)
    text = f"{check.name!r} is taken as classes: {count}"
    text += f", namely {listed}{more}." if listed else "."
    if check.kind == "whole number" and count > check.distinct:
        text += f" Classes count from 0, and {count - check.distinct} of them occur in no row."
    if check.kind == "whole number":
        text += " If it is a quantity, set the task to regression."
    found = [Finding("info", text)]
    rare = [value for value, rows in check.counts if rows < 2]
    if rare or not check.counts:
        what = f"{len(rare)} of them" if rare else "Many of them"
        found.append(Finding("warning", f"{check.name!r}: {what} may occur in one row alone."))
    return found


def _gaps(check: ColumnCheck, missing_allowed: bool) -> list[Finding]:
    found = []
    name = repr(check.name)
    if check.missing and missing_allowed:
        text = f"{name} has no value in {_rows(check.missing)}; the model does without them."
        found.append(Finding("info", text))
    elif check.missing:
        text = (
            f"{name} has no value in {_rows(check.missing)}, the first is row "
            f"{check.first_missing}. Expected a value in each row: drop those rows, fill the "
            "gaps, or ignore the column."
        )
        found.append(Finding("error", text))
    if check.infinite:
        text = (
            f"{name} is infinite in {_rows(check.infinite)}, the first is row "
            f"{check.first_infinite}. Expected finite numbers."
        )
        found.append(Finding("error", text))
    return found


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _what(check: ColumnCheck) -> str:
    if check.kind == "other":
        return "neither numbers alone nor text alone"
    return "true and false with gaps" if check.kind == "true/false with gaps" else "text"


def _check(name: str, series: pd.Series[Any]) -> ColumnCheck:
    kind = _kind(series)
    empty = series.isna().to_numpy()
    known = series[~empty]
    infinite = np.zeros(len(series), bool)
    low = high = None
    if kind in ("number", "whole number", "true/false"):
        numbers = series.to_numpy(dtype="float64", na_value=np.nan)
        infinite = np.isinf(numbers)
        finite = numbers[np.isfinite(numbers)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (None, None)
    distinct = int(known.nunique()) if kind != "other" else len(known)
    counts: tuple[tuple[str, int], ...] = ()
    if kind != "other" and distinct <= COUNTED:
        counts = tuple((str(value), int(n)) for value, n in known.value_counts().items())
    return ColumnCheck(
        name=name,
        kind=kind,
        missing=int(empty.sum()),
        infinite=int(infinite.sum()),
        first_missing=_first(empty),
        first_infinite=_first(infinite),
        low=low,
        high=high,
        distinct=distinct,
        counts=counts,
        decimal_commas=kind == "text" and _has_decimal_commas(known),
    )


def _kind(series: pd.Series[Any]) -> Kind:
    types = pd.api.types
    if types.is_bool_dtype(series.dtype):
        return "true/false"
    if types.is_integer_dtype(series.dtype):
        return "whole number"
    if types.is_numeric_dtype(series.dtype) and not types.is_complex_dtype(series.dtype):
        return "number"
    if series.dtype == object:  # before the texts: pandas takes any object for one
        held = set(map(type, series.dropna()))
        kinds: dict[type, Kind] = {str: "text", bool: "true/false with gaps"}
        return kinds.get(held.pop(), "other") if len(held) == 1 else "other"
    if isinstance(series.dtype, pd.CategoricalDtype) or types.is_string_dtype(series.dtype):
        return "text"
    return "other"


def _first(flags: np.ndarray) -> int | None:
    return int(np.argmax(flags)) + 1 if flags.any() else None


def _has_decimal_commas(known: pd.Series[Any]) -> bool:
    head = known.head(50).astype(str)
    return bool(len(head)) and bool(head.str.fullmatch(r"\s*[-+]?\d+,\d+\s*").all())
