"""Sums in order: what runs without XLA gives the same bits, whichever thread was first."""

import numpy as np
import tensorflow as tf

from tfbdl.inference.compilation import sums_in_order

TERMS = np.array([1e4, 1.0, -1e4, 1e3, 1e-2, 7.0])
ROWS = (np.random.default_rng(0).normal(size=(6, 40)) * TERMS[:, np.newaxis]).astype("float32")


@tf.function(autograph=False)
def chain(x):
    """A sum of six terms, each of which something slow needs too."""
    terms = [x[i] + 100.0 * tf.sin(x[i]) for i in range(6)]
    slow = [tf.reduce_sum(tf.linalg.expm(1e-6 * tf.linalg.diag(term))) for term in terms]
    total = terms[0]
    for term in terms[1:]:
        total += term
    return total, tf.stack(slow)


def test_a_chain_of_additions_has_the_same_bits_each_time():
    # without, the terms came in 4 orders in 500 calls on two cores: 445, 47, 7 and 1 times
    with sums_in_order():
        found = {chain(tf.constant(ROWS))[0].numpy().tobytes() for _ in range(500)}
    assert len(found) == 1
    terms = ROWS + np.float32(100.0) * tf.sin(ROWS).numpy()
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    np.testing.assert_allclose(np.frombuffer(found.pop(), "float32"), total, rtol=1e-5, atol=1e-3)


def test_options_are_afterwards_as_they_were():
    options = tf.config.optimizer
    before = options.get_experimental_options()
    with sums_in_order():
        assert options.get_experimental_options()["arithmetic_optimization"] is False
    assert options.get_experimental_options() == before
    options.set_experimental_options({"arithmetic_optimization": True})
    with sums_in_order():
        pass
    assert options.get_experimental_options()["arithmetic_optimization"] is True
    options.set_experimental_options({"arithmetic_optimization": None})
    assert options.get_experimental_options() == before
