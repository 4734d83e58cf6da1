"""Plugins are asked in a process of their own: with a time limit, and remembered."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from installed_plugins import giving, install, load_from

from tfbdl import _probing
from tfbdl.errors import OptionsError


def test_hanging_plugin_is_stopped_and_the_others_work(
    on_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFBDL_PROBE_SECONDS", "1.5")
    install(on_path, "asleep", "import time; time.sleep(600)")
    hook = "import tfbdl, time\n@tfbdl.hookimpl\ndef tfbdl_priors():\n    time.sleep(600)"
    install(on_path, "drowsy", hook)
    install(on_path, "own", giving("own_prior"), distribution="tfbdl")
    found = load_from(on_path, cache=tmp_path / "cache")
    messages = {problem.provider.plugin: problem.message for problem in found.problems}
    assert messages["asleep"] == "Importing it did not end in 1.5 s."
    assert "did not end in 1.5 s." in messages["drowsy"]
    assert "TFBDL_PROBE_SECONDS" in found.problems[0].advice
    assert list(found.priors) == ["own_prior"]


def test_probe_outcome_is_remembered_until_the_plugin_changes(
    on_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: started.append(a) or run(*a, **k))
    install(on_path, "kept", giving("kept"))
    install(on_path, "bad", "1 / 0")
    cache = tmp_path / "cache"
    first = load_from(on_path, seconds=60.0, cache=cache)
    assert len(started) == 2
    again = load_from(on_path, seconds=60.0, cache=cache)
    assert len(started) == 2
    assert again.problems == first.problems
    assert list(again.priors) == list(first.priors) == ["kept"]
    (on_path / "plugin_dist_bad_bad.py").write_text("2 / 0")
    load_from(on_path, seconds=60.0, cache=cache)
    assert len(started) == 3


def test_remembered_fault_is_looked_at_again_after_an_hour(on_path: Path, tmp_path: Path) -> None:
    install(on_path, "bad", "1 / 0")
    cache = tmp_path / "cache"
    load_from(on_path, seconds=60.0, cache=cache)
    (path,) = cache.iterdir()
    stored = json.loads(path.read_text())
    stored["fault"][1] = "remembered"
    path.write_text(json.dumps(stored))
    assert load_from(on_path, seconds=60.0, cache=cache).problems[0].message == "remembered"
    path.write_text(json.dumps({**stored, "time": stored["time"] - 3601}))
    problem = load_from(on_path, seconds=60.0, cache=cache).problems[0]
    assert "ZeroDivisionError" in problem.message


def test_damaged_memory_of_a_probe_is_ignored(on_path: Path, tmp_path: Path) -> None:
    install(on_path, "damaged", giving("damaged"))
    cache = tmp_path / "cache"
    load_from(on_path, seconds=60.0, cache=cache)
    (path,) = cache.iterdir()
    path.write_text('{"key": ')
    assert list(load_from(on_path, seconds=60.0, cache=cache).priors) == ["damaged"]
    assert json.loads(path.read_text())["fault"] is None


def test_cache_folder_follows_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert _probing.cache_folder() == tmp_path / "tfbdl" / "probes"


def test_cache_folder_that_cannot_be_written_costs_nothing_but_time(
    on_path: Path, tmp_path: Path
) -> None:
    install(on_path, "uncached", giving("uncached"))
    (tmp_path / "file").write_text("")
    found = load_from(on_path, seconds=60.0, cache=tmp_path / "file" / "cache")
    assert list(found.priors) == ["uncached"]


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan"])
def test_time_limit_must_be_a_positive_number(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFBDL_PROBE_SECONDS", text)
    with pytest.raises(OptionsError, match=f"must be a number above 0. Received: '{text}'"):
        _probing.time_limit()
