"""The command line: what it prints and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import tfbdl
from tfbdl import cli, registry


def test_list_prints_every_kind(found: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list"]) == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if not line.startswith(" ")] == [
        "models",
        "engines",
        "priors",
        "datasets",
    ]
    assert "  variational  The variational." in out


def test_list_of_one_kind_prints_that_alone(found: Any) -> None:
    result = CliRunner().invoke(cli.app, ["list", "priors"])
    assert result.exit_code == 0
    assert result.stdout == "priors\n  laplace  The laplace.\n  normal   The normal.\n"


def test_list_refuses_an_unknown_kind(found: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "modles"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("tfbdl: No kind is named 'modles'. Did you mean 'models'?")
    assert "Traceback" not in err


def test_show_prints_options_with_bounds_and_engines(found: Any) -> None:
    out = CliRunner().invoke(cli.app, ["show", "network"]).stdout
    assert "--model.hidden" in out
    assert "default 50" in out
    assert "one of 'relu', 'tanh'" in out
    assert "Blundell et al. 2015, eq. 2" in out
    assert "engines         laplace, variational\n" in out  # gibbs needs what the model has not
    assert "fake (fake-dist 1.2)" in out


def test_show_prints_every_kind_that_has_the_name(found: Any) -> None:
    both = CliRunner().invoke(cli.app, ["show", "laplace"]).stdout
    assert "engine laplace: " in both
    assert "prior laplace: " in both
    one = CliRunner().invoke(cli.app, ["show", "prior:laplace"]).stdout
    assert "engine laplace: " not in one
    assert "--prior.scale" in one


def test_show_names_data_options_as_they_are_typed(found: Any) -> None:
    assert "--data.split" in CliRunner().invoke(cli.app, ["show", "boston"]).stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "netwrk",
            "No model, engine, prior or data set is named 'netwrk'. Did you mean 'network'?",
        ),
        ("engine:normal", "No engine is named 'normal'."),
        ("priors:normal", "No kind is named 'priors'. Did you mean 'prior'?"),
    ],
)
def test_show_refuses_an_unknown_name(
    found: Any, name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["show", name]) == 2
    assert message in capsys.readouterr().err


def test_plugins_exits_with_one_if_there_is_a_problem(
    found: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["plugins"]) == 0
    assert "fake  fake-dist  1.2" in capsys.readouterr().out
    provider = registry.Provider("bad", "bad-dist", "0.1")
    found.problems.append(registry.Problem(provider, "import", "It raises.", "Update it."))
    assert cli.main(["plugins"]) == 1
    out = capsys.readouterr().out
    assert "bad (bad-dist 0.1): import: It raises." in out
    assert "What to do: Update it." in out
    assert cli.main(["list"]) == 0
    assert "1 plugin problem(s), see: tfbdl plugins" in capsys.readouterr().err


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"tfbdl {tfbdl.__version__}\n"


def test_list_and_refused_runs_load_nothing_heavy(tmp_path: Path) -> None:
    code = """
import sys
from tfbdl import cli
assert cli.main(["list"]) == 0
assert cli.main(["run", "no_such_model_at_all", "--out", sys.argv[1]]) == 2
heavy = {"tensorflow", "keras", "pandas", "xarray", "arviz_stats", "scipy", "sklearn", "matplotlib"}
print("heavy:", sorted(heavy & sys.modules.keys()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.endswith("heavy: []\n"), done.stderr
    assert "no_such_model_at_all" in done.stderr
    assert not (tmp_path / "out").exists()


SLOW_END = """
import atexit, sys, time
from tfbdl import api, cli
api.serve = lambda *_, **__: print("served")
atexit.register(time.sleep, 60)
cli.main(["serve", sys.argv[1]])
"""


def test_command_that_has_served_does_not_wait_for_the_interpreters_end(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SLOW_END, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "served\n"), done.stderr
