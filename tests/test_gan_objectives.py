"""The losses of every objective against numbers worked out by hand, and the gradient penalty."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
from tfbdl_bayesian_gan import objectives

import tfbdl

LOG2, LOG3 = math.log(2.0), math.log(3.0)
# Outputs 0 and log 3 are D = 1/2 and D = 3/4; 1 - D is 1/2 and 1/4.
OUTPUTS = tf.constant([0.0, LOG3])
MINUS_LOG_D = [LOG2, math.log(4 / 3)]
MINUS_LOG_1_D = [LOG2, math.log(4.0)]
BY_HAND = {
    "minimax": (MINUS_LOG_D, MINUS_LOG_1_D, [-LOG2, -math.log(4.0)]),
    "non_saturating": (MINUS_LOG_D, MINUS_LOG_1_D, MINUS_LOG_D),
    "least_squares": (
        [0.5, 0.5 * (LOG3 - 1) ** 2],
        [0.0, 0.5 * LOG3**2],
        [0.5, 0.5 * (LOG3 - 1) ** 2],
    ),
    "wasserstein": ([0.0, -LOG3], [0.0, LOG3], [0.0, -LOG3]),
    "wasserstein_gp": ([0.0, -LOG3], [0.0, LOG3], [0.0, -LOG3]),
}


@pytest.mark.parametrize("name", list(objectives.OBJECTIVES))
def test_losses_are_those_worked_out_by_hand(name: str) -> None:
    game = objectives.get(name)
    on_real, on_fake, generator = BY_HAND[name]
    np.testing.assert_allclose(game.on_real(OUTPUTS), on_real, atol=1e-6)
    np.testing.assert_allclose(game.on_fake(OUTPUTS), on_fake, atol=1e-6)
    np.testing.assert_allclose(game.generator(OUTPUTS), generator, atol=1e-6)


def test_losses_of_extreme_logits_are_finite_and_have_gradients() -> None:
    logits = tf.constant([-200.0, 200.0])
    game = objectives.get("non_saturating")
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = game.generator(logits)
    np.testing.assert_allclose(losses, [200.0, 0.0])
    np.testing.assert_allclose(tape.gradient(losses, logits), [-1.0, 0.0])


def test_minimax_saturates_where_non_saturating_does_not() -> None:
    logit = tf.constant([-10.0])
    slopes = {}
    for name in ("minimax", "non_saturating"):
        with tf.GradientTape() as tape:
            tape.watch(logit)
            loss = objectives.get(name).generator(logit)
        slopes[name] = float(tape.gradient(loss, logit)[0])
    assert slopes["minimax"] == pytest.approx(-1 / (1 + math.exp(10.0)), rel=1e-4)
    assert slopes["non_saturating"] == pytest.approx(-1 / (1 + math.exp(-10.0)), rel=1e-4)


def test_label_smoothing_moves_the_target_of_data() -> None:
    # 0.9 (-log 3/4) + 0.1 (-log 1/4)
    found = objectives.real_loss(objectives.get("minimax"), OUTPUTS[1:], 0.1)
    np.testing.assert_allclose(found, [0.9 * math.log(4 / 3) + 0.1 * math.log(4)], rtol=1e-6)


def test_value_of_a_blind_discriminator_is_minus_log_4() -> None:
    zeros = tf.zeros(3)
    on_real, on_fake = objectives.maximised(objectives.get("non_saturating"), zeros, zeros)
    np.testing.assert_allclose(on_real + on_fake, [-math.log(4.0)] * 3, rtol=1e-6)


def test_gradient_penalty_of_a_plane_is_that_of_its_slope() -> None:
    # |grad| = |(3, 4)| = 5 everywhere, so (5 - 1)^2 = 16
    rng = np.random.default_rng(0)
    real, fake = (tf.constant(rng.normal(size=(6, 2)), tf.float32) for _ in range(2))
    u = tf.constant(rng.uniform(size=6), tf.float32)
    found = objectives.gradient_penalty(lambda x: tf.linalg.matvec(x, [3.0, 4.0]), real, fake, u)
    np.testing.assert_allclose(found, [16.0] * 6, rtol=1e-5)


def test_gradient_penalty_is_taken_between_the_rows() -> None:
    # f = x^2 / 2 has the slope x; the point is u * 4 + (1 - u) * 0
    u = tf.constant([0.25, 0.5, 1.0])
    real, fake = tf.fill([3, 1], 4.0), tf.zeros([3, 1])
    found = objectives.gradient_penalty(lambda x: 0.5 * x[:, 0] ** 2, real, fake, u)
    np.testing.assert_allclose(found, [0.0, 1.0, 9.0], atol=1e-5)


def test_gradient_penalty_of_images_sums_over_all_pixels() -> None:
    # f = sum of 2 x 3 pixels: |grad| = sqrt(6)
    images = tf.ones([2, 2, 3, 1])
    found = objectives.gradient_penalty(
        lambda x: tf.reduce_sum(x, axis=[1, 2, 3]), images, images, tf.constant([0.3, 0.6])
    )
    np.testing.assert_allclose(found, [(math.sqrt(6) - 1) ** 2] * 2, rtol=1e-5)


def test_gradient_penalty_of_a_constant_critic_has_a_finite_gradient() -> None:
    slope = tf.Variable(0.0)
    with tf.GradientTape() as tape:
        found = objectives.gradient_penalty(
            lambda x: slope * x[:, 0], tf.ones([2, 1]), tf.zeros([2, 1]), tf.constant([0.5, 0.5])
        )
    np.testing.assert_allclose(found, [1.0, 1.0], rtol=1e-4)
    assert np.isfinite(tape.gradient(found, slope))


def test_an_unknown_objective_names_the_nearest() -> None:
    with pytest.raises(tfbdl.errors.UnknownNameError, match="Did you mean 'wasserstein'"):
        objectives.get("waserstein")
