"""The pages of panels: which stand there, their controls, and a side process that is a thread."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from tfbdl_dashboard import panel_view, side, state
from tfbdl_dashboard.answers import Answers
from tfbdl_dashboard.pages import demonstrations, panels

from tfbdl import registry, runs
from tfbdl.config import SET_BY_SHOW, Array, Config, Field
from tfbdl.errors import RunError
from tfbdl.registry import Catalog, Provider
from tfbdl.serving import presence, server, tasks
from tfbdl.specs import PanelSpec, RunSpec


class Controls(Config):
    """Of the panels of these tests."""

    size: int = Field(3, ge=1, le=9, description="How many numbers.")


class PointControls(Config):
    """Of a panel whose picture sets points, and now and then the size."""

    size: int = Field(3, ge=1, le=9, description="How many numbers.")
    name: str = Field("a", description="A word.")
    points: Array | None = Field(None, description="Clicked.", json_schema_extra=SET_BY_SHOW)


def compute(fit: Any, controls: Any) -> Any:
    raise AssertionError("The page computes nothing itself.")


def show_numbers(st: Any, arrays: Mapping[str, np.ndarray]) -> None:
    st.metric("numbers", len(arrays["numbers"]))
    st.text("run " + str(arrays["run"]))


def show_broken(st: Any, arrays: Mapping[str, np.ndarray]) -> None:
    st.text("before the fault")
    raise KeyError("no such array in '/home/ada/panel.py'")


def show_points(st: Any, arrays: Mapping[str, np.ndarray]) -> dict[str, Any] | None:
    """Its buttons stand for clicks."""
    st.text(f"points {arrays['points'].tolist()}")
    if st.button("add"):
        return {"points": [*arrays["points"].tolist(), [1.0, 2.0]]}
    if st.button("enlarge"):
        return {"size": 8}
    if st.button("misspell"):
        return {"point": None}
    if st.button("go too far"):
        return {"size": 10}
    if st.button("mumble"):
        return st.text("mumbled")
    if st.button("again and again") or len(arrays["points"]) > 5:
        return {"points": [[0.0, 0.0]] * (len(arrays["points"]) + 6)}
    return None


def spec(name: str, show: Callable[..., Any] = show_numbers, **more: Any) -> PanelSpec:
    return PanelSpec(name=name, compute=compute, show=show, **more)


PANELS = (
    spec("of_networks", models=("bbb",), controls=Controls, summary="What *the* weights say."),
    spec("of_chains", engines=("nuts",)),
    spec("of_training", engines=("variational",)),
    spec("broken", show_broken, models=("gmm",)),
    spec("lesson", controls=Controls),
    spec("other_lesson"),
    spec("points", show_points, models=("ppca",), controls=PointControls),
)


class Asked:
    """What the side process was asked, and what it answers or raises."""

    def __init__(self) -> None:
        self.seen: list[Mapping[str, Any]] = []
        self.error: Exception | None = None

    def panel(self, fits: Any, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        self.seen.append(arguments)
        if self.error is not None:
            raise self.error
        size = arguments["controls"].get("size", 3)
        points = np.reshape(arguments["controls"].get("points") or (), (-1, 2))
        if 1 < len(points) < 6:
            raise RunError("Two points are one too many.")
        return {"numbers": np.arange(size), "run": str(arguments["run"]), "points": points}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of runs, in a house with the panels above and those who have models beside them."""
    monkeypatch.setenv(state.RUNS_VARIABLE, str(tmp_path))
    monkeypatch.setattr(side, "_answers", Answers())
    provider = Provider("lessons", "tfbdl-lessons", "0.3")
    catalog = Catalog("panel", {panel.name: (panel, provider) for panel in PANELS})
    monkeypatch.setitem(vars(registry.registry()), "panels", catalog)
    for name, made in {
        "net": RunSpec(model="bbb", data="diabetes"),
        "chains": RunSpec(model="bbb", data="diabetes", engine="nuts"),
        "mixture": RunSpec(model="gmm", data="iris"),
        "tree": RunSpec(model=None, engine="gibbs"),
        "plane": RunSpec(model="ppca", data="iris"),
    }.items():
        folder = runs.RunFolder(tmp_path / name).create()
        folder.write_spec(made)
        (folder.path / runs.RESULT).write_text(json.dumps({"metrics": {"rmse": 1.0}}))
        folder.set_state("done")
    begun = runs.RunFolder(tmp_path / "begun").create()
    begun.write_spec(RunSpec(model="bbb", data="diabetes"))
    return tmp_path


