"""Kernels of infinitely wide networks: wide nets, recursions by hand, blocks, errors."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from tfbdl_nngp import Kernel, blocks, layers

from tfbdl import errors

X = np.random.default_rng(0).normal(size=(6, 5))
IMAGES = np.random.default_rng(1).normal(size=(3, 6, 5, 2))
RELU = layers.Activation("relu")


def relu_by_hand(x, depth, weight, bias):
    """K and T by the formulas of Lee et al. and Jacot et al., with cosines."""
    K = bias + weight * x @ x.T / x.shape[1]
    T = K
    for _ in range(depth):
        scale = np.sqrt(np.outer(np.diag(K), np.diag(K)))
        angle = np.arccos(np.clip(K / scale, -1.0, 1.0))
        slope = (np.pi - angle) / (2 * np.pi)
        K = bias + weight * scale / (2 * np.pi) * (np.sin(angle) + (np.pi - angle) * np.cos(angle))
        T = K + T * weight * slope
    return K, T


@pytest.mark.parametrize("depth", [0, 1, 10])
def test_relu_kernels_follow_the_recursions_of_the_papers(depth):
    kernel = Kernel.mlp(depth, "relu", weight_variance=1.7, bias_variance=0.2)
    K, T = relu_by_hand(X, depth, 1.7, 0.2)
    # arccos near 1 keeps half of the digits, in the hand-written form
    np.testing.assert_allclose(kernel.nngp(X), K, rtol=1e-7)
    np.testing.assert_allclose(kernel.ntk(X), T, rtol=1e-6)
    np.testing.assert_allclose(kernel.diagonal(X), np.diag(K), rtol=1e-12)
    np.testing.assert_allclose(kernel.diagonal(X, "ntk"), np.diag(T), rtol=1e-6)
    np.testing.assert_allclose(kernel.nngp(X[:4], X[2:]), K[:4, 2:], rtol=1e-7)


def test_blocks_and_halves_make_the_same_matrix(monkeypatch):
    kernel = Kernel.mlp(2, "erf")
    whole, cross = kernel.nngp(X), kernel.ntk(X[:5], X)
    monkeypatch.setattr(blocks, "ELEMENTS", 4)  # blocks of two rows
    np.testing.assert_allclose(kernel.nngp(X), whole, rtol=1e-13)
    np.testing.assert_allclose(kernel.ntk(X[:5], X), cross, rtol=1e-13)
    np.testing.assert_array_equal(kernel.nngp(X), kernel.nngp(X).T)


def test_float32_keeps_its_digits_and_its_type():
    found = Kernel.mlp(3, "gelu", dtype="float32").nngp(X)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, Kernel.mlp(3, "gelu").nngp(X), rtol=1e-5)


def draws_of_outputs(x, activation, depth, width, nets, weight, bias, seed):
    """Outputs of random nets at x, ``[nets, n]``: standard normals times their scales."""
    rng = np.random.default_rng(seed)
    outputs = np.empty((nets, len(x)))
    for i in range(nets):
        a = x
        for _ in range(depth):
            w = rng.standard_normal((a.shape[1], width)) * np.sqrt(weight / a.shape[1])
            a = activation(a @ w + np.sqrt(bias) * rng.standard_normal(width))
        w = rng.standard_normal(a.shape[1]) * np.sqrt(weight / a.shape[1])
        outputs[i] = a @ w + np.sqrt(bias) * rng.standard_normal()
    return outputs


def second_moments(x, activation, depth, width, nets, weight, bias, seed):
    """Averages of a a' over the last hidden units of random nets: ``[nets, n, n]``."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(nets):
        a = x
        for _ in range(depth):
            w = rng.standard_normal((a.shape[1], width)) * np.sqrt(weight / a.shape[1])
            a = activation(a @ w + np.sqrt(bias) * rng.standard_normal(width))
        found.append(bias + weight * a @ a.T / width)
    return np.array(found)


@pytest.mark.parametrize(
    ("name", "activation"), [("relu", lambda z: np.maximum(z, 0.0)), ("sin", np.sin)]
)
def test_wide_nets_have_the_covariances_of_the_kernel(name, activation):
    nets = 60
    found = second_moments(X, activation, 2, 256, nets, 1.6, 0.1, seed=2)
    error = found.std(axis=0) / np.sqrt(nets)
    K = Kernel.mlp(2, name, 1.6, 0.1).nngp(X)
    # the mean over nets of finite width is off by O(1 / width) too: a part in 100 at most
    np.testing.assert_array_less(abs(found.mean(axis=0) - K), 5.0 * error + 0.01 * np.diag(K).max())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "activation"), [("relu", lambda z: np.maximum(z, 0.0)), ("erf", None)]
)
def test_nets_of_width_4096_have_the_covariances_of_the_kernel(name, activation):
    from scipy import special

    function = activation or special.erf
    outputs = draws_of_outputs(X[:4], function, 1, 4096, 2000, 1.6, 0.1, seed=3)
    K = Kernel.mlp(1, name, 1.6, 0.1).nngp(X[:4])
    # 2,000 draws: a variance has the relative error sqrt(2 / 2000) = 3.2 %
    spread = np.sqrt((np.outer(np.diag(K), np.diag(K)) + K**2) / 2000)
    np.testing.assert_array_less(abs(outputs.T @ outputs / 2000 - K), 4.0 * spread)
    moments = second_moments(X[:4], function, 1, 4096, 2000, 1.6, 0.1, seed=4).mean(axis=0)
    np.testing.assert_allclose(moments, K, rtol=0.03)


