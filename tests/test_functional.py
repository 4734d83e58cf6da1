"""Nets as pure functions of their weights, their copies and the names of their variables."""

from __future__ import annotations

import random as python_random

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfbdl import functional
from tfbdl.errors import ModelError

layers = keras.layers
X = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")


def dense_net():
    return keras.Sequential([keras.Input((3,)), layers.Dense(4, "tanh"), layers.Dense(1)])


def test_apply_runs_the_net_with_given_weights_and_writes_nothing():
    net = dense_net()
    before = net.get_weights()
    given = [np.full(v.shape, 0.1 * i + 0.1, "float32") for i, v in enumerate(net.weights)]
    outputs, updates = functional.apply(net, zip(net.weights, given, strict=True), X)
    expected = np.tanh(X @ given[0] + given[1]) @ given[2] + given[3]
    np.testing.assert_allclose(outputs, expected, rtol=1e-5)
    assert updates == []
    for was, now in zip(before, net.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


def test_apply_gives_gradients_with_respect_to_the_given_weights():
    net = keras.Sequential([keras.Input((3,)), layers.Dense(1, use_bias=False)])
    w = tf.ones((3, 1))
    with tf.GradientTape() as tape:
        tape.watch(w)
        outputs, _ = functional.apply(net, [(net.weights[0], w)], X)
        total = tf.reduce_sum(outputs)
    np.testing.assert_allclose(tape.gradient(total, w)[:, 0], X.sum(0), rtol=1e-5)


def test_apply_hands_out_the_state_that_training_changes():
    net = keras.Sequential(
        [keras.Input((3,)), layers.BatchNormalization(momentum=0.5), layers.Dropout(0.5)]
    )
    moving_mean = next(v for v in net.weights if v.name == "moving_mean")
    _, updates = functional.apply(net, [], X, training=True)
    values = {variable.path: value for variable, value in updates}
    np.testing.assert_allclose(values[moving_mean.path], 0.5 * X.mean(0), rtol=1e-4)
    assert any("seed" in path for path in values)
    np.testing.assert_array_equal(moving_mean, np.zeros(3))  # not written yet
    functional.assign(updates)
    np.testing.assert_allclose(moving_mean, 0.5 * X.mean(0), rtol=1e-4)
    assert functional.apply(net, [], X, training=False)[1] == []


def test_apply_collects_what_layers_add_to_the_loss():
    regularizer = keras.regularizers.L2(2.0)
    net = keras.Sequential(
        [keras.Input((3,)), layers.Dense(2, activity_regularizer=regularizer, use_bias=False)]
    )
    w, losses = np.ones((3, 2), "float32"), []
    outputs, _ = functional.apply(net, [(net.weights[0], w)], X, losses=losses)
    assert len(losses) == 1
    per_row = 2.0 * np.sum(np.square(outputs)) / len(X)  # Keras divides by the rows
    assert float(losses[0]) == pytest.approx(per_row, rel=1e-5)


def test_site_names_leave_out_the_name_of_the_net_and_renumber_automatic_layers():
    for _ in range(2):  # a rebuilt net, whose layers Keras numbers on
        net = dense_net()
        assert list(functional.site_names(net)) == [
            "dense.kernel",
            "dense.bias",
            "dense_1.kernel",
            "dense_1.bias",
        ]
        assert functional.site_names(net)["dense_1.bias"] is net.layers[1].bias


def test_site_names_keep_names_that_the_user_gave():
    inputs = keras.Input((3,))
    named = layers.Dense(2, name="encoder_7")(inputs)
    net = keras.Model(inputs, layers.Dense(1)(named))
    assert list(functional.site_names(net)) == [
        "encoder_7.kernel",
        "encoder_7.bias",
        "dense.kernel",
        "dense.bias",
    ]


def test_site_names_of_nested_and_recurrent_nets_are_unique_and_stable():
    def build():
        inner = keras.Sequential([keras.Input((5, 2)), layers.LSTM(3), layers.Dense(2)])
        inputs = keras.Input((5, 2))
        attended = layers.MultiHeadAttention(2, 3)(inputs, inputs)
        return keras.Model(inputs, layers.Dense(1)(inner(attended)))

    first, second = (list(functional.site_names(build())) for _ in range(2))
    assert first == second
    assert len(set(first)) == len(first) == len(build().weights)
    assert all("/" not in name for name in first)


def test_two_layers_of_one_name_are_refused():
    class Twin(keras.Model):
        def __init__(self):
            super().__init__()
            self.a, self.b = layers.Dense(1, name="same"), layers.Dense(1, name="same")

        def call(self, x):
            return self.a(x) + self.b(x)

    net = Twin()
    net(X)
    with pytest.raises(ModelError, match=r"'same\.kernel'"):
        functional.site_names(net)


def test_default_sites_leave_out_normalisation_layers_and_what_does_not_train():
    frozen = layers.Dense(2, name="frozen")
    frozen.trainable = False
    net = keras.Sequential(
        [
            keras.Input((3,)),
            frozen,
            layers.BatchNormalization(),
            layers.LayerNormalization(),
            layers.Dense(1),
        ]
    )
    assert functional.default_sites(net) == ["dense.kernel", "dense.bias"]


def test_clone_copies_weights_or_starts_anew_from_a_seed():
    net = dense_net()
    np.testing.assert_array_equal(functional.clone(net)(X), net(X))
    first, second, other = (functional.clone(net, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first(X), second(X))
    assert not np.array_equal(first(X), other(X))
    assert not np.array_equal(first(X), net(X))


def test_clone_keeps_the_constants_of_normalization():
    net = keras.Sequential(
        [keras.Input((3,)), layers.Normalization(mean=[1.0, 2, 3], variance=[4.0, 4, 4])]
    )
    np.testing.assert_array_equal(functional.clone(net, seed=3)(X), net(X))


def test_a_fresh_clone_keeps_what_is_frozen_and_draws_the_rest():
    pretrained = keras.Sequential([keras.Input((3,)), layers.Dense(4), layers.BatchNormalization()])
    pretrained.layers[1].moving_mean.assign([1.0, 2.0, 3.0, 4.0])
    pretrained.trainable = False
    head = layers.Dense(2, bias_initializer="ones", name="head")
    trains = layers.BatchNormalization(name="trains")
    net = keras.Sequential([keras.Input((3,)), pretrained, trains, head])
    trains.moving_mean.assign([5.0] * 4)
    head.bias.assign([7.0, 8.0])
    head.bias.trainable = False
    copy = functional.clone(net, seed=3)
    for was, now in zip(pretrained.weights, copy.layers[0].weights, strict=True):
        np.testing.assert_array_equal(was, now)
    np.testing.assert_array_equal(copy.get_layer("head").bias, [7.0, 8.0])
    np.testing.assert_array_equal(copy.get_layer("trains").moving_mean, np.zeros(4))
    assert not np.array_equal(copy.get_layer("head").kernel, head.kernel)
    assert [v.trainable for v in copy.weights] == [v.trainable for v in net.weights]
    assert not copy.get_layer("head").bias.trainable


def test_a_clone_carries_over_the_flags_of_single_variables():
    net = dense_net()
    net.layers[0].kernel.trainable = False
    for seed in (None, 1):
        copy = functional.clone(net, seed)
        assert [v.trainable for v in copy.weights] == [False, True, True, True]
        np.testing.assert_array_equal(copy.layers[0].kernel, net.layers[0].kernel)


def test_clone_of_a_net_without_a_configuration_is_refused():
    class Closed(keras.Model):
        def __init__(self, layer):
            super().__init__()
            self.layer = layer

        def call(self, x):
            return self.layer(x)

    net = Closed(layers.Dense(1))
    net(X)
    with pytest.raises(ModelError, match="get_config"):
        functional.clone(net)


def test_seeded_leaves_the_random_state_of_python_as_it_was():
    python_random.seed(4)
    expected = python_random.random()
    python_random.seed(4)
    with functional.seeded(9):
        dense_net()
    assert python_random.random() == expected


@pytest.mark.parametrize("vectorize", [True, False])
def test_map_draws_stacks_the_results_of_each_draw(vectorize):
    net = dense_net()
    rng = np.random.default_rng(1)
    draws = {
        name: rng.normal(size=(5, *v.shape)).astype("float32")
        for name, v in functional.site_names(net).items()
    }

    def run(params):
        pairs = [(v, params[name]) for name, v in functional.site_names(net).items()]
        return functional.apply(net, pairs, X)[0]

    w1, b1, w2, b2 = draws.values()
    expected = np.tanh(X @ w1 + b1[:, None]) @ w2 + b2[:, None]
    for count in (5, 1):
        some = {name: tf.constant(value[:count]) for name, value in draws.items()}
        outputs = tf.function(lambda p: functional.map_draws(run, p, vectorize=vectorize))(some)
        np.testing.assert_allclose(outputs, expected[:count], rtol=1e-4, atol=1e-5)


def test_only_nets_of_layers_known_to_be_fast_are_vectorised():
    assert functional.is_vectorizable(dense_net())
    assert functional.is_vectorizable(keras.Sequential([keras.Input((3,)), dense_net()]))
    recurrent = keras.Sequential([keras.Input((5, 3)), layers.LSTM(2)])
    assert not functional.is_vectorizable(recurrent)


def test_sizes_are_counted():
    net = dense_net()
    assert functional.count(net.weights) == 3 * 4 + 4 + 4 + 1
    wide = keras.Sequential([keras.Input((3,)), layers.Dense(500), layers.Dense(7)])
    assert functional.activation_size(wide) == 3 + 500 + 7
