"""The page of runs: table, comparison, archive, delete; and the tables as functions."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest
from tfbdl_dashboard import run_index, run_tables, server
from tfbdl_dashboard.pages import runs as page_of_runs

from tfbdl import runs
from tfbdl.specs import RunSpec


def make(root: Path, name: str, elbos: tuple[float, ...], **options: int) -> runs.RunFolder:
    """A finished run of ``bbb`` with a curve."""
    folder = runs.RunFolder(root / name).create()
    folder.write_spec(RunSpec(model="bbb", data="diabetes", seed=7, engine_options=options))
    with runs.MetricsWriter(folder.metrics_path) as writer:
        for step, elbo in enumerate(elbos):
            writer.write(step, {"elbo": elbo, "loss": -elbo})
    (folder.path / runs.RESULT).write_text(json.dumps({"metrics": {"coverage_90": 0.875}}))
    folder.set_state("done")
    return folder


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two finished runs."""
    monkeypatch.setenv(server.RUNS_VARIABLE, str(tmp_path))
    make(tmp_path, "first", (-9.0, -7.5, -8.0), epochs=3)
    make(tmp_path, "second", (-9.0, -5.0), epochs=2)
    return tmp_path


def page(*selected: str) -> AppTest:
    """The page by itself with some rows selected, run to its end."""
    script = "from tfbdl_dashboard.pages import runs\nruns.show()\n"
    shown = AppTest.from_string(script, default_timeout=120)
    shown.session_state[page_of_runs.SELECTED] = list(selected)
    shown.run()
    assert not shown.exception
    return shown


def button(shown: AppTest, label: str) -> object:
    return next(found for found in shown.button if found.label == label)


def test_page_shows_state_best_and_last_figures(root: Path) -> None:
    table = page().dataframe[0].value.set_index("run")
    row = table.loc["first"]
    assert (row["state"], row["model"], row["engine"], row["seed"]) == (
        "done", "bbb", "variational", 7,
    )  # fmt: skip
    assert (row["objective"], row["best"], row["last"]) == ("elbo", -7.5, -8.0)
    assert row["coverage_90"] == 0.875
    assert isinstance(row["created"], pd.Timestamp)


def test_page_outlives_a_run_that_cannot_be_read(root: Path) -> None:
    (root / "broken").mkdir()
    (root / "broken" / runs.RUN).write_text("{")
    shown = page("broken")
    assert shown.dataframe[0].value.set_index("run").loc["broken", "state"] == "unreadable"
    texts = [text.value for text in shown.text]
    assert any("run.json cannot be read as JSON" in text for text in texts)
    assert not any(str(root) in text for text in texts)


def test_page_says_what_to_do_if_there_is_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(server.RUNS_VARIABLE, str(tmp_path / "none"))
    shown = page()
    assert "New run" in shown.info[0].value
    assert str(tmp_path) not in shown.info[0].value


def test_page_compares_several_runs_by_a_curve_and_what_differs(root: Path) -> None:
    shown = page("first", "second")
    assert shown.selectbox[0].options == ["elbo", "loss"]
    shown.selectbox[0].set_value("loss").run()
    assert not shown.exception
    table = shown.dataframe[1].value.set_index("")
    assert dict(table.loc["engine.epochs"]) == {"first": "3", "second": "2"}
    assert "model" not in table.index


def test_page_archives_and_takes_back(root: Path) -> None:
    shown = page("first")
    button(shown, "Archive").click().run()
    assert list(run_index.archived(root)) == ["first"]
    assert list(shown.dataframe[0].value["run"]) == ["second"]
    shown.multiselect(key="archived").set_value(["first"]).run()
    button(shown, "Take back").click().run()
    assert not shown.exception
    assert set(run_index.folders(root)) == {"first", "second"}


def test_page_takes_back_at_once_what_was_archived(root: Path) -> None:
    shown = page("first", "second")
    button(shown, "Archive").click().run()
    assert not run_index.folders(root)
    button(shown, "Undo").click().run()
    assert not shown.exception
    assert set(run_index.folders(root)) == {"first", "second"}
    assert "Undo" not in [found.label for found in shown.button]


