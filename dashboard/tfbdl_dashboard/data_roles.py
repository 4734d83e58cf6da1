"""The parts that columns and arrays of a file play in a run: target, features, ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import streamlit as st

from tfbdl import registry
from tfbdl.config import fields_of
from tfbdl.planning import FILE_DATASET
from tfbdl.specs import DatasetSpec, ModelSpec
from tfbdl_dashboard import column_checks, uploads
from tfbdl_dashboard.forms import options_form
from tfbdl_dashboard.plain_text import escaped
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
    ignored = [n for n in names if n not in listed and n not in before] if listed else texts
    ignored = st.multiselect(
        "Ignored columns",
        [name for name in names if name not in target],
        [name for name in ignored if name not in target],
        key=f"{key}:ignored:{','.join(target)}",
        help="All others are features. A feature holds numbers.",
        placeholder="none",
        persist_state="session",
    )
    features = [name for name in names if name not in target and name not in ignored]
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
    for finding in found:
        {"error": st.error, "warning": st.warning, "info": st.info}[finding.level](
            escaped(finding.text)
        )
    task, classes = _task_of(inspection, target, options.get("task"))
    show_mismatch(mismatch(model, task, classes))
    errors = [finding.text for finding in found if finding.level == "error"]
    problem = " ".join(errors[:1])
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
    fixed: dict[str, Any] = {"path": str(path), "target": None, "features": None, "sep": None}
    has_targets = any(check.name == "y" for check in inspection.arrays)
    if not has_targets:
        fixed["task"] = None
        show_mismatch(mismatch(model, UNSUPERVISED))
    options = _file_form(spec, f"{key}:options", given, fixed)
    problem = ""
    for check in inspection.arrays:
        gaps = check.infinite + (0 if model.missing_values else check.missing)
        if check.used and gaps:
            problem = f"{check.name} has missing or infinite values: {gaps}."
            st.error(escaped(f"{problem} Expected finite numbers."))
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


def _task_of(
    inspection: Inspection, target: list[str], chosen: str | None
) -> tuple[str, int | None]:
    """The task of a table, and how many classes its target has."""
    if not target:
        return UNSUPERVISED, None
    column = next(c for c in inspection.columns if c.name == target[0])
    task = chosen or column_checks.target_task(column, inspection.rows)
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