@pytest.fixture
def asked(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    """The side process, as a thread that computes nothing heavy."""
    found = Asked()
    monkeypatch.setattr(tasks, "TASKS", {"panel": found.panel})
    one = server.Server(lambda: found)  # type: ignore[arg-type, return-value]
    presence.announce(root, one.port, one.token)
    one.start()
    yield found
    (root / presence.FILE).unlink()
    one.close()


def page(name: str, run: str | None = None) -> AppTest:
    """One page by itself, run to its end."""
    script = f"from tfbdl_dashboard.pages import {name}\n{name}.show()\n"
    shown = AppTest.from_string(script, default_timeout=120)
    if run is not None:
        shown.query_params["run"] = run
    shown.run()
    assert not shown.exception
    return shown


def texts(shown: AppTest) -> list[str]:
    return [text.value for text in shown.text]


@pytest.mark.parametrize(
    ("run", "names"),
    [
        ("net", ["of_networks", "of_training"]),  # its engine is the model's default one
        ("chains", ["of_chains", "of_networks"]),
        ("mixture", ["broken"]),
        ("tree", []),
    ],
)
def test_panels_of_a_run_are_those_of_its_model_and_engine(
    root: Path, run: str, names: list[str]
) -> None:
    assert [panel.name for panel in panels.panels_of(runs.RunFolder(root / run))] == names


def test_object_that_the_registry_can_make_has_the_panels_of_its_name(root: Path) -> None:
    folder = runs.RunFolder(root / "tree")
    folder.note(rebuilt_as={"model": "gmm", "model_options": {}, "seed": 0})
    assert [panel.name for panel in panels.panels_of(folder)] == ["broken"]


def test_panel_is_computed_with_its_controls_and_shown(asked: Asked) -> None:
    shown = page("panels", "net")
    assert asked.seen == [{"name": "of_networks", "controls": {}, "run": "net"}]
    assert shown.metric[0].value == "3"
    assert {"What *the* weights say.", "run net"} <= set(texts(shown))  # text, not markup
    shown.slider[0].set_value(7).run()
    assert not shown.exception
    assert asked.seen[1:] == [{"name": "of_networks", "controls": {"size": 7}, "run": "net"}]
    assert shown.metric[0].value == "7"


def test_panel_is_chosen_where_there_are_several(asked: Asked) -> None:
    shown = page("panels", "chains")
    assert shown.segmented_control[0].options == ["Of chains", "Of networks"]
    assert asked.seen[-1]["name"] == "of_chains"
    shown.segmented_control[0].set_value("of_networks").run()
    assert asked.seen[-1]["name"] == "of_networks"


def test_answer_is_kept_until_the_run_has_a_new_result(asked: Asked, root: Path) -> None:
    for _ in range(2):
        assert page("panels", "net").metric[0].value == "3"
    assert len(asked.seen) == 1
    result = root / "net" / runs.RESULT
    result.write_text(json.dumps({"metrics": {"rmse": 0.5}}))
    page("panels", "net")
    assert len(asked.seen) == 2


def test_what_cannot_be_computed_is_said_in_the_page(asked: Asked) -> None:
    asked.error = RunError("The model of the run in /home/ada/runs/net is *not* stored.")
    shown = page("panels", "net")
    assert shown.error[0].value == "This could not be computed."
    assert "The model of the run in net is *not* stored." in texts(shown)
    asked.error = None  # an error is not kept
    shown.run()
    assert shown.metric[0].value == "3"


def test_plugin_that_fails_to_show_is_named_and_the_page_stands(asked: Asked) -> None:
    shown = page("panels", "mixture")
    assert shown.title[0].value == "Panels"
    assert shown.error[0].value == "The plugin of this panel could not show its answer."
    said = texts(shown)[-1]
    assert "plugin 'lessons' of tfbdl-lessons 0.3" in said
    assert "KeyError" in said
    assert "panel.py" in said
    assert "/home" not in said


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (None, "No run is chosen."),
        ("nonsense", "There is no run nonsense;"),
        ("../net", "There is no run"),
        ("tree", "No plugin has a panel for this run's model or engine."),
        ("begun", "This run has no result yet."),
    ],
)
def test_page_without_a_panel_says_why_and_computes_nothing(
    asked: Asked, run: str | None, message: str
) -> None:
    assert message in page("panels", run).info[0].value
    assert asked.seen == []


