"""The gradient of the log likelihood, against differences of the exact joint normal."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from linear_gaussian_cases import condition, random_model
from tfbdl_kalman_lstm.likelihood import log_likelihood

T = 5
NAMES = ("A", "B", "H", "Q", "R", "m0", "P0")


def model(seed, **change):
    return {**random_model(seed), "B": np.array([0.4, -0.3]), **change}


def sequences(gaps):
    y = np.random.default_rng(7).normal(size=(2, T, 2))
    if gaps:
        y[0, 1, 0], y[0, 3], y[1, 0], y[1, 4, 1] = np.nan, np.nan, np.nan, np.nan
    return y


def exact(params, y):
    return np.array([condition(params, part, np.tile(params["B"], (T, 1)))[2] for part in y])


def slopes_of(params, y, weights, shared):
    given = {name: tf.constant(value) for name, value in params.items()}
    with tf.GradientTape() as tape:
        tape.watch(given)
        total = tf.reduce_sum(weights * log_likelihood(given, tf.constant(y), shared=shared))
    return {name: slope.numpy() for name, slope in tape.gradient(total, given).items()}


@pytest.mark.parametrize("gaps", [False, True])
def test_score_is_the_slope_of_the_exact_likelihood(gaps):
    params, y, weights = model(3), sequences(gaps), np.array([1.0, -0.7])
    slopes = slopes_of(params, y, weights, shared=not gaps)
    rng = np.random.default_rng(0)
    for name in NAMES:
        change = rng.normal(size=np.shape(params[name]))
        if name in ("Q", "R", "P0"):
            change = change + change.T
        above, below = (
            weights @ exact({**params, name: params[name] + sign * 1e-5 * change}, y)
            for sign in (1, -1)
        )
        assert np.sum(slopes[name] * change) == pytest.approx((above - below) / 2e-5, abs=1e-6)


def test_score_of_chains_is_that_of_each_alone_and_parameters_may_be_shared():
    pair, y, weights = [model(3), model(4)], sequences(True), np.ones(2)
    common = {name: pair[0][name] for name in ("H", "Q", "P0", "B")}
    several = {name: np.stack([one[name] for one in pair]) for name in ("A", "R", "m0")}
    together = slopes_of({**common, **several}, y, weights, shared=False)
    alone = [slopes_of({**one, **common}, y, weights, shared=False) for one in pair]
    for name in several:
        np.testing.assert_allclose(together[name], [one[name] for one in alone], atol=1e-10)
    for name in common:
        np.testing.assert_allclose(together[name], alone[0][name] + alone[1][name], atol=1e-10)


def test_singular_noise_has_a_score():
    params = model(3, Q=np.diag([0.0, 1.0]), P0=np.zeros((2, 2)))
    y = sequences(True)
    slopes = slopes_of(params, y, np.ones(2), shared=False)
    step = 1e-6 * np.array([[0.3, -1.0], [0.5, 0.2]])
    above, below = (exact({**params, "A": params["A"] + s * step}, y).sum() for s in (1, -1))
    assert np.sum(slopes["A"] * step) == pytest.approx((above - below) / 2, abs=1e-12)


@pytest.mark.slow
def test_score_can_be_differentiated_again():
    params, y = {n: tf.constant(v) for n, v in model(3).items()}, sequences(True)

    def value(z):
        changed = {**params, "A": params["A"] * (1.0 + z[0]), "R": params["R"] * tf.exp(z[1])}
        return tf.reduce_sum(log_likelihood(changed, tf.constant(y), shared=False))

    @tf.function
    def slope(z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            total = value(z)
        return tape.gradient(total, z)

    @tf.function
    def curvature(z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            first = slope(z)
        return tape.jacobian(first, z, experimental_use_pfor=False)

    z = tf.constant([0.1, -0.2], tf.float64)
    step = 1e-5 * np.eye(2)
    expected = [(slope(z + e) - slope(z - e)) / 2e-5 for e in step]
    np.testing.assert_allclose(curvature(z), np.stack(expected), atol=1e-6)


def test_observations_have_a_score():
    params = {name: tf.constant(value) for name, value in model(3).items()}
    y, change = sequences(False), np.random.default_rng(1).normal(size=(2, T, 2))
    values = tf.constant(y)
    with tf.GradientTape() as tape:
        tape.watch(values)
        total = tf.reduce_sum(log_likelihood(params, values, shared=True))
    above, below = (exact(model(3), y + sign * 1e-5 * change).sum() for sign in (1, -1))
    slope = np.sum(tape.gradient(total, values) * change)
    assert slope == pytest.approx((above - below) / 2e-5, abs=1e-6)
