"""Carrying out a run: what goes in, what stays untouched, what is written."""

import sqlite3

import keras
import numpy as np
import pandas as pd
import ppca_cases
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from small_models import (
    LinearModel,
    assert_same,
    fit_linear,
    linear_data,
    network,
    network_data,
)

import tfbdl
from tfbdl import errors, planning, run, runs
from tfbdl.data import as_dataset
from tfbdl.parametric import ParametricModel
from tfbdl.runs import RunFolder
from tfbdl.specs import RunSpec

tfd = tfp.distributions


def own_copy(model, seed=1, **options):
    spec = RunSpec(model=None, seed=seed, engine_options=options)
    plan = planning.plan(spec, offered=planning.offered(model), default_engine="variational")
    return run._own_copy(plan, model)


# -- objects -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_object_is_left_untouched():
    model = network()
    weights, config = model.get_weights(), model.get_config()
    fit = tfbdl.fit(model, network_data(), engine_options={"epochs": 2, "learning_rate": 0.1})
    assert fit.model is not model
    assert model.get_config() == config
    assert model.num_data is None
    assert not model.compiled
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    trained = [np.abs(a - b).max() for a, b in zip(weights, fit.model.get_weights(), strict=True)]
    assert max(trained) > 1e-3


def test_the_copy_begins_anew_from_the_seed():
    model = network()
    first, again, other = (own_copy(model, seed=seed) for seed in (1, 1, 2))
    kernels = [copy.net.layers[0].kernel.numpy() for copy in (model, first, again, other)]
    np.testing.assert_array_equal(kernels[1], kernels[2])
    assert not np.array_equal(kernels[1], kernels[3])
    assert not np.array_equal(kernels[1], kernels[0])
    assert int(first.rng_seed.numpy()) == 1


def test_initial_current_begins_from_the_weights_with_the_runs_noise():
    model = network()
    copy = own_copy(model, seed=9, initial="current")
    np.testing.assert_array_equal(copy.net.layers[0].kernel, model.net.layers[0].kernel)
    assert copy.net is not model.net
    assert int(copy.rng_seed.numpy()) == 9


def test_a_prior_beside_an_object_is_refused():
    with pytest.raises(errors.OptionsError, match="the given object has its own"):
        tfbdl.fit(network(), network_data(), prior="normal")
    with pytest.raises(errors.OptionsError, match="takes none"):
        tfbdl.fit(LinearModel(), linear_data(), engine="variational", prior="normal")


def test_model_options_beside_an_object_are_refused():
    with pytest.raises(errors.OptionsError, match="model_options belong to a model given by name"):
        tfbdl.fit(network(), network_data(), model_options={"hidden": (3,)})


def test_a_class_instead_of_an_object_is_refused():
    with pytest.raises(errors.ModelError, match="not its class"):
        tfbdl.fit(LinearModel, linear_data())


def test_a_joint_distribution_takes_no_data_set_by_name():
    joint = tfd.JointDistributionSequential([tfd.Normal(0.0, 1.0)])
    with pytest.raises(errors.DataError, match=r"by name, as a mapping.*'diabetes'"):
        tfbdl.fit(joint, "diabetes", engine="variational")


# -- data --------------------------------------------------------------------------------------


def forms_of_data():
    x, y = linear_data()
    frame = pd.DataFrame({"x": x[:, 0], "y": y})
    return {
        "lists": ((x.tolist(), y.tolist()), {}),
        "frame": (frame, {"target": "y"}),
        "dataset": (tfbdl.Dataset(x=x, y=y, info=as_dataset((x, y)).info), {}),
        "float64": ((x.astype("float64"), y.astype("float64")), {}),
    }


@pytest.fixture(scope="module")
def plain():
    return fit_linear(epochs=2)


@pytest.mark.parametrize("form", ["lists", "frame", "dataset", "float64"])
def test_every_form_of_the_same_data_gives_the_same_fit(plain, form):
    data, options = forms_of_data()[form]
    fit = tfbdl.fit(
        LinearModel(),
        data,
        engine="variational",
        engine_options={"epochs": 2, "batch_size": 15},
        data_options=options,
        seed=4,
    )
    assert fit.history == plain.history


def test_batches_of_tf_data_are_taken_as_they_are():
    x, y = linear_data()
    stream = tf.data.Dataset.from_tensor_slices((x, y)).batch(20)
    fit = tfbdl.fit(LinearModel(), stream, engine="variational", engine_options={"epochs": 2})
    assert len(fit.history["loss"]) == 2
    assert fit.info.num_rows == 60


