"""Fit: predict, evaluate, save, load and extend."""

import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from small_models import LinearModel, assert_same, fit_linear, linear_data, network, network_data
from tfbdl_datasets import bundled
from tfbdl_datasets.config import SplitOptions

import tfbdl
from tfbdl import errors, planning, run, runs
from tfbdl.data import as_dataset

NAMED_OPTIONS = {"hidden": (4,)}
LOADED = """
import sys
import numpy as np
import tfbdl

found = {}
for name in ("named", "given", "custom"):
    fit = tfbdl.load(f"{sys.argv[1]}/{name}")
    x = np.load(sys.argv[2])[name]
    try:
        found[f"{name}.mean"] = fit.predict(x, draws=5, seed=3).mean
    except tfbdl.errors.ModelError as error:
        found[f"{name}.error"] = np.array(str(error))
    found[f"{name}.summary"] = fit.posterior.summary().to_numpy(float)
    found[f"{name}.metrics"] = np.array(sorted(fit.metrics.items()))
    found[f"{name}.loss"] = np.array(fit.history["loss"])
np.savez(sys.argv[3], **found)
"""


class Doubling(keras.layers.Layer):
    """Not registered with Keras, so no other process can rebuild it."""

    def call(self, x):
        return 2.0 * x


def fit_net(*layers, out):
    net = keras.Sequential([keras.Input((2,)), *layers, keras.layers.Dense(1)])
    model = tfbdl.BayesianNetwork(net, "gaussian", "scale_mixture")
    return tfbdl.fit(model, network_data(), engine_options={"epochs": 2}, seed=2, out=out)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("fits")


@pytest.fixture(scope="module")
def named(root):
    return tfbdl.fit(
        "bbb",
        "diabetes",
        model_options=NAMED_OPTIONS,
        engine_options={"epochs": 2},
        seed=1,
        out=root / "named",
    )


@pytest.fixture(scope="module")
def given(root):
    return fit_net(keras.layers.Dropout(0.2), out=root / "given")


@pytest.fixture(scope="module")
def custom(root):
    return fit_net(Doubling(), out=root / "custom")


@pytest.fixture(scope="module")
def linear(root):
    return fit_linear(root / "linear", epochs=2)


def inputs(fit):
    return np.random.default_rng(5).normal(size=(7, *fit.info.x_shape)).astype("float32")


# -- save and load -----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_fresh_process_loads_equal_fits(root, named, given, custom, tmp_path):
    fits = {"named": named, "given": given, "custom": custom}
    np.savez(tmp_path / "x.npz", **{name: inputs(fit) for name, fit in fits.items()})
    arguments = [str(root), str(tmp_path / "x.npz"), str(tmp_path / "out.npz")]
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "out.npz") as found:
        for name, fit in fits.items():
            np.testing.assert_array_equal(
                found[f"{name}.summary"], fit.posterior.summary().to_numpy(float)
            )
            assert dict(found[f"{name}.metrics"]) == {k: str(v) for k, v in fit.metrics.items()}
            np.testing.assert_array_equal(found[f"{name}.loss"], fit.history["loss"])
            if name != "custom":
                mean = fit.predict(inputs(fit), draws=5, seed=3).mean
                np.testing.assert_array_equal(found[f"{name}.mean"], mean)
        message = str(found["custom.error"])
    assert "is not stored, so it cannot predict" in message
    assert "unknown are Doubling." in message
    assert "register_keras_serializable" in message


def test_loading_gives_the_run_back(named):
    fit = tfbdl.load(named.path)
    assert_same(named, fit)
    assert fit.spec.model_dump(mode="json") == named.spec.model_dump(mode="json")
    assert (fit.info, fit.path) == (named.info, named.path)


def test_a_log_density_is_loaded_without_its_model(linear):
    fit = tfbdl.load(linear.path)
    assert fit.model is None
    np.testing.assert_array_equal(fit.posterior.draws["w"], linear.posterior.draws["w"])
    with pytest.raises(errors.ModelError, match="given as an object that has no file format"):
        fit.predict(inputs(linear))


def test_a_fit_without_a_folder_can_be_saved_later(tmp_path, named):
    fit = tfbdl.Fit(
        model=named.model,
        posterior=named.posterior,
        history=named.history,
        metrics=named.metrics,
        spec=named.spec,
        info=named.info,
    )
    fit.save(tmp_path / "later")
    again = tfbdl.load(tmp_path / "later")
    x = inputs(named)
    np.testing.assert_array_equal(again.predict(x, 5).mean, named.predict(x, 5).mean)
    assert runs.RunFolder(tmp_path / "later").status().state == "done"


