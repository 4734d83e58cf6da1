"""Exact draws from the Polya-Gamma distribution PG(1, c), under XLA.

References:
    Polson, Scott & Windle 2013, "Bayesian Inference for Logistic Models Using Polya-Gamma Latent
    Variables", JASA 108, section 4; Devroye 2009, "On exact simulation algorithms for some
    distributions related to Jacobi theta functions".
"""

from __future__ import annotations

import math

import tensorflow as tf
import tensorflow_probability as tfp

from tfbdl import random

SPLIT = 0.64  # between the two forms of the density's series, near the best place
TERMS = 3  # the next one is below 1e-26


def sample(c: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """One draw of PG(1, c) for each element of ``c``.

    ``PG(1, c) = J*(1, c / 2) / 4``; J* is drawn by rejection from an envelope of an inverse normal
    piece up to ``SPLIT`` and an exponential one beyond. An accept takes more than one trial in
    fewer than 0.1 % of cases.

    Args:
        c: ``[n]``, any real numbers.
        key: ``[2]``.

    Returns:
        ``[n]``, positive, of the dtype of ``c``; computed in float64.
    """
    z = 0.5 * tf.abs(tf.cast(c, tf.float64))
    below = _mass_below(z)

    def body(trial: tf.Tensor, x: tf.Tensor, wanted: tf.Tensor) -> tuple[tf.Tensor, ...]:
        now = random.fold_in(key, 2 * trial)  # numbers of a trial at once: quicker to compile
        chance, height, spread = tf.unstack(random.uniform((3, *z.shape), now, "float64"))
        rate = math.pi**2 / 8.0 + 0.5 * z**2
        tail = SPLIT - tf.math.log(spread) / rate
        near = _truncated_inverse_normal(z, random.fold_in(key, 2 * trial + 1))
        proposal = tf.where(chance < below, near, tail)
        x = tf.where(wanted, proposal, x)
        return trial + 1, x, wanted & (height >= _series(x))

    start = (tf.constant(0), tf.ones_like(z), tf.ones_like(z, tf.bool))
    _, x, _ = tf.while_loop(lambda trial, x, wanted: tf.reduce_any(wanted), body, start)
    return tf.cast(0.25 * x, c.dtype)


def mean(c: tf.Tensor) -> tf.Tensor:
    """``E[PG(1, c)] = tanh(c / 2) / (2 c)``, 1/4 at zero."""
    half = 0.5 * tf.abs(c)
    small = half < 1e-4
    safe = tf.where(small, tf.ones_like(half), half)
    return 0.25 * tf.where(small, 1.0 - half**2 / 3.0, tf.tanh(safe) / safe)


def _mass_below(z: tf.Tensor) -> tf.Tensor:
    """Share of the envelope's mass up to ``SPLIT``: q / (p + q) of Polson et al., Algorithm 1."""
    rate = math.pi**2 / 8.0 + 0.5 * z**2
    log_p = math.log(math.pi / 2.0) - tf.math.log(rate) - rate * SPLIT
    root = math.sqrt(SPLIT)
    log_ndtr = tfp.distributions.Normal(tf.zeros((), tf.float64), 1.0).log_cdf
    cdf = tfp.math.log_add_exp(
        log_ndtr((z * SPLIT - 1.0) / root), 2.0 * z + log_ndtr(-(z * SPLIT + 1.0) / root)
    )  # of an inverse normal with mean 1 / z, at SPLIT
    log_q = math.log(2.0) - z + cdf
    return tf.sigmoid(log_q - log_p)


def _series(x: tf.Tensor) -> tf.Tensor:
    """The density over its envelope, from the alternating series of a_n(x) / a_0(x).

    Sums of odd and even numbers of terms are bounds from below and above; after ``TERMS`` they
    agree to the last digit.
    """
    pace = tf.where(x <= SPLIT, 2.0 / x, 0.5 * math.pi**2 * x)
    total = tf.ones_like(x)
    for n in range(1, TERMS + 1):
        total += (-1.0) ** n * (2 * n + 1) * tf.exp(-n * (n + 1) * pace)
    return total


def _truncated_inverse_normal(z: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """An inverse normal with mean ``1 / z`` and shape 1, given that it is at most ``SPLIT``.

    Where the mean is larger than that, ``1 / N^2`` of a normal's tail, thinned by
    ``exp(-z^2 x / 2)``; else the whole inverse normal until it is small enough (Michael, Schucany
    & Haas 1976).
    """
    far = z * SPLIT < 1.0
    mu = 1.0 / tf.maximum(z, 1.0 / SPLIT)
    edge = 0.5 * math.erfc(1.0 / math.sqrt(2.0 * SPLIT))  # P(N > 1 / sqrt(SPLIT))

    def body(trial: tf.Tensor, x: tf.Tensor, wanted: tf.Tensor) -> tuple[tf.Tensor, ...]:
        chances = random.uniform((3, *z.shape), random.fold_in(key, trial), "float64")
        first, second, third = tf.unstack(chances)
        tail, normal = tf.unstack(tf.math.ndtri(tf.stack([edge * first, third])))
        beyond = 1.0 / tail**2
        a = 0.5 * mu * normal**2
        root = mu / (1.0 + a + tf.sqrt(a * (a + 2.0)))  # the smaller of two, whose product is mu^2
        whole = tf.where(first * (mu + root) <= mu, root, mu**2 / root)
        proposal = tf.where(far, beyond, whole)
        holds = tf.where(far, second < tf.exp(-0.5 * z**2 * beyond), whole <= SPLIT)
        x = tf.where(wanted, proposal, x)
        return trial + 1, x, wanted & ~holds

    start = (tf.constant(0), tf.ones_like(z), tf.ones_like(z, tf.bool))
    return tf.while_loop(lambda trial, x, wanted: tf.reduce_any(wanted), body, start)[1]
