"""``tfbdl run``: what it takes from the command line, hands to a run, prints and refuses."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_registry import Fit, replace_api

from tfbdl import cli, runs
from tfbdl.errors import DataError
from tfbdl.specs import RunSpec


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
    replace_api(monkeypatch, execute=lambda spec, **_: Fit({"rmse": 2.5}, verdicts))
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


def test_two_runs_of_one_second_have_folders_of_their_own(tmp_path: Path) -> None:
    made = [runs.new_folder(tmp_path, "bbb") for _ in range(5)]
    assert len(set(made)) == 5
    assert all(path.is_dir() for path in made)


def test_run_refuses_a_folder_in_use_before_it_hands_over(
    executed: list[tuple[RunSpec, Path]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.RunFolder(tmp_path / "r").create().set_state("done")
    assert cli.main(["run", "network", "--out", str(tmp_path / "r")]) == 2
    assert "already holds a run (done)" in capsys.readouterr().err
    assert executed == []
    assert not (tmp_path / "r" / runs.LOG).exists()


def test_run_keeps_what_it_prints_in_a_log(
    found: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def execute(spec: RunSpec, *, out: Path, on_step: Callable[..., None]) -> Fit:
        assert runs.RunFolder(out).read_spec() == spec
        print("\x1b[1mEpoch\x1b[0m 1")
        warnings.simplefilter("always")  # until the command ends
        warnings.warn("slow", stacklevel=1)
        on_step({"step": 1, "steps": 2})
        if spec.seed:
            raise DataError("3 rows hold NaN.")
        return Fit({"rmse": 2.5})

    replace_api(monkeypatch, execute=execute)
    assert cli.main(["run", "network", "--out", "good"]) == 0
    assert cli.main(["run", "network", "--seed", "1", "--out", "bad"]) == 2
    good, bad = (tmp_path.joinpath(name, runs.LOG).read_text() for name in ("good", "bad"))
    for text in (good, bad):
        assert text.startswith("Epoch 1\ntfbdl: warning: slow\n")
    assert "Root mean squared error" in good
    assert good.endswith("run folder: good\n")
    assert bad.endswith("DataError: 3 rows hold NaN.\n")
    assert "run folder: good" in capsys.readouterr().out


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

    replace_api(monkeypatch, execute=execute)
    assert cli.main(["run", "network"]) == code
    err = capsys.readouterr().err
    assert err.endswith(message)
    assert "Traceback" not in err