def test_saving_twice_is_allowed_and_over_another_run_is_not(tmp_path, named, linear):
    copy = tfbdl.load(named.path)
    copy.save(tmp_path / "copy")
    copy.save(tmp_path / "copy")
    assert_same(named, tfbdl.load(tmp_path / "copy"))
    with pytest.raises(errors.RunError, match="already holds a run"):
        copy.save(linear.path)


def test_a_data_file_may_be_gone_when_the_run_is_loaded(tmp_path):
    x, y = linear_data()
    file = tmp_path / "table.csv"
    np.savetxt(file, np.column_stack([x, y]), delimiter=",", header="x,y", comments="")
    spec = tfbdl.plan("bbb", str(file)).run
    model = tfbdl.build("bbb", str(file), seed=0)
    fit = tfbdl.Fit(
        model=model,
        posterior=model.posterior,
        history={},
        metrics={},
        spec=spec,
        info=describe(file),
    )
    fit.save(tmp_path / "run")
    file.unlink()
    np.testing.assert_array_equal(tfbdl.load(tmp_path / "run").predict(x, 3).mean,
                                  fit.predict(x, 3).mean)  # fmt: skip


def describe(file):
    return run.load_data(planning.plan(tfbdl.plan("bbb", str(file)).run)).info


@pytest.mark.parametrize("name", [runs.WEIGHTS, runs.POSTERIOR, runs.RESULT])
def test_an_altered_file_is_refused(tmp_path, named, name):
    tfbdl.load(named.path).save(tmp_path / "run")
    path = tmp_path / "run" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(errors.CheckpointError, match=f"{name} was altered.*checksum"):
        tfbdl.load(tmp_path / "run")


def test_an_unfinished_run_is_not_loaded(tmp_path):
    with pytest.raises(ZeroDivisionError):
        fit_linear(tmp_path / "run", lambda metrics: 1 / 0, epochs=2)
    with pytest.raises(errors.RunError, match=r"not finished \(state: failed\).*tfbdl.resume"):
        tfbdl.load(tmp_path / "run")


@pytest.mark.parametrize("damage", ["cut", "flip", "text"])
def test_a_damaged_keras_file_is_refused(tmp_path, given, damage):
    content = bytearray((given.path / runs.MODEL).read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flip":
        content[content.index(b"class_name") + 2] ^= 1
    else:
        content = bytearray(b"no archive")
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    with pytest.raises(errors.CheckpointError, match="cut short or altered"):
        tfbdl.load(path)


def test_a_missing_keras_file_is_refused(tmp_path):
    with pytest.raises(errors.CheckpointError, match="There is no file"):
        tfbdl.load(tmp_path / "model.keras")


def test_a_keras_file_gives_the_model(given):
    model = tfbdl.load(given.path / runs.MODEL)
    x = inputs(given)
    np.testing.assert_array_equal(model.predict(x), given.model.predict(x))


def test_the_posterior_goes_to_arviz(given):
    tree = given.posterior.to_arviz()
    draws = tree["posterior"]["dense.kernel"]
    assert draws.dims[:2] == ("chain", "draw")
    np.testing.assert_array_equal(draws.values, given.posterior.draws["dense.kernel"])


def test_the_data_of_a_run_made_by_name_are_read_again(named):
    expected = bundled.diabetes(SplitOptions())
    data = tfbdl.load(named.path).dataset()
    for part in ("x", "y", "x_test", "y_test"):
        np.testing.assert_array_equal(getattr(data, part), getattr(expected, part))
    assert data.info == named.info
    assert named.dataset() is named.dataset()  # read once


def test_data_given_as_objects_are_known_to_their_process_alone(given, linear):
    x, y = network_data()
    np.testing.assert_array_equal(given.dataset().x, x)
    np.testing.assert_array_equal(np.ravel(given.dataset().y), np.ravel(y))
    assert tfbdl.load(given.path).dataset() is None
    assert tfbdl.load(linear.path).dataset() is None


def test_data_that_are_gone_are_missed_when_they_are_asked_for(tmp_path):
    x, y = linear_data()
    file = tmp_path / "table.csv"
    np.savetxt(file, np.column_stack([x, y]), delimiter=",", header="x,y", comments="")
    fit = tfbdl.fit("linear", str(file), out=tmp_path / "run")
    rows = np.concatenate([fit.dataset().x, fit.dataset().x_test])[:, 0]
    np.testing.assert_allclose(np.sort(rows), np.sort(np.ravel(x)), rtol=1e-6)
    file.unlink()
    with pytest.raises(errors.DataError, match="No file is at"):
        tfbdl.load(tmp_path / "run").dataset()


# -- predict and evaluate ----------------------------------------------------------------------


def test_predict_depends_on_the_seed_alone(named):
    x = inputs(named)
    one, again, other = (named.predict(x, draws=5, seed=seed).mean for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_predict_refuses_inputs_unlike_the_training_data(named):
    with pytest.raises(errors.DataError):
        named.predict(np.zeros((2, 3)))


def test_evaluate_takes_pairs_and_data_sets(named):
    data = bundled.diabetes(SplitOptions())
    scores = named.evaluate(data)
    assert scores == named.evaluate((data.x_test, data.y_test))
    assert scores["nll"] == pytest.approx(named.metrics["nll"], rel=1e-6)


def test_predict_and_evaluate_take_batches_and_frames(given):
    x, y = network_data()
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(10)
    mean = given.predict(x, draws=5).mean
    for same in (batches, batches.map(lambda x, y: x), as_dataset((x, y))):
        np.testing.assert_array_equal(given.predict(same, draws=5).mean, mean)
    scores = given.evaluate((x, y))
    for same in (batches, as_dataset((x, y))):
        assert given.evaluate(same) == scores
    with pytest.raises(errors.DataError, match="endless stream"):
        given.evaluate(batches.repeat())
    for without in (x, batches.map(lambda x, y: x), (x,)):
        with pytest.raises(errors.DataError, match=r"scored on targets.*without targets"):
            given.evaluate(without)
    with pytest.raises(errors.DataError, match="a sample_weight"):
        given.evaluate((x, y, np.ones(64)))


def test_evaluate_takes_a_frame_by_the_columns_of_training_and_texts_by_their_names():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=30), "kind": ["cat", "dog", "eel"] * 10})
    fit = tfbdl.fit(
        "bbb",
        frame,
        data_options={"target": "kind"},
        model_options=NAMED_OPTIONS,
        engine_options={"epochs": 1},
    )
    some = frame[frame["kind"] != "cat"]
    expected = fit.evaluate((some[["a"]], some["kind"]))
    assert fit.evaluate(some[["kind", "a"]]) == expected
    assert fit.evaluate(as_dataset(some, target="kind")) == expected
    labels = np.array([{"dog": 1, "eel": 2}[kind] for kind in some["kind"]])
    predictive = fit.predict(some[["a"]])
    assert expected["nll"] == pytest.approx(-predictive.log_prob(labels).mean(), rel=1e-5)