def test_an_endless_stream_takes_the_number_of_rows_from_the_model():
    x, y = network_data()
    stream = tf.data.Dataset.from_tensor_slices((x, y)).batch(16).repeat()
    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model = tfbdl.BayesianNetwork(net, "gaussian", num_data=64)
    spec = RunSpec(model=None)
    plan = planning.plan(spec, offered=model.capabilities, default_engine="variational")
    data = run.load_data(plan, stream, model)
    assert (data.num_rows, data.steps_per_epoch(16)) == (64, 4)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((np.zeros((0, 1)), np.zeros(0)), "no rows"),
        ((np.full((3, 1), np.nan), np.zeros(3)), "NaN"),
        ((np.zeros((3, 1)), np.zeros(4)), "equally many rows"),
    ],
)
def test_data_that_cannot_be_trained_on_leave_no_folder(tmp_path, data, message):
    with pytest.raises(errors.DataError, match=message):
        tfbdl.fit(LinearModel(), data, engine="variational", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


# -- determinism -------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bits_with_a_folder_or_without(tmp_path, plain):
    assert_same(plain, fit_linear(tmp_path / "run", epochs=2))
    assert fit_linear(epochs=2, seed=5).history != plain.history


def test_public_functions_work_twice_in_one_process(tmp_path):
    data = linear_data()
    plans = [tfbdl.plan("bbb", data) for _ in range(2)]
    assert plans[0] == plans[1]
    models = [tfbdl.build("bbb", data, seed=1) for _ in range(2)]
    for a, b in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    fits = [fit_linear(tmp_path / name, epochs=1) for name in "ab"]
    loaded = [tfbdl.load(tmp_path / "a") for _ in range(2)]
    resumed = [
        tfbdl.resume(tmp_path / "a", model=LinearModel(), data=linear_data()) for _ in range(2)
    ]
    for other in (fits[1], *loaded, *resumed):
        assert_same(fits[0], other)


# -- the folder --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    seen = []
    path = tmp_path_factory.mktemp("runs") / "run"

    def on_step(metrics):
        seen.append((metrics["step"], RunFolder(path).status().state))

    return fit_linear(path, on_step, epochs=2, steps_per_execution=1), seen


def test_the_status_is_running_and_then_done(finished):
    fit, seen = finished
    assert {state for _, state in seen} == {"running"}
    assert RunFolder(fit.path).status().state == "done"


def test_the_folder_holds_what_a_run_leaves(finished):
    fit, _ = finished
    names = {path.name for path in fit.path.iterdir()}
    assert {runs.RUN, runs.STATUS, runs.METRICS, runs.RESULT, runs.POSTERIOR} <= names
    assert {runs.CHECKPOINTS, runs.MANIFEST} <= names
    record = RunFolder(fit.path).read_record()
    assert record["providers"]["engine"]["plugin"] == "engines"
    assert record["data_info"]["num_rows"] == 60
    assert RunFolder(fit.path).read_result() == fit.metrics


def test_each_metric_stands_once_at_each_step(finished):
    fit, seen = finished
    with sqlite3.connect(fit.path / runs.METRICS) as store:
        rows = store.execute("select name, step, count(*) from metrics group by 1, 2").fetchall()
    assert {count for _, _, count in rows} == {1}
    assert sorted({step for _, step, _ in rows}) == sorted({step for step, _ in seen})
    assert [step for step, _ in seen] == [1, 2, 3, 4, 4, 5, 6, 7, 8, 8]


def test_a_folder_with_a_run_is_refused(finished):
    fit, _ = finished
    with pytest.raises(errors.RunError, match=r"already holds a run \(done\)"):
        fit_linear(fit.path, epochs=1)


def test_a_model_of_rows_gives_its_own_figures_of_test_rows():
    x = ppca_cases.table()
    rows = tfbdl.Dataset(x=x[:90], x_test=x[90:], info=as_dataset(x[:90]).info)
    fit = ppca_cases.fitted(rows)
    parts = {
        "W": fit.model.W_,
        "mean": fit.model.mean_,
        "noise_variance": fit.model.noise_variance_,
    }
    expected = -ppca_cases.marginal(parts, x[90:]).mean()
    assert fit.metrics["test_nll"] == pytest.approx(expected, rel=1e-6)
    assert not [name for name in ppca_cases.fitted(x).metrics if name.startswith("test_")]


def test_test_rows_that_cannot_be_scored_do_not_cost_the_fit(monkeypatch):
    def refuse(model, x):
        raise errors.DataError(f"Received: {len(x)} rows.")

    monkeypatch.setattr(ParametricModel, "held_out", refuse)
    x = ppca_cases.table(20_012)
    rows = tfbdl.Dataset(x=x[:10], x_test=x[10:], info=as_dataset(x[:10]).info)
    with pytest.warns(errors.TfbdlWarning, match=r"were not scored. Received: 10001 rows"):
        fit = ppca_cases.fitted(rows)
    assert "test_nll" not in fit.metrics


def test_a_failed_run_says_why(tmp_path):
    target = tfbdl.LogDensity(lambda x: tf.math.log(x), {"x": ()}, initial={"x": -1.0})
    with pytest.raises(errors.RunError, match="loss became nan"):
        tfbdl.fit(
            target,
            None,
            engine="variational",
            engine_options={"steps": 100},
            out=tmp_path / "run",
        )
    status = RunFolder(tmp_path / "run").status()
    assert status.state == "failed"
    assert "loss became nan" in status.message
