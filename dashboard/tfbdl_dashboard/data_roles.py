"""The parts that columns and arrays of a file play in a run: target, features, ignored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from tfbdl import registry
from tfbdl.config import fields_of
from tfbdl.planning import FILE_DATASET
from tfbdl.specs import DatasetSpec, ModelSpec
from tfbdl_dashboard import column_checks, uploads
from tfbdl_dashboard.array_files import ArrayCheck
from tfbdl_dashboard.column_checks import ColumnCheck, Finding
from tfbdl_dashboard.forms import options_form
from tfbdl_dashboard.plain_text import escaped
from tfbdl_dashboard.text_tables import FIRST_UNNAMED
from tfbdl_dashboard.uploads import Inspection

UNSUPERVISED = "unsupervised"

SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": ","}
"""What parts the columns of a text by its name, unless an option says otherwise."""


@dataclass(frozen=True, kw_only=True)
class DataChoice:
    """What was chosen.

    Attributes:
        data: A data set's name or a file's path; None if nothing can be used.
        options: Of the data, where they differ from the defaults.
        problem: What keeps a run from starting, as one sentence; empty if nothing does.
        label: What to call the data: a name, without the folders of a path.
    """

    data: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""
    label: str = ""


def mismatch(model: ModelSpec, task: str, classes: int | None = None) -> str:
    """Why a model may not be able to use targets of a task, or an empty text.

    Args:
        model: With its task and what it says of classes.
        task: Of the data: ``regression``, ``classification``, ``unsupervised``, or another word
            that tells nothing.
        classes: How many classes the targets have, where that is known.
    """
    wanted = model.task
    if wanted == UNSUPERVISED or task not in ("regression", "classification", UNSUPERVISED):
        return ""
    if task == UNSUPERVISED:
        return f"The model {model.name} needs targets ({wanted}), and these data have none."
    if wanted in ("regression", "classification") and task != wanted:
        what = {"regression": "numbers to predict", "classification": "classes to predict"}
        return (
            f"The model {model.name} is for {wanted}, and the targets of these data are "
            f"{what[task]}. The run may be refused, or mean little."
        )
    if task == "classification" and model.max_classes and (classes or 0) > model.max_classes:
        return (
            f"The model {model.name} tells {model.max_classes} classes apart, and these data "
            f"have {classes}."
        )
    return ""


def default_target(inspection: Inspection, model: ModelSpec) -> list[str]:
    """The last column, as on the command line; none for a model without targets."""
    if model.task == UNSUPERVISED or len(inspection.columns) < 2:
        return []
    return [inspection.columns[-1].name]


def roles(
    key: str, model: ModelSpec, path: Path, inspection: Inspection, given: Mapping[str, Any]
) -> DataChoice:
    """Draw which columns are what, with what there is to know of them; or the arrays of a file.

    Args:
        key: Unique on the page, and to the file.
        model: What the data are for.
        path: The file.
        inspection: What it holds.
        given: Options of the data that are shown at first.
    """
    spec = registry.registry().datasets[FILE_DATASET]
    if inspection.arrays:
        return _arrays(key, spec, model, path, inspection, given)
    names = [column.name for column in inspection.columns]
    texts = [column.name for column in inspection.columns if not column.numeric]
    before = [name for name in given.get("target") or () if name in names]
    target = st.multiselect(
        "Target",
        names,
        before or default_target(inspection, model),
        key=f"{key}:target",
        help="What is predicted; none for a model without targets.",
        placeholder="none",
        persist_state="session",
    )
    listed = given.get("features")
    unnamed = [name for name in names[:1] if name == FIRST_UNNAMED]
    ignored = (
        [n for n in names if n not in listed and n not in before] if listed else unnamed + texts
    )
    ignored = st.multiselect(
        "Ignored columns",
        [name for name in names if name not in target],
        [name for name in ignored if name not in target],
        key=f"{key}:ignored:{','.join(target)}",
        help="Neither predicted nor used to predict, such as names and numbers of rows. All other "
        "columns are features, and hold numbers.",
        placeholder="none",
        persist_state="session",
    )
    features = [name for name in names if name not in target and name not in ignored]
    if unnamed and unnamed[0] in ignored:
        st.info("The first column has no name, as the numbers of rows that pandas writes: ignored.")
    fixed: dict[str, Any] = {
        "path": str(path),
        "target": list(target),
        "features": features if ignored else None,
        "sep": _separator_option(path, inspection.separator),
    }
    if not target:
        fixed["task"] = None
    options = _file_form(spec, f"{key}:options", given, fixed)
    _preview(inspection)
    found = column_checks.findings(
        inspection.columns,
        rows=inspection.rows,
        target=target,
        features=features,
        missing_allowed=model.missing_values,
        task=options.get("task"),
    )
    problem = _show_findings(found)
    column = next((c for c in inspection.columns if target and c.name == target[0]), None)
    show_mismatch(mismatch(model, *_task_of(column, inspection.rows, options.get("task"))))
    return DataChoice(
        data=str(path), options=options, problem=problem, label=uploads.data_label(path.name)
    )


def _arrays(
    key: str,
    spec: DatasetSpec,
    model: ModelSpec,
    path: Path,
    inspection: Inspection,
    given: Mapping[str, Any],
) -> DataChoice:
    st.dataframe(
        [
            {
                "array": check.name,
                "shape": " x ".join(map(str, check.shape)),
                "holds": check.dtype,
                "missing": check.missing,
                "infinite": check.infinite,
                "read": check.used,
            }
            for check in inspection.arrays
        ],
        hide_index=True,
    )
    _heads(inspection.arrays)
    fixed: dict[str, Any] = {"path": str(path), "target": None, "features": None, "sep": None}
    targets = next((check for check in inspection.arrays if check.name == "y"), None)
    if targets is None:
        fixed["task"] = None
    options = _file_form(spec, f"{key}:options", given, fixed)
    problem = ""
    for check in inspection.arrays:
        gaps = check.infinite + (0 if model.missing_values else check.missing)
        if check.used and gaps and check.column is None:
            problem = f"{check.name} has missing or infinite values: {gaps}."
            st.error(escaped(f"{problem} Expected finite numbers."))
    if targets is None:
        show_mismatch(mismatch(model, UNSUPERVISED))
    elif targets.column is None:
        whole = np.dtype(targets.dtype).kind != "f"
        task = options.get("task") or ("classification" if whole else "regression")
        show_mismatch(mismatch(model, task))
    else:
        found = column_checks.findings(
            [targets.column],
            rows=inspection.rows,
            target=["y"],
            features=["x"],
            missing_allowed=model.missing_values,
            task=options.get("task"),
        )
        problem = _show_findings(found) or problem
        show_mismatch(
            mismatch(model, *_task_of(targets.column, inspection.rows, options.get("task")))
        )
    return DataChoice(
        data=str(path), options=options, problem=problem, label=uploads.data_label(path.name)
    )


def _file_form(
    spec: DatasetSpec, key: str, given: Mapping[str, Any], fixed: Mapping[str, Any]
) -> dict[str, Any]:
    """What the columns do not decide, and what they do where it is not the default."""
    names = {option.name for option in fields_of(spec.config)}
    fixed = {name: value for name, value in fixed.items() if name in names}
    values = {name: value for name, value in given.items() if name not in fixed}
    drawn = options_form(spec.config, key, values, fixed=fixed)
    decided = {n: v for n, v in fixed.items() if n != "path" and v is not None}
    return decided | drawn


def _heads(arrays: Sequence[ArrayCheck]) -> None:
    """The first rows of what a run reads, as far as rows can be written side by side."""
    shown = [check for check in arrays if check.head is not None]
    if not shown:
        return
    for check, tab in zip(shown, st.tabs([escaped(check.name) for check in shown]), strict=True):
        tab.dataframe(check.head, hide_index=True, height=215)


def _show_findings(found: Sequence[Finding]) -> str:
    """Draw them; the first that keeps a run from starting, or an empty text."""
    for finding in found:
        {"error": st.error, "warning": st.warning, "info": st.info}[finding.level](
            escaped(finding.text)
        )
    return next((finding.text for finding in found if finding.level == "error"), "")


def _task_of(column: ColumnCheck | None, rows: int, chosen: str | None) -> tuple[str, int | None]:
    """The task that a target makes, and how many classes it has."""
    if column is None:
        return UNSUPERVISED, None
    task = chosen or column_checks.target_task(column, rows)
    return task, column_checks.num_classes(column) if task == "classification" else None


def _separator_option(path: Path, separator: str | None) -> str | None:
    """What parts the columns, where the file's name does not say so."""
    return None if separator == SEPARATORS.get(path.suffix.lower()) else separator


def _preview(inspection: Inspection) -> None:
    st.caption(f"{inspection.rows:,} rows, {len(inspection.columns):,} columns")
    first, columns = st.tabs(["First rows", "Columns"])
    first.dataframe(inspection.head, hide_index=True, height=215)
    columns.dataframe(column_checks.summary(inspection.columns), hide_index=True, height=215)


def show_mismatch(text: str) -> None:
    """Warn of it, if there is something to warn of."""
    if text:
        st.warning(escaped(text))
