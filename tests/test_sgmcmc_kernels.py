"""Kernels of stochastic-gradient MCMC against the closed forms of their discretisations."""

import math

import numpy as np
import scipy.linalg
import tensorflow as tf
import tensorflow_probability as tfp
from small_models import PRECISION, SIGMA, correlated_gaussian
from tfbdl_engines.sgmcmc import Psgld, Sghmc, Sgld
from tfbdl_engines.sgmcmc_config import PsgldOptions, SghmcOptions, SgldOptions

from tfbdl import random
from tfbdl.inference.sgmcmc import kernels
from tfbdl.protocols import Context

tfb = tfp.bijectors
tfd = tfp.distributions


def covariance(engine, seed=1):
    """Of 64 chains of 3,000 draws: about 1 % where draws are nearly independent."""
    result = engine.fit(correlated_gaussian(), None, Context(seed=seed))
    draws = result.posterior.draws["x"]
    assert draws.shape == (64, 3000, 2)
    return np.cov(draws.reshape(-1, 2).T)


def sgld_engine(**options):
    given = {"chains": 64, "warmup": 300, "draws": 3000, "thin": 4, "step_size": 0.5}
    return Sgld(SgldOptions(**{**given, **options}))


def sghmc_engine(**options):
    given = {"chains": 64, "warmup": 500, "draws": 3000, "thin": 8, "step_size": 0.05}
    return Sghmc(SghmcOptions(**{**given, "friction": 0.2, **options}))


def lyapunov_sgld(step):
    """x' = (I - eps/2 P) x + N(0, eps)."""
    return scipy.linalg.solve_discrete_lyapunov(
        np.eye(2) - 0.5 * step * PRECISION, step * np.eye(2)
    )


def lyapunov_sghmc(step, friction):
    """v' = (1 - a) v - eta P x + N(0, 2 a eta), x' = x + v', of the joint state (x, v)."""
    eye = np.eye(2)
    row = np.hstack([-step * PRECISION, (1 - friction) * eye])
    A = np.vstack([np.hstack([eye, np.zeros((2, 2))]) + row, row])
    Q = 2 * friction * step * np.kron(np.ones((2, 2)), eye)
    return scipy.linalg.solve_discrete_lyapunov(A, Q)


def test_sgld_has_the_stationary_covariance_of_its_own_discretisation():
    expected = lyapunov_sgld(0.5)
    np.testing.assert_allclose(expected, [[1.1603, 0.8831], [0.8831, 2.1415]], atol=1e-4)
    np.testing.assert_allclose(covariance(sgld_engine()), expected, rtol=0.03)


def test_sghmc_has_the_stationary_covariance_of_its_own_discretisation():
    expected = lyapunov_sghmc(0.05, 0.2)[:2, :2]
    np.testing.assert_allclose(expected, [[1.0142, 0.8998], [0.8998, 2.0141]], atol=1e-4)
    np.testing.assert_allclose(covariance(sghmc_engine()), expected, rtol=0.03)


def test_temperature_multiplies_the_covariance():
    found = covariance(sgld_engine(temperature=0.25))
    np.testing.assert_allclose(found, 0.25 * lyapunov_sgld(0.5), rtol=0.03)


def test_without_noise_the_covariance_collapses():
    """The negative control: what is left is an ascent to the one mode."""
    assert np.abs(covariance(sghmc_engine(temperature=0.0, warmup=2000, thin=1))).max() < 1e-6


def test_sghmc_velocity_has_the_variance_of_its_own_discretisation():
    key, chains = random.key(3), 4000
    expected = lyapunov_sghmc(0.05, 0.2)[2:, 2:]

    @tf.function(jit_compile=True)
    def run():
        def body(i, x, v):
            gradient = -tf.linalg.matvec(tf.constant(PRECISION), x)
            noise = kernels.noise_like([x], key, i)
            (x,), (v,) = kernels.sghmc([x], [v], [gradient], noise, 0.05, 0.2)
            return i + 1, x, v

        zeros = tf.zeros((chains, 2), "float64")
        return tf.while_loop(lambda i, *_: i < 400, body, (0, zeros, zeros))[2]

    # the standard error of a variance from 4,000 chains is 2.2 %, of the small covariance 2.2 %
    # of the variance
    np.testing.assert_allclose(np.cov(run().numpy().T), expected, atol=0.1 * expected[0, 0])


def test_sghmc_lowers_its_noise_by_what_the_gradient_brings():
    one = [tf.ones((1,), "float64")]
    zero = [tf.zeros((1,), "float64")]
    whole = kernels.sghmc(zero, zero, zero, one, 0.02, 0.5)[1][0]
    less = kernels.sghmc(zero, zero, zero, one, 0.02, 0.5, noise_estimate=0.3)[1][0]
    np.testing.assert_allclose(whole, [math.sqrt(2 * 0.5 * 0.02)], rtol=1e-12)
    np.testing.assert_allclose(less, [math.sqrt(2 * 0.2 * 0.02)], rtol=1e-12)


