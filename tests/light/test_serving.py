"""The side process over HTTP, with fake tasks: who is answered, with what, and when it ends."""

from __future__ import annotations

import http.client
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tfbdl import cli
from tfbdl.errors import RunError, SpecError, UnknownNameError
from tfbdl.serving import presence, server, tasks
from tfbdl.serving.requests import Job

TOKEN = "a token of this test"


class Fits:
    """Stands in place of the fits of runs; it counts what is computed at once."""

    def __init__(self) -> None:
        self.seen: list[Mapping[str, Any]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.at_work = self.most_at_once = 0


def echo(runs: Fits, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    runs.at_work += 1
    runs.most_at_once = max(runs.most_at_once, runs.at_work)
    runs.seen.append(arguments)
    assert runs.gate.wait(20)
    time.sleep(0.01)
    runs.at_work -= 1
    return {"file": np.arange(3), "texts": ["a", "bé"], "flag": True, "x": [[0.5, float("nan")]]}


def failing(runs: Fits, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    raise {
        "name": UnknownNameError("run", "firts", ["first"]),
        "ours": RunError("The run in /home/ada/runs/first is not finished."),
        "other": ZeroDivisionError("in '/home/ada/my plugins/panel.py'"),
        "exit": SystemExit("no such model"),
    }[arguments["error"]]


def objects(runs: Fits, arguments: Mapping[str, Any]) -> Any:
    return {"none": {"a": None}, "list": [1, 2], "ragged": {"a": [[1], [1, 2]]}}[arguments["what"]]


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    functions = {"echo": echo, "failing": failing, "objects": objects}
    monkeypatch.setattr(tasks, "TASKS", functions)


@pytest.fixture
def fits() -> Fits:
    return Fits()


@pytest.fixture
def make(fits: Fits) -> Iterator[Callable[..., server.Server]]:
    made: list[server.Server] = []

    def make(load: Callable[[], Any] = lambda: fits) -> server.Server:
        made.append(server.Server(load, token=TOKEN))
        made[-1].start()
        return made[-1]

    yield make
    fits.gate.set()
    for one in made:
        one.close()


def connect(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(server.ADDRESS, port, timeout=20)


def ask(
    port: int,
    path: str = "/compute",
    body: Any = None,
    *,
    method: str = "POST",
    raw: bytes | None = None,
    **headers: str,
) -> tuple[int, bytes]:
    connection = connect(port)
    content = json.dumps(body).encode() if raw is None else raw
    try:
        bearer = {"Authorization": f"Bearer {TOKEN}", **headers}
        connection.request(method, path, None if method == "GET" else content, bearer)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def error(answer: tuple[int, bytes]) -> tuple[int, str]:
    return answer[0], json.loads(answer[1])["error"]


def until(fulfilled: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not fulfilled():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_answer_is_an_npz_without_pickles(make: Callable[..., server.Server], fits: Fits) -> None:
    body = {"task": "echo", "run": "first", "arguments": {"level": 0.9}}
    status, content = ask(make().port, body=body)
    assert status == 200
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        assert found["file"].tolist() == [0, 1, 2]
        assert found["texts"].tolist() == ["a", "bé"]
        assert found["flag"].dtype == bool
        np.testing.assert_array_equal(found["x"], [[0.5, np.nan]])
    assert fits.seen == [{"level": 0.9, "run": "first"}]


def test_health_is_told_while_everything_is_loaded(make: Callable[..., server.Server]) -> None:
    loaded = threading.Event()
    one = make(lambda: loaded.wait(20) and Fits())
    assert json.loads(ask(one.port, "/health", method="GET")[1]) == {"state": "starting"}
    assert one.idle_seconds == 0.0
    loaded.set()
    until(lambda: one.state == "ready")
    assert json.loads(ask(one.port, "/health", method="GET")[1]) == {"state": "ready"}


def test_what_fails_to_load_is_said_to_every_request(make: Callable[..., server.Server]) -> None:
    def load() -> Any:
        raise RunError("TensorFlow is broken.")

    port = make(load).port
    assert error(ask(port, body={"task": "echo"})) == (422, "TensorFlow is broken.")


def test_what_exits_while_it_loads_is_said_to_every_request(
    make: Callable[..., server.Server],
) -> None:
    port = make(lambda: sys.exit("TensorFlow is broken.")).port
    for _ in range(2):
        status, text = error(ask(port, body={"task": "echo"}))
        assert (status, "TensorFlow is broken." in text) == (500, True)


@pytest.mark.parametrize("path", ["/compute", "/health"])
@pytest.mark.parametrize("token", ["", "Bearer ", "Bearer another", f"Basic {TOKEN}", TOKEN])
def test_wrong_token_is_refused(
    make: Callable[..., server.Server], fits: Fits, path: str, token: str
) -> None:
    method = "GET" if path == "/health" else "POST"
    answer = ask(make().port, path, {"task": "echo"}, method=method, Authorization=token)
    assert error(answer) == (401, "The token is missing or wrong.")
    assert fits.seen == []


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil", "127.0.0.1:1", "0.0.0.0", ""])
def test_foreign_host_is_refused(make: Callable[..., server.Server], fits: Fits, host: str) -> None:
    assert ask(make().port, body={"task": "echo"}, Host=host)[0] == 403
    assert fits.seen == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_own_host_is_answered(make: Callable[..., server.Server], host: str) -> None:
    assert ask(make().port, body={"task": "echo"}, Host=host)[0] == 200


def test_long_request_is_refused_unread(make: Callable[..., server.Server]) -> None:
    status, text = error(ask(make().port, raw=b"x", **{"Content-Length": str(2**20 + 1)}))
    assert status == 413
    assert text == "A request has at most 1048576 bytes. Received: 1048577."


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff",
        b"[]",
        b"{}",
        b'{"task": 1}',
        b'{"task": "echo", "run": 2}',
        b'{"task": "echo", "arguments": []}',
        b'{"task": "echo", "more": 1}',
        b"[" * 100_000,
    ],
)
def test_malformed_request_is_told_the_form(make: Callable[..., server.Server], raw: bytes) -> None:
    status, text = error(ask(make().port, raw=raw))
    assert status == 400
    assert 'Expected {"task": NAME' in text


def test_other_paths_and_methods_are_not_answered(make: Callable[..., server.Server]) -> None:
    port = make().port
    assert ask(port, "/../runs", {"task": "echo"})[0] == 404
    assert ask(port, "/compute", method="GET")[0] == 404
    assert ask(port, "/compute", {}, method="PUT")[0] == 501


def test_unknown_task_names_the_nearest(make: Callable[..., server.Server]) -> None:
    status, text = error(ask(make().port, body={"task": "ecko"}))
    assert status == 404
    assert "No task is named 'ecko'. Did you mean 'echo'?" in text


def test_errors_say_what_is_wrong_and_no_path(
    make: Callable[..., server.Server], capfd: pytest.CaptureFixture[str]
) -> None:
    port = make().port

    def said(kind: str) -> tuple[int, str]:
        return error(ask(port, body={"task": "failing", "arguments": {"error": kind}}))

    assert said("name") == (404, "No run is named 'firts'. Did you mean 'first'? Known: first.")
    assert said("ours") == (422, "The run in first is not finished.")
    assert said("other") == (500, "The task 'failing' failed. ZeroDivisionError: in 'panel.py'")
    assert "Traceback" in capfd.readouterr().err
    assert said("exit") == (500, "The task 'failing' failed. SystemExit: no such model")
    assert ask(port, body={"task": "echo"})[0] == 200  # it goes on


def test_failing_panel_is_named() -> None:
    job = Job("panel", None, {"name": "manifold"}, lambda: True)
    job.fail(ValueError("x"))
    assert json.loads(job.body) == {"error": "The panel 'manifold' failed. ValueError: x"}


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("none", "Received for 'a': NoneType"),
        ("list", "must give a mapping from names to arrays. Received: list"),
        ("ragged", "Received for 'a': list with elements of type object"),
    ],
)
def test_answer_must_be_arrays(what: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        tasks.carry_out(Fits(), "objects", None, {"what": what})  # type: ignore[arg-type]


def test_requests_are_computed_one_at_a_time(
    make: Callable[..., server.Server], fits: Fits
) -> None:
    port = make().port
    statuses: list[int] = []
    asking = [
        threading.Thread(target=lambda: statuses.append(ask(port, body={"task": "echo"})[0]))
        for _ in range(6)
    ]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(20)
    assert statuses == [200] * 6
    assert (len(fits.seen), fits.most_at_once) == (6, 1)


def test_request_that_nobody_waits_for_is_left_out(
    make: Callable[..., server.Server], fits: Fits
) -> None:
    one = make()
    fits.gate.clear()
    first, dropped = connect(one.port), connect(one.port)
    for number, connection in enumerate((first, dropped)):
        body = json.dumps({"task": "echo", "arguments": {"number": number}})
        connection.request("POST", "/compute", body, {"Authorization": f"Bearer {TOKEN}"})
        until(lambda: len(fits.seen) == 1)
    until(lambda: one._jobs.qsize() == 1)
    dropped.close()
    fits.gate.set()
    assert first.getresponse().status == 200
    first.close()
    assert ask(one.port, body={"task": "echo", "arguments": {"number": 2}})[0] == 200
    assert [arguments["number"] for arguments in fits.seen] == [0, 2]


def test_server_ends_when_idle_and_takes_its_file_along(tmp_path: Path, fits: Fits) -> None:
    began = time.monotonic()
    busy = server.serve(tmp_path, lambda: fits, idle=0.3)  # type: ignore[arg-type, return-value]
    assert 0.3 <= time.monotonic() - began < 10
    assert not busy
    assert not (tmp_path / presence.FILE).exists()


@pytest.mark.parametrize("what", ["folder", "file"])
def test_server_ends_when_it_cannot_be_found_any_more(
    tmp_path: Path, fits: Fits, what: str
) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    serving = threading.Thread(
        target=server.serve, args=(folder, lambda: fits), kwargs={"idle": 60}, daemon=True
    )
    serving.start()
    until(lambda: presence.read(folder) is not None)
    found = presence.read(folder)
    assert found is not None
    assert (found.pid, found.is_alive()) == (os.getpid(), True)
    assert stat.S_IMODE((folder / presence.FILE).stat().st_mode) == 0o600
    with pytest.raises(RunError, match=f"served already, by process {os.getpid()}"):
        server.serve(folder, lambda: fits)  # type: ignore[arg-type, return-value]
    shutil.rmtree(folder) if what == "folder" else (folder / presence.FILE).unlink()
    serving.join(10)
    assert not serving.is_alive()


def test_file_of_a_dead_process_is_replaced(tmp_path: Path, fits: Fits) -> None:
    stale = {"port": 1, "token": "x", "pid": os.getpid(), "process_created": 1.0}  # pid used again
    (tmp_path / presence.FILE).write_text(json.dumps(stale))
    found = presence.read(tmp_path)
    assert found is not None
    assert not found.is_alive()
    server.serve(tmp_path, lambda: fits, idle=0.1)  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"port": "x"}'])
def test_broken_file_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / presence.FILE).write_text(text)
    assert presence.read(tmp_path) is None


def test_port_in_use_is_refused(make: Callable[..., server.Server]) -> None:
    port = make().port
    with pytest.raises(RunError, match=f"Port {port} of 127.0.0.1 cannot be used"):
        server.Server(Fits, port)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "There is no folder nowhere. Expected a run's folder or one of runs."),
        ([".", "--idle", "0"], "idle must be a number of seconds above 0. Received: 0.0."),
    ],
)
def test_command_line_refuses_before_tensorflow_is_loaded(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(server, "serve", lambda *_, **__: pytest.fail("It was served."))
    assert cli.main(["serve", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


SERVE = """
import sys
from pathlib import Path
from tfbdl.serving import server
server.serve(Path(sys.argv[1]), lambda: None, idle=60)
print(sorted({"tensorflow", "keras"} & set(sys.modules)))
"""


def test_sigterm_ends_it_and_its_http_part_needs_no_tensorflow(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        until(lambda: presence.read(tmp_path) is not None)
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=20)
    assert (process.returncode, printed) == (0, "[]\n")
    assert presence.read(tmp_path) is None
