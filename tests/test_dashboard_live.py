"""The page of a run on its way: state, bound, KL, chains, log; and what it says of them."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from tfbdl_dashboard import course, curves, jobs, run_index, server, state

from tfbdl import runs
from tfbdl.errors import RunError
from tfbdl.run_status import Status
from tfbdl.specs import RunSpec


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> runs.RunFolder:
    """A run of ``bbb`` that was just made."""
    monkeypatch.setenv(server.RUNS_VARIABLE, str(tmp_path))
    made = runs.RunFolder(tmp_path / "first").create()
    made.write_spec(RunSpec(model="bbb", data="diabetes", seed=7))
    return made


def note(folder: runs.RunFolder, *figures: Mapping[str, float]) -> None:
    with runs.MetricsWriter(folder.metrics_path) as writer:
        for step, values in enumerate(figures):
            writer.write(step, values)


def page(run_id: str = "first") -> AppTest:
    script = "from tfbdl_dashboard.pages import live\nlive.show()\n"
    shown = AppTest.from_string(script, default_timeout=120)
    shown.query_params[state.RUN] = run_id
    shown.run()
    assert not shown.exception
    return shown


@pytest.mark.parametrize("run_id", ["none", "../first", "/etc", ""])
def test_page_shows_no_run_but_those_of_the_index(folder: runs.RunFolder, run_id: str) -> None:
    shown = page(run_id)
    assert not shown.title
    said = shown.info[0].value.replace("\\", "")
    assert (f"There is no run {run_id};" if run_id else "No run is chosen") in said


def test_page_says_that_a_run_is_in_the_archive(folder: runs.RunFolder) -> None:
    folder.set_state("done")
    run_index.archive(folder.path.parent, "first")
    assert "first is in the archive" in page().info[0].value


def test_page_of_a_run_that_goes_on_shows_nothing_of_its_earlier_end(
    folder: runs.RunFolder,
) -> None:
    note(folder, {"nll": 0.9, "r_hat": 1.5, "ess_bulk": 20.0})
    (folder.path / runs.RESULT).write_text('{"metrics": {"nll": 0.1, "r_hat_max": 1.0}}')
    with folder.worker():
        folder.heartbeat(step=1, steps=9)
        folder.set_state("running")
        values = {metric.label: metric.value for metric in page().metric}
    assert (values["nll"], values["R-hat, largest"]) == ("0.9", "1.5")
    values = {metric.label: metric.value for metric in page().metric}
    assert (values["nll"], values["R-hat, largest"]) == ("0.1", "1")


def test_parts_that_are_older_than_the_kl_have_a_step_of_their_own(
    folder: runs.RunFolder,
) -> None:
    assert course.kl_step({"kl": (9, 1.0), "kl.a": (4, 0.5), "kl.b": (4, 0.5)}) == 4
    assert course.kl_step({"kl": (9, 1.0), "kl_0": (9, 1.0)}) is None
    assert course.kl_step({"kl": (9, 1.0)}) is None
    note(folder, {"kl": 9.0, "kl.dense": 5.0}, {"kl": 8.0})
    folder.set_state("done")
    assert "As of step 0 of 1" in " ".join(found.value for found in page().caption)


def test_page_ends_a_worker_that_is_compiling_or_gives_no_sign_of_life(
    folder: runs.RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[Path] = []
    monkeypatch.setattr(jobs, "end", lambda folder: ended.append(folder.path))
    with folder.worker():
        shown = page()
        assert "compiling" in shown.info[0].value
        assert [found.label for found in shown.button] == ["Cancel", "End the worker"]
        folder.heartbeat(step=10, steps=100)
        folder.set_state("running")
        assert [found.label for found in page().button] == ["Cancel"]
        status = json.loads((folder.path / runs.STATUS).read_text())
        status["heartbeat"] = time.time() - 3600
        (folder.path / runs.STATUS).write_text(json.dumps(status))
        shown = page()
        assert "No sign of life for 1 h" in shown.warning[0].value
        shown.button[1].click().run()
    assert ended == [folder.path]


def test_page_outlives_the_deletion_of_its_run(
    folder: runs.RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vanish(gone: runs.RunFolder) -> str:
        shutil.rmtree(gone.path)
        raise RunError("There is no run.json.")

    folder.set_state("failed")
    monkeypatch.setattr(jobs, "not_resumable", vanish)
    shown = page()
    assert not shown.error
    assert "There is no run first" in shown.info[0].value


def test_page_shows_progress_and_cancel_while_a_run_is_at_work(folder: runs.RunFolder) -> None:
    note(folder, {"elbo": -9.0, "kl": 2.0}, {"elbo": -8.0, "kl": 3.0})
    with folder.worker():
        folder.heartbeat(step=10, steps=100)
        folder.set_state("running")
        shown = page()
        assert [found.label for found in shown.button] == ["Cancel"]
        assert "bbb on diabetes by variational, seed 7" in shown.text[0].value
        values = {metric.label: metric.value for metric in shown.metric}
        assert values == {"elbo": "-8", "kl": "3"}
        shown.button[0].click().run()
        assert folder.cancel_requested()


def test_page_offers_to_resume_a_run_that_failed(
    folder: runs.RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.checkpoints().save(3, {"a": np.zeros(1)}, {})
    folder.set_state("failed", "FileNotFoundError: '/home/ada/data.csv'")
    folder.log_path.write_text("epoch 3\nFileNotFoundError: '/home/ada/data.csv'\n")
    resumed: list[Path] = []
    monkeypatch.setattr(jobs, "resume", lambda folder: resumed.append(folder.path))
    shown = page()
    assert "FileNotFoundError: 'data.csv'" in [text.value for text in shown.text]
    assert "ada" not in shown.code[0].value
    assert "epoch 3" in shown.code[0].value
    assert shown.button[0].label == "Resume from the last checkpoint"
    shown.button[0].click().run()
    assert resumed == [folder.path]


def test_page_says_why_a_run_from_objects_is_not_resumed(folder: runs.RunFolder) -> None:
    folder.write_spec(RunSpec(model=None, data="diabetes"))
    folder.set_state("cancelled")
    shown = page()
    assert shown.button[0].disabled
    assert any("objects in Python" in text.value for text in shown.text)


def test_page_warns_of_collapse_and_of_chains_that_disagree(folder: runs.RunFolder) -> None:
    note(folder, {"kl_0": 2.0, "kl_1": 1e-4, "r_hat": 1.3, "ess_bulk": 12.0, "divergences": 3.0})
    folder.set_state("done")
    warnings = " ".join(found.value.replace("\\", "") for found in page().warning)
    assert "1 of 2 latent dimensions are not used (z[1])" in warnings
    assert "R-hat is 1.300" in warnings
    assert "worth 12 independent" in warnings
    assert "3 transitions diverged" in warnings


def test_page_shows_the_log_likelihood_of_em(folder: runs.RunFolder) -> None:
    note(folder, {"log_likelihood": -10.0}, {"log_likelihood": -9.0})
    folder.set_state("done")
    shown = page()
    assert "Log likelihood" in [found.value for found in shown.subheader]
    assert len(shown.get("vega_lite_chart")) == 1


def test_page_says_a_single_log_likelihood_in_words(folder: runs.RunFolder) -> None:
    note(folder, {"log_likelihood": -10.0})
    folder.set_state("done")
    shown = page()
    assert "-10 nats at step 0, the only one so far." in [text.value for text in shown.text]
    assert not shown.get("vega_lite_chart")


def test_page_draws_no_curve_of_a_figure_that_was_computed_once(folder: runs.RunFolder) -> None:
    note(folder, *[{"r_hat": 1.2, "ess_bulk": float(draws)} for draws in (20, 40, 60, 80)])
    folder.set_state("done")
    assert len(page().get("vega_lite_chart")) == 1  # that of the effective sample size


def test_page_calls_an_upload_by_the_first_digits_of_its_name(folder: runs.RunFolder) -> None:
    name = "0123456789abcdef" * 4
    folder.write_spec(RunSpec(model="bbb", data=f"/home/ada/.uploads/{name}.csv"))
    said = page().text[0].value
    assert "bbb on upload 01234567.csv by variational" in said
    assert name not in said


# What figures say


def test_bound_is_likelihood_minus_kl_at_the_steps_that_have_both() -> None:
    num_data, nll, kl = 100, np.array([2.0, 1.5, 1.2]), np.array([10.0, 20.0, 30.0])
    elbo = -num_data * nll - kl
    found = course.bound(
        {"elbo": list(zip([1, 2, 3], elbo, strict=True)),
         "kl": [*zip([1, 2, 3], kl, strict=True), (4, 5.0)]}
    )  # fmt: skip
    assert found is not None
    np.testing.assert_array_equal(found.step, [1, 2, 3])
    np.testing.assert_allclose(found.likelihood, -num_data * nll)
    assert course.bound({"elbo": [(1, -1.0)]}) is None
    assert course.bound({"elbo": [(1, math.nan)], "kl": [(1, 1.0)]}) is None


def test_focus_leaves_the_first_steps_out() -> None:
    low, high = course.focus(np.array([-1e6, *np.linspace(-5.0, -4.0, 19)]))
    assert -5.1 < low < -4.9
    assert -4.0 < high < -3.9
    assert course.focus(np.array([math.nan])) == (0.0, 1.0)
    low, high = course.focus(np.full(5, 3.0))
    assert low < 3.0 < high


def test_kl_parts_are_layers_or_latent_dimensions_in_order() -> None:
    last = {f"kl_{i}": (9, float(i)) for i in (10, 2, 0)} | {"kl": (9, 12.0)}
    assert course.kl_parts(last) == {"z[0]": 0.0, "z[2]": 2.0, "z[10]": 10.0}
    assert course.kl_parts({"kl.dense": (9, 1.5), "kl": (9, 2.0)}) == {"dense": 1.5}


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"z[0]": 1.0, "z[1]": 0.5}, ""),
        ({"z[0]": 1.0, "z[1]": 0.001}, "1 of 2 latent dimensions"),
        ({"z[0]": 0.001, "z[1]": 0.0}, "All latent dimensions have collapsed"),
        ({"dense": 50.0, "dense_1": 0.2}, "dense_1 has a KL below 1 nat"),
        ({"dense": 50.0}, ""),
    ],
)
def test_collapse_is_named_in_plain_words(parts: dict[str, float], words: str) -> None:
    said = course.collapse(parts)
    assert words in said
    assert bool(said) == bool(words)
    assert "so far" not in course.collapse(parts, done=True)


def test_chain_figures_of_a_finished_run_are_its_final_ones() -> None:
    last = {"r_hat": (5, 1.8), "divergences": (5, 1.0)}
    assert course.chain_figures(last, {}) == {"r_hat": 1.8, "divergences": 1.0}
    assert course.chain_figures(last, {"r_hat_max": 1.002}) == {"r_hat": 1.002}
    assert course.chain_verdicts({"r_hat": 1.005, "ess_bulk": 500.0, "divergences": 0.0}) == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (59.4, "59 s"), (200, "3 min 20 s"), (60, "1 min"), (1800, "30 min"),
     (7500, "2 h 5 min"), (7200, "2 h")],
)  # fmt: skip
def test_duration_is_told_in_words(seconds: float, words: str) -> None:
    assert course.duration(seconds) == words


def test_time_left_follows_from_the_pace_of_this_worker() -> None:
    status = Status(
        state="running", step=30, steps=100, first_step=20, started=1000.0, heartbeat=1005.0
    )
    assert status.seconds_left == pytest.approx(70 * 0.5)
    assert Status(state="running", step=30, steps=None).seconds_left is None
    again = Status(state="running", step=20, steps=100, first_step=20, started=1.0, heartbeat=2.0)
    assert again.seconds_left is None


def test_bound_chart_has_few_points_and_says_what_is_between() -> None:
    steps = np.arange(10_000)
    elbo = -1.0 / (1.0 + steps)
    chart = curves.bound_chart(course.Bound(steps, elbo, elbo + 1.0, np.ones(10_000)))
    plain = chart.to_dict()
    (rows,) = plain["datasets"].values()
    assert len(rows) <= 2000
    assert all(row["likelihood"] - row["ELBO"] == pytest.approx(row["KL"]) for row in rows)
