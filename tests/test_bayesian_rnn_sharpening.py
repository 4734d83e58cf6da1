"""Posterior sharpening: the draw, what it costs, its gradients, and its place in the objective."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from rnn_cases import UNITS, K, log_probs_by_keras, model_of, net, steps_of, symbols
from tfbdl_bbb.rnn_queries import log_probs_of
from tfbdl_bbb.sharpening import sharpened

import tfbdl
from tfbdl import errors, functional, random

tfd = tfp.distributions
S0 = 0.02


def logistic_case():
    """Weights of a logistic regression, its loss and gradient in NumPy, and noise: float64."""
    rng = np.random.default_rng(2)
    x, w = rng.normal(size=(7, 3)), rng.normal(size=3)
    y = np.float64([0, 1, 1, 0, 1, 0, 1])
    gradient = x.T @ (1.0 / (1.0 + np.exp(-x @ w)) - y) / 7

    def nll(weights):
        logits = tf.linalg.matvec(tf.constant(x), weights["w"])
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=logits))

    return {"w": tf.constant(w)}, nll, gradient, rng.normal(size=3)


def test_theta_is_phi_moved_against_the_gradient_with_noise_of_scale_s0():
    phi, nll, gradient, noise = logistic_case()
    eta = np.array([0.5, -0.1, 2.0])
    theta, kl = sharpened(phi, nll, {"w": tf.constant(eta)}, S0, {"w": tf.constant(noise)})
    np.testing.assert_allclose(theta["w"], phi["w"] - eta * gradient + S0 * noise, rtol=1e-10)
    q, p = tfd.Normal(phi["w"] - eta * gradient, S0), tfd.Normal(phi["w"], S0)
    assert float(kl) == pytest.approx(float(tf.reduce_sum(tfd.kl_divergence(q, p))), rel=1e-10)


def test_without_a_rate_it_is_a_reparameterised_draw_that_costs_nothing():
    phi, nll, _, noise = logistic_case()
    zero = {"w": tf.zeros(3, tf.float64)}
    theta, kl = sharpened(phi, nll, zero, S0, {"w": tf.constant(noise)})
    np.testing.assert_array_equal(theta["w"], phi["w"] + S0 * noise)
    assert float(kl) == 0.0
    options = {"posterior_options": {"initial_raw_scale": -3.0}, "sharpening_rate": 0.0}
    model, plain = model_of(sharpening=True, **options), model_of(posterior_options={
        "initial_raw_scale": -3.0})  # fmt: skip
    key = random.key(3)
    drawn, _ = model.sharpening.draw(plain.surrogate.sample(key), lambda w: 0.0 * w["head.bias"][0],
                                     key)  # fmt: skip
    for name, phi in plain.surrogate.sample(key).items():
        scale = float(np.std(drawn[name] - phi)) / S0
        assert scale == pytest.approx(1.0, abs=4 / np.sqrt(2 * phi.shape.num_elements()))


def test_gradients_of_the_sharpened_objective_are_finite_differences():
    """By phi and by eta, through the gradient inside, of a recurrent net in float64."""
    keras.config.set_dtype_policy("float64")
    try:
        small = net(units=3)
    finally:
        keras.config.set_dtype_policy("float32")
    named = functional.site_names(small)
    rows = tf.constant(symbols(2, 7), tf.int32)
    rng = np.random.default_rng(5)
    phi = {n: tf.constant(0.5 * rng.normal(size=v.shape)) for n, v in named.items()}
    eta = {n: tf.constant(0.1 * rng.normal(size=v.shape)) for n, v in named.items()}
    noise = {n: tf.constant(rng.normal(size=v.shape)) for n, v in named.items()}

    def nll(weights):
        pairs = [(variable, weights[name]) for name, variable in named.items()]
        states = [tf.zeros((2, 3), tf.float64)] * 2
        (logits, *_), _ = functional.apply(small, pairs, [rows[:, :-1], *states])
        return -tf.reduce_mean(log_probs_of(logits, rows[:, 1:]))

    def objective(phi, eta):
        theta, kl = sharpened(phi, nll, eta, 0.5, noise)
        return nll(theta) + kl / 12.0

    compiled = tf.function(objective)
    with tf.GradientTape() as tape:
        tape.watch((phi, eta))
        value = objective(phi, eta)
    gradients = tape.gradient(value, (phi, eta))
    step = 1e-5
    for part in (0, 1):
        for name in named:
            flat = np.ravel(tf.convert_to_tensor(gradients[part][name]))
            place = int(np.argmax(np.abs(flat)))
            shifted = []
            for sign in (1, -1):
                moved = [dict(phi), dict(eta)]
                change = np.zeros(flat.size)
                change[place] = sign * step
                moved[part][name] = moved[part][name] + change.reshape(phi[name].shape)
                shifted.append(float(compiled(*moved)))
            expected = (shifted[0] - shifted[1]) / (2 * step)
            assert abs(expected) > 1e-6
            assert flat[place] == pytest.approx(expected, rel=1e-6), (part, name)


def test_each_step_has_its_own_cost_beside_its_share_of_the_kl():
    rows, rate = symbols(2, 5), 0.3
    model = model_of(sharpening=True, sharpening_rate=rate, streams=2)
    found, _ = steps_of(model, rows)  # one step, with all noise at its centre
    copy = model.net.__class__.from_config(model.net.get_config())
    copy.set_weights(model.net.get_weights())
    with tf.GradientTape() as tape:
        logits = copy([tf.constant(rows[:, :-1]), *[tf.zeros((2, UNITS))] * 2])[0]
        loss = tf.reduce_mean(
            keras.losses.sparse_categorical_crossentropy(rows[:, 1:], logits, from_logits=True)
        )
    extra = 0.0
    for variable, gradient in zip(copy.trainable_variables, tape.gradient(
            loss, copy.trainable_variables), strict=True):  # fmt: skip
        moved = rate * tf.convert_to_tensor(gradient).numpy()
        extra += float((moved**2).sum()) / (2 * S0**2)
        variable.assign_sub(moved)
    nll = -log_probs_by_keras(copy, rows).sum()
    kl = float(model.kl(model.surrogate.mean()))
    assert extra > 1.0
    assert found[0][2] * 8 == pytest.approx(nll + extra + kl, rel=1e-5)


@pytest.mark.slow
def test_rates_are_learned_and_predictions_have_none_of_them():
    x = symbols(4, 9)
    model = model_of(sharpening=True)
    model.compile("adam")
    assert model.jit_compile is False
    model.fit(x, epochs=3, verbose=0)
    for variable in model.sharpening.weights:
        assert (variable.numpy() != np.float32(0.01)).any()
    before = model.log_probs(x, draws=2), model.predict(x[:, :-1])
    for variable in model.sharpening.weights:
        variable.assign(variable + 1.0)
    np.testing.assert_array_equal(model.log_probs(x, draws=2), before[0])
    np.testing.assert_array_equal(model.predict(x[:, :-1]), before[1])
    with pytest.raises(errors.OptionsError, match="compile each step anew"):
        model.compile(jit_compile=True)


def test_a_file_keeps_the_rates(tmp_path):
    model = model_of(sharpening=True, sharpening_rate=0.2, sharpening_scale=0.1, length=3)
    next(iter(model.sharpening.eta.values())).assign_add(
        tf.ones_like(next(iter(model.sharpening.eta.values())))
    )
    model.save(tmp_path / "model.keras")
    loaded = tfbdl.load(tmp_path / "model.keras")
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (loaded.sharpening.scale, loaded.length, loaded.num_symbols) == (0.1, 3, K)
