"""Runs started from the dashboard outlive it, are started once, stop, go on, and can be kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from tfbdl_dashboard import jobs, run_index

from tfbdl import runs
from tfbdl.errors import RunError
from tfbdl.specs import RunSpec

SPEC = RunSpec(model="bbb", data="diabetes", seed=7)

FAKE = """
import sys, time
from pathlib import Path
from tfbdl.errors import RunCancelled
from tfbdl.runs import RunFolder
folder = RunFolder(sys.argv[-1])
print("a worker of", sys.argv[1], flush=True)
if (folder.path.parent / "die").exists():
    sys.exit("ImportError: no such file /home/ada/site/tensorflow.so")
while (folder.path.parent / "load").exists():
    time.sleep(0.02)
with folder.worker():
    for step in range(1, 3000):
        folder._last_heartbeat = 0.0  # so that each step is seen at once
        folder.heartbeat(step=step, steps=3000)
        if folder.cancel_requested():
            raise RunCancelled("as asked")
        if (folder.path.parent / "end").exists():
            break
        time.sleep(0.02)
"""
"""A worker as the command line's, but for its training: it ends when a file says so."""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of runs whose workers are quick."""
    monkeypatch.setattr(jobs, "command", lambda args: [sys.executable, "-c", FAKE, *args])
    monkeypatch.setattr(jobs, "_recent", {})
    path = tmp_path / "runs"
    path.mkdir()
    yield path
    (path / "end").touch()
    for folder in run_index.folders(path).values():
        until(lambda folder=folder: not jobs.standing(folder).active)


def until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def started(root: Path, spec: RunSpec = SPEC) -> runs.RunFolder:
    """A run that is at work."""
    folder = run_index.find(root, jobs.start(root, spec))
    assert folder is not None
    until(lambda: jobs.standing(folder).state == "running")
    return folder


def test_start_launches_a_worker_in_a_session_of_its_own_and_collects_it(root: Path) -> None:
    folder = started(root)
    assert folder.read_spec() == SPEC
    pid = folder.status().pid
    assert pid is not None
    assert os.getsid(pid) == pid != os.getsid(0)
    assert os.getpriority(os.PRIO_PROCESS, pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 5)
    (root / "end").touch()
    until(lambda: jobs.standing(folder).state == "done")
    until(lambda: not psutil.pid_exists(pid))  # no zombie is left


def test_two_clicks_start_one_run(root: Path) -> None:
    first = jobs.start(root, SPEC)
    assert jobs.start(root, SPEC) == first
    other = jobs.start(root, SPEC.model_copy(update={"seed": 8}))
    assert sorted(run_index.folders(root)) == sorted({first, other})


def test_run_is_starting_until_its_worker_opens_the_folder(root: Path) -> None:
    (root / "load").touch()
    folder = run_index.find(root, jobs.start(root, SPEC))
    assert folder is not None
    assert jobs.standing(folder).state == "starting"
    assert jobs.standing(folder).active
    (root / "load").unlink()
    until(lambda: jobs.standing(folder).state == "running")


def test_cancel_stops_at_the_next_step_and_resume_goes_on(root: Path) -> None:
    folder = started(root)
    first = folder.status().pid
    jobs.cancel(folder)
    until(lambda: jobs.standing(folder).state == "cancelled")
    jobs.resume(folder)
    jobs.resume(folder)  # a second click
    until(lambda: jobs.standing(folder).state == "running")
    assert folder.status().pid != first
    printed = (folder.path / jobs.OUTPUT).read_text()
    assert printed.count("a worker of run\n") == printed.count("a worker of resume\n") == 1


def test_cancel_ends_a_worker_that_is_still_loading(root: Path) -> None:
    (root / "load").touch()
    folder = run_index.find(root, jobs.start(root, SPEC))
    assert folder is not None
    pid = json.loads((folder.path / jobs.LAUNCH).read_text())["pid"]
    jobs.cancel(folder)
    assert jobs.standing(folder).state == "cancelled"
    until(lambda: not psutil.pid_exists(pid))
    assert not folder.cancel_requested()  # a resume is not cancelled by it


def test_cancel_of_a_resume_that_is_loading_keeps_the_step(root: Path) -> None:
    folder = started(root)
    until(lambda: (folder.status().step or 0) > 2)
    os.kill(int(folder.status().pid or 0), signal.SIGKILL)
    until(lambda: jobs.standing(folder).state == "lost")
    step = folder.status().step
    (root / "load").touch()
    jobs.resume(folder)
    jobs.cancel(folder)
    status = folder.status()
    assert (status.state, status.step, status.steps) == ("cancelled", step, 3000)
    assert status.message == "Cancelled while it was loading."


