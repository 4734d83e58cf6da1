"""A run that was stopped and resumed equals one that never was, bit for bit."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from small_models import (
    LinearModel,
    assert_same,
    fit_linear,
    fit_network,
    linear_data,
    network,
    network_data,
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


class Stop(Exception):
    """Ends a run from within, as a crash would."""


def stop_at(step, error=Stop):
    def on_step(metrics):
        if metrics["step"] >= step:
            raise error(f"at step {step}")

    return on_step


def resume_linear(path, **options):
    return tfbdl.resume(path, model=LinearModel(), data=linear_data(), **options)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    path = tmp_path_factory.mktemp("linear") / "run"
    return fit_linear(path)


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


# -- killed ----------------------------------------------------------------------------------


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


@pytest.mark.parametrize("step", [1, 30, 48])
def test_a_run_stopped_at_any_step_resumes_to_the_same_bits(tmp_path, uninterrupted, step):
    with pytest.raises(Stop):
        fit_linear(tmp_path / "run", stop_at(step))
    status = RunFolder(tmp_path / "run").status()
    assert status.state == "failed"
    assert "Stop: at step" in status.message
    assert_same(uninterrupted, resume_linear(tmp_path / "run"))
    assert RunFolder(tmp_path / "run").status().state == "done"


def test_a_run_of_forty_steps_an_epoch_resumes_to_the_same_bits(tmp_path):
    options = {"batch_size": 1, "validation_split": 1 / 3, "epochs": 3}
    whole = fit_linear(**options)
    with pytest.raises(Stop):
        fit_linear(tmp_path / "run", stop_at(100), **options)
    assert RunFolder(tmp_path / "run").checkpoints().steps()[-1] == 2
    assert_same(whole, resume_linear(tmp_path / "run"))


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


# -- objects ---------------------------------------------------------------------------------


def test_a_run_from_objects_has_no_names_but_fingerprints(uninterrupted):
    record = RunFolder(uninterrupted.path).read_record()["spec"]
    assert record["model"] is None
    assert record["data"] is None
    assert {name: len(value) for name, value in record["fingerprints"].items()} == {
        "model": 64,
        "data": 64,
    }


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ({}, "model was given as an object"),
        ({"model": LinearModel()}, "data was given as an object"),
        ({"model": LinearModel("v"), "data": linear_data()}, "This model is another"),
        ({"model": LinearModel(), "data": linear_data(4)}, "This data is another"),
    ],
)
def test_other_objects_are_refused(uninterrupted, objects, message):
    with pytest.raises(errors.RunError, match=message):
        tfbdl.resume(uninterrupted.path, **objects)


def test_a_done_run_is_read(uninterrupted):
    again = resume_linear(uninterrupted.path)
    assert again.metrics == uninterrupted.metrics
    assert_same(uninterrupted, again)


def test_an_object_beside_a_name_is_refused(tmp_path):
    folder = RunFolder(tmp_path / "run").create()
    folder.write_spec(tfbdl.plan("bbb", "diabetes").run)
    with pytest.raises(errors.RunError, match="data was not given as an object"):
        tfbdl.resume(tmp_path / "run", data=linear_data())


def test_networks_are_told_apart_by_what_the_run_starts_from():
    from tfbdl import fingerprints, planning, run

    def fingerprint(model, **options):
        spec = tfbdl.specs.RunSpec(model=None, seed=1, engine_options=options)
        plan = planning.plan(spec, offered=planning.offered(model), default_engine="variational")
        return fingerprints.of_model(run._own_copy(plan, model))

    one, equal = network(), network()  # other weights, and layers that Keras numbers anew
    assert fingerprint(one) == fingerprint(equal)
    assert fingerprint(one) != fingerprint(network(hidden=4))
    assert fingerprint(one) != fingerprint(network(dropout=0.2))
    assert fingerprint(one, initial="current") != fingerprint(equal, initial="current")
    assert fingerprint(one, initial="current") == fingerprint(one.clone(), initial="current")


def test_a_run_from_trained_weights_counts_its_own_steps():
    from tfbdl import planning, run

    model = network()
    model.rng_step.assign(12)
    spec = tfbdl.specs.RunSpec(model=None, seed=1, engine_options={"initial": "current"})
    plan = planning.plan(spec, offered=planning.offered(model), default_engine="variational")
    copy = run._own_copy(plan, model)
    assert (int(model.rng_step), int(copy.rng_step)) == (12, 0)
    np.testing.assert_array_equal(copy.get_weights()[0], model.get_weights()[0])


def test_log_densities_are_told_apart_by_their_values():
    from tfbdl import fingerprints

    def target(scale):
        return tfbdl.LogDensity(lambda x: -scale * x**2, {"x": ()})

    assert fingerprints.of_model(target(1.0)) == fingerprints.of_model(target(1.0))
    assert fingerprints.of_model(target(1.0)) != fingerprints.of_model(target(1.1))


class Ridge(LinearModel):
    """With a prior of its own width."""

    def __init__(self, alpha):
        super().__init__()
        self.alpha = alpha

    def init(self, seed):
        return {"w": tf.constant(0.5)}

    def log_joint(self, params, batch):
        return super().log_joint(params, batch) - self.alpha * params["w"] ** 2


def test_log_joints_of_data_are_told_apart_by_their_values(tmp_path):
    from tfbdl import fingerprints
    from tfbdl.data import as_dataset

    x, y = linear_data()
    stream = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(60).batch(15)
    for data in (as_dataset((x, y)), as_dataset(stream)):
        prints = [fingerprints.of_model(Ridge(alpha), data) for alpha in (1.0, 1.0, 2.0)]
        assert prints[0] == prints[1] != prints[2]
    with pytest.raises(Stop):
        tfbdl.fit(
            Ridge(1.0), (x, y), engine="variational", out=tmp_path / "run", on_step=stop_at(1)
        )
    with pytest.raises(errors.RunError, match="This model is another"):
        tfbdl.resume(tmp_path / "run", model=Ridge(2.0), data=(x, y))


def test_a_shuffled_stream_is_known_again():
    from tfbdl import fingerprints
    from tfbdl.data import as_dataset

    def prints(rows, size):
        x, y = linear_data()
        stream = tf.data.Dataset.from_tensor_slices((x[:rows], y[:rows])).shuffle(60).batch(size)
        return fingerprints.of_data(as_dataset(stream))

    assert prints(60, 15) == prints(60, 15)
    assert len({prints(60, 15), prints(60, 20), prints(45, 15)}) == 3


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


def test_data_of_any_kind_are_told_apart(tmp_path):
    from tfbdl import fingerprints
    from tfbdl.data import as_dataset

    x, y = linear_data()
    frame = pd.DataFrame({"x": x[:, 0], "y": y})
    kinds = [
        as_dataset((x, y)),
        as_dataset((x, y + 1)),
        as_dataset((x, y), x_test=x[:3], y_test=y[:3]),
        as_dataset(frame, target="x"),
        {"y": y},
        {"y": y[:5]},
        {"z": y},
    ]
    assert len({fingerprints.of_data(kind) for kind in kinds}) == len(kinds)
    assert fingerprints.of_data(as_dataset(frame, target="y")) == fingerprints.of_data(kinds[0])


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
