"""A run's folder: refusals, the status of a process that died, locks, cancelling."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tfbdl import runs
from tfbdl.errors import RunCancelled, RunError
from tfbdl.specs import RunSpec

SPEC = RunSpec(model="bbb", data="boston", engine_options={"epochs": 3}, seed=7)


@pytest.fixture
def folder(tmp_path: Path) -> runs.RunFolder:
    folder = runs.RunFolder(tmp_path / "run").create()
    folder.write_spec(SPEC, {"model": {"plugin": "p", "version": "1"}}, {"data_info": {"rows": 5}})
    return folder


def start_child(code: str, *arguments: Path) -> subprocess.Popen[str]:
    """A Python process of its own; it prints a line when it is ready, and waits to be killed."""
    child = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def stop_if_asked(folder: runs.RunFolder) -> None:
    if folder.cancel_requested():
        raise RunCancelled("as asked")


def end(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.wait()
    assert child.stdout is not None
    child.stdout.close()


def test_create_refuses_a_folder_that_holds_a_run(folder: runs.RunFolder) -> None:
    with pytest.raises(RunError, match=r"already holds a run \(created\).*tfbdl resume"):
        folder.create()


def test_create_takes_over_a_run_that_was_never_started(folder: runs.RunFolder) -> None:
    folder.create(pending=True)
    folder.set_state("done")
    with pytest.raises(RunError, match=r"already holds a run \(done\)"):
        folder.create(pending=True)


def test_create_refuses_a_folder_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RunError, match=r"not empty and holds no run.*thesis.tex"):
        runs.RunFolder(tmp_path).create()
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_create_refuses_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be made"):
        runs.RunFolder(tmp_path / "file").create()


def test_spec_survives_the_folder(folder: runs.RunFolder) -> None:
    assert folder.read_spec() == SPEC
    record = folder.read_record()
    assert record["providers"] == {"model": {"plugin": "p", "version": "1"}}
    assert record["data_info"] == {"rows": 5}
    assert record["versions"]["numpy"] == np.__version__


def test_note_adds_to_the_record_and_changes_nothing_else(folder: runs.RunFolder) -> None:
    before = folder.read_record()
    folder.note(goal={"seed": 1})
    assert folder.read_record() == {**before, "goal": {"seed": 1}}
    assert folder.read_spec() == SPEC


def test_write_spec_again_keeps_the_time_of_creation(folder: runs.RunFolder) -> None:
    record = {**folder.read_record(), "created": "2001-02-03T04:05:06+00:00"}
    (folder.path / runs.RUN).write_text(json.dumps(record))
    folder.write_spec(SPEC.model_copy(update={"seed": 8}))
    assert folder.read_record()["created"] == "2001-02-03T04:05:06+00:00"
    assert folder.read_spec().seed == 8


def test_read_run_file_takes_a_spec_alone(tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    path.write_text(SPEC.model_dump_json())
    assert runs.read_run_file(path) == SPEC


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "must hold a JSON object. Received: list"),
        ('{"model": "m", "epochs": 3}', "describes no run: epochs"),
    ],
)
def test_read_run_file_says_what_is_wrong(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(content)
    with pytest.raises(RunError, match=message):
        runs.read_run_file(path)


def test_status_of_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run"):
        runs.RunFolder(tmp_path).status()


def test_list_runs_gives_the_latest_first(tmp_path: Path) -> None:
    for number, name in enumerate(["first", "second"]):
        folder = runs.RunFolder(tmp_path / name).create()
        folder.write_spec(SPEC)
        os.utime(folder.path / runs.RUN, (number, number))
    (tmp_path / "no_run").mkdir()
    assert [run.path.name for run in runs.list_runs(tmp_path)] == ["second", "first"]
    assert runs.list_runs(tmp_path / "missing") == []


WORK = """
import sys, time
from tfbdl.runs import RunFolder
with RunFolder(sys.argv[1]).worker():
    print("ready", flush=True)
    time.sleep(60)
