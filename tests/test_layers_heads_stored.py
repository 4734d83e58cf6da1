"""Heads in files, and as likelihoods of Bayesian networks."""

from __future__ import annotations

import os
import subprocess
import sys

import head_cases
import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfbdl
from tfbdl import layers
from tfbdl.errors import DataError, ModelError

tfd = tfp.distributions
CASES = head_cases.cases()


@keras.saving.register_keras_serializable(package="test_heads")
def two_normals(t):
    return tfd.Normal(t[..., 0:1], tf.exp(t[..., 1:2]))


def numbers(size, *batch, seed=0):
    return np.random.default_rng(seed).uniform(-3.0, 3.0, (*batch, size))


# -- files ---------------------------------------------------------------------------------------


def every_head():
    heads = {name: case.make(name=name) for name, case in CASES.items()}
    heads["student_t"] = layers.StudentT(2, df=4.0, name="student_t")
    heads["bernoulli_int"] = layers.IndependentBernoulli(3, sample_dtype="int32", name="b3")
    prior = layers.KLDivergenceRegularizer("normal", use_exact_kl=True, weight=0.5)
    heads["regularized"] = layers.IndependentNormal(2, activity_regularizer=prior, name="kl")
    return heads


@pytest.mark.parametrize("name", every_head())
def test_configurations_make_the_same_head(name):
    head = every_head()[name]
    again = type(head).from_config(head.get_config())
    assert again.get_config() == head.get_config()
    t = numbers(head.num_params, 3)
    np.testing.assert_array_equal(again.distribution(t).mean(), head.distribution(t).mean())
    assert type(head.loss).from_config(head.loss.get_config()).head.num_params == head.num_params


FRESH = """
import sys
import numpy as np
import tfbdl
model = tfbdl.load(sys.argv[1])
data = np.load(sys.argv[2])
outputs = model(data["x"])
for name, output in outputs.items():
    np.testing.assert_array_equal(output, data["out_" + name])
y = {name: data["y_" + name] for name in outputs}
loss = model.evaluate(data["x"], y, verbose=0, return_dict=True)["loss"]
np.testing.assert_allclose(loss, float(data["loss"]), rtol=1e-6)
print("the same")
"""


