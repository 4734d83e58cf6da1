"""Sums that keep their digits, compiled and not."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_probability import distributions as tfd

import tfbdl
from tfbdl.layers.divergences import KLDivergence
from tfbdl.sums import event_sum


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("shape", [(), (5,), (513,), (300_000,), (784, 400), (3, 3, 64, 128)])
def test_many_like_numbers_keep_six_digits(shape, jit):
    values = tf.fill(shape, 4.5037)
    exact = np.asarray(values, np.float64).sum()
    found = tf.function(event_sum, jit_compile=jit)(values)
    assert float(found) == pytest.approx(exact, rel=3e-6)


def test_only_the_last_axes_are_summed():
    values = np.random.default_rng(0).normal(size=(3, 2, 40, 30))
    np.testing.assert_allclose(event_sum(tf.constant(values), 2), values.sum((2, 3)), rtol=1e-12)
    np.testing.assert_array_equal(event_sum(tf.constant(values), 0), values)

    @tf.function(input_signature=[tf.TensorSpec([None, 2, 40, 30], tf.float64)])
    def unknown(batch):
        return event_sum(batch, 2)

    np.testing.assert_allclose(unknown(values), values.sum((2, 3)), rtol=1e-12)


def test_what_is_not_known_of_the_shape_is_summed_too():
    @tf.function(input_signature=[tf.TensorSpec([None, None, 3]), tf.TensorSpec(None)])
    def unknown(values, any_rank):
        return event_sum(values, 2), event_sum(any_rank)

    values = np.arange(24, dtype="float32").reshape(2, 4, 3)
    rows, total = unknown(values, values)
    np.testing.assert_array_equal(rows, values.sum((1, 2)))
    assert total == values.sum()


def test_the_gradient_is_one_for_each_element():
    values = tf.Variable(tf.fill((700, 3), 2.0))
    with tf.GradientTape() as tape:
        total = event_sum(tf.square(values))
    np.testing.assert_allclose(tape.gradient(total, values), np.full((700, 3), 4.0))


def test_the_divergence_of_a_large_kernel_keeps_its_digits_under_xla():
    """Half a million weights of one scale."""
    shape, scale = (800, 600), np.log1p(np.exp(-5.0))
    loc = np.random.default_rng(1).normal(0, 0.05, shape).astype("float32")

    @tf.function(jit_compile=True)
    def divergence(loc):
        posterior = tfd.Independent(tfd.Normal(loc, np.float32(scale)), 2)
        return KLDivergence()(posterior, tfbdl.prior("normal").distribution(shape))

    exact = np.sum(-np.log(scale) + (scale**2 + loc.astype("float64") ** 2) / 2 - 0.5)
    assert float(divergence(loc)) == pytest.approx(exact, rel=1e-6)
