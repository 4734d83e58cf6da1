"""Fits by the ids of runs: what is an id, how many are kept, when one is read again."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tfbdl import runs, stored
from tfbdl.errors import UnknownNameError
from tfbdl.serving.runs import Runs
from tfbdl.specs import RunSpec

NAMES = ("a", "b", "c", "d", "e")


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Five runs; the names of those that were read, in order."""
    names: list[str] = []

    def load(path: Path) -> Any:
        names.append(path.name)
        return SimpleNamespace(path=path, dataset=lambda: f"data of {path.name}")

    monkeypatch.setattr(stored, "load", load)
    for name in NAMES:
        folder = runs.RunFolder(tmp_path / name).create()
        folder.write_spec(RunSpec(model="bbb", data="diabetes"))
        (folder.path / runs.RESULT).write_text("{}")
    return names


def test_last_four_fits_are_kept(tmp_path: Path, read: list[str]) -> None:
    found = Runs(tmp_path)
    for name in ("a", "b", "c", "d", "a", "e"):  # "b" was asked for the longest ago
        assert found.fit(name).path == tmp_path.resolve() / name
    assert read == ["a", "b", "c", "d", "e"]
    found.fit("a")
    found.fit("b")
    assert read == ["a", "b", "c", "d", "e", "b"]
    assert found.data("b") == "data of b"


def test_fit_is_read_again_when_its_result_changed(tmp_path: Path, read: list[str]) -> None:
    found = Runs(tmp_path)
    first = found.fit("a")
    assert found.fit("a") is first
    result = tmp_path / "a" / runs.RESULT
    os.utime(result, ns=(result.stat().st_atime_ns, result.stat().st_mtime_ns + 1_000_000))
    assert found.fit("a") is not first
    assert read == ["a", "a"]


@pytest.mark.parametrize("run", ["", ".", "..", "a/", "a/../b", "./a", "/a", "a\0", "f", "link"])
def test_nothing_but_the_name_of_a_run_is_an_id(tmp_path: Path, read: list[str], run: str) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(UnknownNameError, match="No run is named"):
        Runs(tmp_path).fit(run)
    assert read == []


def test_folder_of_one_run_has_one_id(tmp_path: Path, read: list[str]) -> None:
    found = Runs(tmp_path / "a")
    assert found.fit("a").path == (tmp_path / "a").resolve()
    with pytest.raises(UnknownNameError, match=r"No run is named 'b'.*Known: a\."):
        found.fit("b")
