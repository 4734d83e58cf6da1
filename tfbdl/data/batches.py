"""Epochs of shuffled batches whose order is a function of (seed, epoch) alone."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

_SALT = 0x5EED  # keeps the order apart from other streams of the same seed


def permutation(num_rows: int, seed: int, epoch: Any) -> tf.Tensor:
    """The order of the rows in one epoch, ``[num_rows]`` int64.

    The indices sorted by independent 64-bit keys of the Philox generator; equal keys (of
    probability below n**2 / 2**64) keep their order.

    Args:
        num_rows: At least 1.
        seed: From 0 to 2**63 - 1.
        epoch: A whole number or a scalar integer tensor.
    """
    key = tf.random.fold_in(
        tf.constant([seed, _SALT], "int64"), tf.cast(epoch, "int64"), alg="philox"
    )
    bits = tf.random.stateless_uniform(
        [num_rows], key, minval=None, maxval=None, dtype="int64", alg="philox"
    )
    return tf.cast(tf.argsort(bits, stable=True), "int64")


def steps_per_execution(steps: int, most: int) -> int:
    """The largest number of steps up to ``most`` that divides an epoch.

    Keras makes whole executions alone: with batches that never end, an epoch of 40 steps by
    executions of 32 has 64.

    Args:
        steps: Of an epoch, at least 1.
        most: At least 1.
    """
    return next(k for k in range(min(steps, most), 0, -1) if steps % k == 0)


def epochs_of_batches(
    tensors: Any,
    num_rows: int,
    batch_size: int,
    *,
    seed: int,
    shuffle: bool,
    start_epoch: int,
    skip: int = 0,
    repeat: bool,
) -> tf.data.Dataset:
    """Batches of rows, epoch after epoch.

    Indices are shuffled and cut once an epoch; each batch is then one gather a tensor.

    Args:
        tensors: A nest of tensors ``[num_rows, ...]``.
        num_rows: Rows of each.
        batch_size: At least 1; the last batch of an epoch may be smaller.
        seed: Of the order.
        shuffle: Whether to draw an order; otherwise, and where one batch holds all rows, they come
            as they stand: rows may be the steps of a sequence.
        start_epoch: The first epoch.
        skip: Batches of it to leave out.
        repeat: Whether to go on for ever.
    """
    full = num_rows // batch_size * batch_size
    mixed = shuffle and batch_size < num_rows

    def order(epoch: tf.Tensor) -> tf.Tensor:
        return permutation(num_rows, seed, epoch) if mixed else tf.range(num_rows, dtype="int64")

    def cut(indices: tf.Tensor) -> tf.data.Dataset:
        rest = tf.data.Dataset.from_tensors(indices[full:])
        if not full:
            return rest
        whole = tf.data.Dataset.from_tensor_slices(tf.reshape(indices[:full], [-1, batch_size]))
        return whole if full == num_rows else whole.concatenate(rest)

    def rows(indices: tf.Tensor) -> Any:
        return tf.nest.map_structure(lambda tensor: tf.gather(tensor, indices), tensors)

    stop = tf.int64.max if repeat else start_epoch + 1
    length = tf.data.INFINITE_CARDINALITY if repeat else -(-num_rows // batch_size) - skip
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return (
        tf.data.Dataset.range(start_epoch, stop)
        .map(order)
        .prefetch(1)  # the next epoch is shuffled while this one runs
        .flat_map(cut)
        .skip(skip)
        .map(rows, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .apply(tf.data.experimental.assert_cardinality(length))
        .prefetch(tf.data.AUTOTUNE)
        .with_options(options)
    )
