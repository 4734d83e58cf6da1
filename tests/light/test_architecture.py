"""The contracts on imports cover every room; .ci/run lets no skip pass in silence."""

from __future__ import annotations

import importlib.util
import tomllib
import types
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONTRACTS = {c["name"]: c for c in PROJECT["tool"]["importlinter"]["contracts"]}
PLUGINS = {path.parent.name for path in (ROOT / "plugins").glob("*/__init__.py")}
REPORT = """<testsuites><testsuite>
<testcase classname="tests.test_a" name="test_one"/>
<testcase classname="tests.test_a" name="test_two[gpu]">
  <skipped type="pytest.skip" message="needs a GPU">where</skipped></testcase>
<testcase classname="tests.test_b" name="test_three">
  <skipped type="pytest.skip" message="no time">where</skipped></testcase>
</testsuite></testsuites>"""


@pytest.fixture(scope="module")
def skips() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("skips", ROOT / ".ci" / "skips.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("contract", "key"),
    [
        ("Plugins do not know one another", "modules"),
        ("Plugins use public names and the rooms below the network", "source_modules"),
        ("The core knows no plugin and no dashboard", "forbidden_modules"),
        ("The dashboard knows no method and runs none", "forbidden_modules"),
        ("The light side never loads TensorFlow", "source_modules"),
    ],
)
def test_contract_names_every_plugin(contract: str, key: str) -> None:
    assert set(CONTRACTS[contract][key]) >= PLUGINS


def test_every_plugin_is_a_root_and_has_an_entry_point() -> None:
    roots = PROJECT["tool"]["importlinter"]["root_packages"]
    assert set(roots) == {"tfbdl", "tfbdl_dashboard", *PLUGINS}
    assert set(PROJECT["project"]["entry-points"]["tfbdl"].values()) == PLUGINS


def test_every_room_of_the_core_stands_in_a_contract() -> None:
    rooms = {
        path.stem
        for path in (ROOT / "tfbdl").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    listed = set()
    for contract in CONTRACTS.values():
        for layer in contract.get("layers", ()):
            listed |= {name.strip(" ()") for name in layer.split("|")}
    light = CONTRACTS["The light side never loads TensorFlow"]["source_modules"]
    listed |= {name.removeprefix("tfbdl.") for name in light}
    helpers = {name for name in rooms if name.startswith("_")}
    assert rooms - listed - helpers == set()


def test_skips_that_are_not_listed_are_found(skips: Any) -> None:
    allowed = skips.read_allowed("# why\n*GPU*  # needs one\n\n")
    found = skips.read_skips(REPORT)
    assert [test for test, _ in found] == [
        "tests.test_a::test_two[gpu]",
        "tests.test_b::test_three",
    ]
    assert skips.unlisted(found, allowed) == [("tests.test_b::test_three", "no time")]
    assert skips.unlisted(found, [*allowed, "tests.test_b::*"]) == []


def test_skips_fail_the_run(skips: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, allowed = tmp_path / "junit.xml", tmp_path / "allowed.txt"
    report.write_text(REPORT)
    allowed.write_text("*GPU*\n")
    assert skips.main(str(report), str(allowed)) == 1
    assert "tests.test_b::test_three: no time" in capsys.readouterr().err
    allowed.write_text("*GPU*\nno time\n")
    assert skips.main(str(report), str(allowed)) == 0
