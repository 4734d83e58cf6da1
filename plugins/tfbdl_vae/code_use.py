"""A metric of codebooks: how many codes are in use."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class CodeUse(keras.metrics.Metric):
    """How many codes of a codebook are in use: the exponential of the entropy of their shares.

    Args:
        size: Number of codes.
    """

    def __init__(self, size: int) -> None:
        super().__init__(name="perplexity")
        self.counts = self.add_variable((size,), "zeros", name="counts")

    def update_state(self, indices: Any) -> None:
        """Take in the codes of a batch, ``[n, ...]``."""
        flat = tf.reshape(indices, [-1])
        ones = tf.ones_like(flat, self.counts.dtype)
        self.counts.assign_add(tf.math.unsorted_segment_sum(ones, flat, self.counts.shape[0]))

    def result(self) -> tf.Tensor:
        """From 1 to the number of codes."""
        return perplexity(tf.convert_to_tensor(self.counts))


def perplexity(counts: tf.Tensor) -> tf.Tensor:
    """The exponential of the entropy of the shares that ``counts [K]`` are of their sum."""
    share = tf.math.divide_no_nan(counts, tf.reduce_sum(counts))
    return tf.exp(-tf.reduce_sum(tf.math.xlogy(share, share)))
