"""Objects are known again by their fingerprints when a run is resumed; others are refused."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from small_models import (
    LinearModel,
    Stop,
    assert_same,
    fit_linear,
    linear_data,
    network,
    resume_linear,
    stop_at,
)

import tfbdl
from tfbdl import errors
from tfbdl.runs import RunFolder


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    path = tmp_path_factory.mktemp("linear") / "run"
    return fit_linear(path)


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