def test_run_that_cannot_be_read_is_said_without_its_path(root: Path) -> None:
    (root / "net" / runs.RUN).write_text("{")
    shown = page("panels", "net")
    assert shown.error[0].value == "This run cannot be read."
    assert not any(str(root) in text for text in texts(shown))


def test_demonstrations_are_the_panels_without_a_run(asked: Asked) -> None:
    assert [panel.name for panel in demonstrations.demonstrations()] == ["lesson", "other_lesson"]
    shown = page("demonstrations")
    assert asked.seen == [{"name": "lesson", "controls": {}, "run": None}]
    assert "run None" in texts(shown)
    shown.slider[0].set_value(5).run()
    assert asked.seen[-1]["controls"] == {"size": 5}
    assert shown.metric[0].value == "5"


def press(shown: AppTest, label: str) -> AppTest:
    next(button for button in shown.button if button.label == label).click().run()
    assert not shown.exception
    return shown


def controls_of(asked: Asked) -> list[Any]:
    return [arguments["controls"] for arguments in asked.seen]


def test_control_that_the_picture_sets_has_no_widget_and_is_kept(asked: Asked) -> None:
    shown = page("panels", "plane")
    assert [slider.label for slider in shown.slider] == ["size"]
    assert not shown.text_area
    press(shown, "add")
    assert controls_of(asked) == [{}, {"points": [[1.0, 2.0]]}]  # and the first answer was kept
    assert "points [[1.0, 2.0]]" in texts(shown)
    shown.slider[0].set_value(5).run()  # the points stay when something else is moved
    assert controls_of(asked)[-1] == {"size": 5, "points": [[1.0, 2.0]]}
    assert "points [[1.0, 2.0]]" in texts(shown)
    assert not shown.error


def test_picture_moves_a_slider_and_leaves_the_other_widgets(asked: Asked) -> None:
    shown = page("panels", "plane")
    shown.text_input[0].set_value("b").run()
    press(shown, "enlarge")
    assert controls_of(asked)[-1] == {"name": "b", "size": 8}
    assert (shown.slider[0].value, shown.text_input[0].value) == (8, "b")
    shown.slider[0].set_value(2).run()  # and it can be moved on
    assert controls_of(asked)[-1] == {"name": "b", "size": 2}
    press(shown, "enlarge")
    assert shown.slider[0].value == 8


@pytest.mark.parametrize(
    ("button", "message"),
    [
        ("misspell", "have no 'point'. Did you mean 'points'"),
        ("go too far", "'size' of the controls of panel 'points' must be an integer"),
        ("mumble", "show must return None, or a mapping from names of controls to values"),
        ("again and again", "show sets points each time that it is drawn, which would never end"),
    ],
)
def test_picture_that_sets_what_it_may_not_is_the_plugins_fault(
    asked: Asked, button: str, message: str
) -> None:
    shown = press(page("panels", "plane"), button)
    assert shown.error[0].value == "The plugin of this panel could not show its answer."
    assert message in texts(shown)[-1]
    assert "plugin 'lessons' of tfbdl-lessons 0.3" in texts(shown)[-1]


def test_what_the_picture_set_can_be_taken_back_where_it_cannot_be_computed(asked: Asked) -> None:
    shown = press(press(page("panels", "plane"), "add"), "add")
    assert "Two points are one too many." in texts(shown)
    assert [button.label for button in shown.button] == [panel_view.TAKE_BACK]
    press(shown, panel_view.TAKE_BACK)
    assert "points []" in texts(shown)
    assert not shown.error


def test_house_without_demonstrations_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(registry.registry()), "panels", Catalog("panel"))
    assert page("demonstrations").info[0].value == "No plugin has a demonstration."


def test_request_is_abandoned_when_a_slider_is_moved_on(
    asked: Asked, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for its turn is never computed once its page asks no more."""
    gate, begun = threading.Event(), threading.Event()

    def slow(fits: Any, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        asked.seen.append(arguments)
        begun.set()
        assert gate.wait(20)
        return {"x": 0.0}

    monkeypatch.setattr(tasks, "TASKS", {"panel": slow})
    first, second = (side._Request("panel", None, {"name": n}, 20.0) for n in ("a", "b"))
    first.start()
    assert begun.wait(20)
    second.start()
    second.abandon()
    assert second._done.wait(20)
    gate.set()
    assert first.answer()["x"] == 0.0
    assert side.compute("panel", name="c")["x"] == 0.0
    assert [arguments["name"] for arguments in asked.seen] == ["a", "c"]