@pytest.mark.slow
def test_a_model_of_heads_is_stored_whole_and_found_in_a_fresh_process(tmp_path):
    heads, rng = every_head(), np.random.default_rng(0)
    inputs = keras.Input((3,))
    units = {name: keras.layers.Dense(head.num_params)(inputs) for name, head in heads.items()}
    outputs = {name: head(units[name]) for name, head in heads.items()}
    model = keras.Model(inputs, outputs)
    losses = {name: head.loss for name, head in heads.items()}
    model.compile(optimizer="sgd", loss=losses, run_eagerly=True)
    x = rng.normal(size=(6, 3)).astype("float32")
    y = {
        name: CASES[name].targets(rng, (6,))
        if name in CASES
        else np.ones((6, *heads[name].event_shape))
        for name in heads
    }
    predicted = model(x)
    loss = model.evaluate(x, y, verbose=0, return_dict=True)["loss"]
    model.save(tmp_path / "m.keras")
    stored = {f"out_{n}": v for n, v in predicted.items()} | {f"y_{n}": v for n, v in y.items()}
    np.savez(tmp_path / "data.npz", x=x, loss=loss, **stored)
    done = subprocess.run(
        [sys.executable, "-c", FRESH, str(tmp_path / "m.keras"), str(tmp_path / "data.npz")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip().endswith("the same"), done.stderr


def test_a_registered_function_is_stored_and_a_lambda_is_refused(tmp_path):
    x = numbers(5, 4).astype("float32")
    head = layers.DistributionLambda(two_normals, num_params=2)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2), head])
    model.compile(loss=head.loss)
    model.train_on_batch(x, np.zeros((4, 1)))
    model.save(tmp_path / "m.keras")
    again = tfbdl.load(tmp_path / "m.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    np.testing.assert_array_equal(again.layers[-1].mean(again(x)), model.layers[-1].mean(model(x)))
    for function in (lambda t: two_normals(t), np.random.default_rng):
        other = layers.DistributionLambda(function)
        with pytest.raises(ModelError, match=r"cannot be stored.*register_keras_serializable"):
            other.get_config()


def test_a_file_whose_function_is_not_there_names_it(tmp_path):
    @keras.saving.register_keras_serializable(package="test_heads")
    def gone(t):
        return two_normals(t)

    sequential = keras.Sequential([keras.Input((2,)), layers.DistributionLambda(gone)])
    sequential.save(tmp_path / "m.keras")
    keras.saving.get_custom_objects().pop("test_heads>gone")
    with pytest.raises(ModelError, match="unknown are test_heads>gone"):
        tfbdl.load(tmp_path / "m.keras")


# -- as the likelihood of a Bayesian network -----------------------------------------------------


def test_a_head_is_a_likelihood():
    t, y = numbers(5, 6).astype("float32"), numbers(2, 6, seed=1).astype("float32")
    head = layers.MultivariateNormalTriL(2)
    likelihood = tfbdl.likelihoods.get(head)
    assert likelihood.outputs_for(2) == 5
    assert likelihood.size_for(5) == 2
    np.testing.assert_allclose(likelihood.log_prob(t, y), head.log_prob(t, y), rtol=1e-6)
    np.testing.assert_allclose(likelihood.variance(t), head.stddev(t) ** 2, rtol=1e-5)
    assert likelihood.elementwise(t).batch_shape == (6, 2)
    assert isinstance(
        tfbdl.likelihoods.get(layers.OneHotCategorical(3)), tfbdl.likelihoods.Categorical
    )
    assert isinstance(
        tfbdl.likelihoods.get(layers.IndependentBernoulli(2)), tfbdl.likelihoods.Bernoulli
    )
    assert isinstance(
        tfbdl.likelihoods.get(layers.IndependentPoisson(2)), tfbdl.likelihoods.Poisson
    )


def test_likelihoods_refuse_what_a_network_cannot_have():
    with pytest.raises(ModelError, match=r"needs event_shape=\(d,\)"):
        tfbdl.likelihoods.get(layers.IndependentNormal())
    with pytest.raises(ModelError, match=r"needs event_shape=\(d,\)"):
        tfbdl.likelihoods.get(layers.IndependentBernoulli((4, 4)))
    with pytest.raises(ModelError, match="no laws of single elements"):
        tfbdl.likelihoods.get(layers.CategoricalMixtureOfOneHotCategorical(4, 2))
    likelihood = tfbdl.likelihoods.get(layers.MixtureNormal(2, 3))
    with pytest.raises(DataError, match="needs 14 outputs"):
        likelihood.size_for(5)
    with pytest.raises(DataError, match="3 dimensions"):
        likelihood.outputs_for(2)
    with pytest.raises(DataError, match=r"\[n, ..., 3\]"):
        likelihood.check_targets(np.zeros((4, 2)), 14)


@pytest.mark.slow
def test_a_bayesian_network_with_a_head_predicts_and_is_stored(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(32, 3)).astype("float32")
    y = (x @ rng.normal(size=(3, 2))).astype("float32")
    head = layers.MixtureNormal(2, 2)
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(head.num_params), head])
    model = tfbdl.BayesianNetwork(net, likelihood=head, num_data=32)
    model.compile(jit_compile=False, optimizer=keras.optimizers.Adam(0.05))
    before = model.train_on_batch(x, y, return_dict=True)
    for _ in range(40):
        after = model.train_on_batch(x, y, return_dict=True)
    assert after["nll"] < before["nll"] - 0.5
    predictive = model.predictive(x[:4], draws=3)
    low, high = predictive.interval(0.9)
    assert low.shape == high.shape == predictive.variance.shape == (4, 2)
    np.testing.assert_allclose(predictive.cdf(high), 0.95, atol=1e-3)
    model.save(tmp_path / "m.keras")
    again = tfbdl.load(tmp_path / "m.keras")
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