def psgld_moment(variances, *, correction, decay, damping, step, steps, moment):
    """The mean square over 4,000 chains and the last half of ``steps``, on N(0, variances)."""
    key, dims = random.key(5), len(variances)
    precision = tf.constant(1.0 / np.asarray(variances), "float64")
    shape = {"decay": decay, "damping": damping}

    @tf.function(jit_compile=True)
    def run():
        def body(i, x, v, total):
            gradient, curvature = -precision * x, -precision * tf.ones_like(x)
            gamma = None
            if correction:
                gamma = kernels.psgld_correction([v], [gradient], [curvature], **shape)
            noise = kernels.noise_like([x], key, i)
            (x,), (v,) = kernels.psgld([x], [v], [gradient], noise, step, correction=gamma, **shape)
            late = tf.cast(2 * i >= steps, x.dtype)
            return i + 1, x, v, total + late * tf.reduce_mean(x**2, 0)

        start = random.normal((4000, dims), key, "float64") * np.sqrt(variances)
        moments = tf.fill((4000, dims), tf.constant(moment, "float64"))
        zero = tf.zeros((dims,), "float64")
        return tf.while_loop(lambda i, *_: i < steps, body, (0, start, moments, zero))[3]

    return run().numpy() / (steps - steps // 2)


def test_psgld_with_a_slow_preconditioner_has_the_variance_of_its_discretisation():
    """A second moment that hardly moves is a fixed preconditioner G = 1 / sqrt(v).

    With x' = (1 - eps G / (2 s)) x + N(0, eps G) the variance is s / (1 - eps G / (4 s)).
    """
    variances, step, v = np.array([0.5, 2.0]), 0.2, 0.25
    found = psgld_moment(
        variances, correction=False, decay=0.9999999, damping=1e-12, step=step, steps=1500, moment=v
    )
    scale = 1.0 / math.sqrt(v)
    np.testing.assert_allclose(found, variances / (1 - step * scale / (4 * variances)), rtol=0.03)


def test_psgld_needs_its_correction_where_the_preconditioner_follows_the_state():
    """With decay 0, G = 1 / (1 + |x|): uncorrected the density is p / G, corrected it is p.

    For N(0, 1) the mean square under p (1 + |x|) is (1 + 2 m) / (1 + m) with m = sqrt(2 / pi).
    """
    m = math.sqrt(2.0 / math.pi)
    options = {"decay": 0.0, "damping": 1.0, "step": 0.02, "steps": 3000, "moment": 0.0}
    found = [psgld_moment([1.0], correction=c, **options)[0] for c in (False, True)]
    np.testing.assert_allclose(found, [(1 + 2 * m) / (1 + m), 1.0], rtol=0.03)


def test_psgld_engine_samples_the_gaussian_with_small_steps():
    engine = Psgld(
        PsgldOptions(chains=64, warmup=20_000, draws=3000, thin=10, step_size=0.05, decay=0.9999)
    )
    # 3 % of discretisation, about as much of noise
    np.testing.assert_allclose(covariance(engine), SIGMA, rtol=0.08)


def test_psgld_scales_its_second_moment_to_one_datum():
    params, moment = [tf.zeros((1,), "float64")], [tf.constant([0.04], "float64")]
    gradient, noise = [tf.constant([30.0], "float64")], [tf.constant([0.5], "float64")]
    shape = {"decay": 0.9, "damping": 0.1, "num_data": 100.0}
    moved, second = kernels.psgld(params, moment, gradient, noise, 0.02, **shape)
    v = 0.9 * 0.04 + 0.1 * 0.3**2
    scale = 1.0 / (0.1 + math.sqrt(v))
    np.testing.assert_allclose(second[0], [v], rtol=1e-12)
    expected = 0.01 * scale * 30.0 + math.sqrt(0.02 * scale) * 0.5
    np.testing.assert_allclose(moved[0], [expected], rtol=1e-12)
    gamma = kernels.psgld_correction(moment, gradient, [tf.constant([-7.0], "float64")], **shape)
    h = 1e-6  # G as a function of the newest gradient alone, whose slope is -7 per unit of theta

    def of(g):
        return 1.0 / (0.1 + math.sqrt(0.9 * 0.04 + 0.1 * (g / 100.0) ** 2))

    slope = (of(30.0 + h) - of(30.0 - h)) / (2 * h)
    np.testing.assert_allclose(gamma[0], [-7.0 * slope], rtol=1e-6)


def test_noise_depends_on_key_name_and_step_alone():
    a, b = tf.zeros((3, 4)), tf.zeros((3, 2))
    keys = random.split(random.key(1), 3)
    first = kernels.noise_like({"a": a, "b": b}, keys, 7)
    again = kernels.noise_like({"b": b}, keys, tf.constant(7, tf.int64))
    np.testing.assert_array_equal(first["b"], again["b"])
    later = kernels.noise_like({"b": b}, keys, 8)
    assert not np.isclose(first["b"], later["b"]).any()
    assert not np.isclose(first["a"][0, :2], first["b"][0]).any()
    weights = kernels.noise_like([a, a], keys[0], 7)  # a net's weights: no chains, by position
    assert weights[0].shape == (3, 4)
    assert not np.isclose(weights[0], weights[1]).any()