def tangent_of_net(x, width, rng, weight, bias):
    """The sum over weights of products of derivatives, of one ReLU net of depth 2."""
    sizes = [x.shape[1], width, width, 1]
    inputs, slopes, ws = [x], [], []
    for fan_in, fan_out in itertools.pairwise(sizes):
        ws.append(rng.standard_normal((fan_in, fan_out)) * np.sqrt(weight / fan_in))
        z = inputs[-1] @ ws[-1] + np.sqrt(bias) * rng.standard_normal(fan_out)
        slopes.append(z > 0.0)
        inputs.append(np.maximum(z, 0.0))
    delta, total = np.ones((len(x), 1)), 0.0  # the derivative by the pre-activations
    for i in (2, 1, 0):
        # by a weight: sqrt(weight / fan_in) a delta; by a bias: sqrt(bias) delta
        total += (weight * inputs[i] @ inputs[i].T / sizes[i] + bias) * (delta @ delta.T)
        if i:
            delta = (delta @ ws[i].T) * slopes[i - 1]
    return total


@pytest.mark.parametrize(
    ("width", "nets", "rtol"),
    [(512, 30, 0.1), pytest.param(4096, 30, 0.05, marks=pytest.mark.slow)],
)
def test_tangents_of_wide_nets_have_the_tangent_kernel(width, nets, rtol):
    rng = np.random.default_rng(6)
    found = np.array([tangent_of_net(X[:3], width, rng, 2.0, 0.1) for _ in range(nets)])
    T = Kernel.mlp(2, "relu", 2.0, 0.1).ntk(X[:3])
    error = found.std(axis=0) / np.sqrt(nets)
    np.testing.assert_array_less(abs(found.mean(axis=0) - T), 5.0 * error)
    np.testing.assert_allclose(found.mean(axis=0), T, rtol=rtol)


# -- layers -------------------------------------------------------------------------------------


def test_residual_adds_the_covariances_of_branch_and_shortcut():
    head, branch = layers.Dense(1.5, 0.1), [RELU, layers.Dense(0.7, 0.2)]
    found = Kernel([head, layers.Residual(branch)])
    K, T = (f(X) for f in (Kernel([head]).nngp, Kernel([head]).ntk))
    both = Kernel([head, *branch])
    np.testing.assert_allclose(found.nngp(X), K + both.nngp(X), rtol=1e-13)
    np.testing.assert_allclose(found.ntk(X), T + both.ntk(X), rtol=1e-13)


def test_layer_normalization_makes_variances_one():
    kernel = Kernel([layers.Dense(3.0, 0.1), layers.LayerNormalization(0.0)])
    K = Kernel([layers.Dense(3.0, 0.1)]).nngp(X)
    scale = np.sqrt(np.outer(np.diag(K), np.diag(K)))
    np.testing.assert_allclose(kernel.nngp(X), K / scale, rtol=1e-13)
    np.testing.assert_allclose(kernel.diagonal(X), 1.0, rtol=1e-13)
    np.testing.assert_allclose(kernel.ntk(X), K / scale, rtol=1e-13)


def image_net(ends, padding="same", strides=1):
    """Two convolutions with random weights, 400 channels: second moments of the end's input."""
    channels, nets, rng = 400, 24, np.random.default_rng(5)
    found = []
    for _ in range(nets):
        a = tf.constant(IMAGES)
        for step in (strides, 1):
            n = 9 * a.shape[-1]
            w = rng.standard_normal((3, 3, a.shape[-1], channels)) * np.sqrt(2.0 / n)
            b = np.sqrt(0.1) * rng.standard_normal(channels)
            a = tf.nn.relu(tf.nn.conv2d(a, w, step, padding.upper()) + b)
        features = ends(a).numpy().reshape(len(IMAGES), -1)
        found.append(0.1 + 2.0 * features @ features.T / features.shape[1])
    return np.array(found)


