"""The parts of LSTMKalman alone: its nets, their Jacobians, the loop over time, scales."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from lstm_cases import N, T, small
from tfbdl_kalman_lstm.lstm_net import LSTMNet
from tfbdl_kalman_lstm.noise_nets import NoiseNet
from tfbdl_kalman_lstm.recurrence import differentiated, scan
from tfbdl_kalman_lstm.scales import scales_of


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


class Given(tuple):
    """One output of a scan."""

    _fields = ("value",)

    def __new__(cls, value):
        return super().__new__(cls, (value,))

    value = property(lambda self: self[0])


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
