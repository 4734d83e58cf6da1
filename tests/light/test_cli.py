"""The command line: what it prints, what it refuses, what it hands to a run."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from typer.testing import CliRunner

import tfbdl
from tfbdl import cli, registry, runs
from tfbdl.config import Config, Field
from tfbdl.errors import DataError
from tfbdl.specs import DatasetSpec, EngineSpec, ModelSpec, PriorSpec, RunSpec


class NetworkOptions(Config):
    hidden: tuple[int, ...] = Field((50,), description="Units of the hidden layers.")
    activation: Literal["relu", "tanh"] = Field("relu", description="Of the hidden layers.")


class EngineOptions(Config):
    epochs: int = Field(10, ge=1, description="Passes over the data.")
    verbose: bool = Field(False, description="Whether to print.")
    step_size: float | None = Field(None, gt=0, description="Of the update.")


class PriorOptions(Config):
    scale: float = Field(1.0, gt=0, description="Standard deviation.")


class DataOptions(Config):
    split: int = Field(0, ge=0, description="Which of the stored splits.")


class FileOptions(Config):
    path: str = Field(..., description="The file.")
    target: tuple[str, ...] = Field((), description="Columns to predict.")


PROVIDER = registry.Provider("fake", "fake-dist", "1.2")


def _catalog(kind: str, *specs: Any) -> registry.Catalog[Any]:
    return registry.Catalog(kind, {spec.name: (spec, PROVIDER) for spec in specs})


class Fit(NamedTuple):
    metrics: Mapping[str, float]
    verdicts: list[str] | None = None

    def diagnostics(self) -> list[str] | None:
        return self.verdicts


def _spec(kind: type, name: str, config: type[Config], **more: Any) -> Any:
    return kind(name=name, summary=f"The {name}.", factory="pkg.mod:f", config=config, **more)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """A small registry; the name ``laplace`` is a prior and an engine."""
    model = _spec(
        ModelSpec,
        "network",
        NetworkOptions,
        task="regression",
        capabilities=frozenset({"trainable", "log_joint"}),
        default_engine="variational",
        default_prior="normal",
        references=("Blundell et al. 2015, eq. 2",),
    )
    engines = (
        _spec(EngineSpec, "variational", EngineOptions, needs=({"trainable"},)),
        _spec(EngineSpec, "laplace", EngineOptions, needs=({"log_joint"},)),
        _spec(EngineSpec, "gibbs", EngineOptions, needs=({"conditionals"},)),
    )
    priors = (_spec(PriorSpec, name, PriorOptions) for name in ("normal", "laplace"))
    found = types.SimpleNamespace(
        models=_catalog("model", model),
        engines=_catalog("engine", *engines),
        priors=_catalog("prior", *priors),
        datasets=_catalog(
            "dataset",
            _spec(DatasetSpec, "boston", DataOptions),
            _spec(DatasetSpec, "file", FileOptions),
        ),
        panels=_catalog("panel"),
        providers=[PROVIDER],
        problems=[],
    )
    monkeypatch.setattr(registry, "registry", lambda: found)
    return found


@pytest.fixture
def executed(found: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[RunSpec, Path]]:
    """The runs that were handed over; each takes two steps."""
    calls: list[tuple[RunSpec, Path]] = []

    def execute(spec: RunSpec, *, out: Path, on_step: Callable[..., None]) -> Fit:
        calls.append((spec, out))
        on_step({"step": 1, "steps": 2, "loss": 0.5})
        on_step({"step": 2, "steps": 2, "loss": 0.25})
        return Fit({"rmse": 2.5, "coverage_90": 0.875})

    _replace_api(monkeypatch, execute=execute)
    return calls


def _replace_api(monkeypatch: pytest.MonkeyPatch, **functions: Callable[..., Any]) -> None:
    api = types.ModuleType("tfbdl.api")
    vars(api).update(functions)
    monkeypatch.setitem(sys.modules, "tfbdl.api", api)
    monkeypatch.setattr(sys.modules["tfbdl"], "api", api, raising=False)


# list, show, plugins


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


# run


def test_run_turns_flags_into_plain_values(
    executed: list[tuple[RunSpec, Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = "run --engine.epochs 20 network --model.hidden 50,40 --data boston --data.split=3"
    arguments += " --prior laplace --prior.scale 0.5 --seed 4 --engine.verbose --out"
    assert cli.main([*arguments.split(), str(tmp_path / "r")]) == 0
    spec, out = executed[0]
    assert spec == RunSpec(
        model="network",
        data="boston",
        prior="laplace",
        model_options={"hidden": [50, 40]},
        engine_options={"epochs": 20, "verbose": True},
        prior_options={"scale": 0.5},
        data_options={"split": 3},
        seed=4,
    )
    assert out == tmp_path / "r"
    printed = capsys.readouterr()
    assert f"run folder: {tmp_path / 'r'}" in printed.out
    assert "rmse" in printed.out
    assert "Root mean squared error" in printed.out
    assert "2/2" in printed.err


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (None, []),
        ([], ["diagnostics: nothing is wrong with the draws"]),
        (
            ["R-hat 1.05 > 1.01 for [mu]: do not use", "2 divergent of 100 transitions"],
            [
                "diagnostics:",
                "  R-hat 1.05 > 1.01 for [mu]: do not use",
                "  2 divergent of 100 transitions",
            ],
        ),
    ],
)
def test_run_prints_the_verdicts_on_a_chain_after_the_metrics(
    found: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    verdicts: list[str] | None,
    expected: list[str],
) -> None:
    _replace_api(monkeypatch, execute=lambda spec, **_: Fit({"rmse": 2.5}, verdicts))
    assert cli.main(["run", "network", "--out", str(tmp_path / "r")]) == 0
    _, after = capsys.readouterr().out.split("Root mean squared error")
    assert after.splitlines()[1:-1] == expected


def test_run_without_out_makes_a_folder_under_runs(executed: list[tuple[RunSpec, Path]]) -> None:
    assert cli.main(["run", "network", "--engine.step_size", "none"]) == 0
    spec, out = executed[0]
    assert out.parent == Path("runs")
    assert out.name.endswith("-network")
    assert spec.engine_options == {"step_size": None}


def test_run_takes_a_file_by_its_whole_path_and_with_its_options(
    executed: list[tuple[RunSpec, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "houses.csv"
    path.write_text("price,rooms,tax\n")
    command = ["run", "network", "--data", "houses.csv", "--data.target", "price,tax"]
    assert cli.main(command) == 0
    assert executed[0][0].data == str(path)
    assert executed[0][0].data_options == {"target": ["price", "tax"]}


@pytest.mark.parametrize("wrapped", [True, False])
def test_run_from_a_file_lets_flags_override(
    executed: list[tuple[RunSpec, Path]], tmp_path: Path, wrapped: bool
) -> None:
    stored = RunSpec(
        model="network",
        data="boston",
        engine="variational",
        model_options={"hidden": (9,)},
        engine_options={"epochs": 5},
        seed=3,
    ).model_dump(mode="json")
    path = tmp_path / "stored.json"
    path.write_text(json.dumps({"spec": stored, "versions": {}} if wrapped else stored))
    command = ["run", "--from", str(path), "--out", str(tmp_path / "r")]
    assert cli.main([*command, "--engine.verbose", "true", "--seed", "8"]) == 0
    assert cli.main([*command, "--engine", "laplace"]) == 0
    first, second = executed[0][0], executed[1][0]
    assert (first.seed, first.data, first.model_options) == (8, "boston", {"hidden": [9]})
    assert first.engine_options == {"epochs": 5, "verbose": True}
    assert (second.engine, second.engine_options) == ("laplace", {})  # options of another engine


def test_run_from_a_folder_that_was_never_started_runs_there(
    executed: list[tuple[RunSpec, Path]], tmp_path: Path
) -> None:
    folder = runs.RunFolder(tmp_path / "mine").create()
    folder.write_spec(RunSpec(model="network"))
    assert cli.main(["run", "--from", str(folder.path / runs.RUN)]) == 0
    folder.set_state("done")
    assert cli.main(["run", "--from", str(folder.path / runs.RUN)]) == 0
    assert executed[0][1] == folder.path
    assert executed[1][1] != folder.path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run", "No model was given"),
        ("run netwrk", "Did you mean 'network'?"),
        ("run network --engine.epoch 3", "Did you mean 'epochs'?"),
        ("run network --engine.epochs 0", "must be an integer of at least 1"),
        ("run network --engine.epochs", "Received: 'true'"),
        (
            "run network --engin.epochs 3",
            "No option group is named 'engin'. Did you mean 'engine'?",
        ),
        ("run network --engine.epochs 3 --engine.epochs=4", "was given twice"),
        ("run network --data.split 3", "without data"),
        ("run network --data bostn --data.split 3", "Did you mean 'boston'?"),
        ("run network --sed 3", "No such option: --sed"),
        ("run network --seed -1", "Invalid value for '--seed'"),
        ("run network --engine gibbs", "Engine 'gibbs' cannot fit model 'network'"),
        ("run network --data missing.csv", "No file is at 'missing.csv'"),
        ("run --from missing.json", "There is no file missing.json"),
    ],
)
def test_run_refuses_what_is_wrong_with_one_message(
    executed: list[tuple[RunSpec, Path]],
    arguments: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(arguments.split()) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
    assert executed == []


def test_run_of_an_object_asks_for_a_model(
    executed: list[tuple[RunSpec, Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.json"
    path.write_text(RunSpec(model=None, fingerprints={"model": "ab"}).model_dump_json())
    assert cli.main(["run", "--from", str(path)]) == 2
    assert "made from an object" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (DataError("3 rows hold NaN."), 2, "tfbdl: 3 rows hold NaN.\n"),
        (KeyboardInterrupt(), 130, "tfbdl: stopped\n"),
    ],
)
def test_run_that_ends_early_says_so_without_a_traceback(
    found: Any,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def execute(spec: RunSpec, **_: Any) -> Fit:
        raise error

    _replace_api(monkeypatch, execute=execute)
    assert cli.main(["run", "network"]) == code
    err = capsys.readouterr().err
    assert err.endswith(message)
    assert "Traceback" not in err


# the program itself


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
