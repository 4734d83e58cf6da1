"""Eq. (1) to (4), (7) and (8) of Saatchi & Wilson 2017, against numbers computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import tensorflow as tf
from tfbdl_bayesian_gan import log_posteriors, semi_supervised

from tfbdl.errors import OptionsError

RNG = np.random.default_rng(0)


def test_log_posterior_of_a_generator_is_the_product_over_all_rows() -> None:
    logits = RNG.normal(size=(3, 5))
    log_prior = RNG.normal(size=3)
    expected = 20 / 5 * np.log(scipy.special.expit(logits)).sum(axis=1) + log_prior
    found = log_posteriors.of_generator(log_posteriors.log_real(logits), log_prior, 20.0)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_log_posterior_of_a_discriminator_is_the_product_over_all_rows() -> None:
    real, fake = RNG.normal(size=(2, 4)), RNG.normal(size=(2, 6))
    D = scipy.special.expit
    expected = 12 / 4 * np.log(D(real)).sum(1) + 12 / 6 * np.log(1 - D(fake)).sum(1) + [0.5, -1]
    found = log_posteriors.of_discriminator(
        log_posteriors.log_real(real), log_posteriors.log_fake(fake), np.array([0.5, -1.0]), 12.0
    )
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_gradient_counts_a_minibatch_n_over_its_size_times_once() -> None:
    w = tf.Variable([0.3, -0.2], dtype=tf.float64)
    x = tf.constant(RNG.normal(size=(50, 2)))

    def gradient(rows: tf.Tensor) -> np.ndarray:
        with tf.GradientTape() as tape:
            log_reals = log_posteriors.log_real(tf.linalg.matvec(rows, w))
            value = log_posteriors.of_generator(log_reals, -0.5 * tf.reduce_sum(w**2), 50.0)
        return tape.gradient(value, w).numpy()

    logits = x.numpy() @ w.numpy()
    whole = (scipy.special.expit(-logits)[:, None] * x.numpy()).sum(axis=0) - w.numpy()
    np.testing.assert_allclose(gradient(x), whole, rtol=1e-12)
    batches = np.stack([gradient(x[i : i + 10]) for i in range(0, 50, 10)])
    np.testing.assert_allclose(batches.mean(axis=0), whole, rtol=1e-12)  # unbiased


def test_log_densities_are_finite_at_extreme_logits() -> None:
    extreme = tf.constant([-1e4, 1e4])
    np.testing.assert_array_equal(log_posteriors.log_real(extreme), [-1e4, 0.0])
    np.testing.assert_array_equal(log_posteriors.log_fake(extreme), [0.0, -1e4])
    many = tf.constant([[1e4, 0.0, 0.0], [-1e4, 0.0, 0.0]])
    np.testing.assert_allclose(semi_supervised.log_real(many), [-1e4 + np.log(2), 0.0], rtol=1e-6)
    np.testing.assert_allclose(semi_supervised.log_fake(many), [0.0, -1e4 - np.log(2)], rtol=1e-6)


def test_marginal_is_the_log_of_the_mean_or_its_lower_bound() -> None:
    values = RNG.normal(size=(7, 3))
    exact = log_posteriors.marginal(tf.constant(values), "log_mean_exp").numpy()
    np.testing.assert_allclose(exact, np.log(np.exp(values).mean(axis=0)), rtol=1e-12)
    bound = log_posteriors.marginal(tf.constant(values)).numpy()
    np.testing.assert_allclose(bound, values.mean(axis=0), rtol=1e-12)
    assert (bound < exact).all()  # Jensen
    one = tf.constant(values[:1])
    np.testing.assert_allclose(
        log_posteriors.marginal(one, "log_mean_exp"), log_posteriors.marginal(one), rtol=1e-12
    )


def test_marginal_names_the_nearest_rule() -> None:
    with pytest.raises(OptionsError, match="algorithm"):
        log_posteriors.marginal(tf.zeros((1, 1)), "algoritm")


def test_semi_supervised_densities_are_those_of_a_softmax_over_k_plus_one_classes() -> None:
    logits = RNG.normal(size=(2, 6, 4))
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(
        semi_supervised.log_real(logits), np.log(p[..., 1:].sum(-1)), rtol=1e-12
    )
    np.testing.assert_allclose(semi_supervised.log_fake(logits), np.log(p[..., 0]), rtol=1e-12)
    np.testing.assert_allclose(
        semi_supervised.class_probs(tf.constant(logits)),
        p[..., 1:] / p[..., 1:].sum(-1, keepdims=True),
        rtol=1e-12,
    )


def test_labelled_rows_count_as_all_that_are_labelled() -> None:
    logits, labels = RNG.normal(size=(2, 6, 4)), np.array([0, 2, 1, 1, 0, 2])
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    chosen = np.log([[p[j, i, labels[i] + 1] for i in range(6)] for j in range(2)])
    found = semi_supervised.of_labels(tf.constant(logits), tf.constant(labels), 30.0)
    np.testing.assert_allclose(found, 30 / 6 * chosen.sum(axis=1), rtol=1e-12)


def test_two_classes_reduce_to_the_binary_discriminator() -> None:
    logit = RNG.normal(size=9)
    both = np.stack([np.zeros(9), logit], axis=-1)
    np.testing.assert_allclose(
        semi_supervised.log_real(both), log_posteriors.log_real(logit), rtol=1e-12
    )
    np.testing.assert_allclose(
        semi_supervised.log_fake(both), log_posteriors.log_fake(logit), rtol=1e-12
    )
