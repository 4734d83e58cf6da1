"""ConcreteDropout: its relaxation, the penalty of its paper by hand, the rate that it learns."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
import tensorflow as tf
from dropout_cases import MANY, SMALLEST_P, X, build, orthogonal, train, wrapped

from tfbdl import layers
from tfbdl.errors import ModelError, OptionsError
from tfbdl.layers.concrete_dropout import entropy, relaxed_mask

RNG = np.random.default_rng(8)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_relaxed_masks_tend_to_those_of_bernoulli(p):
    logit = np.log(p / (1 - p))
    layer = layers.ConcreteDropout(temperature=1e-4, num_data=1, seed=6)
    outputs = np.asarray(build(layer, MANY[:1], p_logit=logit)(MANY))
    dropped = np.abs(outputs) < 1e-6
    kept = np.abs(outputs - MANY / (1 - p)) < 1e-4
    assert np.mean(dropped | kept) > 0.999
    assert scipy.stats.binomtest(int(dropped.sum()), dropped.size, p).pvalue > SMALLEST_P


def test_relaxed_mask_is_a_logistic_variable_through_a_sigmoid():
    """P(mask < s) = P(noise < t logit(s) - logit(p)) with logistic noise, at any temperature."""
    u = tf.constant(RNG.uniform(size=20_000))
    for logit, temperature in ((-1.0, 0.5), (0.7, 2.0)):
        mask = np.asarray(relaxed_mask(tf.constant(logit, tf.float64), u, temperature))

        def cdf(s, logit=logit, temperature=temperature):
            return scipy.stats.logistic.cdf(temperature * np.log(s / (1 - s)) - logit)

        assert scipy.stats.kstest(mask, cdf).pvalue > SMALLEST_P


def test_entropy_is_that_of_a_bernoulli_variable():
    logits = np.array([-80.0, -3.0, 0.0, 1.5, 80.0])
    expected = scipy.stats.bernoulli(1 / (1 + np.exp(-logits))).entropy()
    np.testing.assert_allclose(entropy(tf.constant(logits)), expected, atol=1e-12)


def bernoulli_penalty(kernel, p, of_weights, of_rate, inputs):
    negative_entropy = p * np.log(p) + (1 - p) * np.log(1 - p)
    return of_weights * np.sum(kernel**2) / (1 - p) + of_rate * inputs * negative_entropy


@pytest.mark.parametrize(
    ("options", "of_weights", "of_rate"),
    [
        ({"num_data": 50, "length_scale": 0.3}, 0.3**2 / 100, 1 / 50),
        (
            {"num_data": 50, "length_scale": 0.3, "noise_precision": 7.0},
            0.3**2 / (7.0 * 50),
            2 / (7.0 * 50),
        ),
        ({"weight_regularizer": 1e-3, "dropout_regularizer": 2e-2}, 1e-3, 2e-2),
        ({"weight_regularizer": 0, "dropout_regularizer": 0.5}, 0.0, 0.5),
    ],
    ids=["log_likelihood", "squared_error", "paper", "rate_alone"],
)
def test_concrete_penalty_is_that_of_the_paper(options, of_weights, of_rate):
    layer = build(wrapped(**options), p_logit=np.log(0.2 / 0.8))
    layer(X)
    kernel = np.asarray(layer.layer.kernel)
    expected = bernoulli_penalty(kernel, 0.2, of_weights, of_rate, 4)
    np.testing.assert_allclose(layer.losses, [expected], rtol=1e-5)
    np.testing.assert_allclose(layer.rate, 0.2, rtol=1e-6)


def test_concrete_penalty_alone_is_largest_in_reward_at_a_half():
    layer = build(layers.ConcreteDropout(num_data=1), p_logit=0.0)
    with tf.GradientTape() as tape:
        layer(X)
        loss = layer.losses[0]
    np.testing.assert_allclose(loss, -4 * np.log(2.0), rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(loss, layer.p_logit.value), 0.0, atol=1e-6)


def test_gradient_by_the_rate_is_that_of_differences():
    layer = build(wrapped(num_data=5, temperature=0.5, dtype="float64", seed=1))

    def loss(logit):
        layer.p_logit.assign(logit)
        layer.rng_step.assign(0)
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(tf.square(layer(X))) + layer.losses[0]
        return float(value), float(tape.gradient(value, layer.p_logit.value))

    _, gradient = loss(-0.4)
    step = 1e-5
    numeric = (loss(-0.4 + step)[0] - loss(-0.4 - step)[0]) / (2 * step)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6)


def test_concrete_dropout_takes_whole_channels_before_a_convolution():
    identity = np.eye(5, dtype="float32").reshape(1, 1, 5, 5)
    layer = layers.ConcreteDropout(
        keras.layers.Conv2D(5, 1, use_bias=False), temperature=1e-4, num_data=10, seed=2
    )
    images = np.ones((40, 3, 3, 5), "float32")
    build(layer, images, p_logit=0.0)
    layer.layer.kernel.assign(identity)
    outputs = np.asarray(layer(images))
    np.testing.assert_allclose(outputs, np.broadcast_to(outputs[:, :1, :1], outputs.shape))
    share = np.mean(outputs[:, 0, 0] < 1.0)
    assert 0.3 < share < 0.7
    expected = bernoulli_penalty(identity, 0.5, 0.5e-4 / 10, 1 / 10, 5)
    np.testing.assert_allclose(layer.losses, [expected], rtol=1e-5)
    assert layer.compute_output_shape((None, 3, 3, 5)) == (None, 3, 3, 5)


def test_padding_is_left_out_behind_a_wrapped_layer():
    words = keras.Input((5,), dtype="int32")
    embedding, layer = keras.layers.Embedding(9, 4, mask_zero=True), wrapped(initial_rate=1e-9)
    outputs = keras.layers.GlobalAveragePooling1D()(layer(embedding(words)))
    outputs = keras.Model(words, outputs)(np.array([[1, 2, 3, 0, 0]]))
    table, kernel = np.asarray(embedding.embeddings), np.asarray(layer.layer.kernel)
    np.testing.assert_allclose(outputs[0], table[1:4].mean(axis=0) @ kernel, atol=1e-6)


def test_a_step_trains_kernel_bias_and_rate():
    layer = wrapped(num_data=6)
    model = keras.Sequential([keras.Input((4,)), layer])
    model.compile("sgd", "mse", run_eagerly=True)
    before = [v.numpy() for v in layer.trainable_variables]
    model.fit(X, np.ones((6, 3)), verbose=0)
    for variable, start in zip(layer.trainable_variables, before, strict=True):
        assert np.abs(variable.numpy() - start).min() > 0, variable.path


def best_rate(n, units=8, weight=0.5, temperature=0.1, length_scale=0.1):
    """The rate at which the expected loss of a linear model is least, by quadrature.

    Its inputs are orthogonal; ``a`` and ``b`` are mean and variance of the relaxed noise.
    """
    u = (np.arange(20_000) + 0.5) / 20_000
    logistic = scipy.stats.logistic.ppf(u)

    def loss(params):
        logit, m = params
        p = scipy.special.expit(logit)
        noise = scipy.special.expit(-(logit + logistic) / temperature) / (1 - p)
        a, b = noise.mean(), noise.var()
        fit = units * ((weight - a * m) ** 2 + b * m**2)
        kernel = np.full(units, m)
        return fit + bernoulli_penalty(kernel, p, length_scale**2 / n, 2 / n, units)

    exact = {"xatol": 1e-6, "fatol": 1e-12, "maxiter": 5000}
    found = scipy.optimize.minimize(loss, [-2.0, weight], method="Nelder-Mead", options=exact)
    return scipy.special.expit(found.x[0])


@pytest.mark.slow
def test_learned_rate_is_the_best_one_and_falls_with_more_data():
    learned = []
    for n in (8, 16, 32):
        layer = layers.ConcreteDropout(
            keras.layers.Dense(1, use_bias=False),
            num_data=n,
            length_scale=0.1,
            noise_precision=1.0,
            seed=0,
        )
        rows = orthogonal(n, 8)
        train(rows, 0.5 * rows.sum(axis=1, keepdims=True), layer)
        learned.append(float(layer.rate))
        assert learned[-1] == pytest.approx(best_rate(n), rel=0.05)
    assert learned[0] > 1.5 * learned[1] > 3.0 * learned[2]


def test_regularizers_of_the_paper_are_left_as_given():
    given = wrapped(weight_regularizer=1e-3, dropout_regularizer=1e-2)
    model = keras.Sequential([keras.Input((4,)), given, layers.VariationalDropout()])
    model(X)
    penalty = float(given.losses[0])
    layers.set_num_data(model, 50)
    model(X)
    np.testing.assert_allclose(given.losses, [penalty], rtol=1e-6)
    copy = layers.ConcreteDropout.from_config(given.get_config())
    assert copy.weight_regularizer == 1e-3
    assert copy.num_data is None


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: layers.ConcreteDropout(0.1), "wraps a Keras layer.*initial_rate"),
        (lambda: layers.ConcreteDropout(temperature=0), "temperature must be"),
        (lambda: layers.ConcreteDropout(length_scale=-1), "length_scale must be"),
        (lambda: layers.ConcreteDropout(noise_precision=0), "noise_precision must be"),
        (lambda: layers.ConcreteDropout(weight_regularizer=1.0), "Give weight_regularizer and"),
        (
            lambda: layers.ConcreteDropout(
                weight_regularizer=1.0, dropout_regularizer=1.0, num_data=9
            ),
            "or num_data",
        ),
        (
            lambda: layers.ConcreteDropout(weight_regularizer=1.0, dropout_regularizer=-1.0),
            "dropout_regularizer must be a number of at least 0",
        ),
    ],
)
def test_wrong_arguments_are_named(make, says):
    with pytest.raises(OptionsError, match=says):
        make()


def test_what_does_not_fit_is_refused_when_it_is_built():
    with pytest.raises(ModelError, match=r"with one kernel.*LSTM"):
        layers.ConcreteDropout(keras.layers.LSTM(3)).build((None, 5, 4))
    with pytest.raises(ModelError, match="number of inputs"):
        layers.ConcreteDropout().build((None, None))
