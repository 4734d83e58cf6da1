"""What stands in the columns of a table, and what is said of it before a run."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tfbdl_dashboard import column_checks
from tfbdl_dashboard.column_checks import Finding

FRAME = pd.DataFrame(
    {
        "good": [0.5, 1.5, 2.5, 3.5],
        "gap": [0.5, np.nan, np.nan, 1.0],
        "over": [0.5, 1.0, np.inf, 2.0],
        "town": ["a", "b", "a", "a"],
        "same": [1, 1, 1, 1],
        "price": ["1,5", "2,5", "3,5", "4,5"],
        "grade": [1, 3, 3, 1],
    }
)


def levels(target: list[str], features: list[str], **options: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"error": [], "warning": [], "info": []}
    checks = column_checks.check_columns(FRAME)
    for finding in column_checks.findings(
        checks, rows=len(FRAME), target=target, features=features, **options
    ):
        found[finding.level].append(finding.text)
    return found


def test_gaps_and_infinite_values_are_named_with_their_first_row() -> None:
    found = levels(["good"], ["gap", "over"])
    assert "'gap' has no value in 2 rows, the first is row 2" in found["error"][0]
    assert "'over' is infinite in 1 row, the first is row 3" in found["error"][1]
    assert levels(["good"], ["gap"], missing_allowed=True)["error"] == []


def test_texts_as_features_are_refused_and_decimal_commas_are_seen() -> None:
    found = levels(["good"], ["town", "price"])
    assert "'town' holds text, for example 'a'" in found["error"][0]
    assert "points in place of commas" in found["error"][1]
    assert levels(["good"], ["same"])["warning"][0].startswith("'same' holds one value")
    assert "No column is left" in levels(["good"], [])["error"][0]


def test_target_is_counted_as_classes_or_taken_as_a_number_as_a_run_does() -> None:
    assert levels(["good"], ["same"])["info"] == ["'good' is taken as a number: a regression."]
    said = levels(["grade"], ["good"])["info"][0]
    assert "'grade' is taken as classes: 4, namely 1 (2 rows), 3 (2 rows)" in said
    assert "2 of them occur in no row" in said
    assert levels(["town"], ["good"])["error"] == []
    assert (
        "Expected numbers for a regression"
        in levels(["town"], ["good"], task="regression")["error"][0]
    )
    assert "one value in all rows" in levels(["same"], ["good"])["error"][0]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([True, None, False], "true/false with gaps"),
        ([object(), 1], "other"),
        ([b"a", b"b"], "other"),
        ([Decimal(1), Decimal(2)], "other"),
        (["a", 1], "other"),
        (["a", None], "text"),
    ],
)
def test_column_of_objects_is_what_it_holds(values: list[Any], kind: str) -> None:
    frame = pd.DataFrame({"a": pd.Series(values, dtype=object), "b": [0.5] * len(values)})
    checks = column_checks.check_columns(frame)
    assert checks[0].kind == kind
    assert not checks[0].numeric
    found = column_checks.findings(checks, rows=len(frame), target=["b"], features=["a"])
    assert "'a' holds" in found[0].text
    assert ("text, for" in found[0].text) == (kind == "text")


@pytest.mark.parametrize(
    ("values", "task"),
    [
        ([0.5, 1.5], "regression"),
        ([0, 1], "classification"),
        ([0, 999], "classification"),
        ([0, 1000], "regression"),
        (["a", "b"], "classification"),
        ([True, False], "classification"),
    ],
)
def test_task_of_a_target_is_the_one_that_a_run_finds(values: list[Any], task: str) -> None:
    check = column_checks.check_columns(pd.DataFrame({"y": values}))[0]
    assert column_checks.target_task(check, len(values)) == task


def test_labels_below_zero_are_refused_unless_they_are_numbers() -> None:
    frame = pd.DataFrame({"x": [0.0, 1.0], "y": [-1, 1]})
    checks = column_checks.check_columns(frame)

    def said(task: str | None) -> list[Finding]:
        return column_checks.findings(checks, rows=2, target=["y"], features=["x"], task=task)

    assert said(None)[0].level == "error"
    assert [finding.level for finding in said("regression")] == ["info"]
