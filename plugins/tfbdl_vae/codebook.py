"""Codebook: vectors that stand for what is near them, and how they follow the encoder."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.inference.surrogate import read

from .replicas import over_replicas

SMOOTHING = 1e-5
"""What each count is raised by, so that no code is divided by nothing."""


def nearest(z: tf.Tensor, vectors: tf.Tensor) -> tf.Tensor:
    """The index of the vector nearest to each row, by Euclidean distance.

    Args:
        z: ``[..., d]``.
        vectors: ``[K, d]``.

    Returns:
        ``[...]``, int32 from 0 to K - 1.
    """
    flat = tf.reshape(z, [-1, vectors.shape[-1]])
    # |z - e|² = |z|² - 2 z'e + |e|², whose first term is the same for all codes
    distances = tf.reduce_sum(tf.square(vectors), axis=-1) - 2.0 * tf.matmul(
        flat, vectors, transpose_b=True
    )
    return tf.reshape(tf.argmin(distances, axis=-1, output_type=tf.int32), tf.shape(z)[:-1])


def straight_through(z: tf.Tensor, e: tf.Tensor) -> tf.Tensor:
    """``e``, bit for bit, with the gradient of ``z`` (van den Oord et al. 2017, section 3.2)."""
    return tf.stop_gradient(e) + (z - tf.stop_gradient(z))


class Codebook(keras.layers.Layer):
    """``K`` vectors, each in the place of the points that are nearer to it than to the others.

    They follow the points by moving averages, a running form of k-means, or by the gradient of
    the loss. With ``n_i`` points at the code i in a step, whose sum is ``s_i``,

        N_i <- decay N_i + (1 - decay) n_i
        m_i <- decay m_i + (1 - decay) s_i
        e_i <- m_i / N'_i,    N'_i = (N_i + c) / (N + K c) N,    N = sum_i N_i

    (van den Oord et al. 2017, appendix A.1, eqs. 6 to 8; c is a Laplace smoothing). At the start
    each ``N_i`` is 1 and each ``e_i`` is drawn.

    In even use each code has the share ``P / K`` of a step's ``P`` points. At first the averages
    are still nearer to their start than to that; what counts as the even share then is their mean.

    Args:
        size: Number ``K`` of codes.
        embedding_dim: Size ``d`` of a code's vector.
        moving_averages: Whether the vectors follow by moving averages; else by gradients.
        decay: Of the moving averages.
        restart: A code whose ``N_i`` falls below this part of the even share begins anew at a point
            of the batch, with the even share as its ``N_i``.
        seed: Of the first vectors.

    Attributes:
        vectors: ``[K, d]``.
        counts: ``N_i``, ``[K]``.
        sums: ``m_i``, ``[K, d]``; None where the vectors follow by gradients.
    """

    def __init__(
        self,
        size: int,
        embedding_dim: int,
        moving_averages: bool,
        decay: float,
        restart: float,
        seed: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(dtype=keras.config.floatx(), **kwargs)
        self.size, self.embedding_dim = size, embedding_dim
        self.moving_averages, self.decay, self.restart = moving_averages, decay, restart
        reach = (3.0 / embedding_dim) ** 0.5  # uniform, of mean square norm 1
        shape = (size, embedding_dim)
        drawn = random.uniform(shape, random.key(seed, "codebook"), self.dtype).numpy()
        first = reach * (2.0 * drawn - 1.0)
        self.vectors = self._state("vectors", first, trainable=not moving_averages)
        self.counts = self._state("counts", np.ones(size, self.dtype))
        self.sums = self._state("sums", first) if moving_averages else None
        self.built = True

    def _state(self, name: str, value: np.ndarray, trainable: bool = False) -> keras.Variable:
        """A weight at its start; one that no gradient moves is the same on all replicas."""
        more = {} if trainable else {"aggregation": "only_first_replica"}
        weight = self.add_weight(
            name=name,
            shape=value.shape,
            initializer="zeros",
            trainable=trainable,
            autocast=False,
            **more,
        )
        weight.assign(value)
        return weight

    def nearest(self, z: tf.Tensor) -> tf.Tensor:
        """The codes of points ``z [..., d]``: ``[...]``."""
        return nearest(tf.stop_gradient(z), tf.stop_gradient(read(self.vectors)))

    def call(self, indices: tf.Tensor) -> tf.Tensor:
        """The vectors of codes ``[...]``: ``[..., d]``."""
        return tf.gather(read(self.vectors), indices)

    def follow(self, z: tf.Tensor, indices: tf.Tensor, key: tf.Tensor) -> None:
        """Move on after a step of training, whose points are those of all replicas.

        Args:
            z: This replica's points, ``[..., d]``.
            indices: Their codes, ``[...]``.
            key: Of the points at which codes begin anew.
        """
        z = tf.reshape(z, [-1, self.embedding_dim])
        flat = tf.reshape(indices, [-1])
        n = tf.math.unsorted_segment_sum(tf.ones_like(z[:, 0]), flat, self.size)
        n, s = over_replicas([n, tf.math.unsorted_segment_sum(z, flat, self.size)])
        vectors = read(self.vectors)
        counts = self.decay * read(self.counts) + (1.0 - self.decay) * n  # eq. 6
        sums = None
        if self.sums is not None:
            sums = self.decay * read(self.sums) + (1.0 - self.decay) * s  # eq. 7
            total = tf.reduce_sum(counts)
            smooth = (counts + SMOOTHING) / (total + self.size * SMOOTHING) * total
            vectors = sums / smooth[:, tf.newaxis]  # eq. 8
        if self.restart > 0:
            even = tf.minimum(tf.reduce_mean(n), tf.reduce_mean(counts))
            dead = counts < self.restart * even
            vectors = tf.where(dead[:, tf.newaxis], self._points(z, vectors, key), vectors)
            counts = tf.where(dead, even, counts)
            if sums is not None:
                sums = tf.where(dead[:, tf.newaxis], even * vectors, sums)
        self.counts.assign(counts)
        if self.sums is not None:
            self.sums.assign(sums)
        if self.sums is not None or self.restart > 0:
            self.vectors.assign(vectors)

    def _points(self, z: tf.Tensor, vectors: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """A point of the batch for each code; where there is none, a vector of the codebook."""
        rows = tf.cast(tf.shape(z)[0], z.dtype)
        drawn = random.uniform((self.size,), key, z.dtype)
        index = tf.minimum(tf.cast(drawn * rows, tf.int32), tf.maximum(tf.shape(z)[0] - 1, 0))
        return tf.gather(tf.concat([z, vectors[:1]], axis=0), index)
