"""The dashboard's start: where it listens, to which names it answers, when it wants a token."""

from __future__ import annotations

import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from tfbdl_dashboard import guard, server

from tfbdl import cli
from tfbdl.errors import OptionsError

TOKEN = "a token of more than sixteen"


@pytest.mark.parametrize(
    ("arguments", "variable", "message"),
    [
        (["--address", "0.0.0.0"], None, "needs a token: --token-file FILE"),
        (["--address", "192.0.2.1"], "short", "at least 16 characters"),
        (["--address", "0.0.0.0"], TOKEN, "Say by which name visitors come: --allowed-host"),
        (["--address", "example"], TOKEN, "Received: 'example'"),
        (["--allowed-host", "lab.example"], None, "needs a token: --token-file FILE"),
        ([], "short", "at least 16 characters"),
        (["--address", "192.0.2.1"], TOKEN, "192.0.2.1 cannot be listened on"),
        (["--port", "70000"], None, "Port 70000 of 127.0.0.1 cannot be listened on"),
    ],
)
def test_another_address_is_refused_without_what_it_needs(
    arguments: list[str],
    variable: str | None,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv(server.TOKEN_VARIABLE, raising=False)
    if variable is not None:
        monkeypatch.setenv(server.TOKEN_VARIABLE, variable)
    monkeypatch.setattr(sys, "argv", ["tfbdl dashboard", *arguments])
    monkeypatch.setattr(server, "make_app", lambda *_: pytest.fail("it would be served"))
    from tfbdl_dashboard import __main__

    assert __main__.main() == 2
    assert message in capsys.readouterr().err


@dataclass
class Made:
    """The application, not run: what it was made of."""

    hosts: tuple[str, ...] = ()
    token: str | None = None
    address: object = None

    def __call__(self, hosts: tuple[str, ...], token: str | None) -> Made:
        self.hosts, self.token = hosts, token
        return self

    def run(self, config: dict[str, object]) -> None:
        self.address = config["server.address"]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    monkeypatch.delenv(server.TOKEN_VARIABLE, raising=False)
    monkeypatch.setenv(server.RUNS_VARIABLE, "kept")  # serve writes it
    made = Made()
    monkeypatch.setattr(server, "make_app", made)
    return made


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((server.ADDRESS, 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("hosts", [[], ["localhost"], ["127.0.0.1", "[::1]"], ["lab.example"]])
@pytest.mark.parametrize("given", [True, False])
def test_token_of_the_variable_is_wanted_on_this_machine_too(
    made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hosts: list[str], given: bool
) -> None:
    if given:
        monkeypatch.setenv(server.TOKEN_VARIABLE, TOKEN)
    elif hosts == ["lab.example"]:
        with pytest.raises(OptionsError, match="needs a token"):
            server.serve(free_port(), tmp_path, hosts=hosts)
        return
    server.serve(free_port(), tmp_path, hosts=hosts)
    assert made.token == (TOKEN if given else None)


@pytest.mark.parametrize(
    ("address", "shown"),
    [("127.0.0.1", "localhost"), ("localhost", "localhost"), ("127.0.0.2", "127.0.0.2"),
     ("::1", "[::1]")],
)  # fmt: skip
def test_every_address_of_this_machine_is_answered_and_told(
    made: Made,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    address: str,
    shown: str,
) -> None:
    monkeypatch.setattr(server, "check_port", lambda *_: None)  # a machine may have no IPv6
    server.serve(8501, tmp_path, address=address)
    out = capsys.readouterr().out
    assert f"http://{shown}:8501\n" in out
    assert "token" not in out
    assert made.address == address
    assert guard.hostname(f"{shown}:8501") in made.hosts


def test_port_in_use_is_told_instead_of_an_address(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from tfbdl_dashboard import __main__

    with socket.create_server((server.ADDRESS, 0)) as other:
        port = other.getsockname()[1]
        arguments = ["--port", str(port), "--runs", str(tmp_path)]
        monkeypatch.setattr(sys, "argv", ["tfbdl dashboard", *arguments])
        assert __main__.main() == 2
    printed = capsys.readouterr()
    assert "http://" not in printed.out
    assert f"Port {port} of 127.0.0.1 cannot be listened on" in printed.err
    assert "--port" in printed.err


def test_token_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="cannot be read"):
        server.read_token(tmp_path / "none")


def test_hosts_are_those_of_this_machine_the_address_and_the_given_names() -> None:
    assert server.allowed_hosts("127.0.0.1", ()) == ("127.0.0.1", "localhost")
    assert server.allowed_hosts("192.0.2.1", ["lab.example"])[2:] == ("192.0.2.1", "lab.example")
    assert server.allowed_hosts("0.0.0.0", ["lab.example"])[2:] == ("lab.example",)


def test_command_line_hands_on_what_the_server_takes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[list[str]] = []
    monkeypatch.setattr(subprocess, "call", lambda command: calls.append(command) or 0)
    words = ["--port", "8600", "--runs", str(tmp_path)]
    more = ["--address", "0.0.0.0", "--token-file", str(tmp_path / "token")]
    more += ["--allowed-host", "a.example", "--allowed-host", "b.example"]
    assert cli.main(["dashboard", *words]) == 0
    assert cli.main(["dashboard", *words, *more]) == 0
    start = [sys.executable, "-m", "tfbdl_dashboard"]
    assert calls == [[*start, *words], [*start, *words, *more]]


def test_command_line_names_the_extra_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert cli.main(["dashboard"]) == 2
    assert "pip install 'tfbdl[dashboard]'" in capsys.readouterr().err
