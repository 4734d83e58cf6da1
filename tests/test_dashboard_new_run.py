"""A new run is put together, checked at each change, shown as text, and started."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from built_in import engines, models
from streamlit.testing.v1 import AppTest
from tfbdl_dashboard import charts, data_choice, data_roles, jobs, side, uploads
from tfbdl_dashboard.pages import new_run

from tfbdl import registry
from tfbdl.runs import RunFolder
from tfbdl.specs import RunSpec

TABLE = "size,town,rooms,price\n" + "".join(
    f"{50 + i},{'ab'[i % 2]},{i % 4},{100.5 + 2 * i}\n" for i in range(20)
)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of runs; empty."""
    monkeypatch.setenv("TFBDL_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[RunSpec]:
    """The runs that were started, of which none is."""
    made: list[RunSpec] = []

    def start(root: Path, spec: RunSpec) -> str:
        made.append(spec)
        return "an-id"

    monkeypatch.setattr(jobs, "start", start)
    return made


def page(**query: str) -> AppTest:
    script = "from tfbdl_dashboard.pages import new_run\nnew_run.show()\n"
    shown = AppTest.from_string(script, default_timeout=120)
    for name, value in query.items():
        shown.query_params[name] = value
    return checked(shown.run())


def checked(shown: AppTest) -> AppTest:
    assert not shown.exception
    return shown


def choose(shown: AppTest, model: str, data: str = "diabetes") -> AppTest:
    shown.selectbox(key="new:model:All").set_value(model).run()
    shown.selectbox(key="new:data:name").set_value(data).run()
    return checked(shown)


def start_button(shown: AppTest) -> Any:
    return next(button for button in shown.button if button.label == "Start")


def said(shown: AppTest, kind: str) -> str:
    return "\n".join(item.value for item in getattr(shown, kind)).replace("\\", "")


def test_start_waits_for_the_data() -> None:
    shown = page()
    assert start_button(shown).disabled
    assert "Choose the data." in said(shown, "info")
    assert not shown.code


@pytest.mark.parametrize("model", list(models()))
def test_each_model_opens_its_form_and_can_be_started(model: str) -> None:
    shown = choose(page(), model)
    assert not shown.error
    assert not start_button(shown).disabled
    assert f"tfbdl run {model} --data diabetes" in shown.code[0].value.replace(" \\\n ", "")
    spec = registry.registry().models[model]
    engines = shown.selectbox(key=f"new:engine:{model}").options
    assert engines[0].startswith(f"{spec.default_engine} (default)")
    admitted = {n for n, e in registry.registry().engines.items() if e.fits(spec.capabilities)}
    assert {text.split(" ")[0] for text in engines} == admitted
    priors = [box for box in shown.selectbox if box.key == f"new:prior:{model}"]
    assert bool(priors) == (spec.default_prior is not None)


@pytest.mark.parametrize("engine", list(engines()))
def test_each_engine_opens_its_form(engine: str) -> None:
    found = registry.registry()
    fitting = (n for n, m in found.models.items() if found.engines[engine].fits(m.capabilities))
    model = next(fitting, None)
    if model is None:
        assert engine not in new_run.fitting_engines(found.models["bbb"], found.engines)
        return
    shown = choose(page(), model)
    shown.selectbox(key=f"new:engine:{model}").set_value(engine).run()
    assert f"--engine {engine}" in checked(shown).code[0].value


def test_start_hands_over_the_run_that_is_shown(
    root: Path, started: list[RunSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = choose(page(), "bbb")
    shown.text_input(key="new:model:bbb:hidden").set_value("8").run()
    shown.checkbox(key="new:engine:variational:steps:none").uncheck().run()
    shown.number_input(key="new:engine:variational:steps").set_value(50).run()
    shown.selectbox(key="new:prior:bbb").set_value("laplace").run()
    shown.number_input(key="new:seed").set_value(3).run()
    expected = RunSpec(
        model="bbb",
        data="diabetes",
        engine="variational",
        prior="laplace",
        model_options={"hidden": [8]},
        engine_options={"steps": 50},
        seed=3,
    )
    line = shown.code[0].value.replace(" \\\n ", "")
    assert line == (
        "tfbdl run bbb --data diabetes --engine variational --prior laplace --model.hidden 8 "
        "--engine.steps 50 --seed 3"
    )
    start_button(shown).click().run()
    checked(shown)
    assert started == [expected]
    assert shown.session_state["run"] == "an-id"


def test_option_that_is_not_admitted_keeps_the_run_from_starting(started: list[RunSpec]) -> None:
    shown = choose(page(), "bbb")
    shown.text_input(key="new:model:bbb:hidden").set_value("many").run()
    assert start_button(checked(shown)).disabled
    assert "'hidden' of the model options of 'bbb'" in said(shown, "error")
    assert not shown.code


def test_tasks_part_the_models() -> None:
    models = registry.registry().models
    assert "bbb" in new_run.models_of("regression", models)
    assert "bbb" in new_run.models_of("classification", models)
    assert "logistic" not in new_run.models_of("regression", models)
    assert "gmm" in new_run.models_of("unsupervised", models)
    assert "gmm" not in new_run.models_of("regression", models)
    assert new_run.tasks_of(models)[:3] == ["regression", "classification", "unsupervised"]
    shown = page()
    shown.segmented_control(key="new:task").set_value("unsupervised").run()
    options = shown.selectbox(key="new:model:unsupervised").options
    assert [text.split(" ")[0] for text in options] == new_run.models_of("unsupervised", models)


def test_data_of_another_task_are_warned_about() -> None:
    assert "for regression" in said(choose(page(), "linear", "iris"), "warning")
    assert not choose(page(), "linear", "diabetes").warning
    assert not choose(page(), "gmm", "iris").warning
    logistic = registry.registry().models["logistic"]
    assert "2 classes apart" in data_roles.mismatch(logistic, "classification", 3)
    assert data_roles.mismatch(logistic, "classification", 2) == ""
    assert "needs targets" in data_roles.mismatch(logistic, "unsupervised")


def test_run_again_shows_the_choices_of_that_run(root: Path) -> None:
    spec = RunSpec(
        model="bbb",
        data="iris",
        engine="nuts",
        model_options={"hidden": [4]},
        engine_options={"draws": 300},
        data_options={"split": 2},
        prior="normal",
        prior_options={"scale": 0.5},
        seed=9,
    )
    RunFolder(root / "first").create().write_spec(spec)
    shown = page(again="first")
    line = shown.code[0].value.replace(" \\\n ", "")
    assert line == (
        "tfbdl run bbb --data iris --engine nuts --model.hidden 4 --engine.draws 300 "
        "--prior.scale 0.5 --data.split 2 --seed 9"
    )
    assert "not there" in said(page(again="../first"), "warning")


def test_choices_of_the_chosen_run_are_offered_and_can_be_dropped(root: Path) -> None:
    RunFolder(root / "first").create().write_spec(RunSpec(model="gmm", data="iris", seed=4))
    shown = page(run="first")
    offer = next(button for button in shown.button if "choices of first" in button.label)
    assert "tfbdl run" not in "".join(code.value for code in shown.code)
    offer.click().run()
    line = checked(shown).code[0].value.replace(" \\\n ", "")
    assert line == "tfbdl run gmm --data iris --engine em --seed 4"
    next(button for button in shown.button if button.label == "Begin anew").click().run()
    assert not checked(shown).code


def test_density_is_drawn_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, Any]] = []

    def computed(task: str, **arguments: Any) -> dict[str, np.ndarray]:
        asked.append((task, arguments))
        x = np.linspace(-2.0, 2.0, 5)
        return {"x": x, "density": np.ones(5), "note": np.asarray("Averaged.")}

    monkeypatch.setattr(side, "computed", computed)
    shown = choose(page(), "bbb")
    assert asked == []
    shown.number_input(key="new:prior:normal:scale").set_value(0.5).run()
    shown.toggle(key="new:prior:normal:density").set_value(True).run()
    checked(shown)
    assert asked == [("prior_density", {"prior": "normal", "options": {"scale": 0.5}})]
    assert "Averaged." in [text.value for text in shown.text]


def test_density_is_drawn_by_itself_where_the_side_process_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []
    drawn: list[Any] = []
    x = np.linspace(-2.0, 2.0, 5)

    def computed(task: str, **arguments: Any) -> dict[str, np.ndarray]:
        asked.append(arguments["options"])
        return {"x": x, "density": np.ones(5)}

    monkeypatch.setattr(side, "state", lambda: "ready")
    monkeypatch.setattr(side, "computed", computed)
    monkeypatch.setattr("streamlit.altair_chart", drawn.append)
    shown = choose(page(), "bbb")
    assert asked
    encoding = drawn[-1].to_dict()["layer"][0]["encoding"]["color"]["scale"]
    meant = dict(zip(encoding["domain"], encoding["range"], strict=True))
    assert meant == {"normal": charts.PRIOR, new_run.STANDARD_NORMAL: charts.REFERENCE}
    assert len({charts.PRIOR, charts.REFERENCE, charts.POSTERIOR}) == 3
    asked.clear()
    shown.toggle(key="new:prior:normal:density").set_value(False).run()
    assert checked(shown).toggle(key="new:prior:normal:density").value is False
    assert asked == []


def upload(shown: AppTest, name: str, content: bytes) -> AppTest:
    shown.segmented_control(key="new:data:source").set_value(data_choice.UPLOAD).run()
    shown.file_uploader(key="new:data:upload:file").set_value((name, content, "text/csv")).run()
    return checked(shown)


def test_uploaded_table_is_kept_by_digest_and_given_roles(
    root: Path, started: list[RunSpec]
) -> None:
    shown = upload(page(), "../../houses.exe", TABLE.encode())
    kept = next((root / uploads.FOLDER).iterdir())
    assert kept.suffix == ".csv"
    assert shown.multiselect[0].value == ["price"]
    assert shown.multiselect[1].value == ["town"]
    assert "'price' is taken as a number" in said(shown, "info")
    start_button(shown).click().run()
    checked(shown)
    assert started[0].data == str(kept)
    assert started[0].data_options == {"target": ["price"], "features": ["size", "rooms"]}


def test_column_of_text_as_a_feature_keeps_the_run_from_starting() -> None:
    shown = upload(page(), "houses.csv", TABLE.encode())
    shown.multiselect[1].set_value([]).run()
    assert "'town' holds text" in said(shown, "error")
    assert start_button(shown).disabled
    shown.multiselect[0].set_value(["town"]).run()
    assert not checked(shown).error
    assert "taken as classes: 2" in said(shown, "info")


def test_model_without_targets_takes_all_columns_of_numbers() -> None:
    shown = page()
    shown.selectbox(key="new:model:All").set_value("gmm").run()
    upload(shown, "houses.csv", TABLE.encode())
    assert shown.multiselect[0].value == []
    line = shown.code[0].value.replace(" \\\n ", "")
    assert "--data.target '[]' --data.features size,rooms,price" in line


def test_upload_that_was_taken_away_is_asked_for_again(root: Path) -> None:
    shown = upload(page(), "houses.csv", TABLE.encode())
    next((root / uploads.FOLDER).iterdir()).unlink()
    assert "Upload it again" in said(checked(shown.run()), "text")
    assert start_button(shown).disabled


def test_index_that_pandas_wrote_is_ignored_and_said_to_be_so(started: list[RunSpec]) -> None:
    frame = pd.DataFrame({"size": [1.5, 2.5, 3.5], "price": [2.0, 3.5, 5.0]})
    shown = upload(page(), "houses.csv", frame.to_csv().encode())
    assert shown.multiselect[1].value == ["Unnamed: 0"]
    assert "The first column has no name" in said(shown, "info")
    start_button(shown).click().run()
    assert started[0].data_options == {"target": ["price"], "features": ["size"]}
    shown.multiselect[1].set_value([]).run()
    assert "The first column has no name" not in said(checked(shown), "info")


def test_malformed_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, looked = tmp_path / "houses.csv", []
    table.write_text("a,b\n1,2\n3\n")
    real = uploads.inspect
    monkeypatch.setattr(uploads, "inspect", lambda *given: looked.append(1) or real(*given))
    shown = page()
    shown.segmented_control(key="new:data:source").set_value(data_choice.PATH).run()
    shown.text_input(key="new:data:path:text").set_value(str(table)).run()
    for _ in range(2):
        assert "Line 3 has 1 cell" in said(checked(shown.run()), "text")
    assert len(looked) == 1


def test_malformed_upload_is_refused_and_leaves_nothing(root: Path) -> None:
    shown = upload(page(), "houses.csv", b"a,b\n1,2\n3\n")
    assert "Line 3 has 1 cell, and the header has 2" in said(shown, "text")
    assert start_button(shown).disabled
    assert list((root / uploads.FOLDER).iterdir()) == []
    shown = upload(page(), "model.keras", b"PK\x03\x04")
    assert "a Keras model" in said(shown, "text")


def test_file_of_this_machine_is_looked_at_and_no_path_is_shown(
    tmp_path: Path, started: list[RunSpec]
) -> None:
    table = tmp_path / "houses.tsv"
    table.write_text(TABLE.replace(",", "\t"))
    shown = page()
    shown.segmented_control(key="new:data:source").set_value(data_choice.PATH).run()
    box = shown.text_input(key="new:data:path:text")
    box.set_value(str(tmp_path / "none.csv")).run()
    assert "No file is there." in said(shown, "error")
    assert str(tmp_path) not in said(shown, "error")
    shown.text_input(key="new:data:path:text").set_value(str(table)).run()
    assert not checked(shown).error
    start_button(shown).click().run()
    assert started[0].data == str(table)
    assert "sep" not in started[0].data_options
    misnamed = tmp_path / "houses.parquet"
    misnamed.write_text(TABLE)
    shown.text_input(key="new:data:path:text").set_value(str(misnamed)).run()
    assert "Rename it." in said(shown, "text")
    assert os.fspath(tmp_path) not in said(shown, "text")


def test_arrays_with_gaps_keep_the_run_from_starting(tmp_path: Path) -> None:
    stored = tmp_path / "arrays.npz"
    x = np.arange(20.0).reshape(10, 2)
    np.savez(stored, x=x, y=np.arange(10) * 0.5)
    shown = page()
    shown.segmented_control(key="new:data:source").set_value(data_choice.PATH).run()
    shown.text_input(key="new:data:path:text").set_value(str(stored)).run()
    assert not start_button(checked(shown)).disabled
    x[3, 1] = np.nan
    np.savez(stored, x=x, y=np.arange(10) * 0.5)
    shown.run()
    assert "x has missing or infinite values: 1" in said(shown, "error")
    assert start_button(shown).disabled


def test_arrays_are_shown_and_their_classes_held_against_the_model(tmp_path: Path) -> None:
    stored = tmp_path / "arrays.npz"
    np.savez(stored, x=np.arange(18.0).reshape(9, 2), y=np.arange(9) % 3)
    shown = page()
    shown.selectbox(key="new:model:All").set_value("logistic").run()
    shown.segmented_control(key="new:data:source").set_value(data_choice.PATH).run()
    shown.text_input(key="new:data:path:text").set_value(str(stored)).run()
    assert "2 classes apart, and these data have 3" in said(checked(shown), "warning")
    assert "taken as classes: 3, namely 0 (3 rows), 1 (3 rows), 2 (3 rows)" in said(shown, "info")
    heads = [frame.value for frame in shown.dataframe[1:3]]
    assert heads[0].iloc[1].tolist() == [2.0, 3.0]
    assert heads[1].iloc[:4, 0].tolist() == [0, 1, 2, 0]
    np.savez(stored, x=np.arange(18.0).reshape(9, 2), y=np.arange(9) * 0.5)
    assert "for classification" in said(checked(shown.run()), "warning")


def test_default_target_is_the_last_column() -> None:
    models = registry.registry().models
    found = uploads.inspect(pd.DataFrame({"a": [1.0], "b": [2.0]}).to_csv(index=False).encode())
    assert data_roles.default_target(found, models["bbb"]) == ["b"]
    assert data_roles.default_target(found, models["gmm"]) == []
