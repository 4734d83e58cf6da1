"""Weights of a VAE's objective: loss by hand, free bits and capacity, means over replicas."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats
from tfbdl_vae.bound import Terms
from vae_linear import NOISE, LinearGaussian, float64, loss_of

from tfbdl.testing import frozen_noise, two_logical_cpus

tfd = tfp.distributions


@pytest.fixture(autouse=True)
def double():
    with float64():
        yield


RECONSTRUCTION = np.array([-3.0, -5.0])
PARTS = np.array([[0.1, 2.0], [0.5, 4.0]])  # means 0.3 and 3


def hand_terms():
    kl = tf.constant(PARTS.sum(axis=1))
    return Terms(tf.constant(RECONSTRUCTION[None]), kl, tf.constant(PARTS), None)


@pytest.mark.parametrize(
    ("options", "kl"),
    [
        ({}, 3.3),
        ({"beta": 4.0}, 13.2),
        ({"beta": 4.0, "kl_weight": 0.5}, 6.6),
        ({"capacity": 1.3, "gamma": 10.0}, 20.0),
        ({"capacity": 5.3, "gamma": 10.0}, 20.0),
        ({"free_bits": 0.4}, 3.4),
        ({"free_bits": 4.0}, 8.0),
        ({"free_bits": 0.4, "beta": 2.0}, 6.8),
        ({"free_bits": 1.5, "estimator": "A"}, 3.3),  # of all dimensions together: 3 nats are less
        ({"free_bits": 2.0, "estimator": "A"}, 4.0),
    ],
)
def test_the_loss_of_hand_made_terms_is_the_hand_computed_one(options, kl):
    model = LinearGaussian().vae(**options)
    bound, loss = model.weighted_bound(hand_terms(), tf.constant(2), None)
    np.testing.assert_allclose(loss, 4.0 + kl, rtol=1e-12)
    np.testing.assert_allclose(bound, RECONSTRUCTION - PARTS.sum(axis=1))  # unweighted


@pytest.mark.replicas
@pytest.mark.parametrize(
    ("options", "expected", "slopes"),
    [  # the parts' means over all four rows are 2.5 and 3, over two each 0.5 and 4.5, 2 and 4
        ({"free_bits": 2.75}, 2.75 + 3.0, [0.0, 0.25]),
        ({"capacity": 6.0, "gamma": 10.0}, 5.0, [-2.5, -2.5]),
        ({"capacity": 6.0, "gamma": 10.0, "free_bits": 2.75}, 2.5, [0.0, -2.5]),
    ],
)
def test_free_bits_and_capacity_go_by_the_mean_over_all_replicas(options, expected, slopes):
    if not two_logical_cpus():
        pytest.skip("TensorFlow cannot make two logical CPUs here.")
    two = tf.distribute.MirroredStrategy(
        ["CPU:0", "CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    rows = tf.constant([[0.2, 1.0], [0.8, 3.0], [5.0, 4.5], [4.0, 3.5]], tf.float64)
    model = LinearGaussian().vae(**options)

    def step(parts):
        with tf.GradientTape() as tape:
            tape.watch(parts)
            count = tf.shape(parts)[0]
            log_lik = tf.zeros([1, count], parts.dtype)
            terms = Terms(log_lik, tf.reduce_sum(parts, axis=1), parts, None)
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            loss = model.weighted_bound(terms, count, None)[1] / replicas
        return loss, tape.gradient(loss, parts)

    alone = step(rows)
    halves = two.experimental_distribute_values_from_function(
        lambda context: tf.split(rows, 2)[context.replica_id_in_sync_group]
    )
    losses, gradients = two.run(step, [halves])
    together = (
        sum(two.experimental_local_results(losses)),
        tf.concat(two.experimental_local_results(gradients), axis=0),
    )
    for loss, gradient in (alone, together):
        np.testing.assert_allclose(loss, expected, rtol=1e-12)
        np.testing.assert_allclose(gradient, np.tile(slopes, (4, 1)), atol=1e-12)


def test_the_importance_weighted_loss_of_hand_made_terms_weighs_the_ratio():
    model = LinearGaussian().vae(importance_weighted=True, num_samples=2, beta=0.5)
    log_lik, log_ratio = np.array([[-1.0, -2.0], [-3.0, -2.0]]), np.array([[0.0, 2.0], [1.0, -4.0]])
    terms = Terms(tf.constant(log_lik), tf.zeros([2]), None, tf.constant(log_ratio))
    _, loss = model.weighted_bound(terms, tf.constant(2), None)
    expected = -np.log(np.mean(np.exp(log_lik + 0.5 * log_ratio), axis=0)).mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-12)


def test_the_loss_is_a_mean_over_rows_of_sums_over_elements():
    truth = LinearGaussian(orthogonal=True)
    model, x = truth.vae(wrong=0.2), truth.rows(4)
    with frozen_noise():
        once, thrice = loss_of(model, x), loss_of(model, np.tile(x, (3, 1)))
    loc = (x - truth.b) @ truth.gain.T + 0.2
    variance = np.diag(truth.covariance) * 1.2**2
    log_lik = stats.norm.logpdf(x, loc @ truth.W.T + truth.b, NOISE).sum(axis=1)
    kl = 0.5 * (loc**2 + variance - 1 - np.log(variance)).sum(axis=1)
    np.testing.assert_allclose(once, np.mean(kl - log_lik), rtol=1e-9)
    np.testing.assert_allclose(thrice, once, rtol=1e-12)
