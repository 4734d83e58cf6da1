"""A new plugin from the template."""

from __future__ import annotations

import importlib
import sys
import tomllib
from pathlib import Path

import pytest

import tfbdl
from tfbdl import cli, scaffold
from tfbdl.config import fields_of


def test_new_plugin_writes_a_distribution_under_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["new-plugin", "my_prior", "--dir", str(tmp_path)]) == 0
    folder = tmp_path / "my_prior"
    out = capsys.readouterr().out
    assert f"pip install -e '{folder}[test]'" in out
    assert f"pytest {folder}" in out
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == "my-prior"
    assert project["entry-points"]["tfbdl"] == {"my_prior": "my_prior"}
    files = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}
    assert {"README.md", "my_prior/__init__.py", "tests/test_plugin.py"} <= files.keys()
    for name, path in files.items():
        text = path.read_text()
        assert "plugin_name" not in text
        assert "plugin-name" not in text
        if name.endswith(".py"):
            compile(text, name, "exec")
    assert 'check_plugin("my_prior")' in files["tests/test_plugin.py"].read_text()


def test_new_plugin_provides_a_prior_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = scaffold.new_plugin("my_prior", tmp_path)
    monkeypatch.syspath_prepend(folder)
    package = importlib.import_module("my_prior")
    try:
        (spec,) = package.tfbdl_priors()
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "my_prior"]:
            del sys.modules[name]
    assert isinstance(spec, tfbdl.PriorSpec)
    assert spec.name == "my_prior"
    module, _, attribute = str(spec.factory).partition(":")
    source = folder.joinpath(*module.split(".")).with_suffix(".py").read_text()
    assert f"class {attribute}(Prior):" in source
    assert [field.name for field in fields_of(spec.config)] == ["scale"]


@pytest.mark.parametrize(
    "name", ["My_Prior", "1st", "a-b", "class", "json", "numpy", "plugin_name"]
)
def test_new_plugin_refuses_a_bad_name(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["new-plugin", name, "--dir", str(tmp_path)]) == 2
    assert f"{name!r} cannot name a plugin" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_new_plugin_refuses_a_folder_that_exists(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_prior").mkdir()
    assert cli.main(["new-plugin", "my_prior", "--dir", str(tmp_path)]) == 2
    assert "exists already" in capsys.readouterr().err
