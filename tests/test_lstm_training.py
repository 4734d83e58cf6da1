"""LSTMKalman in training: its objectives, files and runs, and what is refused in words."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from lstm_cases import N, T, eager, linear, sequences, small, untrained
from small_models import Stop, stop_at
from tfbdl_kalman_lstm import ExtendedKalmanFilter, KalmanFilter, LSTMKalman
from tfbdl_kalman_lstm.dynamics import lorenz
from tfbdl_kalman_lstm.factory import sizes
from tfbdl_kalman_lstm.scales import scales_of

import tfbdl
from tfbdl.data import DataInfo, as_dataset
from tfbdl.errors import DataError, OptionsError

__all__ = ["eager"]


def test_objectives_are_those_of_the_papers():
    model, y = small(), sequences()
    x = sequences(6, gaps=False)
    x[1, 3], x[2, 1, 0] = np.nan, np.nan
    model.compile(run_eagerly=True)
    model.take_scales(scales_of(y, x, np.eye(2)))
    found = model.filter(y)

    def squared(means):
        errors = np.nansum((x - means) ** 2, axis=-1)
        return (errors.sum(axis=1) / [T, T - 1, T]).mean()

    loss, mse, nll = model.evaluate(y, x, verbose=0)
    assert loss == pytest.approx(squared(found.means) + 0.8 * squared(found.predicted_means))
    assert mse == pytest.approx(np.nanmean((x - found.means) ** 2))
    expected = -(found.log_likelihood / [T - 1, T, T]).mean()
    assert nll == pytest.approx(expected)
    assert model.evaluate(y, verbose=0)[0] == pytest.approx(expected)


@pytest.mark.parametrize("truncate", [None, 2])
def test_gradients_of_the_model_are_cut_where_asked(truncate, eager):
    model, y = small(truncate=truncate), tf.constant(sequences(gaps=False)[:1, :4])
    with tf.GradientTape() as tape:
        tape.watch(y)
        last = tf.reduce_sum(model(y)[:, -1])
    slopes = np.abs(tape.gradient(last, y)[0]).max(axis=-1)
    assert (slopes[2:] > 0).all()
    assert (slopes[:2] > 0).all() == (truncate is None)
    assert truncate is None or not slopes[:2].any()


def test_forget_gates_of_all_nets_start_where_they_are_told():
    model = small(units=(3, 2), forget_bias=2.5)
    for net in (model.lstm_A, model.lstm_Q, model.lstm_R):
        biases = [v for v in net.variables if v.name.startswith("bias_")]
        assert biases
        for bias in biases:
            np.testing.assert_array_equal(np.reshape(bias, (4, -1))[1], 2.5)


@pytest.mark.slow
@pytest.mark.parametrize("bayesian", [False, True])
def test_training_by_likelihood_raises_it(bayesian):
    model = small(bayesian=bayesian, prior_scale=100.0)
    y = np.cumsum(sequences(7, gaps=False), axis=1)
    y[0, 2] = np.nan
    model.compile(keras.optimizers.Adam(0.02), jit_compile=False)
    history = model.fit(y, epochs=25, verbose=0).history
    assert history["nll"][-1] < history["nll"][0] - 0.3
    assert model.held_out(y)["nll"] < history["nll"][0] - 0.3
    if bayesian:
        plain = small(bayesian=True, draws=1)
        plain.set_weights(model.get_weights())
        assert np.trace(model.filter(y).covariances.sum((0, 1))) > 0
        assert model.filter(y).log_likelihood != pytest.approx(plain.filter(y).log_likelihood)


@pytest.mark.parametrize(("epochs", "compiled"), [(10, False), (2000, True)])
def test_long_trainings_alone_are_compiled(epochs, compiled):
    model, data = small(), as_dataset(sequences(), allow_nan=True)
    model.compile()
    model.planned = (N, epochs)
    model.on_fit(data)
    assert model.jit_compile is compiled
    model.compile(jit_compile=not compiled)
    model.on_fit(data)
    assert model.jit_compile is not compiled


@pytest.mark.slow
def test_file_gives_the_same_filter_and_goes_on_training_alike(tmp_path):
    y, x = sequences(), sequences(6, gaps=False)

    def trained(model, first, last):
        model.fit(y, x, epochs=last, initial_epoch=first, batch_size=2, verbose=0)
        return model

    model = small(dtype="float32")
    model.compile(jit_compile=False)
    trained(model, 0, 2).save(tmp_path / "model.keras")
    loaded = tfbdl.load(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.filter(y).covariances, model.filter(y).covariances)
    trained(model, 2, 4)  # goes on as if it had never been stored
    trained(loaded, 2, 4)
    np.testing.assert_array_equal(loaded.filter(y).means, model.filter(y).means)


@pytest.mark.slow
@pytest.mark.parametrize("bayesian", [False, True])
def test_a_stopped_run_resumes_to_the_same_bits(tmp_path, bayesian):
    y = np.cumsum(sequences(3, gaps=False), axis=1).astype("float32")
    options = {"units": (4,), "noise_units": (3,), "bayesian": bayesian}
    engine = {"epochs": 6, "batch_size": 2, "checkpoint_seconds": 0.0}

    def run(name, on_step=None):
        return tfbdl.fit("lstm_kalman", y, model_options=options, engine_options=engine, seed=5,
                         out=tmp_path / name, on_step=on_step)  # fmt: skip

    whole = run("whole")
    with pytest.raises(Stop):
        run("torn", stop_at(7))
    resumed = tfbdl.resume(tmp_path / "torn", data=y)
    assert resumed.history == whole.history
    for one, other in zip(whole.model.variables, resumed.model.variables, strict=True):
        np.testing.assert_array_equal(one, other)


def test_given_parts_and_clones_survive(tmp_path, eager):
    model, _ = linear("float64")
    model.save(tmp_path / "model.keras")
    loaded, y = tfbdl.load(tmp_path / "model.keras"), sequences()
    np.testing.assert_array_equal(loaded.filter(y).means, model.filter(y).means)
    copy, fresh = untrained().clone(), untrained().clone(seed=9)
    for old, same, new in zip(untrained().lstm_A.weights, copy.lstm_A.weights,
                              fresh.lstm_A.weights, strict=True):  # fmt: skip
        np.testing.assert_array_equal(old, same)
        assert np.array_equal(old, new) == ("bias" in old.name)


@pytest.mark.slow
def test_run_by_name_takes_states_as_targets(tmp_path):
    x = np.cumsum(sequences(3, gaps=False), axis=1).astype("float32")
    y = x + sequences(4).astype("float32")
    options = {"units": (4,), "noise_units": (3,)}
    fit = tfbdl.fit("lstm_kalman", as_dataset((y, x), allow_nan=True), model_options=options,
                    engine_options={"epochs": 5}, out=tmp_path / "run")  # fmt: skip
    assert fit.history["mse"][-1] < fit.history["mse"][0]
    loaded = tfbdl.load(tmp_path / "run")
    np.testing.assert_array_equal(loaded.model.filter(y).means, fit.model.filter(y).means)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: small().fit(np.zeros((N, T, 3))), r"must be \[n, T, 2\]"),
        (lambda: small().fit(np.zeros((T, 2))), r"One sequence is given as y\[np.newaxis\]"),
        (lambda: small().fit(sequences(), np.zeros((N, T - 1, 2))), "a state for each observation"),
        (lambda: small(objective="squared").fit(sequences()), "compares with states"),
        (lambda: small().filter(np.zeros((T, 3))), r"\[T, 2\]"),
        (lambda: small().step(small().initial_state(2), np.zeros((3, 2))), r"\[2, 2\]"),
        (lambda: small().fit(sequences(), sample_weight=np.ones(N)), "sample_weight"),
        (lambda: small().fit(np.full((N, T, 2), np.nan)), "all of sequence 0 are missing"),
        (lambda: small().fit(np.zeros((N, 0, 2))), "sequences of 0 steps"),
        (lambda: small().step(small().initial_state(1), [[np.inf, 0.0]]), "Received: Inf"),
    ],
)
def test_data_that_do_not_fit_are_refused_in_words(call, message):
    with pytest.raises(DataError, match=message):
        call()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bayesian": True, "objective": "squared"}, "needs a likelihood"),
        ({"bayesian": True, "lstm_A": keras.layers.Dense(2)}, "own LSTM"),
        ({"objective": "likelyhood"}, "likelihood"),
        ({"process_variance": 0.0}, "process_variance must be a finite number above 0"),
        ({"H": np.eye(3)}, r"H must be \[2, 2\]"),
    ],
)
def test_options_that_contradict_are_refused_in_words(options, message):
    with pytest.raises(OptionsError, match=message):
        small(**options)


def test_sizes_come_from_the_data():
    def info(x_shape, y_shape=None):
        return DataInfo(num_rows=4, x_shape=x_shape, x_dtype="float32", y_shape=y_shape)

    assert sizes(None, info((T, 3))) == (3, 3)
    assert sizes(5, info((T,))) == (5, 1)
    assert sizes(None, info((T, 1), (T, 2))) == (2, 1)
    with pytest.raises(DataError, match="Targets of a learned filter are states"):
        sizes(None, info((T, 1), ()))
    with pytest.raises(DataError, match="state_dim=2"):
        sizes(3, info((T, 1), (T, 2)))
    with pytest.raises(DataError, match="made for sequences"):
        sizes(None, info((4, 4, 3)))


@pytest.mark.slow
def test_lorenz_attractor_is_learned_far_below_constant_velocity():
    # the gate: -8 dB, and 6 dB below the best constant velocity; the extended filter has -10.2 dB
    known = ExtendedKalmanFilter(*lorenz(q2=0.01, r2=1.0))
    x, y = (part.astype("float32") for part in known.sample(100, n=500, seed=1))
    x_test, y_test = known.sample(100, n=50, seed=2)

    def decibels(means):
        return 10.0 * np.log10(np.mean((means - x_test) ** 2))

    def trained(*data, steps):
        model, epochs = LSTMKalman(3, 3, seed=0), steps // 10
        rate = keras.optimizers.schedules.CosineDecay(1e-2, 10 * epochs)
        model.compile(keras.optimizers.Adam(rate, global_clipnorm=1.0), jit_compile=True)
        model.fit(*data, batch_size=50, epochs=epochs, verbose=0)
        return model.filter(y_test)

    simple = min(decibels(velocity_filter(q).filter(y_test).means[..., :3])
                 for q in 10.0 ** np.arange(1, 6))  # fmt: skip
    error = decibels(trained(y, x, steps=350).means)
    assert error < -8.0
    assert error < simple - 6.0
    found = trained(y, steps=250)  # by likelihood, without any state
    half = 1.6449 * np.sqrt(np.diagonal(found.covariances, axis1=-2, axis2=-1))
    assert 0.80 < np.mean(np.abs(found.means - x_test) <= half) < 0.97


def velocity_filter(variance, step=0.02):
    """Position and velocity of three coordinates; acceleration is white noise of a variance."""
    noise = variance * np.array([[step**3 / 3, step**2 / 2], [step**2 / 2, step]])
    three = np.eye(3)
    return KalmanFilter(
        np.kron([[1.0, step], [0.0, 1.0]], three),
        np.kron([[1.0, 0.0]], three),
        np.kron(noise, three),
        three,
        np.r_[np.ones(3), np.zeros(3)],
        np.diag([1.0] * 3 + [1e3] * 3),
    )
