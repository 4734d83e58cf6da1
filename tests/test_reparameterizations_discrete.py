"""Discrete variables, relaxed: perturbed logits given the draw, Concrete, straight through."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import integrate, special, stats

from tfbdl import random
from tfbdl.inference import reparameterizations
from tfbdl.inference.reparameterizations import bernoulli, categorical, concrete

rp = reparameterizations
tfd = tfp.distributions
N = 100_000
Z = 4.0
P = np.array([0.5, 0.3, 0.2])

# -- the families ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_largest_perturbed_logit_is_a_draw_of_the_softmax(dtype: str) -> None:
    logits = tf.constant([*np.log(P), -np.inf], dtype)
    z = categorical.perturbed(logits, categorical.noise((N, 4), random.key(0), dtype))
    counts = categorical.hard(z).numpy().sum(axis=0)
    assert counts[3] == 0
    assert stats.chisquare(counts[:3], N * P).pvalue > 1e-3


def test_soft_maximum_nears_the_one_hot_vector_and_not_the_largest_value() -> None:
    z = tf.constant([[0.3, 1.2, -0.5], [2.0, 1.0, 1.5]])
    np.testing.assert_allclose(categorical.soft(z, 1e-3), [[0, 1, 0], [1, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(bernoulli.soft(z, 1e-3), bernoulli.hard(z), atol=1e-6)


@pytest.mark.parametrize("chosen", [0, 2])
def test_perturbed_logits_given_their_largest_are_those_that_chance_leaves(chosen: int) -> None:
    logits = np.array([0.4, -0.3, 0.1])
    b = tf.one_hot(tf.fill([20_000], chosen), 3, dtype=tf.float64)
    noise = categorical.noise((20_000, 3), random.key(1), "float64")
    given = categorical.conditional(tf.constant(logits), b, noise).numpy()
    z = np.random.default_rng(0).gumbel(size=(60_000, 3)) + special.log_softmax(logits)
    left = z[z.argmax(axis=1) == chosen]
    for i in range(3):
        assert stats.ks_2samp(given[:, i], left[:, i]).pvalue > 1e-3
    apart = stats.ks_2samp(given[:, chosen] - given[:, 1], left[:, chosen] - left[:, 1])
    assert apart.pvalue > 1e-3


def test_perturbed_logit_given_its_sign_is_a_truncated_logistic() -> None:
    logit = 0.7
    noise = bernoulli.noise((20_000,), random.key(2), "float64")
    law = stats.logistic(logit)
    for b, low, high in ((1.0, law.cdf(0), 1.0), (0.0, 0.0, law.cdf(0))):
        z = bernoulli.conditional(
            tf.constant(logit, tf.float64), tf.fill([20_000], np.float64(b)), noise
        )

        def cdf(x: np.ndarray, low: float = low, high: float = high) -> np.ndarray:
            return np.clip((law.cdf(x) - low) / (high - low), 0.0, 1.0)

        assert stats.kstest(z, cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("family", "law"), [(bernoulli, stats.logistic), (categorical, stats.gumbel_r)]
)
def test_coupled_noise_gives_the_draw_back_and_is_independent_of_it(family: Any, law: Any) -> None:
    logits = tf.constant([[0.4, -0.3, 1.1]], tf.float64)
    z = family.perturbed(logits, family.noise((20_000, 3), random.key(3), "float64"))
    noise = family.coupled(logits, z)
    b = family.hard(z)
    np.testing.assert_allclose(family.conditional(logits, b, noise), z, rtol=1e-9, atol=1e-9)
    for outcome in (0.0, 1.0):
        for i in range(3):
            kept = noise[:, i][b[:, i] == outcome]
            assert stats.kstest(kept, law.cdf).pvalue > 1e-3


# -- Concrete -------------------------------------------------------------------------------------


def test_concrete_density_is_that_of_maddison_and_of_tfp() -> None:
    rng = np.random.default_rng(1)
    logits, t = rng.normal(size=(5, 3)), 0.6
    x = concrete.sample(tf.constant(logits), t, 4, random.key(4)).numpy()
    alpha = np.exp(logits)
    shares = alpha * x ** (-t - 1) / (alpha * x**-t).sum(axis=-1, keepdims=True)
    direct = np.log(2 * t**2 * shares.prod(axis=-1))  # (10), k = 3
    found = concrete.log_prob(tf.constant(np.log(x)), tf.constant(logits), t)
    np.testing.assert_allclose(found, direct, rtol=1e-9)
    oracle = tfd.RelaxedOneHotCategorical(np.float64(t), logits=logits)
    np.testing.assert_allclose(found, oracle.log_prob(x), rtol=1e-7)


def test_binary_density_is_that_of_tfp_and_integrates_to_one() -> None:
    y, logit, t = np.linspace(-3, 3, 41), 0.4, 0.8
    found = concrete.binary_log_prob(tf.constant(y), tf.constant(logit, tf.float64), t)
    oracle = tfd.RelaxedBernoulli(np.float64(t), logits=np.float64(logit))
    np.testing.assert_allclose(found, oracle.log_prob(special.expit(y)), rtol=1e-9)

    def density(x: float) -> float:
        at = tf.constant(special.logit(x), tf.float64)
        return float(tf.exp(concrete.binary_log_prob(at, tf.constant(logit, tf.float64), 1.5)))

    total = integrate.quad(density, 1e-9, 1 - 1e-9, points=[0.5], epsabs=1e-5)[0]
    assert total == pytest.approx(1.0, abs=1e-4)


def relaxed_mean(p: np.ndarray) -> np.ndarray:
    """``E[x]`` at temperature 1, where ``x_i = v_i / sum v`` with ``v_i = p_i / e_i``.

    The Laplace transform of v is that of an inverse exponential variable, so that
    ``E[x_i] = int E[v_i exp(-s v_i)] prod_j E[exp(-s v_j)] ds`` has Bessel functions.
    """

    def integrand(s: float, i: int) -> float:
        a = 2 * np.sqrt(s * p)
        others = np.delete(a * special.k1(a), i).prod()
        return 2 * p[i] * special.k0(a[i]) * others

    return np.array([integrate.quad(integrand, 0, np.inf, args=(i,))[0] for i in range(len(p))])


def test_mean_of_relaxed_draws_is_not_the_probability() -> None:
    expected = relaxed_mean(P)
    np.testing.assert_allclose(expected, [0.4468, 0.3154, 0.2378], atol=1e-4)
    x = concrete.sample(tf.constant(np.log(P)), 1.0, N, random.key(5)).numpy()
    z = (x.mean(axis=0) - expected) / (x.std(axis=0) / np.sqrt(N))
    assert np.abs(z).max() < Z
    assert stats.chisquare(np.bincount(x.argmax(axis=1)), N * P).pvalue > 1e-3


def test_straight_through_is_one_hot_with_the_gradient_of_the_relaxed() -> None:
    logits = tf.constant(np.random.default_rng(2).normal(size=(3, 4)))
    weights = tf.constant(np.random.default_rng(3).normal(size=(5, 3, 4)))
    gradients, draws = [], []
    for straight in (True, False):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            x = concrete.sample(logits, 0.7, 5, random.key(6), straight_through=straight)
            total = tf.reduce_sum(weights * x)
        gradients.append(tape.gradient(total, logits))
        draws.append(x.numpy())
    assert set(np.unique(draws[0].round(12))) == {0.0, 1.0}
    np.testing.assert_array_equal(draws[0].argmax(-1), draws[1].argmax(-1))
    np.testing.assert_allclose(*gradients, rtol=1e-10)


def test_temperature_falls_to_its_least() -> None:
    found = [float(concrete.annealed(step, 1.0, 0.5, 1e-3)) for step in (0, 500, 5_000)]
    np.testing.assert_allclose(found, [1.0, np.exp(-0.5), 0.5], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_logits_relax_without_nan(dtype: str) -> None:
    logits = tf.constant([[0.0, -1e4, -np.inf], [1e4, -1e4, 3.0]], dtype)
    for straight in (True, False):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            x = concrete.sample(logits, 0.1, 100, random.key(16), straight_through=straight)
            total = tf.reduce_sum(x[..., 0])
        assert np.isfinite(tape.gradient(total, logits)).all()
        assert np.isfinite(x).all()
    log_x = concrete.log_relaxed(tf.constant([[0.0, -1e4]], dtype), 0.5)
    with tf.GradientTape() as tape:
        tape.watch(log_x)
        log_prob = concrete.log_prob(log_x, tf.zeros([1, 2], dtype), 0.5)
    assert np.isfinite(log_prob).all()
    assert np.isfinite(tape.gradient(log_prob, log_x)).all()
