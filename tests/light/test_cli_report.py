"""The command line on a run that is there: resume, report, and what the metrics mean."""

from __future__ import annotations

import json
import sys
import types
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from tfbdl import cli, runs
from tfbdl.metric_names import meaning
from tfbdl.specs import RunSpec


class Outcome(NamedTuple):
    metrics: Mapping[str, float]

    def diagnostics(self) -> list[str] | None:
        return None


@pytest.mark.filterwarnings("default:The checkpoint of step 3")
def test_resume_hands_over_the_folder_and_shows_warnings(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def resume(path: Path, *, draws: int | None, on_step: Callable[..., None]) -> Outcome:
        warnings.warn("The checkpoint of step 3 is damaged", stacklevel=2)
        return Outcome({"draws": float(draws or 0)})

    api = types.ModuleType("tfbdl.api")
    vars(api)["resume"] = resume
    monkeypatch.setitem(sys.modules, "tfbdl.api", api)
    monkeypatch.setattr(sys.modules["tfbdl"], "api", api, raising=False)
    folder = runs.RunFolder(tmp_path / "r").create()
    folder.write_spec(RunSpec(model="network"))
    assert cli.main(["resume", str(folder.path), "--draws", "70"]) == 0
    printed = capsys.readouterr()
    assert "70" in printed.out
    assert "tfbdl: warning: The checkpoint of step 3 is damaged" in printed.err
    assert cli.main(["resume", str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err


def test_report_prints_state_spec_and_metrics_with_meaning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = runs.RunFolder(tmp_path / "r").create()
    folder.write_spec(RunSpec(model="network", engine="nuts", engine_options={"draws": 50}))
    assert cli.main(["report", str(folder.path)]) == 0
    assert "No metrics yet." in capsys.readouterr().out
    with runs.MetricsWriter(folder.metrics_path) as writer:
        writer.write(0, {"elbo": -9.0})
        writer.write(1, {"elbo": -7.0})
    folder.set_state("failed", "ValueError: out of reach")
    (folder.path / runs.RESULT).write_text(
        json.dumps({"metrics": {"coverage_90": 0.875, "[odd]": 2}})
    )
    assert cli.main(["report", str(folder.path)]) == 0
    out = capsys.readouterr().out
    assert f"run {folder.path}: failed" in out
    assert "[odd]" in out
    assert "data    none" in out
    assert "ValueError: out of reach" in out
    assert "nuts  --engine.draws 50" in out
    assert "at step 1" in out
    assert "-7 " in out
    assert "-9 " not in out
    assert "0.875  Share of targets inside the 90 % interval; should be near 0.9." in out


def test_report_prints_the_stored_verdicts_on_a_chain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = runs.RunFolder(tmp_path / "r").create()
    folder.write_spec(RunSpec(model="network", engine="nuts"))
    for stored, expected in (
        ({}, []),
        ({"diagnostics": []}, ["diagnostics: nothing is wrong with the draws"]),
        ({"diagnostics": ["tail ESS 12 < 400"]}, ["diagnostics:", "  tail ESS 12 < 400"]),
    ):
        (folder.path / runs.RESULT).write_text(json.dumps({"metrics": {"rmse": 1.0}, **stored}))
        assert cli.main(["report", str(folder.path)]) == 0
        lines = capsys.readouterr().out.splitlines()
        at = next(i for i, line in enumerate(lines) if "Root mean squared error" in line)
        assert lines[at + 1 :] == expected


def test_meaning_understands_prefixes_and_levels() -> None:
    assert meaning("val_nll").startswith("On held-out rows. Negative log predictive density")
    assert meaning("r_hat_max") == meaning("r_hat")
    assert "50 % interval" in meaning("interval_width_50")
    assert "latent dimension 12 in nats" in meaning("kl_12")
    assert meaning("test_elbo").startswith("On test rows. Evidence lower bound")
    for name in ("active_units", "bound", "decoder_kl", "reconstruction"):
        assert meaning(f"val_{name}")
    assert meaning("something_else") == ""
