"""The dashboard's pages show runs, plugins and options; it needs no TensorFlow to start."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest
from tfbdl_dashboard import server

from tfbdl import cli, registry, runs
from tfbdl.specs import RunSpec


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> runs.RunFolder:
    """A finished run under the root that the dashboard looks at."""
    monkeypatch.setenv(server.RUNS_VARIABLE, str(tmp_path))
    made = runs.RunFolder(tmp_path / "first").create()
    made.write_spec(RunSpec(model="bbb", data="diabetes", seed=7))
    with runs.MetricsWriter(made.metrics_path) as writer:
        for step, elbo in enumerate((-9.0, -7.5, -8.0)):
            writer.write(step, {"elbo": elbo})
    (made.path / runs.RESULT).write_text(json.dumps({"metrics": {"coverage_90": 0.875}}))
    made.set_state("done")
    return made


def page(name: str) -> AppTest:
    """One page by itself, run to its end."""
    script = f"from tfbdl_dashboard.pages import {name}\n{name}.show()\n"
    shown = AppTest.from_string(script, default_timeout=30).run()
    assert not shown.exception
    return shown


def test_app_opens_on_the_runs(folder: runs.RunFolder) -> None:
    shown = AppTest.from_file(server.SCRIPT, default_timeout=30).run()
    assert not shown.exception
    assert shown.title[0].value == "Runs"


def test_runs_page_shows_state_figures_and_the_curve(folder: runs.RunFolder) -> None:
    shown = page("runs")
    table, figures = shown.dataframe[0].value, shown.dataframe[1].value
    row = table.iloc[0]
    assert (row["run"], row["state"], row["model"], row["seed"]) == ("first", "done", "bbb", 7)
    assert row["coverage_90"] == 0.875
    by_metric = figures.set_index("metric")
    assert by_metric.loc["coverage_90", "final"] == 0.875
    assert "90 % interval" in by_metric.loc["coverage_90", "meaning"]
    curve = by_metric.loc["elbo (curve)"]
    assert (curve["last"], curve["smallest"], curve["largest"]) == (-8.0, -9.0, -7.5)
    assert shown.multiselect[0].value == ["elbo"]


def test_runs_page_offers_to_resume_what_failed_and_outlives_a_broken_run(
    folder: runs.RunFolder,
) -> None:
    folder.set_state("failed", "ValueError: out of reach")
    broken = folder.path.with_name("broken")
    broken.mkdir()
    (broken / runs.RUN).write_text("{")
    shown = page("runs")
    table = shown.dataframe[0].value.set_index("run")
    assert table.loc["broken", "state"] == "unreadable"
    shown.selectbox[0].set_value("first").run()
    assert not shown.exception
    assert "ValueError: out of reach" in [text.value for text in shown.text]
    assert shown.code[0].value == f"tfbdl resume {folder.path}"


def test_runs_page_says_where_it_looked_if_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(server.RUNS_VARIABLE, str(tmp_path / "none"))
    assert str(tmp_path / "none") in page("runs").info[0].value


def test_catalogue_shows_every_name_of_a_kind_with_its_options() -> None:
    shown = page("catalogue")
    for kind in ("model", "engine", "prior", "dataset"):
        catalog = registry.registry().catalog(kind)
        shown.segmented_control[0].set_value(kind).run()
        assert list(shown.dataframe[0].value["name"]) == list(catalog)
        first = next(iter(catalog.values()))
        assert list(shown.dataframe[1].value["option"]) == list(first.config.model_fields)


def test_plugins_page_shows_versions_and_problems_with_advice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider = registry.Provider("bad", "bad-dist", "0.1")
    problem = registry.Problem(provider, "import", "It raises.", "Update it.")
    problems = [*registry.registry().problems, problem]
    monkeypatch.setitem(vars(registry.registry()), "problems", problems)
    shown = page("plugins")
    assert "tfbdl" in set(shown.dataframe[0].value["distribution"])
    assert "bad-dist 0.1" in shown.error[-1].value
    assert shown.code[-1].value == "It raises.\nUpdate it."


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """The port of a dashboard that is being served."""
    with socket.socket() as probe:
        probe.bind((server.ADDRESS, 0))
        number = probe.getsockname()[1]
    command = ["-m", "tfbdl_dashboard", "--port", str(number), "--runs", str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            deadline = time.monotonic() + 60
            while status(number, "/_stcore/health") != 200:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield number
        finally:
            process.terminate()


def status(port: int, path: str, **headers: str) -> int | None:
    """The status with which the server answers, or None if it does not."""
    connection = http.client.HTTPConnection(server.ADDRESS, port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


def test_server_refuses_a_foreign_host_on_pages_and_websocket(port: int) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    answers = {
        host: [
            status(port, "/", Host=host),
            status(port, "/_stcore/health", Host=host),
            status(port, "/_stcore/stream", Host=host, **upgrade),
        ]
        for host in (f"localhost:{port}", f"127.0.0.1:{port}", "evil.example", "localhost.evil")
    }
    assert list(answers.values()) == [[200, 200, 101]] * 2 + [[400, 400, 400]] * 2


def test_start_leaves_tensorflow_out() -> None:
    code = """
import sys
from streamlit.testing.v1 import AppTest
from tfbdl_dashboard import __main__, server
assert not AppTest.from_file(server.SCRIPT, default_timeout=30).run().exception
print(sorted({"tensorflow", "keras", "tensorflow_probability"} & set(sys.modules)))
"""
    assert run(code)[-1:] == ["[]"]


def test_command_line_starts_the_server_on_port_and_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(subprocess, "call", lambda command: calls.append(command) or 0)
    assert cli.main(["dashboard", "--port", "8600", "--runs", str(tmp_path)]) == 0
    expected = ["-m", "tfbdl_dashboard", "--port", "8600", "--runs", str(tmp_path)]
    assert calls == [[sys.executable, *expected]]


def test_command_line_names_the_extra_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert cli.main(["dashboard"]) == 2
    assert "pip install 'tfbdl[dashboard]'" in capsys.readouterr().err


def run(code: str) -> list[str]:
    """Run ``code`` in a fresh process; return what it printed, by line."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
