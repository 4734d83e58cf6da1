"""The side process as pages use it: started on demand, found again, ended if it hangs."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from tfbdl_dashboard import side, side_process, state
from tfbdl_dashboard.answers import Answers
from tfbdl_dashboard.side_process import SideError

from tfbdl import runs
from tfbdl.serving import presence, server, tasks
from tfbdl.specs import RunSpec

PLUGIN = '''
import time
import tfbdl

class Controls(tfbdl.Config):
    """Of the demonstration."""

    seconds: float = tfbdl.Field(0.0, ge=0, description="How long it takes.")

def squares(fit, controls):
    import tensorflow as tf
    time.sleep(controls.seconds)
    return {"squares": tf.range(4.0) ** 2, "has_fit": fit is not None}

def figures(fit, controls):
    names = sorted(fit.metrics)
    return {
        "names": names,
        "values": [fit.metrics[name] for name in names],
        "has_model": fit.model is not None,
        "has_data": fit.dataset() is not None,
    }

def broken(fit, controls):
    raise ValueError("out of reach in '/home/ada/panel.py'")

def wrong(fit, controls):
    return {"fit": fit}

def show(st, arrays):
    st.write(arrays)

@tfbdl.hookimpl
def tfbdl_panels():
    make = lambda name, **more: tfbdl.PanelSpec(
        name=name, compute=f"sidepanels:{name}", show="sidepanels:show", **more
    )
    yield make("squares", controls=Controls)
    yield make("figures", engines=("nuts",))
    yield make("broken")
    yield make("wrong", engines=("nuts",))
'''


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with one run made from objects; the side process knows a plugin with panels."""
    site = tmp_path_factory.mktemp("site")
    (site / "sidepanels.py").write_text(PLUGIN)
    metadata = site / "sidepanels-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: sidepanels\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[tfbdl]\nsidepanels = sidepanels\n")
    made = tmp_path_factory.mktemp("made") / "runs"
    folder = runs.RunFolder(made / "first").create()
    folder.write_spec(RunSpec(model=None, data=None, engine="nuts"))
    finish(folder, {"rmse": 2.5, "nll": 1.25})
    path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        patch.setenv("TFBDL_PROBE_SECONDS", "60")
        patch.setenv(state.RUNS_VARIABLE, str(made))
        yield made
        found = presence.read(made)
        if found is not None:
            side_process.end(found)


def finish(folder: runs.RunFolder, metrics: dict[str, float]) -> None:
    """Leave the result of a run, as one that is done (again) does."""
    (folder.path / runs.RESULT).write_text(json.dumps({"metrics": metrics}))
    (folder.path / "history.json").write_text("{}")
    runs.write_manifest(folder.path, [runs.RESULT, "history.json"])
    folder.set_state("done")


def timed(seconds: float) -> float:
    began = time.monotonic()
    side.compute("panel", name="squares", controls={"seconds": seconds})
    return time.monotonic() - began


