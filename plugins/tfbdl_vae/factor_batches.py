"""Mini-batches in which one factor alone varies, by (seed, epoch, step)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfbdl.errors import DataError

ROWS_AT_ONCE = 4096


class BatchType(NamedTuple):
    """The rows that batches of one type are drawn from, in groups that agree in all else.

    Attributes:
        factor: The factor that varies; the number of factors stands for what is intrinsic.
        rows: Rows of all groups, group after group: ``[N]``.
        starts: Where each group begins in them, and their end: ``[G + 1]``.
    """

    factor: int
    rows: np.ndarray
    starts: np.ndarray


class FactorBatches:
    """Batches of the types that the data admit, of DC-IGN's training.

    A batch of type k < K holds groups of rows that agree in all factors but k, one of type K groups
    of rows that agree in all K factors and differ nevertheless. A group that is larger than a batch
    gives some of its rows; smaller ones fill it together, each a mini-batch of the paper's.

    Args:
        x: Rows ``[n, ...]``.
        factors: ``[n, K]``; rows agree where the numbers are equal.
        intrinsic_ratio: How often a batch is of type K, beside 1 of each other type.

    Attributes:
        types: Those that the data admit.

    Raises:
        DataError: If no two rows differ in one factor alone.

    References:
        Kulkarni et al. 2015, "Deep Convolutional Inverse Graphics Network", section 3.2.
    """

    def __init__(self, x: np.ndarray, factors: np.ndarray, intrinsic_ratio: float) -> None:
        self.x, count = x, factors.shape[1]
        found = [_extrinsic(factors, k) for k in range(count)]
        if intrinsic_ratio > 0:
            found.append(_intrinsic(x, factors))
        self.types = [kind for kind in found if len(kind.rows)]
        if not self.types:
            raise DataError(
                "No two rows agree in all factors but one, so there is no mini-batch in which one "
                f"alone varies. Expected such rows. Received: y of shape {list(factors.shape)}; "
                "round numbers that stand for the same value."
            )
        ratio = [intrinsic_ratio if kind.factor == count else 1.0 for kind in self.types]
        self.probs = np.asarray(ratio) / np.sum(ratio)

    def plan(self, seed: int, epoch: int, step: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """One batch.

        Returns:
            Indices of its rows ``[m]``, m at most ``size``; and for each its type and its group,
            counted from 0 within the batch: ``[m, 2]`` int32.
        """
        rng = np.random.default_rng([seed, epoch, step])
        kind = self.types[rng.choice(len(self.types), p=self.probs)]
        places = rng.choice(len(kind.rows), min(size, len(kind.rows)), replace=False)
        hit = np.searchsorted(kind.starts, places, side="right") - 1
        groups = hit[np.sort(np.unique(hit, return_index=True)[1])]  # in the order they were drawn
        lengths = kind.starts[groups + 1] - kind.starts[groups]
        groups = groups[: np.searchsorted(lengths.cumsum(), size) + 1]
        rows = [rng.permutation(kind.rows[kind.starts[g] : kind.starts[g + 1]]) for g in groups]
        own = np.repeat(np.arange(len(groups)), [len(part) for part in rows])[:size]
        labels = np.stack([np.full(len(own), kind.factor), own], axis=1)
        return np.concatenate(rows)[:size], labels.astype("int32")

    def batches(
        self, size: int, *, seed: int, start_epoch: int = 0, skip: int = 0, repeat: bool = True
    ) -> tf.data.Dataset:
        """Batches ``((x, labels),)``, as ``plan`` makes them; see ``Dataset.batches``.

        An epoch has as many batches as fill the rows once, though a row may come twice or not at
        all.
        """
        steps = -(-len(self.x) // size)
        first = start_epoch * steps + skip
        with tf.device("CPU:0"):
            x = tf.convert_to_tensor(self.x)

        def planned(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            epoch, step = divmod(int(index), steps)
            return self.plan(seed, epoch, step, size)

        def batch(index: tf.Tensor) -> tuple[tuple[tf.Tensor, tf.Tensor]]:
            rows, labels = tf.numpy_function(planned, [index], [tf.int64, tf.int32])
            rows, labels = tf.ensure_shape(rows, [None]), tf.ensure_shape(labels, [None, 2])
            return ((tf.gather(x, rows), labels),)

        stop = tf.int64.max if repeat else (start_epoch + 1) * steps
        length = tf.data.INFINITE_CARDINALITY if repeat else stop - first
        options = tf.data.Options()
        policy = tf.data.experimental.AutoShardPolicy.DATA
        options.experimental_distribute.auto_shard_policy = policy
        return (
            tf.data.Dataset.range(first, stop)
            .map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
            .apply(tf.data.experimental.assert_cardinality(length))
            .prefetch(tf.data.AUTOTUNE)
            .with_options(options)
        )


def _extrinsic(factors: np.ndarray, k: int) -> BatchType:
    """Groups that agree in all factors but k, and differ in that one."""
    group = _groups(np.delete(factors, k, axis=1))
    low, high = np.full(group.max() + 1, np.inf), np.full(group.max() + 1, -np.inf)
    np.minimum.at(low, group, factors[:, k])
    np.maximum.at(high, group, factors[:, k])
    return _of_groups(k, group, low < high)


def _intrinsic(x: np.ndarray, factors: np.ndarray) -> BatchType:
    """Groups that agree in all factors, and whose rows differ all the same."""
    group = _groups(factors)
    example = np.zeros(group.max() + 1, "int64")
    example[group] = np.arange(len(group))
    differs = np.zeros(len(example), bool)
    rows = np.flatnonzero(example[group] != np.arange(len(group)))
    for i in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[i : i + ROWS_AT_ONCE]
        unlike = (x[some] != x[example[group[some]]]).reshape(len(some), -1).any(axis=1)
        differs[group[some[unlike]]] = True
    return _of_groups(factors.shape[1], group, differs)


def _groups(factors: np.ndarray) -> np.ndarray:
    """A number for each row, the same where all factors agree: ``[n]``."""
    if not factors.shape[1]:
        return np.zeros(len(factors), "int64")
    return np.unique(factors, axis=0, return_inverse=True)[1].reshape(-1)


def _of_groups(factor: int, group: np.ndarray, admitted: np.ndarray) -> BatchType:
    order = np.argsort(group, kind="stable")
    order = order[admitted[group[order]]]
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    return BatchType(factor, order, np.append(starts, len(order)))
