"""Runs on disk and a side process that does not compute, for tests of pages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from tfbdl_dashboard import side, state

from tfbdl import runs
from tfbdl.diagnostics import to_datatree
from tfbdl.specs import RunSpec


def finished_run(
    root: Path,
    *,
    spec: RunSpec,
    metrics: Mapping[str, float] | None = None,
    verdicts: list[str] | None = None,
    draws: Mapping[str, np.ndarray] | None = None,
    stats: Mapping[str, np.ndarray] | None = None,
    **record: Any,
) -> runs.RunFolder:
    """The folder of a finished run named ``first``, without a model."""
    folder = runs.RunFolder(root / "first").create()
    folder.write_spec(spec, extra=record)
    result: dict[str, Any] = {"metrics": dict(metrics or {})}
    if verdicts is not None:
        result["diagnostics"] = verdicts
    (folder.path / runs.RESULT).write_text(json.dumps(result))
    if draws is not None:
        path = folder.path / runs.POSTERIOR
        to_datatree(draws, stats).to_netcdf(path, engine="h5netcdf")
    folder.set_state("done")
    return folder


def page_of_run(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> AppTest:
    """A page of the run ``first``, run to its end."""
    monkeypatch.setenv(state.RUNS_VARIABLE, str(root))
    script = f"from tfbdl_dashboard.pages import {name}\n{name}.show()\n"
    shown = AppTest.from_string(script, default_timeout=180)
    shown.query_params["run"] = "first"
    shown.run()
    assert not shown.exception
    return shown


def fake_side(
    monkeypatch: pytest.MonkeyPatch, answers: Mapping[str, Any]
) -> list[tuple[str, str | None, dict[str, Any]]]:
    """Answer tasks by ``answers`` (arrays, or a function of the arguments); return the requests."""
    asked: list[tuple[str, str | None, dict[str, Any]]] = []

    def computed(task: str, run: str | None = None, **arguments: Any) -> Any:
        asked.append((task, run, arguments))
        answer = answers[task]
        return answer(**arguments) if callable(answer) else answer

    monkeypatch.setattr(side, "computed", computed)
    return asked


def charts_of(shown: AppTest) -> list[dict[str, Any]]:
    """The Vega-Lite specifications of a page's charts."""
    return [json.loads(chart.proto.spec) for chart in shown.get("vega_lite_chart")]
