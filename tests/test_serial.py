"""A serial map and what it leaves behind."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfbdl.serial import map_serially


def test_map_gives_what_the_function_gives_for_each_element():
    pairs = (tf.constant([[1.0, 2.0], [3.0, 4.0]]), tf.constant([10, 20]))
    kinds = (tf.TensorSpec((), tf.float32), tf.TensorSpec((2,), tf.int32))
    graph = tf.function(
        lambda: map_serially(lambda p: (tf.reduce_sum(p[0]), tf.stack([p[1], -p[1]])), pairs, kinds)
    )
    sums, signs = graph()
    np.testing.assert_array_equal(sums, [3.0, 7.0])
    np.testing.assert_array_equal(signs, [[10, -10], [20, -20]])


def test_strategy_begins_after_a_function_that_failed():
    def fails(x):
        raise ArithmeticError("of the model")

    with pytest.raises(ArithmeticError, match="of the model"):
        tf.function(lambda: map_serially(fails, tf.zeros([3])), autograph=False)()
    with tf.distribute.OneDeviceStrategy("CPU:0").scope():
        assert tf.distribute.has_strategy()
