"""Expectations of activations under a bivariate normal: integrals, Cho & Saul, gradients."""

import math

import numpy as np
import pytest
import tensorflow as tf
from scipy import integrate, special, stats
from tfbdl_nngp import duals

from tfbdl import errors

PAIRS = [(0.3, 1.2, 0.7), (-0.5, 0.9, 1.5), (1.5, 1.6, 2.0)]
SMOOTH = {
    "cos": (np.cos, lambda z: -np.sin(z)),
    "erf": (special.erf, lambda z: 2.0 / np.sqrt(np.pi) * np.exp(-(z**2))),
    "exp": (np.exp, np.exp),
    "gelu": (
        lambda z: z * special.ndtr(z),
        lambda z: special.ndtr(z) + z * stats.norm.pdf(z),
    ),
    "identity": (lambda z: z, np.ones_like),
    "sigmoid": (special.expit, lambda z: special.expit(z) * special.expit(-z)),
    "sin": (np.sin, np.cos),
    "softplus": (lambda z: np.logaddexp(0.0, z), special.expit),
    "tanh": (np.tanh, lambda z: np.cosh(z) ** -2),
}
SLOPES = {"abs": (-1.0, 1.0), "leaky_relu": (0.2, 1.0), "relu": (0.0, 1.0)}


def dual(name, k, q1, q2, **options):
    values = (tf.constant(value, tf.float64) for value in (k, q1, q2))
    return [float(part) for part in duals.get(name, **options)(*values)]


def by_quadrature(function, k, q1, q2):
    """Gauss-Hermite in two dimensions."""
    x, w = np.polynomial.hermite_e.hermegauss(150)
    w = w / w.sum()
    rho = k / math.sqrt(q1 * q2)
    u = math.sqrt(q1) * x[:, np.newaxis] * np.ones(len(x))
    v = math.sqrt(q2) * (rho * x[:, np.newaxis] + math.sqrt(1.0 - rho**2) * x)
    return float(w @ (function(u) * function(v)) @ w)


def by_quadrants(function, k, q1, q2):
    """An integral over u, with the one over v in closed form given the side of 0."""
    rho, sd1, sd2 = k / math.sqrt(q1 * q2), math.sqrt(q1), math.sqrt(q2)
    spread = sd2 * math.sqrt(1.0 - rho**2)

    def inner(u):
        centre = rho * sd2 * u
        z = centre / spread
        above = (special.ndtr(z), centre * special.ndtr(z) + spread * stats.norm.pdf(z))
        below = (special.ndtr(-z), centre * special.ndtr(-z) - spread * stats.norm.pdf(z))
        return above, below

    def integrand(u):
        return stats.norm.pdf(u) * function(sd1 * u, *inner(u))

    halves = [(-np.inf, 0.0), (0.0, np.inf)]
    return sum(integrate.quad(integrand, *half, epsabs=1e-12)[0] for half in halves)


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_duals_are_their_integrals(name):
    function, derivative = SMOOTH[name]
    for pair in PAIRS:
        found = dual(name, *pair)
        assert found[0] == pytest.approx(by_quadrature(function, *pair), rel=1e-9, abs=1e-11)
        # a series of 96 terms keeps a derivative to ten digits where the correlation is 0.84
        assert found[1] == pytest.approx(by_quadrature(derivative, *pair), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", SLOPES)
def test_piecewise_linear_duals_are_their_integrals(name):
    low, high = SLOPES[name]

    def product(u, above, below):
        return (high if u > 0 else low) * u * (high * above[1] + low * below[1])

    def slopes(u, above, below):
        return (high if u > 0 else low) * (high * above[0] + low * below[0])

    for pair in PAIRS:
        expected = by_quadrants(product, *pair), by_quadrants(slopes, *pair)
        np.testing.assert_allclose(dual(name, *pair), expected, rtol=1e-8)


def test_relu_is_half_of_the_arc_cosine_kernels_of_cho_and_saul():
    k, q1, q2 = PAIRS[0]
    theta = math.acos(k / math.sqrt(q1 * q2))
    first = math.sqrt(q1 * q2) / math.pi * (math.sin(theta) + (math.pi - theta) * math.cos(theta))
    value, slope = dual("relu", k, q1, q2)
    assert value == pytest.approx(0.5 * first, rel=1e-13)
    assert slope == pytest.approx(0.5 * (1.0 - theta / math.pi), rel=1e-13)


@pytest.mark.parametrize("name", ["relu", "gelu", "erf", "tanh", "sin", "exp"])
def test_derivative_by_k_is_the_second_expectation(name):
    k, q1, q2 = PAIRS[1]
    step = 1e-5
    slope = (dual(name, k + step, q1, q2)[0] - dual(name, k - step, q1, q2)[0]) / (2 * step)
    assert dual(name, k, q1, q2)[1] == pytest.approx(slope, rel=1e-7)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "abs", "erf", "gelu", "sin", "tanh"])
def test_gradients_are_those_of_finite_differences(name):
    point = np.array(PAIRS[1])
    with tf.GradientTape() as tape:
        variable = tf.constant(point)
        tape.watch(variable)
        value = duals.get(name)(variable[0], variable[1], variable[2])[0]
    found = tape.gradient(value, variable).numpy()
    steps = 1e-6 * np.eye(3)
    expected = [(dual(name, *(point + s))[0] - dual(name, *(point - s))[0]) / 2e-6 for s in steps]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["abs", "erf", "exp", "gelu", "identity", "relu", "sin", "tanh"])
def test_equal_inputs_have_finite_gradients_to_second_order(name):
    q = tf.constant([0.5, 1.0, 2.0], tf.float64)
    with tf.GradientTape() as outer:
        outer.watch(q)
        with tf.GradientTape() as tape:
            tape.watch(q)
            value, slope = duals.get(name)(q, q, q)
            total = tf.reduce_sum(value) + tf.reduce_sum(slope)
        first = tape.gradient(total, q)
    second = outer.gradient(first, q, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    assert np.isfinite(first).all()
    assert np.isfinite(second).all()


def test_variance_of_relu_has_its_gradient_at_equal_inputs():
    q = tf.constant(1.7, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(q)
        value = duals.get("relu")(q, q, q)[0]  # q / 2
    assert float(value) == pytest.approx(0.85, rel=1e-14)
    assert float(tape.gradient(value, q)) == pytest.approx(0.5, rel=1e-12)


def test_any_function_is_an_activation_and_kinks_cost_digits_only():
    closed, series = (
        dual(activation, 0.3, 1.2, 0.7) for activation in ("relu", lambda z: tf.nn.relu(z))
    )
    # quadrature through a kink: its 192 nodes stand 0.16 apart at 0
    np.testing.assert_allclose(series, closed, atol=2e-3)


def test_unknown_activations_and_options_are_refused_with_what_is_near():
    with pytest.raises(errors.OptionsError, match=r"'rellu'\. Did you mean 'relu'\? Known: abs"):
        duals.get("rellu")
    with pytest.raises(errors.OptionsError, match="'erf' has no option 'slope'"):
        duals.get("erf", slope=1.0)