@pytest.mark.parametrize(
    ("end", "layer", "padding", "strides"),
    [
        pytest.param(lambda a: a, [layers.Flatten()], "same", 2, marks=pytest.mark.slow),
        (lambda a: a, [layers.Flatten()], "valid", 1),
        (lambda a: tf.reduce_mean(a, [1, 2]), [layers.GlobalAveragePooling()], "same", 1),
        pytest.param(
            lambda a: tf.nn.avg_pool2d(a, 2, 2, "SAME"),
            [layers.AveragePooling(2, padding="same"), layers.Flatten()],
            "same",
            1,
            marks=pytest.mark.slow,
        ),
    ],
    ids=["flatten, strides", "flatten, valid", "global pooling", "pooling"],
)
def test_convolutional_kernels_are_those_of_nets_with_many_channels(end, layer, padding, strides):
    def convolution(step):
        return layers.Convolution(3, step, padding, weight_variance=2.0, bias_variance=0.1)

    chain = [convolution(strides), RELU, convolution(1), RELU, *layer, layers.Dense(2.0, 0.1)]
    K = Kernel(chain).nngp(IMAGES)
    found = image_net(end, padding, strides)
    error = found.std(axis=0) / np.sqrt(len(found))
    np.testing.assert_array_less(abs(found.mean(axis=0) - K), 5.0 * error + 0.01 * np.diag(K).max())
    of_pairs = np.diag(Kernel(chain).nngp(IMAGES, IMAGES.copy()))  # not those of one row alone
    np.testing.assert_allclose(Kernel(chain).diagonal(IMAGES), of_pairs, rtol=1e-7)


def test_tangent_of_a_convolution_of_one_pixel_images_is_that_of_a_dense_net():
    pixels = X.reshape(6, 1, 1, 5)
    convolution = layers.Convolution(1, weight_variance=1.5, bias_variance=0.1)
    chain = [convolution, RELU, layers.Flatten(), layers.Dense(1.5, 0.1)]
    np.testing.assert_allclose(
        Kernel(chain).ntk(pixels), Kernel.mlp(1, "relu", 1.5, 0.1).ntk(X), rtol=1e-12
    )


# -- Keras and TensorFlow Probability -----------------------------------------------------------


def test_from_keras_reads_initializers_and_activations():
    net = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(64, "relu", kernel_initializer="he_normal"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(64, kernel_initializer=keras.initializers.RandomNormal(stddev=0.25)),
            keras.layers.LeakyReLU(negative_slope=0.1),
            keras.layers.Dense(1, use_bias=False, kernel_initializer="lecun_uniform"),
        ]
    )
    by_hand = [
        layers.Dense(2.0),
        RELU,
        layers.Dense(64 * 0.25**2),
        layers.Activation("leaky_relu", negative_slope=0.1),
        layers.Dense(1.0),
    ]
    np.testing.assert_allclose(Kernel.from_keras(net).nngp(X), Kernel(by_hand).nngp(X), rtol=1e-12)
    same = Kernel.from_keras(net, weight_variance=2.0, bias_variance=0.1)
    assert [type(layer).__name__ for layer in same.layers] == [
        "Dense",
        "Activation",
        "Dense",
        "Activation",
        "Dense",
    ]
    assert (same.layers[2].weight_variance, same.layers[4].bias_variance) == (2.0, 0.0)


def test_from_keras_reads_shortcuts_of_functional_models():
    inputs = keras.Input((6, 5, 2))
    conv = {"padding": "same", "kernel_initializer": "he_normal"}
    a = keras.layers.Conv2D(8, 3, **conv)(inputs)
    b = keras.layers.Conv2D(8, 3, **conv)(keras.layers.Activation("relu")(a))
    c = keras.layers.GlobalAveragePooling2D()(keras.layers.Add()([a, b]))
    net = keras.Model(inputs, keras.layers.Dense(1, kernel_initializer="he_normal")(c))

    def convolution():
        return layers.Convolution(3, weight_variance=2.0)

    by_hand = [
        convolution(),
        layers.Residual([RELU, convolution()]),
        layers.GlobalAveragePooling(),
        layers.Dense(2.0),
    ]
    np.testing.assert_allclose(
        Kernel.from_keras(net).nngp(IMAGES), Kernel(by_hand).nngp(IMAGES), rtol=1e-12
    )