"""


def test_killed_worker_reads_as_lost_and_frees_the_folder(folder: runs.RunFolder) -> None:
    child = start_child(WORK, folder.path)
    try:
        assert folder.status().state == "running"
        assert folder.status().pid == child.pid
        with pytest.raises(RunError, match=f"in use by process {child.pid}"), folder.worker():
            pytest.fail("two workers in one folder")
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert folder.status().state == "lost"  # ended, though its parent has not collected it
    finally:
        end(child)
    assert folder.status().state == "lost"
    with folder.worker():
        assert folder.status().state == "running"
    assert folder.status().state == "done"


def test_reused_pid_reads_as_lost(folder: runs.RunFolder) -> None:
    folder.set_state("running")
    path = folder.path / runs.STATUS
    status = json.loads(path.read_text())
    assert folder.status().state == "running"
    path.write_text(json.dumps({**status, "process_created": status["process_created"] - 60}))
    assert folder.status().state == "lost"


def test_unreadable_status_reads_as_lost(folder: runs.RunFolder) -> None:
    (folder.path / runs.STATUS).write_text('{"state": "runn')
    assert folder.status().state == "lost"
    assert "cannot be read" in folder.status().message


def test_lock_keeps_out_a_second_worker_of_the_same_process(folder: runs.RunFolder) -> None:
    with (
        folder.lock(),
        pytest.raises(RunError, match=f"in use by process {os.getpid()}"),
        runs.RunFolder(folder.path).lock(),
    ):
        pytest.fail("two workers in one folder")
    with folder.lock():
        assert folder.status().state == "created"


def test_worker_notes_how_it_ended(folder: runs.RunFolder) -> None:
    with pytest.raises(ZeroDivisionError), folder.worker():
        _ = 1 / 0
    assert folder.status().state == "failed"
    assert "ZeroDivisionError" in folder.status().message
    for stop in (KeyboardInterrupt(), RunCancelled("as asked")):
        with pytest.raises(type(stop)), folder.worker():
            raise stop
        assert folder.status().state == "cancelled"


def test_cancel_is_seen_by_the_worker_and_met_once(folder: runs.RunFolder) -> None:
    assert not folder.cancel_requested()
    folder.request_cancel()
    with pytest.raises(RunCancelled), folder.worker():
        stop_if_asked(folder)  # asked for before the worker came up: it still counts
    assert not folder.cancel_requested()


def test_cancel_left_by_a_dead_worker_is_forgotten(folder: runs.RunFolder) -> None:
    folder.set_state("failed")
    folder.request_cancel()
    with folder.worker():
        assert not folder.cancel_requested()


def test_heartbeat_writes_at_most_once_a_second(folder: runs.RunFolder) -> None:
    folder.set_state("running")
    before = folder.status().heartbeat
    for _ in range(100):
        folder.heartbeat()
    assert folder.status().heartbeat == before


def test_status_says_how_far_the_worker_is(folder: runs.RunFolder) -> None:
    with folder.worker():
        assert folder.status().step is None
        for step, steps in ((5, 100.0), (6, float("inf"))):
            folder._last_heartbeat = 0.0
            folder.heartbeat("on its way", step=step, steps=steps)
            found = folder.status()
            assert (found.step, found.steps) == (step, 100 if step == 5 else None)
            assert found.first_step == 5
            assert found.started is not None
    assert folder.status().step == 6


def test_status_of_other_versions_is_read(folder: runs.RunFolder) -> None:
    old = {"state": "done", "pid": 1, "process_created": 2.0, "heartbeat": 3.0, "message": ""}
    (folder.path / runs.STATUS).write_text(json.dumps(old))
    assert folder.status() == runs.Status(**old)
    (folder.path / runs.STATUS).write_text(json.dumps(old | {"colour": "blue"}))
    assert folder.status() == runs.Status(**old)
    (folder.path / runs.STATUS).write_text("{}")
    assert folder.status().state == "lost"


def test_cancel_that_comes_too_late_is_forgotten(folder: runs.RunFolder) -> None:
    with folder.worker():
        folder.request_cancel()
    assert folder.status().state == "done"
    assert not folder.cancel_requested()
