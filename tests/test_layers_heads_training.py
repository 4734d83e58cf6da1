"""Heads in nets: the examples of TFP's documentation, draws, replicas."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfbdl
from tfbdl import layers
from tfbdl.errors import ModelError, OptionsError

tfd = tfp.distributions
Dense = keras.layers.Dense


def sequential(*parts):
    return keras.Sequential(list(parts))


def fitted(head, parts, x, y, *, rate=0.05, epochs=1, batch_size=100, **options):
    """A net that ends in a head, and its loss of each epoch."""
    keras.utils.set_random_seed(0)
    model = sequential(*parts, head)
    model.compile(optimizer=keras.optimizers.Adam(rate), loss=head.loss, **options)
    return model, model.fit(x, y, batch_size, epochs, verbose=0).history["loss"]


def cardioid(n=600):
    rng = np.random.default_rng(0)
    t = rng.uniform(-np.pi, np.pi, (n, 1))
    r = 2.0 * (1.0 - np.cos(t))
    x, y = r * np.sin(t), r * np.cos(t)
    return (x + 0.1 * rng.normal(size=x.shape)), (y + 0.1 * rng.normal(size=y.shape))


# -- the examples of TFP's documentation ---------------------------------------------------------


def test_a_known_scale_is_recovered():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1.0, 1.0, (2000, 1))
    y = 0.5 * x + 0.3 * rng.normal(size=x.shape)
    head = layers.IndependentNormal(1)
    model, _ = fitted(head, [Dense(1), layers.AppendVariable(1)], x, y, epochs=25)
    scale = head.stddev(model.predict(x[:5], verbose=0)).numpy()
    assert np.ptp(scale) == 0.0  # one for all data
    # the estimate's own standard deviation is 0.3 / sqrt(2 * 2000) = 0.005
    np.testing.assert_allclose(scale[0], 0.3, atol=0.02)
    kernel, bias, _ = model.get_weights()
    np.testing.assert_allclose([kernel.item(), bias.item()], [0.5, 0.0], atol=0.05)


def test_tril_stays_at_the_answer_it_begins_with():
    rng = np.random.default_rng(0)
    mixing = np.array([[1.6180, 0.0], [-2.7183, 3.1416]])
    x = rng.normal(size=(1000, 2))
    y = x @ mixing + 0.01 * rng.normal(size=(1000, 2))
    kernel = np.pad(mixing, [[0, 0], [0, 3]])
    raw = np.log(np.expm1(0.01 - 1e-5))
    bias = np.array([0.0, 0.0, raw, 0.0, raw])  # fill_triangular's order: the corner comes first
    constant = keras.initializers.Constant
    dense = Dense(
        layers.MultivariateNormalTriL.params_size(2),
        kernel_initializer=constant(kernel.tolist()),
        bias_initializer=constant(bias.tolist()),
    )
    head = layers.MultivariateNormalTriL(2)
    model, _ = fitted(head, [dense], x, y, rate=1e-4, epochs=2)
    np.testing.assert_allclose(model.get_weights()[0], kernel, atol=1e-2)
    np.testing.assert_allclose(model.get_weights()[1], bias, atol=1e-2)
    law = head.distribution(model.predict(x[:3], verbose=0))
    np.testing.assert_allclose(law.mean(), x[:3] @ mixing, atol=0.05)


def test_logits_of_zeros_and_ones_are_recovered():
    rng = np.random.default_rng(0)
    weights = np.array([[1.6180, 0.0], [-2.7183, 3.1416]])
    x = rng.normal(size=(5000, 2))
    logits = x @ weights
    y = (rng.uniform(size=logits.shape) < 1 / (1 + np.exp(-logits))).reshape(-1, 1, 2, 1)
    head = layers.IndependentBernoulli(y.shape[1:])
    dense = Dense(head.params_size(y.shape[1:]))
    model, _ = fitted(head, [dense], x, y * 1.0, rate=0.2, epochs=8, batch_size=500)
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(kernel, weights, atol=0.15, rtol=0.15)
    np.testing.assert_allclose(bias, 0.0, atol=0.15)


def classes(n=2000):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 2))
    logit = 0.3142 + 1.6180 * x[:, 0] - 2.7183 * x[:, 1]
    second = rng.uniform(size=n) < 1.0 / (1.0 + np.exp(-logit))
    return x, np.eye(2)[second.astype(int)]


def test_logits_of_classes_are_recovered():
    x, y = classes(4000)
    head = layers.OneHotCategorical(2)
    pad = keras.layers.ZeroPadding1D((1, 0))
    parts = [Dense(1), keras.layers.Reshape((1, 1)), pad, keras.layers.Flatten()]
    model, _ = fitted(head, parts, x, y, rate=0.3, epochs=5, batch_size=400)
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(kernel[:, 0], [1.6180, -2.7183], rtol=0.15)
    np.testing.assert_allclose(bias, 0.3142, atol=0.15)


@pytest.mark.slow
def test_a_mixture_of_classes_trains():
    x, y = classes()
    head = layers.CategoricalMixtureOfOneHotCategorical(2, 2)
    model, losses = fitted(head, [Dense(6)], x, y, epochs=8)
    assert losses[-1] < 0.8 * losses[0]
    law = head.distribution(model.predict(x[:3], verbose=0))
    assert isinstance(law, tfd.MixtureSameFamily)
    assert isinstance(law.components_distribution, tfd.OneHotCategorical)


@pytest.mark.slow
def test_poisson_regression_recovers_its_rates():
    rng = np.random.default_rng(42)
    x = rng.uniform(1.0, 10.0, (2000, 4))
    log_rate = x @ [[0.314], [0.272], [-0.162], [0.058]] - 0.141
    y = rng.poisson(np.exp(log_rate))
    head = layers.IndependentPoisson(1)
    model, _ = fitted(head, [Dense(1)], x, y, rate=0.02, epochs=20, batch_size=50)
    found = np.log(head.mean(model.predict(x, verbose=0)))
    assert np.sqrt(np.mean((found - log_rate) ** 2)) < 0.1


@pytest.mark.parametrize(
    "head",
    [
        layers.MixtureNormal(5, [1]),
        pytest.param(layers.MixtureLogistic(5, [1]), marks=pytest.mark.slow),
        pytest.param(
            layers.MixtureSameFamily(5, layers.IndependentNormal([1])), marks=pytest.mark.slow
        ),
    ],
    ids=lambda head: type(head).__name__,
)
def test_a_mixture_density_network_learns_the_cardioid(head):
    x, y = cardioid()
    assert head.num_params == 15
    _, losses = fitted(head, [Dense(12, "relu"), Dense(15)], x, y, rate=0.02, epochs=8)
    assert losses[-1] < losses[0] - 0.3


@pytest.mark.slow
def test_a_head_of_any_width_before_it_and_of_convolutions():
    """A law whose loc and scale come from nets of their own, over a grid of pixels."""
    inputs = keras.Input((3, 3, 1))
    pad1 = keras.layers.ZeroPadding2D(((0, 0), (1, 1)))
    pad2 = keras.layers.ZeroPadding2D(((1, 0), (0, 0)))
    loc = pad1(keras.layers.Conv2D(1, (1, 3))(inputs))
    scale = pad2(keras.layers.Conv2D(1, (2, 1))(inputs))
    head = layers.DistributionLambda(lambda t: tfd.Normal(t[..., :1], tf.exp(t[..., 1:])))
    model = keras.Model(inputs, head(keras.layers.Concatenate()([loc, scale])))
    model.compile(optimizer="adam", loss=head.loss)
    x = np.random.default_rng(0).normal(size=(50, 3, 3, 1))
    losses = model.fit(x, x, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    expected = -np.mean(head.distribution(model.predict(x, verbose=0)).log_prob(x))
    assert model.evaluate(x, x, verbose=0) == pytest.approx(expected, rel=1e-5)


# -- draws ---------------------------------------------------------------------------------------


def test_draws_are_fresh_at_each_call_and_go_on_after_storing(tmp_path):
    head = layers.IndependentNormal(3)
    encoder = sequential(keras.Input((4,)), Dense(6), head, layers.ConvertToTensor(head))
    x = np.ones((2, 4), "float32")
    assert encoder.output_shape == (None, 3)
    first = encoder(x)
    encoder.save(tmp_path / "m.keras")
    again = tfbdl.load(tmp_path / "m.keras")
    second = encoder(x)
    assert np.abs(first - second).min() > 0.0
    np.testing.assert_array_equal(again(x), second)


@pytest.mark.parametrize("way", ["mean", "mode", "stddev", "variance", tfd.Distribution.mean])
def test_a_law_becomes_the_tensor_that_is_asked_for(way):
    head = layers.IndependentNormal((2, 3))
    t = np.random.default_rng(0).normal(size=(4, 12))
    name = way if isinstance(way, str) else way.__name__
    layer = layers.ConvertToTensor(head, way)
    np.testing.assert_allclose(layer(t), getattr(head.distribution(t), name)())
    again = layers.ConvertToTensor.from_config(layer.get_config())
    np.testing.assert_array_equal(again(t), layer(t))


def test_draws_have_the_moments_of_their_law_and_carry_gradients():
    head = layers.MultivariateNormalTriL(2)
    t = tf.constant([[-1.0, 1.0, 0.3, 0.2, 0.5]])
    law, layer = head.distribution(t), layers.ConvertToTensor(head, seed=3)
    draws = layer(tf.repeat(t, 20_000, axis=0)).numpy()
    error = np.sqrt(law.variance()[0] / 20_000)
    np.testing.assert_array_less(np.abs(draws.mean(0) - law.mean()[0]) / error, 4.0)
    np.testing.assert_allclose(np.cov(draws.T), law.covariance()[0], atol=0.06)
    with tf.GradientTape() as tape:
        tape.watch(t)
        value = layer(t)
    assert np.abs(tape.gradient(value, t)).min() > 0.0


def test_mistakes_of_conversion_are_named():
    head = layers.IndependentNormal(1)
    with pytest.raises(OptionsError, match=r"Did you mean 'sample'\?"):
        layers.ConvertToTensor(head, "sampel")
    with pytest.raises(OptionsError, match="head must be a head"):
        layers.ConvertToTensor(Dense(2))
    layer = layers.ConvertToTensor(head, lambda law: law.mean() + law.stddev())
    assert layer(np.zeros((3, 2))).shape == (3, 1)
    with pytest.raises(ModelError, match=r"convert_to_tensor_fn=.*cannot be stored"):
        layer.get_config()


# -- replicas, XLA -------------------------------------------------------------------------------


def one_step(jit_compile=False):
    keras.utils.set_random_seed(3)
    regularizer = layers.KLDivergenceRegularizer(layers.IndependentNormal(2), use_exact_kl=True)
    latent = layers.IndependentNormal(2, activity_regularizer=regularizer)
    head = layers.MixtureNormal(2, 1)
    parts = [Dense(4), latent, layers.ConvertToTensor(latent), Dense(6), head]
    model = sequential(keras.Input((3,)), *parts)
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss=head.loss, jit_compile=jit_compile)
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    model.fit(x, x[:, :1], 8, shuffle=False, verbose=0)
    return [tf.convert_to_tensor(v).numpy() for v in model.trainable_variables]


@pytest.mark.replicas
def test_a_step_on_two_replicas_is_a_step_on_one():
    """Noise frozen: what is added to the loss is neither counted twice nor halved."""
    with tfbdl.testing.frozen_noise():
        single = one_step()
        strategy = tf.distribute.MirroredStrategy(
            ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
        )
        with strategy.scope():
            double = one_step()
    for one, two in zip(single, double, strict=True):
        np.testing.assert_allclose(two, one, atol=1e-5)


@pytest.mark.slow
def test_a_step_under_xla_is_a_step_without():
    with tfbdl.testing.frozen_noise():
        for one, other in zip(one_step(), one_step(jit_compile=True), strict=True):
            np.testing.assert_allclose(other, one, atol=1e-5)


def test_mixed_precision_trains():
    x, y = cardioid(200)
    head = layers.StudentT(1, df=4.0, dtype="mixed_float16")
    dense = Dense(2, dtype="mixed_float16")
    model, losses = fitted(head, [dense], x, y, epochs=3)
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]
    assert model.predict(x, verbose=0).dtype == np.float32
