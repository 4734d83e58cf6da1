"""A run that was stopped and resumed equals one that never was, bit for bit."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from small_models import (
    LinearModel,
    Stop,
    assert_same,
    fit_linear,
    fit_network,
    linear_data,
    network,
    network_data,
    resume_linear,
    stop_at,
)

import tfbdl
from tfbdl import errors, runs
from tfbdl.metrics_store import read_metrics
from tfbdl.runs import RunFolder

CLI = [sys.executable, "-m", "tfbdl.cli"]
KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import small_models

def on_step(metrics):
    if metrics["step"] >= int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

small_models.fit_network(sys.argv[2], on_step)
"""


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    path = tmp_path_factory.mktemp("linear") / "run"
    return fit_linear(path)


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


# -- killed ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_killed_network_with_dropout_and_early_stopping_resumes_to_the_same_bits(tmp_path):
    step = random.randrange(4, 22)  # of 24; the message of a failure names it
    script = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(tmp_path / "a")]
    done = subprocess.run([*script, str(step)], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert RunFolder(tmp_path / "a").status().state == "lost"
    resumed = tfbdl.resume(tmp_path / "a", model=network(), data=network_data())
    whole = fit_network()
    assert resumed.history == whole.history, f"killed at step {step}"
    assert_same(whole, resumed)
    for mine, other in zip(whole.model.variables, resumed.model.variables, strict=True):
        if "seed" in mine.path:  # dropout has drawn as often
            np.testing.assert_array_equal(mine, other)


@pytest.mark.slow
def test_a_run_by_name_killed_on_the_command_line_resumes_to_the_same_bits(tmp_path):
    options = ["--data", "diabetes", "--seed", "5", "--engine.epochs", "150"]
    options += ["--engine.checkpoint_seconds", "0", "--out", str(tmp_path / "a")]
    with subprocess.Popen([*CLI, "run", "bbb", *options], stderr=subprocess.PIPE) as process:
        while process.poll() is None and not read_metrics(tmp_path / "a" / runs.METRICS):
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert process.returncode == -signal.SIGKILL, process.stderr.read().decode()
    assert RunFolder(tmp_path / "a").status().state == "lost"
    done = subprocess.run(
        [*CLI, "resume", str(tmp_path / "a")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    whole = tfbdl.fit(
        "bbb",
        "diabetes",
        engine_options={"epochs": 150, "checkpoint_seconds": 0.0},
        seed=5,
        out=tmp_path / "b",
    )
    assert_same(whole, tfbdl.load(tmp_path / "a"))
    with (
        np.load(tmp_path / "a" / runs.WEIGHTS) as one,
        np.load(tmp_path / "b" / runs.WEIGHTS) as two,
    ):
        assert one.files == two.files
        assert all(np.array_equal(one[name], two[name]) for name in one.files)
    ends = [read_metrics(tmp_path / name / runs.METRICS)["loss"][-1] for name in "ab"]
    assert ends[0] == ends[1]


# -- stopped from within ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "step", [pytest.param(1, marks=pytest.mark.slow), 30, pytest.param(48, marks=pytest.mark.slow)]
)
def test_a_run_stopped_at_any_step_resumes_to_the_same_bits(tmp_path, uninterrupted, step):
    with pytest.raises(Stop):
        fit_linear(tmp_path / "run", stop_at(step))
    status = RunFolder(tmp_path / "run").status()
    assert status.state == "failed"
    assert "Stop: at step" in status.message
    assert_same(uninterrupted, resume_linear(tmp_path / "run"))
    assert RunFolder(tmp_path / "run").status().state == "done"


@pytest.mark.slow
def test_a_run_of_forty_steps_an_epoch_resumes_to_the_same_bits(tmp_path):
    options = {"batch_size": 1, "validation_split": 1 / 3, "epochs": 3}
    whole = fit_linear(**options)
    with pytest.raises(Stop):
        fit_linear(tmp_path / "run", stop_at(100), **options)
    assert RunFolder(tmp_path / "run").checkpoints().steps()[-1] == 2
    assert_same(whole, resume_linear(tmp_path / "run"))


@pytest.mark.slow
def test_a_run_may_be_stopped_many_times(tmp_path, uninterrupted):
    with pytest.raises(Stop):
        fit_linear(tmp_path / "run", stop_at(10))
    for step in (20, 25, 40):
        with pytest.raises(Stop):
            resume_linear(tmp_path / "run", on_step=stop_at(step))
    assert_same(uninterrupted, resume_linear(tmp_path / "run"))


def test_resumed_metrics_have_each_step_once_and_in_order(tmp_path, uninterrupted):
    with pytest.raises(Stop):
        fit_linear(tmp_path / "run", stop_at(30), steps_per_execution=1)
    resume_linear(tmp_path / "run")
    whole = fit_linear(tmp_path / "whole", steps_per_execution=1)
    resumed, expected = (read_metrics(tmp_path / n / runs.METRICS) for n in ("run", "whole"))
    assert resumed == expected
    assert [step for step, _ in resumed["loss"]] == list(range(1, 49))
    assert_same(uninterrupted, whole)


def test_rare_checkpoints_still_resume_to_the_same_bits(tmp_path, uninterrupted):
    with pytest.raises(Stop):
        fit_linear(tmp_path / "run", stop_at(30), checkpoint_seconds=3600.0)
    assert RunFolder(tmp_path / "run").checkpoints().steps() == [0]
    assert_same(uninterrupted, resume_linear(tmp_path / "run"))


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_short_run_keeps_two_checkpoints(tmp_path, epochs):
    fit_linear(tmp_path / "run", epochs=epochs, checkpoint_seconds=3600.0)
    assert RunFolder(tmp_path / "run").checkpoints().steps() == [0, epochs]


@pytest.mark.slow
def test_early_stopping_resumes_with_its_patience_and_best_weights(tmp_path):
    options = {"validation_split": 0.2, "patience": 4, "epochs": 60, "learning_rate": 0.3}
    whole = fit_linear(**options)
    epochs = len(whole.history["loss"])
    assert 5 < epochs < 60
    for step in (4 * 4 - 1, 4 * epochs):  # within, and just before the end
        path = tmp_path / str(step)
        with pytest.raises(Stop):
            fit_linear(path, stop_at(step), **options)
        assert_same(whole, tfbdl.resume(path, model=LinearModel(), data=linear_data()))


@pytest.mark.slow
def test_a_run_that_died_after_its_last_epoch_puts_back_the_best_weights(tmp_path, monkeypatch):
    options = {"validation_split": 0.2, "patience": 50, "epochs": 12, "learning_rate": 0.5}
    options["schedule"] = "constant"
    whole = fit_linear(**options)
    with monkeypatch.context() as patched:
        patched.setattr(tfbdl.Fit, "write", lambda *_: (_ for _ in ()).throw(Stop("writing")))
        with pytest.raises(Stop):
            fit_linear(tmp_path / "run", **options)
    assert RunFolder(tmp_path / "run").checkpoints().steps()[-1] == 12
    assert_same(whole, resume_linear(tmp_path / "run"))


# -- cancelled -------------------------------------------------------------------------------


def test_a_cancelled_run_resumes_to_the_same_bits(tmp_path, uninterrupted):
    folder = RunFolder(tmp_path / "run")

    def on_step(metrics):
        if metrics["step"] >= 20:
            folder.request_cancel()

    with pytest.raises(errors.RunCancelled, match=r"Cancelled at step \d+"):
        fit_linear(tmp_path / "run", on_step)
    assert folder.status().state == "cancelled"
    assert not folder.cancel_requested()
    assert_same(uninterrupted, resume_linear(tmp_path / "run"))


def test_on_step_may_cancel(tmp_path, uninterrupted):
    with pytest.raises(errors.RunCancelled, match="at step 20"):
        fit_linear(tmp_path / "run", stop_at(20, errors.RunCancelled))
    assert RunFolder(tmp_path / "run").status().state == "cancelled"
    assert_same(uninterrupted, resume_linear(tmp_path / "run"))


# -- damaged ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["arrays.npz", "notes.json"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(tmp_path, uninterrupted, name):
    with pytest.raises(Stop):
        fit_linear(tmp_path / "run", stop_at(30))
    store = RunFolder(tmp_path / "run").checkpoints()
    before, last = store.steps()
    flip_a_bit(store.path(last) / name)
    with pytest.warns(UserWarning, match="checkpoint of step") as caught:
        resumed = resume_linear(tmp_path / "run")
    texts = [str(warning.message) for warning in caught]
    assert f"step {last} is damaged" in texts[0]
    assert "checksum does not match" in texts[0]
    assert f"goes on from the checkpoint of step {before}" in texts[1]
    assert_same(uninterrupted, resumed)


def test_no_whole_checkpoint_is_an_error(tmp_path):
    with pytest.raises(Stop):
        fit_linear(tmp_path / "run", stop_at(30))
    store = RunFolder(tmp_path / "run").checkpoints()
    for step in store.steps():
        flip_a_bit(store.path(step) / "arrays.npz")
    with pytest.raises(errors.CheckpointError, match="None of the checkpoints"):
        resume_linear(tmp_path / "run")


def test_a_cancelled_extension_leaves_the_run_as_it_was_and_is_gone_on_with(tmp_path):
    def target():
        return tfbdl.LogDensity(lambda x: -0.5 * x**2, {"x": ()})

    def sample(draws, out=None):
        options = {"chains": 1, "warmup": 0, "draws": draws, "step_size": 1.0}
        return tfbdl.fit(
            target(), None, engine="random_walk", engine_options=options, seed=1, out=out
        )

    path = tmp_path / "run"
    first = sample(50, path)
    record = RunFolder(path).read_record()
    with pytest.raises(errors.RunCancelled):
        tfbdl.resume(path, model=target(), draws=40, on_step=stop_at(1, errors.RunCancelled))
    assert RunFolder(path).status().state == "cancelled"
    after = RunFolder(path).read_record()
    assert {**after, "goal": None} == {**record, "goal": None}
    loaded = tfbdl.load(path)
    np.testing.assert_array_equal(loaded.posterior.draws["x"], first.posterior.draws["x"])
    assert loaded.spec.engine_options["draws"] == 50
    whole = tfbdl.resume(path, model=target())
    np.testing.assert_array_equal(whole.posterior.draws["x"], sample(90).posterior.draws["x"])
    assert "goal" not in RunFolder(path).read_record()
    assert tfbdl.load(path).spec.engine_options["draws"] == 90


def test_a_second_worker_in_one_folder_is_refused(tmp_path, uninterrupted):
    with pytest.raises(Stop):
        fit_linear(tmp_path / "run", stop_at(10))
    with (
        RunFolder(tmp_path / "run").lock(),
        pytest.raises(errors.RunError, match=f"in use by process {os.getpid()}"),
    ):
        resume_linear(tmp_path / "run")
    with pytest.raises(errors.RunError, match=r"already holds a run \(failed\)"):
        fit_linear(tmp_path / "run")
    assert_same(uninterrupted, resume_linear(tmp_path / "run"))
