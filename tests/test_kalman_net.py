"""KalmanNet: its recursion, training, gaps, streams and files."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from tfbdl_kalman_lstm import KalmanNet
from tfbdl_kalman_lstm.gain_steps import unit

import tfbdl
from tfbdl.errors import DataError, ModelError, OptionsError

T, N = 6, 3
A = np.array([[1.0, 0.1], [0.0, 0.9]], "float32")


@keras.saving.register_keras_serializable(package="tests")
def turned(state):
    """A linear motion of one state ``[2]``."""
    return tf.linalg.matvec(tf.cast(A, state.dtype), state)


@keras.saving.register_keras_serializable(package="tests")
def first(state):
    """Its first element, ``[1]``."""
    return state[:1]


def small(**options):
    return KalmanNet(2, 1, turned, first, **({"units": 6, "hidden": 5, "seed": 3} | options))


@functools.cache
def untrained():
    """One model for all tests that only ask: its filter is compiled once."""
    return small()


def sequences(gaps=True):
    y = np.random.default_rng(1).normal(size=(N, T, 1))
    if gaps:
        y[0, 2] = np.nan
    return y


def test_estimate_is_the_prediction_and_the_gain_times_the_innovation():
    y = sequences(gaps=False)
    found = small(m0=[0.5, -1.0]).filter(y)
    mean = np.tile([0.5, -1.0], (N, 1))
    for t in range(T):
        np.testing.assert_allclose(found.predicted_means[:, t], mean, atol=1e-5)
        innovation = y[:, t] - mean[:, :1]
        mean = mean + np.squeeze(found.gains[:, t] @ innovation[..., None], -1)
        np.testing.assert_allclose(found.means[:, t], mean, atol=1e-5)
        mean = mean @ A.T
    assert np.ptp(found.gains[:, 1:], axis=(0, 1)).min() > 0  # the gain depends on what was seen
    assert not hasattr(found, "covariances")


def test_missing_observation_skips_the_update_and_nothing_looks_ahead():
    model, y = untrained(), sequences()
    found = model.filter(y)
    np.testing.assert_array_equal(found.means[0, 2], found.predicted_means[0, 2])
    later = y.copy()
    later[:, 4:] += 3.0
    np.testing.assert_array_equal(model.filter(later).means[:, :4], found.means[:, :4])
    assert np.abs(model.filter(later).means[:, 4] - found.means[:, 4]).max() > 0


def test_stream_of_steps_is_the_filter():
    model, y = untrained(), sequences()
    whole, state = model.filter(y).means, model.initial_state(N)
    for t in range(T):
        state, mean = model.step(state, y[:, t])
        np.testing.assert_allclose(mean, whole[:, t], atol=1e-6)


@pytest.mark.slow
def test_training_lowers_the_error_of_states_and_files_keep_it(tmp_path):
    rng = np.random.default_rng(2)
    x = np.empty((40, T, 2))
    state = rng.normal(size=(40, 2))
    for t in range(T):
        x[:, t] = state
        state = state @ A.T + 0.3 * rng.normal(size=(40, 2))
    y = x[..., :1] + 0.3 * rng.normal(size=(40, T, 1))
    model = small()
    model.compile(keras.optimizers.Adam(0.02), jit_compile=False)
    before = model.evaluate(y, x, verbose=0)[0]
    history = model.fit(y, x, epochs=15, batch_size=20, verbose=0).history
    np.testing.assert_allclose(model.m0, x[:, 0].mean(axis=0), atol=1e-6)
    assert history["loss"][-1] < 0.8 * before
    assert history["loss"][-1] > 0.05  # less would be more than can be known
    model.save(tmp_path / "model.keras")
    loaded = tfbdl.load(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.filter(y).means, model.filter(y).means)


def test_without_states_the_prediction_of_observations_is_trained():
    model, y = small(), sequences()
    model.compile(run_eagerly=True)
    predicted = model.filter(y).predicted_means[..., :1]
    expected = np.nansum((y - predicted) ** 2, axis=(1, 2)) / [T - 1, T, T]
    assert model.evaluate(y, verbose=0)[0] == pytest.approx(expected.mean(), rel=1e-5)
    figure = model.held_out(y)["prediction_mse"]
    assert figure == pytest.approx(np.nanmean((y - predicted) ** 2), rel=1e-5)


def test_systems_by_name_bring_their_functions():
    model = KalmanNet(3, 1, "lorenz", dynamics_options={"observed": (0,)}, units=4, hidden=4)
    state = np.array([[1.0, 2.0, 3.0]], "float32")
    np.testing.assert_allclose(model.see(state), [[1.0]])
    assert model.clone().dynamics_options == {"observed": (0,)}
    assert np.isfinite(model.filter(np.zeros((100, 1))).means).all()


def test_features_have_length_one():
    values = tf.constant([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(unit(values), [[0.6, 0.8], [0.0, 0.0]], atol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: KalmanNet(3, 3, "lorentz"), OptionsError, "Did you mean 'lorenz'"),
        (lambda: KalmanNet(2, 2, turned), OptionsError, "f and h as TensorFlow functions"),
        (lambda: KalmanNet(3, 2, "lorenz"), OptionsError, r"h must give \[2\]"),
        (lambda: KalmanNet(2, 3), OptionsError, "at most 2"),
        (lambda: KalmanNet(3, 3, "lorenz", first), OptionsError, "brings its own h"),
        (lambda: small(objective="likelihood"), OptionsError, "prediction"),
        (lambda: untrained().step(untrained().initial_state(), [1.0]), DataError, r"\[1, 1\]"),
        (
            lambda: untrained().step(untrained().initial_state(2), np.zeros((3, 1))),
            DataError,
            r"\[2, 1\]. Received: shape \[3, 1\]",
        ),
        (lambda: small().filter(np.zeros((T, 2))), DataError, r"\[T, 1\]"),
        (lambda: small(objective="squared").fit(sequences()), DataError, "compares with states"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_functions_without_a_name_cannot_be_stored():
    model = KalmanNet(2, 1, functools.partial(turned), first, units=4, hidden=4)
    with pytest.raises(ModelError, match="must have a name"):
        model.get_config()