def test_worker_that_is_stopped_is_silent_and_can_be_ended(root: Path) -> None:
    folder = started(root)
    until(lambda: (folder.status().step or 0) > 2)
    pid = int(folder.status().pid or 0)
    assert jobs.standing(folder).silent < 5
    assert not jobs.standing(folder).compiling
    os.kill(pid, signal.SIGSTOP)
    path = folder.path / runs.STATUS
    path.write_text(json.dumps(json.loads(path.read_text()) | {"heartbeat": time.time() - 60}))
    write_launch_long_ago(folder)
    assert 59 < jobs.standing(folder).silent < 70
    jobs.end(folder)
    status = folder.status()
    assert (status.state, status.message) == ("cancelled", "Its worker was ended.")
    assert (status.step or 0) > 2
    until(lambda: not psutil.pid_exists(pid))
    assert jobs.standing(folder).silent == 0


def write_launch_long_ago(folder: runs.RunFolder) -> None:
    path = folder.path / jobs.LAUNCH
    path.write_text(json.dumps(json.loads(path.read_text()) | {"launched": time.time() - 600}))


def test_end_ends_no_process_that_has_its_number_by_chance(tmp_path: Path) -> None:
    folder = runs.RunFolder(tmp_path / "run").create()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
        earlier = psutil.Process(bystander.pid).create_time() - 60
        status = {"state": "running", "pid": bystander.pid, "process_created": earlier}
        (folder.path / runs.STATUS).write_text(json.dumps(status))
        jobs.end(folder)
        time.sleep(0.05)
        assert bystander.poll() is None
        bystander.kill()


def test_start_that_follows_a_cancel_is_another_run(root: Path) -> None:
    folder = started(root)
    jobs.cancel(folder)
    assert jobs.start(root, SPEC) != folder.path.name


def test_starts_are_not_remembered_for_good(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "SAME", 0.0)
    for seed in (1, 2, 3):
        jobs.start(root, SPEC.model_copy(update={"seed": seed}))
    assert len(jobs._recent) == 1


def test_killed_worker_is_lost_and_goes_on(root: Path) -> None:
    folder = started(root)
    pid = folder.status().pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: jobs.standing(folder).state == "lost")
    jobs.resume(folder)
    assert jobs.standing(folder).active
    until(lambda: jobs.standing(folder).state == "running")


def test_worker_that_dies_before_it_writes_is_shown_with_what_it_printed(root: Path) -> None:
    (root / "die").touch()
    folder = run_index.find(root, jobs.start(root, SPEC))
    assert folder is not None
    until(lambda: not jobs.standing(folder).active)
    assert jobs.standing(folder).state == "failed"
    assert jobs.output(folder).splitlines()[-1] == "ImportError: no such file tensorflow.so"
    (root / "die").unlink()
    jobs.resume(folder)
    until(lambda: jobs.standing(folder).state == "running")