@pytest.mark.slow
def test_the_model_of_an_engine_with_draws_predicts_by_these(tmp_path):
    x, y = network_data()
    fit = tfbdl.fit(
        network(dropout=0.0),
        (x, y),
        engine="ensemble",
        engine_options={"members": 3, "epochs": 4},
        out=tmp_path / "run",
    )
    mean = fit.predict(x).mean  # of all members, each once
    np.testing.assert_allclose(fit.model.predict(x), mean, rtol=1e-6)
    np.testing.assert_array_equal(
        fit.model.net.layers[0].kernel, fit.posterior.draws["dense.kernel"][-1, -1]
    )
    np.testing.assert_allclose(tfbdl.load(tmp_path / "run").model.predict(x), mean, rtol=1e-6)
    fit.model.compile("sgd")
    fit.model.fit(x, y, verbose=0)  # its own posterior from here on
    assert not np.allclose(fit.model.predict(x), mean, rtol=1e-3)


# -- extend ------------------------------------------------------------------------------------


def test_a_variational_run_cannot_be_extended(linear):
    with pytest.raises(errors.RunError, match=r"'variational' has no draws.*posterior.sample"):
        linear.extend(100)
    with pytest.raises(errors.RunError, match="was given as an object"):
        tfbdl.load(linear.path).extend(100)
    with pytest.raises(errors.RunError, match="has no draws to add"):
        tfbdl.resume(linear.path, model=LinearModel(), data=linear_data(), draws=5)


def test_an_ensemble_cannot_be_extended_and_the_error_says_what_to_do(tmp_path):
    spec = tfbdl.plan("bbb", "diabetes", engine="ensemble").run
    folder = runs.RunFolder(tmp_path / "run").create()
    folder.write_spec(spec)
    with pytest.raises(errors.RunError, match=r"no draws to add to\. Its draws are its members"):
        tfbdl.resume(dir=tmp_path / "run", draws=5)


def test_a_run_without_a_folder_cannot_be_extended(linear):
    fit = tfbdl.Fit(
        model=None, posterior=linear.posterior, history={}, metrics={}, spec=linear.spec
    )
    with pytest.raises(errors.RunError, match="Only a run with a folder"):
        fit.extend(10)
