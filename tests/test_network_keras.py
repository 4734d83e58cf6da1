"""BayesianNetwork as a keras.Model: any layers, fit, evaluate, predict, callbacks, files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfbdl
from tfbdl import BayesianNetwork, functional
from tfbdl.errors import DataError, OptionsError

layers = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3)).astype("float32")
Y = (X @ [1.0, -1.0, 0.5] + 0.1 * RNG.normal(size=40)).astype("float32")
SEQUENCES = RNG.normal(size=(32, 5, 3)).astype("float32")
IMAGES = RNG.normal(size=(32, 6, 6, 1)).astype("float32")
TOKENS = RNG.integers(0, 7, (32, 5))


def sequential(shape, *body):
    return keras.Sequential([keras.Input(shape), *body])


def attention():
    inputs = keras.Input((5, 3))
    hidden = layers.LayerNormalization()(layers.MultiHeadAttention(2, 3)(inputs, inputs))
    return keras.Model(inputs, layers.Dense(1)(layers.GlobalAveragePooling1D()(hidden)))


NETS = {
    "lstm": (
        lambda: sequential((5, 3), layers.LSTM(4), layers.Dense(1)),
        SEQUENCES,
        SEQUENCES[..., 0].mean(1),
    ),
    "gru": (
        lambda: sequential((5, 3), layers.GRU(4), layers.Dense(1)),
        SEQUENCES,
        SEQUENCES[..., 0].mean(1),
    ),
    "conv": (
        lambda: sequential((6, 6, 1), layers.Conv2D(3, 3), layers.Flatten(), layers.Dense(1)),
        IMAGES,
        4 * IMAGES.mean((1, 2, 3)),
    ),
    "embedding": (
        lambda: sequential((5,), layers.Embedding(7, 3), layers.Flatten(), layers.Dense(1)),
        TOKENS,
        (TOKENS == 3).sum(1) + 0.0,
    ),
    "attention": (attention, SEQUENCES, SEQUENCES[..., 0].mean(1)),
    "batch_norm": (
        lambda: sequential((3,), layers.Dense(4), layers.BatchNormalization(), layers.Dense(1)),
        X,
        Y,
    ),
    "dropout": (
        lambda: sequential((3,), layers.Dense(8), layers.Dropout(0.2), layers.Dense(1)),
        X,
        Y,
    ),
}


def dense(**options):
    with functional.seeded(3):
        net = sequential((3,), layers.Dense(4, "tanh"), layers.Dense(1))
    options.setdefault("likelihood_options", {"scale": 0.5})
    model = BayesianNetwork(net, "gaussian", **options)
    model.rng_seed.assign(5)
    model.compile(keras.optimizers.Adam(0.01), jit_compile=False)
    return model


def weights(model):
    return [variable.numpy() for variable in model.weights]


def assert_same(first, second):
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, two)


# -- any layers


QUICK = ("lstm",)  # the others take long to trace


@pytest.mark.parametrize(
    ("build", "x", "y"),
    [
        pytest.param(*case, id=name, marks=[] if name in QUICK else [pytest.mark.slow])
        for name, case in NETS.items()
    ],
)
def test_net_of_any_layers_trains_and_is_stored(build, x, y, tmp_path):
    with functional.seeded(1):
        model = BayesianNetwork(build(), "gaussian")
    model.rng_seed.assign(1)
    model.compile(keras.optimizers.Adam(0.03), jit_compile=False)
    losses = model.fit(x, y, batch_size=8, epochs=6, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < 0.9 * losses[0]
    mean = model.predict(x)
    assert mean.shape == (len(x), 1)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x), mean)
    assert_same(weights(loaded), weights(model))


@pytest.fixture(scope="module")
def recurrent():
    """An LSTM net compiled by XLA, and trained for one epoch."""
    with functional.seeded(1):
        net = sequential((5, 3), layers.LSTM(4), layers.Dense(1))
    model = BayesianNetwork(net, "gaussian", prior="scale_mixture", prior_options={"pi": 0.25})
    model.compile()
    assert model.jit_compile is True
    model.fit(SEQUENCES, SEQUENCES[:, 0, 0], batch_size=16, verbose=0)
    return model


@pytest.mark.slow
def test_model_is_loaded_in_a_fresh_process(recurrent, tmp_path):
    recurrent.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", SEQUENCES)
    script = (
        "import sys, keras, numpy as np\n"
        "from tfbdl import BayesianNetwork\n"
        "model = keras.saving.load_model(sys.argv[1] + '/model.keras')\n"
        "assert isinstance(model, BayesianNetwork) and model.prior.options.pi == 0.25\n"
        "np.save(sys.argv[1] + '/mean.npy', model.predict(np.load(sys.argv[1] + '/x.npy')))\n"
    )
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    subprocess.run([sys.executable, "-c", script, tmp_path], check=True, env=environment)
    np.testing.assert_array_equal(np.load(tmp_path / "mean.npy"), recurrent.predict(SEQUENCES))


def test_batch_norm_statistics_move_in_training_and_not_in_evaluation():
    with functional.seeded(1):
        net = sequential((3,), layers.BatchNormalization(momentum=0.9), layers.Dense(1))
    model = BayesianNetwork(net, "gaussian")
    model.compile(jit_compile=False)
    shifted = X + 5.0
    model.fit(shifted, Y, batch_size=20, epochs=2, shuffle=False, verbose=0)
    expected = np.zeros(3)
    for batch in (shifted[:20], shifted[20:], shifted[:20], shifted[20:]):
        expected = 0.9 * expected + 0.1 * batch.mean(0)
    moving = net.layers[0].moving_mean
    np.testing.assert_allclose(moving, expected, rtol=1e-4)
    model.evaluate(shifted, Y, verbose=0)
    model.predict(shifted)
    np.testing.assert_allclose(moving, expected, rtol=1e-4)


def test_dropout_masks_change_between_steps_and_are_off_in_prediction():
    with functional.seeded(1):
        net = sequential((3,), layers.Dense(50), layers.Dropout(0.5), layers.Dense(1))
    model = BayesianNetwork(net, "gaussian", posterior="delta")  # no other noise
    first, second = model(X, training=True), model(X, training=True)
    assert not np.any(first.numpy() == second.numpy())
    np.testing.assert_array_equal(model(X), model(X))
    np.testing.assert_allclose(model.predict(X), net(X), rtol=1e-4, atol=1e-5)


def test_losses_that_layers_add_are_part_of_the_objective():
    def first_loss(strength):
        with functional.seeded(1):
            regularizer = keras.regularizers.L2(strength)
            net = sequential((3,), layers.Dense(1, activity_regularizer=regularizer))
        model = BayesianNetwork(net, "gaussian", posterior="delta")
        model.compile(run_eagerly=True)
        outputs = net(X).numpy()
        return model.fit(X, Y, batch_size=40, verbose=0).history["loss"][0], outputs

    plain, _ = first_loss(0.0)
    loss, outputs = first_loss(3.0)
    assert loss - plain == pytest.approx(3.0 * np.sum(outputs**2) / 40, rel=1e-3)


@pytest.mark.slow
def test_mixed_precision_trains_with_a_scaled_loss_and_is_stored(tmp_path):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        net = sequential((3,), layers.Dense(8, "relu"), layers.Dense(1))
    finally:
        keras.config.set_dtype_policy(policy)
    model = BayesianNetwork(net, "gaussian")
    model.compile(keras.optimizers.Adam(0.03), jit_compile=False)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    losses = model.fit(X, Y, batch_size=8, epochs=5, verbose=0).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    model.save(tmp_path / "half.keras")
    loaded = keras.saving.load_model(tmp_path / "half.keras")
    assert loaded.net.layers[0].compute_dtype == "float16"
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


# -- Keras' verbs


def test_xla_is_chosen_on_one_device_and_can_be_refused():
    model = dense()
    model.compile()
    assert model.jit_compile is True
    model.compile(jit_compile=False)
    assert model.jit_compile is False
    model.compile(run_eagerly=True)
    assert model.jit_compile is False


@pytest.mark.slow
def test_steps_per_execution_does_not_change_what_is_learned():
    one, many = dense(), dense()
    many.compile(keras.optimizers.Adam(0.01), jit_compile=False, steps_per_execution=5)
    for model in (one, many):
        model.fit(X, Y, batch_size=4, epochs=2, verbose=0)
    for first, second in zip(one.get_weights(), many.get_weights(), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_compiled_and_plain_training_agree():
    plain, compiled = dense(), dense()
    compiled.compile(keras.optimizers.Adam(0.01), jit_compile=True)
    for model in (plain, compiled):
        model.fit(X, Y, batch_size=20, epochs=2, verbose=0)
    for first, second in zip(plain.get_weights(), compiled.get_weights(), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-5)


def test_metrics_see_the_conditional_mean_in_original_units():
    model = dense(
        posterior="delta",
        likelihood_options={"scale": 0.5, "target_mean": 7.0, "target_scale": 10.0},
    )
    model.compile(metrics=["mae"], run_eagerly=True)
    model.num_data = 40
    results = model.evaluate(X, Y, verbose=0, return_dict=True)
    expected = np.abs(Y - (7.0 + 10.0 * model.net(X).numpy()[:, 0])).mean()
    assert results["mae"] == pytest.approx(expected, rel=1e-4)


def test_callbacks_of_keras_work(tmp_path):
    model, seen = dense(), []
    callbacks = [
        keras.callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True),
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras", save_best_only=True),
        keras.callbacks.ReduceLROnPlateau(),
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: seen.append(epoch)),
    ]
    history = model.fit(
        X, Y, epochs=3, batch_size=20, validation_split=0.25, callbacks=callbacks, verbose=0
    ).history
    assert seen == [0, 1, 2]
    assert {"loss", "nll", "kl", "elbo", "val_loss", "val_nll"} <= set(history)
    assert "evaluation_step" not in history
    assert (tmp_path / "log.csv").read_text().count("\n") == 4
    assert keras.saving.load_model(tmp_path / "best.keras").num_data == 30


def test_predict_takes_arrays_frames_tensors_and_streams():
    model = dense()
    expected = model.predict(X)
    stream = tf.data.Dataset.from_tensor_slices((X, Y)).batch(7)
    for x in (X.tolist(), tf.constant(X), stream, stream.map(lambda x, y: x)):
        np.testing.assert_allclose(model.predict(x), expected, rtol=1e-5, atol=1e-6)
    first = model.predict(stream, steps=2)
    np.testing.assert_allclose(first, expected[:14], rtol=1e-5, atol=1e-6)
    with pytest.raises(OptionsError, match="takes no callbacks"):
        model.predict(X, callbacks=[keras.callbacks.Callback()])


def test_predict_of_classes_gives_probabilities():
    net = sequential((3,), layers.Dense(4))
    probs = BayesianNetwork(net, "categorical").predict(X)
    assert probs.shape == (40, 4)
    np.testing.assert_allclose(probs.sum(-1), np.ones(40), rtol=1e-6)


def test_unbuilt_net_is_built_by_fit():
    net = keras.Sequential([layers.Dense(4, "tanh"), layers.Dense(1)])
    model = BayesianNetwork(net, "gaussian")
    model.compile(run_eagerly=True)
    model.fit(X, Y, batch_size=40, verbose=0)
    assert model.random_sites[0] == "dense.kernel"
    assert model.predict(X).shape == (40, 1)


def test_training_on_single_batches_needs_the_number_of_rows():
    model = dense()
    model.compile(run_eagerly=True)
    for call in (model.train_on_batch, model.test_on_batch):
        with pytest.raises(DataError, match=r"num_data=N"):
            call(X, Y)
    model.num_data = 40
    assert np.isfinite(model.train_on_batch(X, Y, return_dict=True)["loss"])
    assert int(model.rng_step) == 1


@pytest.mark.slow
def test_continued_training_equals_uninterrupted_training(tmp_path):
    whole, part = dense(prior="scale_mixture"), dense(prior="scale_mixture")
    whole.fit(X, Y, batch_size=16, epochs=4, verbose=0)
    part.fit(X, Y, batch_size=16, epochs=2, verbose=0)
    part.save(tmp_path / "half.keras")
    loaded = tfbdl.load(tmp_path / "half.keras")
    assert_same(
        [variable.numpy() for variable in loaded.optimizer.variables],
        [variable.numpy() for variable in part.optimizer.variables],
    )
    loaded.fit(X, Y, batch_size=16, epochs=4, initial_epoch=2, verbose=0)
    assert_same(weights(loaded), weights(whole))


# -- replicas


@pytest.fixture(scope="module")
def replicas():
    """What the script saw on two logical CPUs, in a process of its own."""
    script = Path(__file__).with_name("replicas_script.py")
    found = subprocess.run([sys.executable, script], check=True, capture_output=True, text=True)
    return json.loads(found.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.replicas
def test_one_step_on_two_replicas_is_the_step_of_one_device(replicas):
    assert replicas["replicas"] == 2
    one, two = replicas["one"], replicas["two"]
    np.testing.assert_allclose(two[0], one[0], rtol=1e-4, atol=1e-5)
    assert two[1] == pytest.approx(one[1], rel=1e-4)


@pytest.mark.slow
@pytest.mark.replicas
def test_replicas_draw_different_noise_and_new_noise_at_each_step(replicas):
    first, second = (np.array(replicas["noise"][part]) for part in ("first", "second"))
    assert not np.any(first[0] == first[1])
    assert not np.any(first == second)


@pytest.mark.slow
@pytest.mark.replicas
def test_each_replica_keeps_its_own_draw_across_a_synchronised_layer(replicas):
    found = replicas["batch_norm"]
    np.testing.assert_allclose(found["loss"], found["expected"], rtol=1e-5)
    assert abs(found["kl"][0] - found["kl"][1]) > 0.1  # of different draws


@pytest.mark.slow
@pytest.mark.replicas
def test_batch_norm_trains_on_replicas(replicas):
    found = replicas["batch_norm"]
    assert np.isfinite(list(found["history"].values())).all()
    assert found["history"]["val_loss"][-1] < found["history"]["val_loss"][0]
    assert found["moving_mean"] > 0
    assert found["rng_step"] == 3 * 2  # not once for each replica
    assert found["evaluated"][0] == found["evaluated"][1]


@pytest.mark.slow
@pytest.mark.replicas
def test_a_replica_without_rows_changes_no_figure_to_nan(replicas):
    found = replicas["empty"]
    assert set(found) == {"loss", "nll", "kl", "elbo"}
    assert np.isfinite(list(found.values())).all()