def test_worker_outlives_the_server_that_started_it(root: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
from tfbdl.specs import RunSpec
from tfbdl_dashboard import jobs
jobs.command = lambda args: [sys.executable, "-c", {FAKE!r}, *args]
print(jobs.start(Path(sys.argv[1]), RunSpec(model="bbb", data="diabetes")), flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(root)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as server:
        assert server.stdout is not None
        folder = run_index.find(root, server.stdout.readline().strip())
        assert folder is not None
        until(lambda: jobs.standing(folder).state == "running")
        os.killpg(server.pid, signal.SIGKILL)  # as a terminal that is closed
    step = folder.status().step
    assert step is not None
    until(lambda: (folder.status().step or 0) > step)
    (root / "end").touch()
    until(lambda: jobs.standing(folder).state == "done")


def test_worker_is_not_told_the_token(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(jobs.TOKEN_VARIABLE, "a secret of sixteen")
    folder = started(root)
    assert jobs.TOKEN_VARIABLE not in psutil.Process(folder.status().pid).environ()


def test_run_from_objects_is_not_resumed_here(tmp_path: Path) -> None:
    folder = runs.RunFolder(tmp_path / "run").create()
    folder.write_spec(RunSpec(model=None, data="diabetes"))
    with pytest.raises(RunError, match=r"objects in Python.*tfbdl\.resume"):
        jobs.resume(folder)


def test_tail_is_the_end_in_whole_lines_without_paths(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("first line\n" + "x" * 50 + "\nrun folder: /home/ada/runs/first\n")
    assert jobs.tail(path, most=60) == "run folder: first"
    assert jobs.tail(tmp_path / "none") == ""


# What the index keeps


def test_find_gives_ids_of_the_index_alone(root: Path) -> None:
    folder = started(root)
    assert run_index.find(root, folder.path.name) is not None
    outside = runs.RunFolder(root.parent / "outside").create()
    outside.write_spec(SPEC)
    for name in ("../outside", str(outside.path), f"{folder.path.name}/", ".", "", "..\\outside"):
        assert run_index.find(root, name) is None
        for change in (run_index.archive, run_index.delete, run_index.restore):
            with pytest.raises(RunError):
                change(root, name)
    assert outside.holds_run


def test_archive_has_a_way_back_and_a_run_at_work_is_left_alone(root: Path) -> None:
    folder = started(root)
    name = folder.path.name
    for change in (run_index.archive, run_index.delete):
        with pytest.raises(RunError, match=f"{name}' is at work. Cancel it first"):
            change(root, name)
    (root / "end").touch()
    until(lambda: jobs.standing(folder).state == "done")
    run_index.archive(root, name)
    assert run_index.find(root, name) is None
    assert list(run_index.archived(root)) == [name]
    run_index.restore(root, name)
    assert run_index.find(root, name) is not None
    grave = root / f"{run_index.GRAVE}0"  # a server ended in the midst of it
    grave.mkdir()
    (grave / runs.RUN).write_text("{}")
    assert set(run_index.folders(root)) == {name}
    run_index.delete(root, name)
    assert not run_index.folders(root)
    assert not [entry for entry in root.iterdir() if entry.name.startswith(".deleted")]


def test_run_that_vanishes_while_runs_are_listed_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [runs.RunFolder(tmp_path / name).create() for name in ("one", "two")]
    for folder in folders:
        folder.write_spec(SPEC)
    original = Path.stat

    def stat(path: Path, **options: bool) -> os.stat_result:
        found = original(path, **options)
        if path == folders[0].path / runs.RUN:
            path.unlink()  # after the first look, before any other
        return found

    monkeypatch.setattr(Path, "stat", stat)
    assert len(run_index.folders(tmp_path)) in (1, 2)
    assert list(run_index.folders(tmp_path)) == ["two"]


def test_metrics_that_vanish_before_they_are_opened_are_a_named_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "is_file", lambda self: True)  # as it was a moment ago
    with pytest.raises(RunError, match="cannot be read: unable to open"):
        runs.read_metrics(tmp_path / runs.METRICS)


def test_delete_removes_an_archived_run_and_follows_no_link(root: Path, tmp_path: Path) -> None:
    elsewhere = runs.RunFolder(tmp_path / "elsewhere").create()
    elsewhere.write_spec(SPEC)
    (root / "linked").symlink_to(elsewhere.path)
    run_index.archive(root, "linked")
    run_index.delete(root, "linked")
    assert not run_index.archived(root)
    assert elsewhere.read_spec() == SPEC


def test_rows_are_read_again_only_if_a_file_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(50):
        folder = runs.RunFolder(tmp_path / f"run-{number}").create()
        folder.write_spec(SPEC)
        folder.set_state("done")
    rows = run_index.rows(tmp_path)
    assert len(rows) == 50
    read: list[Path] = []
    original = runs.RunFolder.read_record
    monkeypatch.setattr(
        runs.RunFolder, "read_record", lambda self: read.append(self.path) or original(self)
    )
    assert run_index.rows(tmp_path) == rows
    assert read == []
    (tmp_path / "run-7" / runs.RESULT).write_text('{"metrics": {"nll": 0.5}}')
    again = {row.id: row for row in run_index.rows(tmp_path)}
    assert again["run-7"].figures == {"nll": 0.5}
    assert set(read) == {tmp_path / "run-7"}


def test_real_run_of_the_command_line_ends_with_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_recent", {})
    spec = RunSpec(model="gmm", data="iris", model_options={"num_components": 3})
    folder = run_index.find(tmp_path, jobs.start(tmp_path, spec))
    assert folder is not None
    assert jobs.standing(folder).state == "starting"
    until(lambda: not jobs.standing(folder).active, seconds=400)
    row = run_index.row_of(folder)
    assert (row.state, row.engine, row.objective) == ("done", "em", "log_likelihood")
    assert row.last == row.figures["log_likelihood"]
    assert folder.status().step == row.figures["steps"]