def test_look_at_the_runs_draws_the_table_alone_until_a_state_changes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[list[run_index.Row]] = []
    again: list[str] = []
    monkeypatch.setattr(page_of_runs.st, "session_state", {})
    monkeypatch.setattr(page_of_runs.st, "rerun", lambda: again.append("the whole page"))
    monkeypatch.setattr(page_of_runs, "show_table", lambda rows: drawn.append(rows) or [])
    folder = run_index.find(root, "first")
    assert folder is not None
    with folder.worker():
        (folder.path / runs.RESULT).write_text('{"metrics": {"coverage_90": NaN}}')
        states = [(row.id, row.state) for row in run_index.rows(root)]
        for step in (1, 2):
            folder.heartbeat(step=step)
            folder.set_state("running")
            page_of_runs.watch_table(root, states)
        assert drawn[0] != drawn[1]
        assert again == []
    page_of_runs.watch_table(root, states)
    assert again == ["the whole page"]


def test_page_deletes_only_what_is_confirmed(root: Path) -> None:
    shown = page("first")
    button(shown, "Delete").click().run()
    assert set(run_index.folders(root)) == {"first", "second"}
    shown.button(key="confirm-keep").click().run()
    assert set(run_index.folders(root)) == {"first", "second"}
    button(shown, "Delete").click().run()
    shown.button(key="confirm-delete").click().run()
    assert not shown.exception
    assert set(run_index.folders(root)) == {"second"}


def test_page_opens_the_pages_of_a_run(root: Path) -> None:
    shown = page("second")
    shown.button(key="open-live").click().run()
    assert shown.query_params["run"] in ("second", ["second"])


def test_curves_are_written_in_long_form() -> None:
    found = {"a": {"elbo": [(0, -1.0), (5, -0.5)], 'odd,"name': [(1, math.nan)]}, "b": {}}
    table = pd.read_csv(io.StringIO(run_tables.curves_csv(found.items())))
    assert table.columns.tolist() == ["run", "metric", "step", "value"]
    assert table.values.tolist()[:2] == [["a", "elbo", 0, -1.0], ["a", "elbo", 5, -0.5]]
    assert table.metric[2] == 'odd,"name'
    assert math.isnan(table.value[2])


def test_options_text_names_no_folder() -> None:
    spec = RunSpec(model="bbb", data="/home/ada/data/wine.csv", data_options={"target": "price"})
    shown = json.loads(run_tables.options_text(spec))
    assert shown == {"model": "bbb", "data": "wine.csv", "data_options": {"target": "price"}}


def test_comparison_leaves_a_figure_empty_where_a_run_has_none() -> None:
    rows = [run_index.Row(id="a", figures={"nll": 0.5}), run_index.Row(id="b")]
    table = run_tables.comparison(rows, {}).set_index("")
    assert dict(table.loc["nll"]) == {"a": "0.5", "b": ""}


def test_extents_table_has_the_ends_of_each_curve(root: Path) -> None:
    folder = run_index.find(root, "first")
    assert folder is not None
    table = run_tables.extents_table(folder.summarise_metrics()).set_index("curve")
    row = table.loc["elbo"]
    assert (row["step"], row["last"], row["least"], row["greatest"]) == (2, -8.0, -9.0, -7.5)
    assert "lower bound" in row["meaning"]


def test_metrics_are_thinned_to_the_last_of_equal_stretches(tmp_path: Path) -> None:
    path = tmp_path / runs.METRICS
    with runs.MetricsWriter(path) as writer:
        for step in range(1000):
            writer.write(step, {"a": float(step), "b": math.nan})
    found = runs.read_metrics(path, names=["a"], most=10)
    assert found == {"a": [(step, float(step)) for step in range(99, 1000, 100)]}
    assert [step for step, _ in runs.read_metrics(path, after=989, most=4)["b"]] == [
        990,
        993,
        996,
        999,
    ]
    assert all(math.isnan(value) for _, value in runs.read_metrics(path, most=5)["b"])
    assert runs.read_metrics(path, names=["none"], most=5) == {}
