"""Layers with posteriors under fit: the objective, XLA, half precision, replicas."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from layer_cases import normals

from tfbdl import layers
from tfbdl.errors import ModelError, OptionsError, TfbdlWarning
from tfbdl.testing import frozen_noise, two_logical_cpus

tfd = tfp.distributions
X, Y = normals(40, 3), normals(40, 1)


def net(*parts, **compiled):
    model = keras.Sequential([keras.Input(X.shape[1:]), *parts])
    model.compile(**{"optimizer": keras.optimizers.SGD(0.1), "loss": "mse", **compiled})
    return model


# -- the objective -----------------------------------------------------------------------------


def test_objective_is_the_mean_loss_and_the_divergence_of_one_row():
    layer = layers.DenseReparameterization(1, num_data=40)
    with frozen_noise():
        model = net(layer, optimizer=keras.optimizers.SGD(0.0))
        history = model.fit(X, Y, batch_size=8, verbose=0, shuffle=False).history
    mean = X @ layer.kernel_posterior.mean() + layer.bias_posterior.mean()
    divergence = tfd.kl_divergence(layer.kernel_posterior, layer.kernel_prior)
    expected = np.mean((Y - mean) ** 2) + divergence / 40
    np.testing.assert_allclose(history["loss"], [expected], rtol=1e-5)


def test_training_without_the_number_of_rows_warns_and_says_what_to_do():
    model = net(layers.DenseFlipout(2, name="first"), layers.DenseFlipout(1, num_data=40))
    with pytest.warns(TfbdlWarning) as caught:
        model.fit(X, Y, verbose=0)
    (message,) = {str(warning.message) for warning in caught}
    assert "'first' adds its KL divergence unscaled" in message
    assert "tfbdl.layers.set_num_data(model, len(x))" in message


def test_the_divergence_is_unscaled_without_the_number_of_rows():
    losses = {}
    for num_data in (None, 1, 50.0):
        layer = layers.DenseReparameterization(1, num_data=num_data, name="layer", seed=0)
        layer.build(X.shape)
        for variable in layer.trainable_variables:
            variable.assign(tf.ones(variable.shape))
        layer(X)
        losses[num_data] = float(layer.losses[0])
    assert losses[None] == losses[1]
    np.testing.assert_allclose(losses[50.0], losses[1] / 50.0, rtol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"num_data": 1},
        {"kernel_prior_fn": None},
        {"kernel_divergence_fn": lambda q, p, w: tfd.kl_divergence(q, p) / 40},
    ],
    ids=["said", "no prior", "own divergence"],
)
def test_training_does_not_warn_where_nothing_is_forgotten(options):
    model = net(layers.DenseReparameterization(1, **options))
    with warnings.catch_warnings():
        warnings.simplefilter("error", TfbdlWarning)
        model.fit(X, Y, verbose=0)


def test_using_a_model_does_not_warn():
    model = net(layers.DenseReparameterization(1))
    model.predict(X, verbose=0)
    model.evaluate(X, Y, verbose=0)
    assert len(model.losses) == 1


def test_set_num_data_reaches_nested_layers_and_a_model_that_was_fitted():
    inner = keras.Sequential([layers.DenseReparameterization(2), layers.DenseFlipout(1)])
    with frozen_noise():
        model = net(inner, optimizer=keras.optimizers.SGD(0.0))
        losses = []
        for rows in (10, 40):
            layers.set_num_data(model, rows)
            losses.append(model.fit(X, Y, verbose=0, shuffle=False).history["loss"][0])
    assert [layer.num_data for layer in inner.layers] == [40, 40]
    divergence = sum(
        tfd.kl_divergence(part.kernel_posterior, part.kernel_prior) for part in inner.layers
    )
    np.testing.assert_allclose(losses[0] - losses[1], divergence * (1 / 10 - 1 / 40), rtol=1e-4)


def test_set_num_data_refuses_what_is_no_number_and_models_without_divergences():
    with pytest.raises(OptionsError, match="num_data must be a number of rows above 0"):
        layers.set_num_data(net(layers.DenseFlipout(1)), 0)
    with pytest.raises(ModelError, match="has a divergence to scale"):
        layers.set_num_data(net(keras.layers.Dense(1)), 40)


# -- how it runs -------------------------------------------------------------------------------


def test_xla_compiles_layers_of_flipout_one_after_the_other():
    """It fused the signs of two layers into one kernel, on which LLVM hung."""
    parts = [layers.DenseFlipout(units, activation="relu", seed=1) for units in (64, 64, 10)]
    model = keras.Sequential([keras.Input(X.shape[1:]), *parts])
    results = []
    for jit_compile in (False, True):
        for layer in parts:
            layer.rng_step.assign(0)
        results.append(tf.function(lambda: model(X), jit_compile=jit_compile)().numpy())
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("jit_compile", [pytest.param(True, marks=pytest.mark.slow), False])
def test_nets_of_all_kinds_train_compiled_or_not(jit_compile):
    mean_field = layers.default_mean_field_normal_fn()
    model = net(
        layers.DenseFlipout(6, activation="relu"),
        layers.DenseFlipout(6, activation="relu"),
        layers.DenseLocalReparameterization(
            5, bias_posterior_fn=layers.default_mean_field_normal_fn()
        ),
        layers.DenseVariational(1, mean_field, layers.default_multivariate_normal_fn),
        optimizer=keras.optimizers.Adam(0.05),
        jit_compile=jit_compile,
    )
    layers.set_num_data(model, 4000)
    target = X @ np.array([[1.0], [-1.0], [0.5]])
    history = model.fit(X, target, epochs=30, batch_size=20, verbose=0).history["loss"]
    assert np.mean(history[-3:]) < 0.7 * history[0]
    assert all(int(layer.rng_step.numpy()) for layer in model.layers)


@pytest.mark.parametrize(
    "policy", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)]
)
def test_half_precision_holds_posteriors_and_divergences_in_float32(policy):
    parts = [
        layers.DenseFlipout,
        layers.DenseLocalReparameterization,
        layers.DenseReparameterization,
    ]
    model = net(*(part(3, dtype=policy, num_data=40) for part in parts))
    assert model(X).dtype == policy.removeprefix("mixed_")
    assert [loss.dtype for loss in model.losses] == [tf.float32] * 3
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    assert np.isfinite(model.fit(X, np.repeat(Y, 3, 1), verbose=0).history["loss"]).all()
    large = layers.DenseLocalReparameterization(2, dtype=policy)
    large(X)
    assert np.isfinite(large(np.full((1, 3), 300.0))).all()  # its square is none of float16


def test_double_precision_is_double_throughout():
    layer = layers.DenseFlipout(2, dtype="float64")
    assert layer(X).dtype == tf.float64
    assert layer.losses[0].dtype == tf.float64
    assert {variable.dtype for variable in layer.trainable_variables} == {"float64"}


def strategy_of_two():
    if not two_logical_cpus():
        pytest.skip("TensorFlow cannot make two logical CPUs here.")
    return tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )


def small_net():
    keras.utils.set_random_seed(3)
    prior = layers.trainable_normal_fn()
    return net(
        layers.DenseFlipout(4, activation="tanh", num_data=40),
        layers.DenseReparameterization(1, num_data=40, kernel_prior_fn=prior),
    )


def test_a_step_on_two_replicas_is_the_step_on_one():
    strategy, weights = strategy_of_two(), []

    def values(variables):
        return [tf.convert_to_tensor(variable).numpy() for variable in variables]

    with frozen_noise():
        for scope in (tf.distribute.get_strategy().scope, strategy.scope):
            with scope():
                model = small_net()
                counts = [layer.rng_step for layer in model.layers]
                before = values(counts)
                model.fit(X, Y, batch_size=40, epochs=1, verbose=0, shuffle=False)
                weights.append(values(model.trainable_variables))
                assert np.subtract(values(counts), before).tolist() == [1, 1]
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_replicas_draw_different_noise():
    strategy = strategy_of_two()
    with strategy.scope():
        model = small_net()
    run = tf.function(lambda: model(X))
    first, second = strategy.experimental_local_results(strategy.run(run))
    assert np.abs(first - second).min() > 0
    again, _ = strategy.experimental_local_results(strategy.run(run))
    assert np.abs(again - first).min() > 0


# -- what it finds -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["Reparameterization", "LocalReparameterization", "Flipout"])
@pytest.mark.slow
def test_a_linear_model_finds_the_best_mean_field_posterior(kind):
    """Of y = X w + noise with w ~ N(0, I): the mean is exact, the precision its diagonal."""
    rng = np.random.default_rng(5)
    n, noise = 60, 0.5
    x = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], n).astype("float32")
    y = (x @ [[1.0], [-0.5]] + noise * rng.normal(size=(n, 1))).astype("float32")
    precision = np.eye(2) + x.T @ x / noise**2
    mean = np.linalg.solve(precision, x.T @ y / noise**2)
    layer = getattr(layers, f"Dense{kind}")(1, bias_posterior_fn=None, num_data=n, seed=0)

    def nll(y_true, y_pred):
        return tf.reduce_sum(tf.square(y_true - y_pred), -1) / (2 * noise**2)

    schedule = keras.optimizers.schedules.CosineDecay(0.03, 6000)
    model = keras.Sequential([keras.Input((2,)), layer])
    model.compile(keras.optimizers.Adam(schedule), nll, jit_compile=True)
    data = tf.data.Dataset.from_tensors((x, y)).repeat()
    model.fit(data, steps_per_epoch=6000, epochs=1, verbose=0, shuffle=False)
    posterior = layer.kernel_posterior
    np.testing.assert_allclose(posterior.mean(), mean, atol=0.012)
    np.testing.assert_allclose(posterior.stddev()[:, 0], np.diag(precision) ** -0.5, rtol=0.08)