def test_first_request_starts_a_process_that_answers_all_others(root: Path) -> None:
    assert side.state() == "absent"
    found = side.compute("panel", name="squares")
    assert found["squares"].tolist() == [0.0, 1.0, 4.0, 9.0]
    assert not found["has_fit"]
    assert side.state() == "ready"
    first = presence.read(root)
    assert first is not None
    process = psutil.Process(first.pid)
    assert os.getsid(first.pid) == first.pid  # a session of its own outlives the dashboard
    assert process.nice() >= side_process.NICENESS
    assert os.readlink(f"/proc/{first.pid}/fd/0") == os.devnull
    listening = [c.laddr.ip for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
    assert listening == ["127.0.0.1"]
    assert min(timed(seconds) for seconds in (0.01, 0.02, 0.03)) < 1.0  # it is warm
    assert presence.read(root) == first


def test_run_made_from_objects_has_a_fit_without_model_and_data(root: Path) -> None:
    found = side.compute("panel", "first", name="figures")
    assert dict(zip(found["names"].tolist(), found["values"].tolist(), strict=True)) == {
        "nll": 1.25,
        "rmse": 2.5,
    }
    assert not found["has_model"]
    assert not found["has_data"]


def test_run_with_a_new_result_is_read_again(root: Path) -> None:
    side.compute("panel", "first", name="figures")
    finish(runs.RunFolder(root / "first"), {"rmse": 0.5})
    found = side.compute("panel", "first", name="figures")
    assert (found["names"].tolist(), found["values"].tolist()) == (["rmse"], [0.5])


@pytest.mark.parametrize(
    ("run", "name", "controls", "message"),
    [
        (None, "sqares", {}, "No panel is named 'sqares'. Did you mean 'squares'?"),
        ("frist", "figures", {}, "No run is named 'frist'. Did you mean 'first'?"),
        ("../made", "figures", {}, "No run is named '../made'."),
        ("", "figures", {}, "No run is named ''."),
        (None, "figures", {}, "The panel 'figures' shows a run. Received: run=None."),
        ("first", "squares", {}, "The panel 'squares' shows no run. Received: run='first'."),
        ("first", "pruning", {}, "The panel 'pruning' shows nothing of this run."),
        (None, "squares", {"seconds": -1}, "must be a finite number of at least 0"),
        (None, "squares", {"second": 1}, "have no 'second'. Did you mean 'seconds'?"),
        (None, "broken", {}, "The panel 'broken' failed. ValueError: out of reach in 'panel.py'"),
        ("first", "wrong", {}, "Received for 'fit': Fit with elements of type object"),
    ],
)
def test_what_cannot_be_computed_is_said_without_paths(
    root: Path, run: str | None, name: str, controls: dict[str, float], message: str
) -> None:
    with pytest.raises(SideError) as caught:
        side.compute("panel", run, name=name, controls=controls)
    assert message in str(caught.value)
    assert str(root) not in str(caught.value)


def test_link_to_a_run_outside_is_no_run(root: Path, tmp_path: Path) -> None:
    outside = runs.RunFolder(tmp_path / "outside").create()
    outside.write_spec(RunSpec(model=None, engine="nuts"))
    finish(outside, {"rmse": 1.0})
    (root / "link").symlink_to(outside.path)
    with pytest.raises(SideError, match="No run is named 'link'"):
        side.compute("panel", "link", name="figures")


def test_unfinished_run_is_refused(root: Path) -> None:
    runs.RunFolder(root / "begun").create().write_spec(RunSpec(model=None, engine="nuts"))
    with pytest.raises(SideError, match=r"The run in begun is not finished \(state: created\)"):
        side.compute("panel", "begun", name="figures")


def test_arguments_that_are_no_plain_values_are_refused(root: Path) -> None:
    with pytest.raises(SideError, match="are no plain values"):
        side.compute("panel", name="squares", controls={"seconds": object()})


def test_process_that_takes_too_long_is_ended(root: Path) -> None:  # the last that needs it
    found = presence.read(root)
    assert found is not None
    with pytest.raises(SideError, match=r"took longer than 0\.5 seconds"):
        side.compute("panel", name="squares", controls={"seconds": 60.0}, timeout=0.5)
    assert not found.is_alive()
    assert side.state() == "absent"


def test_process_that_fails_to_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(state.RUNS_VARIABLE, str(tmp_path))
    monkeypatch.setattr(side_process.sys, "executable", "/bin/false")
    with pytest.raises(SideError, match="The side process ended while it started"):
        side.compute("panel", name="squares")
    monkeypatch.setattr(side_process.sys, "executable", str(tmp_path / "none" / "python"))
    with pytest.raises(SideError, match=r"cannot be started: .* 'python'"):
        side.compute("panel", name="squares")


class Turns:
    """A side process of this process, whose task ``hold`` takes until it is let go."""

    def __init__(self, folder: Path) -> None:
        self.began, self.let_go = threading.Event(), threading.Event()
        self.ended: list[presence.Presence] = []
        self.server = server.Server(lambda: self)  # type: ignore[arg-type, return-value]
        self.found = presence.announce(folder, self.server.port, self.server.token)
        self.server.start()

    def job(self) -> dict[str, Any]:
        found = side_process.health(self.found)
        assert found is not None
        return dict(found.get("job", {}))

    def end(self, found: presence.Presence) -> None:
        self.ended.append(found)
        self.let_go.set()


def hold(turns: Turns, arguments: Mapping[str, Any]) -> dict[str, int]:
    turns.began.set()
    assert turns.let_go.wait(20)
    return {"x": 1}


def at_once(turns: Turns, arguments: Mapping[str, Any]) -> dict[str, int]:
    return {"x": 2}


def until(fulfilled: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not fulfilled():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Turns]:
    monkeypatch.setenv(state.RUNS_VARIABLE, str(tmp_path))
    monkeypatch.setattr(tasks, "TASKS", {"hold": hold, "at_once": at_once})
    monkeypatch.setattr(side, "LOOK", 0.05)
    made = Turns(tmp_path)
    monkeypatch.setattr(side_process, "end", made.end)
    yield made
    made.let_go.set()
    made.server.close()


def test_request_that_waits_for_its_turn_ends_nothing(turns: Turns) -> None:
    first = side._Request("hold", None, {}, 20.0)
    first.start()
    assert turns.began.wait(20)
    second = side._Request("at_once", None, {}, 0.2)
    second.start()
    second.wait(0.6)  # three times what it may take itself
    assert (second.is_done, turns.ended) == (False, [])
    turns.let_go.set()
    assert [r.answer()["x"].tolist() for r in (first, second)] == [1, 2]
    assert turns.ended == []


def test_computation_that_takes_too_long_in_its_turn_ends_the_process(turns: Turns) -> None:
    with pytest.raises(SideError, match=r"took longer than 0\.2 seconds"):
        side.compute("hold", timeout=0.2)
    assert turns.ended == [turns.found]


def test_endless_computation_that_nobody_waits_for_does_not_hold_up_others(turns: Turns) -> None:
    left = side._Request("hold", None, {}, 20.0)
    left.start()
    assert turns.began.wait(20)
    left.abandon()
    assert side.compute("at_once", timeout=0.2)["x"].tolist() == 2  # by the next process
    assert turns.ended == [turns.found]


def test_health_names_the_request_at_work_and_whether_anyone_waits_for_it(turns: Turns) -> None:
    request = side._Request("hold", None, {}, 20.0)
    request.start()
    assert turns.began.wait(20)
    first = turns.job()
    assert (first["id"], first["wanted"]) == (request._id, True)
    assert first["seconds"] < turns.job()["seconds"] < 20
    request.abandon()
    until(lambda: not turns.job()["wanted"])
    turns.let_go.set()
    until(lambda: turns.job() == {})


def test_answers_are_kept_and_forgotten_by_number_and_size() -> None:
    kept = Answers(most=2, most_bytes=100)
    for number in range(3):
        kept.put((number,), {"x": np.full(5, float(number))})
    assert kept.get((0,)) is None
    found = kept.get((1,))
    assert found is not None
    found["x"][:] = 9.0  # of a page; what is kept stays as it was
    again = kept.get((1,))
    assert again is not None
    assert again["x"].tolist() == [1.0] * 5
    kept.put((3,), {"x": np.zeros(5)})  # the second was asked for last, so it stays
    assert (kept.get((2,)) is None, kept.get((1,)) is None) == (True, False)
    kept.put((4,), {"x": np.zeros(10)})  # 80 bytes: the other two must go
    assert [kept.get((n,)) is None for n in (1, 3, 4)] == [True, True, False]
    kept.put((5,), {"x": np.zeros(13)})
    assert kept.get((5,)) is None