def test_from_keras_refuses_what_it_cannot_read():
    recurrent = keras.Sequential([keras.Input((4, 2)), keras.layers.LSTM(3)])
    with pytest.raises(errors.ModelError, match=r"LSTM.* has no infinitely wide limit here"):
        Kernel.from_keras(recurrent)
    ones = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, kernel_initializer="ones")])
    with pytest.raises(errors.ModelError, match=r"independent numbers of mean 0.*Received: Ones"):
        Kernel.from_keras(ones)
    for name in ("softmax", "log_softmax", "glu"):
        joint = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6, name)])
        with pytest.raises(errors.ModelError, match="no function of one unit at a time"):
            Kernel.from_keras(joint)
    shared = keras.layers.Dense(10, "relu")
    inputs = keras.Input((10,))
    net = keras.Model(inputs, keras.layers.Dense(1)(shared(shared(inputs))))
    with pytest.raises(errors.ModelError, match="called more than once"):
        Kernel.from_keras(net)
    part = keras.Sequential([keras.Input((10,)), keras.layers.Dense(5, "relu")])  # a net in a net
    inner = keras.Sequential([keras.Input((10,)), part, keras.layers.Dense(1)])
    assert len(Kernel.from_keras(inner).layers) == 3


def test_psd_kernel_goes_into_a_gaussian_process():
    kernel = Kernel.mlp(2, "relu", 1.5, 0.1)
    psd = kernel.psd_kernel()
    K = kernel.nngp(X)
    np.testing.assert_allclose(psd.matrix(X, X[:2]), K[:, :2], rtol=1e-12)
    np.testing.assert_allclose(psd.apply(X, X), np.diag(K), rtol=1e-12)
    np.testing.assert_allclose(psd.tensor(X, X, 1, 1), K, rtol=1e-12)
    np.testing.assert_allclose(kernel.psd_kernel("ntk").matrix(X, X), kernel.ntk(X), rtol=1e-12)
    process = tfp.distributions.GaussianProcess(psd, X, observation_noise_variance=0.1)
    np.testing.assert_allclose(process.covariance(), K + 0.1 * np.eye(6), rtol=1e-8)
    scaled = psd * tfp.math.psd_kernels.ExponentiatedQuadratic(np.float64(1.0))
    assert scaled.matrix(X, X).shape == (6, 6)


@pytest.mark.parametrize("activation", ["relu", "abs", "gelu"])
def test_gradients_by_inputs_and_variances_are_finite_where_inputs_are_equal(activation):
    x, variance = tf.constant(X), tf.constant(1.5, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch([x, variance])
        K = Kernel.mlp(2, activation, variance, 0.1).between(x, x)
        value = tf.reduce_sum(K)
    by_x, by_variance = tape.gradient(value, [x, variance])
    assert np.isfinite(by_x).all()

    def at(w):
        return Kernel.mlp(2, activation, w, 0.1).nngp(X).sum()

    slope = (at(1.5 + 1e-6) - at(1.5 - 1e-6)) / 2e-6
    assert float(by_variance) == pytest.approx(slope, rel=1e-6)


# -- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ([], "one output for each row"),
        ([RELU], "normal pre-activations"),
        ([layers.Dense(), RELU, RELU], "normal pre-activations"),
        ([layers.Dense(), RELU, layers.LayerNormalization()], "units whose mean is 0"),
        ([layers.Dense(), layers.Residual([RELU])], "must end in weights"),
        ([layers.Residual([layers.Dense()])], "A shortcut adds units of one width"),
        ([layers.Convolution()], "Expected: Flatten or GlobalAveragePooling"),
        ([layers.Flatten(), layers.Convolution(), layers.Flatten()], "A convolution needs images"),
    ],
)
def test_layers_that_cannot_stand_there_are_refused(chain, message):
    with pytest.raises(errors.ModelError, match=message):
        Kernel(chain)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.Dense(0.0), "weight_variance must be a finite number above 0"),
        (lambda: layers.Dense(1.0, -0.1), "bias_variance must be a finite number of at least 0"),
        (lambda: Kernel.mlp(-1), "depth"),
        (lambda: Kernel.mlp(dtype="float16"), "dtype must be one of float64, float32"),
        (lambda: Kernel(["relu"]), "layers of tfbdl_nngp.layers.*Received: a str"),
        (lambda: Kernel.mlp().function("ntks"), "which must be one of nngp, ntk. Did you mean"),
        (lambda: layers.Convolution(0), "size must be a whole number"),
    ],
)
def test_options_that_are_none_are_refused(make, message):
    with pytest.raises(errors.OptionsError, match=message):
        make()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.where(X[2, 3] == X, np.nan, X), r"Received: nan at index \[2, 3\]"),
        (X[0], r"takes vectors \[n, d\]. Received: shape \[5\]"),
        (X[:0], r"Received: shape \[0, 5\]"),
        ("rows", "Inputs must be an array of numbers"),
    ],
)
def test_inputs_that_are_none_are_refused(x, message):
    with pytest.raises(errors.DataError, match=message):
        Kernel.mlp(1).nngp(x)


def test_inputs_of_different_width_are_refused():
    with pytest.raises(errors.DataError, match=r"rows of one shape. Received: \[5\] and \[4\]"):
        Kernel.mlp(1).nngp(X, X[:, :4])
