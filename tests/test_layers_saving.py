"""Layers with posteriors in files: configurations, .keras files in a fresh process, weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from layer_cases import normals

from tfbdl import functional, layers
from tfbdl.errors import ModelError

tfd = tfp.distributions
X = normals(4, 6, 6, 2)
FUNCTIONS = {
    "kernel_posterior_fn": layers.default_mean_field_normal_fn(loc_initializer="ones"),
    "kernel_prior_fn": layers.trainable_normal_fn(scale=0.5),
    "kernel_divergence_fn": layers.KLDivergence("exact"),
    "bias_posterior_fn": layers.default_mean_field_normal_fn(),
    "bias_prior_fn": layers.prior_fn("scale_mixture", pi=0.25),
}
COMMON = {"activation": tf.nn.relu, "num_data": 40, "seed": 3, "name": "layer"}
CASES = {
    f"Dense{kind}": {"units": 3}
    for kind in ("Reparameterization", "LocalReparameterization", "Flipout")
}
for rank in (1, 2, 3):
    for kind in ("Reparameterization", "LocalReparameterization", "Flipout"):
        CASES[f"Convolution{rank}D{kind}"] = {"filters": 4, "kernel_size": 3, "groups": 2}
    for kind in ("TransposeReparameterization", "TransposeFlipout"):
        CASES[f"Convolution{rank}D{kind}"] = {"filters": 4, "kernel_size": 3, "strides": 2}


@keras.saving.register_keras_serializable(package="tests")
def wide_prior(dtype, shape, name, trainable, add_variable_fn):
    return tfd.Sample(tfd.Normal(tf.zeros((), dtype), 3.0), tuple(shape))


def inputs_for(name):
    return X if name.startswith("Dense") else normals(2, *[6] * int(name[11]), 2)


@pytest.mark.parametrize("name", CASES)
def test_a_configuration_makes_the_same_layer_again(name):
    x = inputs_for(name)
    layer = getattr(layers, name)(**CASES[name], **COMMON, **FUNCTIONS)
    layer(x)
    config = json.loads(json.dumps(layer.get_config()))
    copy = type(layer).from_config(config)
    copy.build(x.shape)
    copy.set_weights(layer.get_weights())
    assert json.loads(json.dumps(copy.get_config())) == config
    np.testing.assert_array_equal(copy(x), layer(x))
    assert [float(loss) for loss in copy.losses] == [float(loss) for loss in layer.losses]


def test_a_configuration_keeps_what_is_none():
    none = dict.fromkeys(("kernel_prior_fn", "kernel_divergence_fn", "bias_posterior_fn"))
    layer = layers.DenseReparameterization(2, **none, dtype="mixed_float16")
    copy = layers.DenseReparameterization.from_config(layer.get_config())
    assert [getattr(copy, name) for name in none] == [None] * 3
    assert copy.compute_dtype == "float16"


def whole_model():
    keras.utils.set_random_seed(2)
    net = [
        layers.Convolution2DFlipout(3, 3, activation="relu", kernel_prior_fn=wide_prior),
        keras.layers.Flatten(),
        layers.DenseLocalReparameterization(4, **FUNCTIONS),
        layers.DenseReparameterization(4, kernel_prior_fn=layers.prior_fn("empirical_normal")),
        layers.DenseVariational(
            2,
            layers.default_mean_field_normal_fn(),
            layers.trainable_normal_fn(elementwise=True),
            kl_use_exact=True,
        ),
    ]
    model = keras.Sequential([keras.Input(X.shape[1:]), *net])
    layers.set_num_data(model, 64)
    model.compile("adam", "mse")
    return model


@pytest.mark.slow
def test_a_stored_model_goes_on_in_a_fresh_process_as_the_first_would_have(tmp_path):
    model = whole_model()
    model.fit(X, np.zeros((4, 2)), epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    expected = np.array([model(X), model(X)])
    losses = [float(loss) for loss in model.losses]
    np.save(tmp_path / "x.npy", X)
    code = """
import json, sys
import keras, numpy as np, tensorflow as tf
import tfbdl
from tensorflow_probability import distributions as tfd

@keras.saving.register_keras_serializable(package="tests")
def wide_prior(dtype, shape, name, trainable, add_variable_fn):
    return tfd.Sample(tfd.Normal(tf.zeros((), dtype), 3.0), tuple(shape))

model = tfbdl.load(sys.argv[1] + "/model.keras")
x = np.load(sys.argv[1] + "/x.npy")
outputs = [model(x).numpy().tolist() for _ in range(2)]
losses = [float(loss) for loss in model.losses]
print(json.dumps([outputs, losses, int(model.optimizer.iterations)]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outputs, again, iterations = json.loads(done.stdout.strip().rpartition("\n")[2])
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(again, losses, rtol=1e-5)
    assert iterations == 2


@pytest.mark.parametrize(
    ("argument", "function"),
    [
        ("kernel_prior_fn", lambda *args: tfd.Normal(0.0, 1.0)),
        ("kernel_posterior_tensor_fn", tfd.Distribution.mean),
        ("activation", lambda x: x),
    ],
)
def test_what_a_file_cannot_name_is_refused_with_what_to_do(argument, function, tmp_path):
    layer = layers.DenseReparameterization(2, **{argument: function})
    model = keras.Sequential([keras.Input((3,)), layer])
    with pytest.raises(ModelError) as error:
        model.save(tmp_path / "model.keras")
    assert argument in str(error.value)
    assert "@keras.saving.register_keras_serializable" in str(error.value)
    model.save_weights(tmp_path / "model.weights.h5")  # which the message names as the way out


def test_a_copy_of_a_net_starts_a_stream_of_its_own():
    model = whole_model()
    copy, fresh, again = (functional.clone(model, seed) for seed in (None, 1, 1))
    outputs = model(X)
    np.testing.assert_array_equal(copy(X), outputs)
    first = fresh(X)
    np.testing.assert_array_equal(first, again(X))
    assert np.abs(first - outputs).min() > 0


def test_plain_keras_loads_what_an_import_has_registered(tmp_path):
    model = whole_model()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_allclose(loaded(X), model(X), rtol=1e-6)
