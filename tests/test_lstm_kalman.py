"""LSTMKalman against the Kalman filter, finite differences, streams and its own files."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from linear_gaussian_cases import condition, random_model
from tfbdl_kalman_lstm import KalmanFilter, LSTMKalman
from tfbdl_kalman_lstm.factory import sizes
from tfbdl_kalman_lstm.lstm_net import LSTMNet
from tfbdl_kalman_lstm.lstm_queries import mixed
from tfbdl_kalman_lstm.noise_nets import NoiseNet
from tfbdl_kalman_lstm.recurrence import differentiated, scan
from tfbdl_kalman_lstm.scales import scales_of

import tfbdl
from tfbdl.data import DataInfo, as_dataset
from tfbdl.errors import DataError, OptionsError

T, N = 6, 3


def sequences(seed=1, d=2, gaps=True):
    y = np.random.default_rng(seed).normal(size=(N, T, d))
    if gaps:
        y[0, 2], y[1, 4, 0], y[2, 0, 1] = np.nan, np.nan, np.nan
    return y


def small(**options):
    chosen = {"units": (5,), "noise_units": (3,), "seed": 4, "dtype": "float64"}
    return LSTMKalman(2, 2, **(chosen | options))


@functools.cache
def untrained():
    """One model for all tests that only ask: its filter is compiled once."""
    return small()


def linear(dtype, residual=False, gates=None):
    """A model whose lstm_A is a matrix and whose noise is constant, and its parameters."""
    case = random_model(2)
    layer = keras.layers.Dense(2, use_bias=False, dtype=dtype)
    given = {name: case[name] for name in ("H", "Q", "R", "m0", "P0")}
    model = LSTMKalman(2, 2, lstm_A=layer, residual=residual, dtype=dtype, **given)
    layer.kernel.assign((case["A"] - residual * np.eye(2)).T)
    return model, case


# -- oracles ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 1e-5)])
@pytest.mark.parametrize("residual", [False, True])
def test_linear_motion_and_constant_noise_are_the_kalman_filter(dtype, tolerance, residual):
    model, case = linear(dtype, residual)
    y = sequences()
    found, expected = model.filter(y), KalmanFilter(**case).filter(y)
    for name in ("means", "covariances", "predicted_means", "predicted_covariances", "gains"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=tolerance)
    np.testing.assert_allclose(found.increments, expected.increments, atol=10 * tolerance)
    exact = condition(case, y[1])
    np.testing.assert_allclose(found.means[1, -1], exact[0][-1], atol=tolerance)
    np.testing.assert_allclose(found.covariances[1, -1], exact[1][-2:, -2:], atol=tolerance)
    np.testing.assert_allclose(found.log_likelihood[1], exact[2], atol=20 * tolerance)


def test_forecast_of_a_linear_motion_is_the_kalman_filters():
    model, case = linear("float64")
    found, expected = (
        model.forecast(sequences()[0], 3),
        KalmanFilter(**case).forecast(sequences()[0], 3),
    )
    for name in ("means", "covariances", "observation_means", "observation_covariances"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-9)


def test_jacobian_of_the_motion_is_that_of_finite_differences():
    model = small(units=(5, 4), residual=True)
    rng = np.random.default_rng(0)
    model.state_location.assign([1.0, -2.0])
    model.state_scale.assign([3.0, 0.5])
    x = rng.normal(size=(N, 2))
    memory = tuple(tf.constant(0.5 * rng.normal(size=(N, size))) for size in (5, 5, 4, 4))
    weights = model.drawn_weights(None)[0].motion
    jacobian = model.motion_of(tf.constant(x), memory, weights)[2]
    for j, change in enumerate(1e-6 * np.eye(2)):
        above, below = (
            model.motion_of(tf.constant(x + sign * change), memory, weights)[0] for sign in (1, -1)
        )
        slope = (above - below) / 2e-6
        np.testing.assert_allclose(jacobian[..., j], slope, atol=1e-8)
    assert np.abs(jacobian - np.eye(2)).max() > 1e-3  # it is no identity


def test_lstm_steps_are_those_of_keras():
    net = LSTMNet(2, (4,), 3, forget_bias=2.0, seed=1, dtype="float64")
    cell = keras.layers.LSTMCell(4, dtype="float64")
    cell.build((None, 2))
    kernel, recurrent, bias, out, out_bias = net.current_weights()
    cell.set_weights([w.numpy() for w in (kernel, recurrent, bias)])
    np.testing.assert_array_equal(bias, np.repeat([0.0, 2.0, 0.0, 0.0], 4))
    memory, states = net.initial_memory([N]), [tf.zeros((N, 4), tf.float64)] * 2
    for x in np.random.default_rng(2).normal(size=(4, N, 2)):
        output, memory = net.step(tf.constant(x), memory, net.current_weights())
        h, states = cell(x, states)
        np.testing.assert_allclose(output, h @ out + out_bias, atol=1e-12)
        np.testing.assert_allclose(memory[1], states[1], atol=1e-12)


def test_jacobian_of_any_layer_is_that_of_reverse_mode():
    layer = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4, "tanh"),
                              keras.layers.Dense(3)])  # fmt: skip
    x = tf.random.stateless_normal([N, 2], [1, 2])
    with tf.GradientTape() as tape:
        tape.watch(x)
        expected = layer(x)
    output, jacobian = differentiated(layer, x)
    np.testing.assert_allclose(output, expected, atol=1e-6)
    np.testing.assert_allclose(jacobian, tape.batch_jacobian(expected, x), atol=1e-6)


def test_many_draws_of_weights_run_as_each_alone():
    nets = [LSTMNet(2, (4,), 2, seed=i, dtype="float64") for i in (1, 2)]
    together = [tf.stack(pair) for pair in zip(*(n.current_weights() for n in nets), strict=True)]
    x = tf.constant(np.random.default_rng(3).normal(size=(2, N, 2)))
    output, memory, jacobian = nets[0].step_with_jacobian(
        x, nets[0].initial_memory([2, N]), together
    )
    for i, net in enumerate(nets):
        alone = net.step_with_jacobian(x[i], net.initial_memory([N]), net.current_weights())
        np.testing.assert_allclose(output[i], alone[0], atol=1e-12)
        np.testing.assert_allclose(memory[1][i], alone[1][1], atol=1e-12)
        np.testing.assert_allclose(jacobian[i], alone[2], atol=1e-12)


# -- steps and gaps -----------------------------------------------------------------------------


@pytest.mark.parametrize("bayesian", [False, True])
def test_stream_of_steps_is_the_filter(bayesian):
    model = small(bayesian=True, draws=3) if bayesian else untrained()
    y = sequences()
    whole, state = model.filter(y), model.initial_state(N)
    step = model.step if bayesian else tf.function(model.step)
    for t in range(T):
        state, mean, covariance = step(state, tf.constant(y[:, t]))
        np.testing.assert_allclose(mean, whole.means[:, t], atol=1e-10)
        np.testing.assert_allclose(covariance, whole.covariances[:, t], atol=1e-10)


def test_missing_observation_skips_the_update():
    model, y = untrained(), sequences()
    found = model.filter(y)
    np.testing.assert_array_equal(found.means[0, 2], found.predicted_means[0, 2])
    np.testing.assert_allclose(
        found.covariances[0, 2], found.predicted_covariances[0, 2], atol=1e-15
    )
    np.testing.assert_array_equal(found.gains[0, 2], 0.0)
    assert found.increments[0, 2] == 0.0
    np.testing.assert_array_equal(found.gains[1, 4][:, 0], 0.0)
    assert np.abs(found.gains[1, 4][:, 1]).min() > 0
    state = model.initial_state(1)
    before = state.measurement
    after = model.step(state, np.full((1, 2), np.nan))[0]
    for old, new in zip(before, after.measurement, strict=True):
        np.testing.assert_array_equal(old, new)  # lstm_R has seen nothing


def test_filter_does_not_look_ahead():
    model, y = untrained(), sequences()
    later = y.copy()
    later[:, 4:] += 5.0
    np.testing.assert_array_equal(model.filter(later).means[:, :4], model.filter(y).means[:, :4])
    assert np.abs(model.filter(later).means[:, 4] - model.filter(y).means[:, 4]).max() > 0.1


def test_sequences_of_unequal_length_and_one_alone_are_answered_in_kind():
    model, y = untrained(), sequences(gaps=False)
    together = model.log_prob([y[0], y[1][:3], y[2]])
    alone = [model.log_prob(part) for part in (y[0], y[1][:3], y[2])]
    assert isinstance(alone[0], float)
    np.testing.assert_allclose(together, alone, rtol=1e-9)
    assert model.filter(y[0]).means.shape == (T, 2)


def test_partial_observation_needs_its_matrix_only_where_more_is_seen_than_there_is():
    model = LSTMKalman(3, 1, units=(4,), noise_units=(3,), seed=1)
    np.testing.assert_array_equal(model.H, [[1.0, 0.0, 0.0]])
    assert model.filter(np.zeros((2, T))[..., None]).covariances.shape == (2, T, 3, 3)
    with pytest.raises(OptionsError, match=r"Expected H \[3, 2\]"):
        LSTMKalman(2, 3)


def test_covariances_stay_positive_over_a_long_sequence():
    model = LSTMKalman(3, 3, units=(8,), noise_units=(4,), seed=2)
    y = np.cumsum(np.random.default_rng(4).normal(size=(400, 3)), axis=0)
    y[100:150] = np.nan
    assert np.linalg.eigvalsh(model.filter(y).covariances).min() > 0


def test_law_of_total_variance_is_that_of_a_mixture():
    rng = np.random.default_rng(5)
    means = rng.normal(size=(4, N, 2))
    mean, covariance = mixed(tf.constant(means), tf.constant(np.zeros((4, N, 2, 2))), 0)
    for i in range(N):
        np.testing.assert_allclose(mean[i], means[:, i].mean(axis=0))
        np.testing.assert_allclose(covariance[i], np.cov(means[:, i].T, bias=True), atol=1e-12)


# -- training -----------------------------------------------------------------------------------


def test_objectives_are_those_of_the_papers():
    model, y = small(), sequences()
    x = sequences(6, gaps=False)
    x[1, 3], x[2, 1, 0] = np.nan, np.nan
    model.compile(jit_compile=False)
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


def test_gradients_are_cut_where_asked():
    y = tf.ones([1, 4, 1], tf.float64)

    def gradient(truncate):
        weight = tf.constant(0.5, tf.float64)
        with tf.GradientTape() as tape:
            tape.watch(weight)
            step = lambda s, y, _: (weight * s + y, Given(weight * s + y))  # noqa: E731
            _, found = scan(step, tf.zeros([1, 1], tf.float64), y, y, Given, truncate)
            last = found.value[-1, 0, 0]
        return float(tape.gradient(last, weight))

    # s_4 = 1 + w + w^2 + w^3; with cuts every 2 steps s_2 = 1 + w counts as a number
    assert gradient(None) == pytest.approx(1 + 2 * 0.5 + 3 * 0.25)
    assert gradient(2) == pytest.approx(1 + 2 * 0.5 * 1.5)


class Given(tuple):
    """One output of a scan."""

    _fields = ("value",)

    def __new__(cls, value):
        return super().__new__(cls, (value,))

    value = property(lambda self: self[0])


def test_kl_of_random_weights_is_that_of_normals():
    import tensorflow_probability as tfp

    model, tfd = small(bayesian=True, prior_scale=0.7), tfp.distributions
    locations, scales = model.surrogate.mean(), model.surrogate.stddev()
    priors = {name: tfd.Normal(tf.zeros_like(locations[name]), 0.7) for name in locations}
    posteriors = {name: tfd.Normal(locations[name], scales[name]) for name in locations}
    parts = [tfd.kl_divergence(posteriors[name], priors[name]) for name in locations]
    expected = sum(tf.reduce_sum(part) for part in parts)
    assert float(model.weights_kl()) == pytest.approx(float(expected), rel=1e-9)


def test_noise_starts_where_it_is_told():
    net = NoiseNet(2, (3,), 0.04, seed=1, dtype="float64")
    covariance, _ = net.covariance(
        tf.zeros([1, 2], tf.float64), net.initial_memory([1]), tf.constant([1.0, 10.0], tf.float64),
        net.current_weights(),
    )  # fmt: skip
    np.testing.assert_allclose(covariance[0], np.diag([0.04, 4.0]), rtol=1e-4)


def test_scales_and_the_first_state_come_from_the_data():
    rng = np.random.default_rng(8)
    x = rng.normal(size=(200, T, 2)) * [2.0, 5.0] + [1.0, -3.0]
    y = x[..., :1] + 1.0
    found = scales_of(y, x, np.eye(1, 2))
    np.testing.assert_allclose(found.state_location, x.mean((0, 1)))
    np.testing.assert_allclose(found.state_scale, x.std((0, 1)))
    np.testing.assert_allclose(found.m0, x[:, 0].mean(0))
    np.testing.assert_allclose(np.diag(found.P0), x[:, 0].var(0))
    alone = scales_of(y, None, np.eye(1, 2))
    np.testing.assert_allclose(alone.state_location, [y.mean(), 0.0])
    np.testing.assert_allclose(alone.state_scale, [y.std(), y.std()])


# -- files, names, refusals ---------------------------------------------------------------------


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


def test_given_parts_and_clones_survive(tmp_path):
    model, _ = linear("float64")
    model.save(tmp_path / "model.keras")
    loaded, y = tfbdl.load(tmp_path / "model.keras"), sequences()
    np.testing.assert_array_equal(loaded.filter(y).means, model.filter(y).means)
    copy, fresh = untrained().clone(), untrained().clone(seed=9)
    for old, same, new in zip(untrained().lstm_A.weights, copy.lstm_A.weights,
                              fresh.lstm_A.weights, strict=True):  # fmt: skip
        np.testing.assert_array_equal(old, same)
        assert np.array_equal(old, new) == ("bias" in old.name)


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
