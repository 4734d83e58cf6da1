"""DenseVariational: one joint posterior over kernel and bias, made by functions of their sizes."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from layer_cases import LIMIT, mean_error, normals, outputs_of, variance_error

from tfbdl import layers
from tfbdl.errors import ModelError, OptionsError

tfd = tfp.distributions
pytestmark = pytest.mark.filterwarnings("ignore:.*RandomNormal is unseeded.*:UserWarning")
X = normals(5, 3)
MEAN_FIELD = layers.default_mean_field_normal_fn()
STANDARD = layers.default_multivariate_normal_fn


def mean_field(kernel_size, bias_size=0, dtype=None):
    """As the tutorials of TFP make a posterior."""
    n, c = kernel_size + bias_size, np.log(np.expm1(1.0))

    def law(t):
        scale = 1e-5 + tf.nn.softplus(c + t[..., n:])
        return tfd.Independent(tfd.Normal(t[..., :n], scale), reinterpreted_batch_ndims=1)

    head = layers.DistributionLambda(law)
    return keras.Sequential([layers.VariableLayer(2 * n, dtype=dtype), head])


def trainable_prior(kernel_size, bias_size=0, dtype=None):
    def law(t):
        return tfd.Independent(tfd.Normal(t, 1.0), reinterpreted_batch_ndims=1)

    start = layers.VariableLayer(kernel_size + bias_size, dtype=dtype)
    return keras.Sequential([start, layers.DistributionLambda(law)])


def test_functions_of_the_tutorials_train_posterior_and_prior():
    rng = np.random.default_rng(43)
    x = rng.uniform(-20, 60, (150, 1)).astype("float32")
    y = 0.125 * x * (1 + np.sin(x)) + 5 + rng.normal(size=x.shape)
    layer = layers.DenseVariational(1, mean_field, trainable_prior, kl_weight=1 / len(x))
    model = keras.Sequential([layer])
    model.compile(keras.optimizers.Adam(0.05), "mse")
    model.build(x.shape)
    before = [variable.numpy() for variable in model.trainable_variables]
    model.fit(x, y, epochs=2, verbose=0)
    for variable, old in zip(model.trainable_variables, before, strict=True):
        assert np.abs(variable.numpy() - old).max() > 0
    posterior, prior = (variable.path for variable in model.trainable_variables)
    assert "/posterior/" in posterior
    assert "/prior/" in prior
    assert model(x).shape == (150, 1)


@pytest.mark.parametrize("exact", [True, False])
def test_losses_hold_one_scalar_divergence_times_its_weight(exact):
    layer = layers.DenseVariational(2, MEAN_FIELD, STANDARD, 0.5, exact)
    assert layer.losses == []
    layer(X)
    assert [loss.shape for loss in layer.losses] == [()]

    @tf.function(jit_compile=True)
    def losses():
        def one(_):
            layer(X)
            return layer.losses[0]

        return tf.map_fn(one, tf.range(2000), fn_output_signature=tf.float32)

    values = losses().numpy()
    expected = 0.5 * tfd.kl_divergence(layer.posterior(), layer.prior()).numpy()
    if exact:
        np.testing.assert_allclose(values, expected, rtol=1e-5)
    else:
        assert mean_error(values[:, None], expected) < LIMIT


@pytest.mark.parametrize("use_bias", [True, False])
def test_outputs_have_the_law_of_the_posterior(use_bias):
    layer = layers.DenseVariational(2, MEAN_FIELD, STANDARD, use_bias=use_bias, seed=1)
    layer(X)
    raw = layer.trainable_variables[1]
    raw.assign(tf.zeros(raw.shape))
    mean, variance = (
        part.numpy() for part in (layer.posterior().mean(), layer.posterior().variance())
    )
    assert mean.shape == (8,) if use_bias else (6,)
    x = np.column_stack([X, np.ones(5)]) if use_bias else X
    draws = outputs_of(layer, X)
    assert mean_error(draws, x @ mean.reshape(-1, 2)) < LIMIT
    assert variance_error(draws, x**2 @ variance.reshape(-1, 2)) < LIMIT


def test_a_posterior_may_depend_on_the_inputs():
    def posterior(kernel_size, bias_size, dtype):
        n = kernel_size + bias_size
        return lambda inputs: tfd.Independent(
            tfd.Deterministic(tf.reduce_mean(inputs) * tf.ones([n], dtype)), 1
        )

    layer = layers.DenseVariational(2, posterior, lambda *_: lambda inputs: tfd.Normal(0.0, 1.0))
    expected = X.mean() * (X.sum(axis=1, keepdims=True) + 1.0)
    np.testing.assert_allclose(layer(X), np.repeat(expected, 2, axis=1), rtol=1e-4, atol=1e-6)
    mode = -np.sum(-0.5 * X.mean() ** 2 - 0.5 * np.log(2 * np.pi) * np.ones(8))
    np.testing.assert_allclose(layer.losses, [mode], rtol=1e-5)


def test_a_head_ends_a_posterior():
    def posterior(kernel_size, bias_size, dtype):
        n = kernel_size + bias_size
        return keras.Sequential([layers.VariableLayer(2 * n), layers.IndependentNormal(n)])

    layer = layers.DenseVariational(2, posterior, STANDARD)
    assert layer(normals(4, 6, 3)).shape == (4, 6, 2)
    assert layer.compute_output_shape((4, 6, 3)) == (4, 6, 2)
    assert "posterior" in layer.trainable_variables[0].path
    x = normals(7, 6, 3)  # another number of rows
    assert np.abs(layer(x) - layer(x)).min() > 0


@pytest.mark.filterwarnings("ignore::UserWarning:tf_keras")
def test_nets_of_keras_2_are_refused():
    import tf_keras

    def posterior(kernel_size, bias_size, dtype):
        return tf_keras.Sequential([tfp.layers.VariableLayer(kernel_size + bias_size)])

    with pytest.raises(ModelError, match=r"make_posterior_fn must give a Keras 3 layer"):
        layers.DenseVariational(2, posterior, STANDARD)(X)


@pytest.mark.parametrize(
    ("posterior", "message"),
    [
        (lambda *_: keras.layers.Dense(8), "must end in a head of tfbdl.layers"),
        (lambda *_: lambda x: tf.zeros(8), "must give a tfp.distributions.Distribution"),
        (lambda *_: lambda x: tfd.Normal(tf.zeros(7), 1.0), r"over a weight of shape \(8,\)"),
        (lambda *_: lambda x: tfd.Normal(tf.Variable([0.0] * 8), 1.0), r"holds the tf.Variable"),
    ],
)
def test_what_gives_no_distribution_of_the_weights_is_refused(posterior, message):
    with pytest.raises(ModelError, match=message):
        layers.DenseVariational(2, posterior, STANDARD)(X)


def test_wrong_arguments_are_refused():
    with pytest.raises(OptionsError, match="make_prior_fn must be a function"):
        layers.DenseVariational(2, MEAN_FIELD, None)
    with pytest.raises(OptionsError, match="units must be an integer"):
        layers.DenseVariational("2", MEAN_FIELD, STANDARD)


def test_variable_layer_gives_its_numbers_whatever_the_inputs_are():
    layer = layers.VariableLayer(
        [3], activation=tf.nn.softplus, initializer="ones", dtype=tf.float64
    )
    for inputs in (X, tf.zeros((2, 2, 2))):
        np.testing.assert_allclose(layer(inputs), np.log1p(np.e) * np.ones(3))
    assert layer.trainable_variables[0].path.endswith("/constant")
    copy = layers.VariableLayer.from_config(layer.get_config())
    np.testing.assert_allclose(copy(X), layer(X))
    with pytest.raises(OptionsError, match="shape must be the number of learned numbers"):
        layers.VariableLayer((2, 3))
