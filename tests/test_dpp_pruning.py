"""prune: the choice of units, least squares by NumPy, and the smaller net."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from tfbdl_dpp import KDPP, prune
from tfbdl_dpp.fusion import look
from tfbdl_dpp.kernels import rbf
from tfbdl_dpp.pruned_net import channels_of
from tfbdl_dpp.pruning import activation_kernel

from tfbdl.errors import DataError, ModelError, OptionsError

layers = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 5)).astype("float32")
IMAGES = RNG.normal(size=(40, 7, 8, 2)).astype("float32")


@pytest.fixture(scope="module")
def dense() -> keras.Model:
    keras.utils.set_random_seed(1)
    net = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(12, name="wide"),
            layers.Activation("tanh"),
            layers.BatchNormalization(name="norm"),
            layers.Dropout(0.5),
            layers.Dense(3, name="next"),
            layers.Softmax(),
        ]
    )
    for name in ("moving_mean", "moving_variance", "gamma"):
        getattr(net.get_layer("norm"), name).assign(RNG.uniform(0.5, 1.5, 12))
    net.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return net


def inputs_of(net: keras.Model, name: str, x: np.ndarray) -> np.ndarray:
    return keras.Model(net.inputs, net.get_layer(name).input).predict(x, verbose=0)


def kept_units(net: keras.Model, small: keras.Model, name: str) -> np.ndarray:
    """Which units of the whole net a layer of the small one has, by their kernels."""
    whole, part = (n.get_layer(name).kernel.numpy() for n in (net, small))
    whole, part = whole.reshape(-1, whole.shape[-1]), part.reshape(-1, part.shape[-1])
    return np.array([int(np.abs(whole.T - column).sum(axis=1).argmin()) for column in part.T])


@pytest.mark.parametrize("selector", ["k_dpp", "greedy", "random", "importance"])
def test_fused_weights_are_those_of_lstsq(dense: keras.Model, selector: str) -> None:
    small = prune(dense, "wide", 5, X, selector, seed=3)
    assert small.get_layer("wide").kernel.shape == (5, 5)
    assert small.get_layer("norm").gamma.shape == (5,)
    kept = kept_units(dense, small, "wide")
    assert len(set(kept)) == 5
    V = inputs_of(dense, "next", X).astype(np.float64)
    np.testing.assert_allclose(inputs_of(small, "next", X), V[:, kept], rtol=1e-4, atol=1e-5)
    W, bias = dense.get_layer("next").get_weights()
    expected = np.linalg.lstsq(V[:, kept], V @ W, rcond=None)[0]
    np.testing.assert_allclose(small.get_layer("next").kernel, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(small.get_layer("next").bias, bias)


def test_unfused_weights_are_those_of_the_kept_units(dense: keras.Model) -> None:
    small = prune(dense, "wide", 4, X, "random", seed=1, fuse=False)
    kept = kept_units(dense, small, "wide")
    np.testing.assert_array_equal(
        small.get_layer("next").kernel, dense.get_layer("next").kernel.numpy()[kept]
    )


def test_all_units_give_the_same_net_and_the_given_one_stays(dense: keras.Model) -> None:
    before = [w.copy() for w in dense.get_weights()]
    small = prune(dense, "wide", 12, X)
    np.testing.assert_allclose(small.predict(X, verbose=0), dense.predict(X, verbose=0), atol=1e-5)
    for was, now in zip(before, dense.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


def test_a_duplicate_unit_goes_without_loss() -> None:
    net = keras.Sequential(
        [keras.Input((5,)), layers.Dense(4, "sigmoid", name="wide"), layers.Dense(2)]
    )
    kernel, bias = net.get_layer("wide").get_weights()
    kernel[:, 3], bias[3] = kernel[:, 1], bias[1]
    net.get_layer("wide").set_weights([kernel, bias])
    # L of the duplicates has a determinant of about 2 eps: of 3 units the k-DPP has one of them,
    # but for one subset in some hundred. Greedy choice takes one for certain.
    small = prune(net, "wide", 3, X, "greedy")
    np.testing.assert_allclose(small.predict(X, verbose=0), net.predict(X, verbose=0), atol=1e-5)


def test_importance_keeps_the_largest_outgoing_weights(dense: keras.Model) -> None:
    small = prune(dense, "wide", 4, X, "importance")
    sums = np.abs(dense.get_layer("next").get_weights()[0]).sum(axis=1)
    assert set(kept_units(dense, small, "wide")) == set(np.argsort(sums)[-4:])


def test_k_dpp_draws_from_the_kernel_of_activations(dense: keras.Model) -> None:
    V = inputs_of(dense, "next", X).astype(np.float64)
    expected = rbf(V.T, length_scale=np.sqrt(len(X) / 20.0)) + 0.01 * np.eye(12)
    seen = look(dense, channels_of(dense, "wide"), X)
    assert seen.rows == len(X)
    L = activation_kernel(seen.squared_distances(), seen.rows)
    np.testing.assert_allclose(L, expected, atol=1e-6)
    small = prune(dense, "wide", 5, X, seed=7)
    np.testing.assert_array_equal(
        kept_units(dense, small, "wide"), KDPP(expected, 5).sample(1, seed=7)[0]
    )


def test_the_small_net_is_compiled_trains_and_is_saved(dense: keras.Model, tmp_path: Path) -> None:
    small = prune(dense, "wide", 5, X, seed=1)
    y = RNG.integers(0, 3, len(X))
    assert "loss" in small.fit(X, y, epochs=1, verbose=0).history
    small.save(tmp_path / "small.keras")
    back = keras.models.load_model(tmp_path / "small.keras")
    np.testing.assert_allclose(
        back.predict(X, verbose=0), small.predict(X, verbose=0), rtol=1e-5, atol=1e-6
    )


def _conv_conv() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((7, 8, 2)),
            layers.Conv2D(6, 3, padding="same", activation="relu", name="wide"),
            layers.MaxPooling2D(2),
            layers.Conv2D(4, (2, 3), padding="same", strides=(1, 2), name="next"),
        ]
    )


def _conv_dense() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((7, 8, 2)),
            layers.Conv2D(6, 3, strides=3, name="wide"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(3, name="next"),
        ]
    )


@pytest.mark.parametrize("make", [_conv_conv, _conv_dense])
def test_channels_of_convolutions_are_fused_by_least_squares(
    make: Callable[[], keras.Model],
) -> None:
    keras.utils.set_random_seed(2)
    net = make()
    small = prune(net, "wide", 4, IMAGES, seed=1)
    assert small.get_layer("wide").kernel.shape[-1] == 4
    assert small.count_params() < net.count_params()
    target = net.predict(IMAGES, verbose=0).astype(np.float64)
    found = small.predict(IMAGES, verbose=0).astype(np.float64)
    # At a minimum of least squares the residual is at right angles to all inputs of the layer:
    # to each tap of a filter, which the gradient of the squared error by the kernel says.
    kernel = small.get_layer("next").kernel
    head = keras.Model(small.get_layer("next").input, small.outputs)
    gradient = _gradient(head, kernel, inputs_of(small, "next", IMAGES), target)
    without = prune(net, "wide", 4, IMAGES, seed=1, fuse=False)
    unfused = without.predict(IMAGES, verbose=0).astype(np.float64)
    size = np.abs(
        _gradient(
            keras.Model(without.get_layer("next").input, without.outputs),
            without.get_layer("next").kernel,
            inputs_of(without, "next", IMAGES),
            target,
        )
    ).max()
    assert np.abs(gradient).max() < 1e-4 * size
    assert ((found - target) ** 2).sum() < ((unfused - target) ** 2).sum()


def _gradient(head: keras.Model, kernel: object, x: np.ndarray, target: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        error = tf.reduce_sum((head(x) - tf.cast(target, tf.float32)) ** 2)
    return tape.gradient(error, kernel.value).numpy()


def test_two_branches_get_fewer_channels_each() -> None:
    inputs = keras.Input((12, 3))
    h = layers.Conv1D(6, 3, activation="relu", name="wide")(inputs)
    left = layers.Conv1D(2, 3, name="left")(h)
    right = layers.Dense(2, name="right")(layers.GlobalAveragePooling1D()(h))
    net = keras.Model(inputs, layers.Add()([layers.GlobalMaxPooling1D()(left), right]))
    x = RNG.normal(size=(50, 12, 3)).astype("float32")
    small = prune(net, "wide", 3, x, seed=1)
    assert small.get_layer("left").kernel.shape == (3, 3, 2)
    kept = kept_units(net, small, "wide")
    V = inputs_of(net, "right", x).astype(np.float64)
    W = net.get_layer("right").get_weights()[0]
    expected = np.linalg.lstsq(V[:, kept], V @ W, rcond=None)[0]
    np.testing.assert_allclose(small.get_layer("right").kernel, expected, rtol=1e-3, atol=1e-4)
    assert np.isfinite(small.predict(x, verbose=0)).all()


def _last() -> keras.Model:
    return keras.Sequential([keras.Input((5,)), layers.Dense(3, name="wide")])


def _normed() -> keras.Model:
    return keras.Sequential(
        [keras.Input((5,)), layers.Dense(3, name="wide"), layers.LayerNormalization(),
         layers.Dense(1)]
    )  # fmt: skip


def _shown() -> keras.Model:
    inputs = keras.Input((5,))
    wide = layers.Dense(5, name="wide")(inputs)
    return keras.Model(inputs, [wide, layers.Dense(1)(wide)])


def _shared() -> keras.Model:
    inputs = keras.Input((5,))
    layer = layers.Dense(5, name="wide")
    return keras.Model(inputs, layers.Dense(1)(layer(layer(inputs))))


def _mixed() -> keras.Model:
    return keras.Sequential(
        [keras.Input((5,)), layers.Dense(3, "softmax", name="wide"), layers.Dense(1)]
    )


def _unbuilt() -> keras.Model:
    return keras.Sequential([layers.Dense(3, name="wide"), layers.Dense(1)])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (_last, "are outputs of the model"),
        (_shown, "are outputs of the model"),
        (_normed, "LayerNormalization .* cannot take fewer channels"),
        (_shared, "used more than once"),
        (_mixed, "mixes its units.*softmax"),
        (_unbuilt, "not built"),
    ],
)
def test_a_net_that_cannot_be_pruned_is_refused(make: Callable[[], keras.Model], text: str) -> None:
    with pytest.raises(ModelError, match=text):
        prune(make(), "wide", 2, X)


def test_wrong_arguments_are_refused(dense: keras.Model) -> None:
    with pytest.raises(OptionsError, match=r"at most 12, the units of 'wide'. Received: 13"):
        prune(dense, "wide", 13, X)
    with pytest.raises(OptionsError, match=r"no layer 'wid'.*Did you mean 'wide'"):
        prune(dense, "wid", 3, X)
    with pytest.raises(OptionsError, match=r"selector must be one of k_dpp.*Received: 'best'"):
        prune(dense, "wide", 3, X, "best")
    with pytest.raises(DataError, match="must have rows"):
        prune(dense, "wide", 3, X[:0])
    with pytest.raises(DataError, match="must be finite"):
        prune(dense, "wide", 3, np.full_like(X, np.nan))
    with pytest.raises(ModelError, match=r"can be pruned. Received: Dropout"):
        prune(dense, dense.layers[3].name, 3, X)
