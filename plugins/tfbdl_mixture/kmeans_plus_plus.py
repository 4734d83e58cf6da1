"""Where centres start (greedy k-means++), and how Lloyd's iterations move them: pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.errors import DataError, OptionsError


def centers(rows: Any, k: int, seed: int) -> np.ndarray:
    """Choose ``k`` rows that lie far apart, by greedy k-means++.

    Each centre after the first is the best of ``2 + floor(ln k)`` candidates, drawn with
    probabilities in proportion to the squared distance from the nearest centre so far: the one
    that leaves the smallest sum of squared distances.

    Args:
        rows: ``[n, d]``, finite.
        k: How many, from 1 to n.
        seed: Of the draws.

    Returns:
        ``[k, d]``, of the dtype of ``rows``. Where fewer than ``k`` rows differ, some are equal.

    Raises:
        DataError: If there are fewer rows than centres.

    References:
        Arthur & Vassilvitskii 2007, "k-means++", sections 2.2 and 7.
    """
    rows = np.asarray(rows)
    check_rows(len(rows), k)
    x = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    candidates = 2 + int(math.log(k))
    uniforms = random.uniform([k, candidates], random.key(seed, "k-means++"), "float64").numpy()
    lengths = np.einsum("nd,nd->n", x, x)
    chosen = [_place(np.ones(len(x)), uniforms[0, :1])[0]]
    nearest = _squared_distances(x, lengths, np.asarray(chosen))[0]
    for step in range(1, k):
        weights = nearest if nearest.sum() > 0 else np.ones(len(x))
        places = _place(weights, uniforms[step])
        trial = np.minimum(nearest, _squared_distances(x, lengths, places))  # [candidates, n]
        best = int(trial.sum(axis=1).argmin())
        chosen.append(places[best])
        nearest = trial[best]
    return rows[np.asarray(chosen)]


def start_centers(rows: Any, k: int, method: str, seed: int, who: str) -> np.ndarray:
    """Rows to begin at.

    Args:
        rows: ``[n, d]``, finite.
        k: How many, from 1 to n.
        method: ``auto`` and ``kmeans++``: rows that lie far apart; ``random``: any.
        seed: Of the draws.
        who: What begins there, for the error: "A Gaussian mixture".

    Returns:
        ``[k, d]``, of the dtype of ``rows``.

    Raises:
        OptionsError: If the method has another name.
        DataError: If there are fewer rows than centres.
    """
    if method in ("auto", "kmeans++"):
        return centers(rows, k, seed)
    if method != "random":
        raise OptionsError(
            f"{who} starts by 'auto', 'kmeans++', 'random' or from arrays. Received: {method!r}."
        )
    rows = np.asarray(rows)
    check_rows(len(rows), k)
    u = random.uniform([len(rows)], random.key(seed, "random rows"), "float64").numpy()
    return rows[np.argsort(u)[:k]]


def start_labels(rows: Any, k: int, method: str, seed: int, who: str) -> np.ndarray:
    """Clusters of rows to begin with, ``[n]``, int32, from 0 to ``k - 1``.

    ``auto`` and ``kmeans++``: k-means from rows that lie far apart; ``random``: each row goes to
    the nearest of ``k`` rows drawn at random. Arguments and errors are those of
    ``start_centers``.
    """
    places = start_centers(rows, k, method, seed, who)
    if method == "random":
        return nearest_centers(tf.convert_to_tensor(rows), tf.constant(places))[0].numpy()
    return lloyd(rows, places)["labels"]


def check_rows(num_rows: int, k: int, word: str = "cluster") -> None:
    """Raise DataError if there are fewer rows than clusters, which are called ``word``."""
    if num_rows < k:
        raise DataError(
            f"Each {word} needs a row to begin with. Expected at least {k} rows for {k} {word}s. "
            f"Received: {num_rows}."
        )


def nearest_centers(rows: tf.Tensor, centers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The centre that is nearest to each row; of those equally near, any one.

    Args:
        rows: ``[n, d]``.
        centers: ``[k, d]``.

    Returns:
        Labels ``[n]``, int32, and squared Euclidean distances from the centres they name, ``[n]``.
    """
    middle = tf.reduce_mean(centers, axis=0)  # |x|^2 cancels, and |c|^2 - 2 x'c loses less
    moved, places = rows - middle, centers - middle
    score = tf.reduce_sum(places**2, axis=1) - 2.0 * tf.matmul(moved, places, transpose_b=True)
    labels = tf.argmin(score, axis=1, output_type=tf.int32)
    return labels, tf.reduce_sum((rows - tf.gather(centers, labels)) ** 2, axis=1)


def cluster_sums(rows: tf.Tensor, labels: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Count and sum of the rows of each cluster: ``[k]`` and ``[k, d]``."""
    members = tf.one_hot(labels, k, dtype=rows.dtype)  # [n, k]
    return tf.reduce_sum(members, axis=0), tf.matmul(members, rows, transpose_a=True)


def moved_centers(counts: tf.Tensor, sums: tf.Tensor, before: tf.Tensor) -> tf.Tensor:
    """The mean of each cluster; the centre of an empty one stays where it was.

    Shapes:
        counts: ``[k]``; sums, before: ``[k, d]``.
    """
    means = sums / tf.maximum(counts, 1.0)[:, tf.newaxis]
    return tf.where(counts[:, tf.newaxis] > 0.0, means, before)


def lloyd(rows: Any, start: Any, steps: int = 100) -> Mapping[str, np.ndarray]:
    """Lloyd's iterations: give each row to its nearest centre, move centres to the means.

    The sum of squared distances never rises; an empty cluster keeps its centre.

    Args:
        rows: ``[n, d]``, finite.
        start: Centres to begin with, ``[k, d]``.
        steps: How often to move the centres at the most; it ends where no row changes its cluster.

    Returns:
        ``centers [k, d]``, the ``labels [n]`` under them, and ``inertia``, the sum of squared
        distances.

    References:
        Lloyd 1982, "Least squares quantization in PCM".
    """
    rows = tf.convert_to_tensor(rows)
    places, labels, distances = _lloyd(
        rows, tf.cast(start, rows.dtype), tf.convert_to_tensor(steps, tf.int32)
    )
    return {
        "centers": places.numpy(),
        "labels": labels.numpy(),
        "inertia": np.sum(distances.numpy(), dtype=np.float64),
    }


@tf.function(reduce_retracing=True, autograph=False)
def _lloyd(
    rows: tf.Tensor, start: tf.Tensor, steps: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    k = start.shape[0] or tf.shape(start)[0]

    def move(
        step: tf.Tensor, places: tf.Tensor, labels: tf.Tensor, _: tf.Tensor, changed: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        counts, sums = cluster_sums(rows, labels, k)
        places = tf.ensure_shape(moved_centers(counts, sums, places), start.shape)
        moved, distances = nearest_centers(rows, places)
        return step + 1, places, moved, distances, tf.reduce_any(moved != labels)

    labels, distances = nearest_centers(rows, start)
    _, places, labels, distances, _ = tf.while_loop(
        lambda step, *state: (step < steps) & state[-1],
        move,
        (tf.constant(0), start, labels, distances, tf.constant(True)),
    )
    return places, labels, distances


def _place(weights: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """Rows drawn in proportion to their weights, one for each uniform number."""
    total = np.cumsum(weights)
    return np.minimum(np.searchsorted(total, uniforms * total[-1], side="right"), len(total) - 1)


def _squared_distances(x: np.ndarray, lengths: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Of all rows from the rows at ``places``: ``[places, n]``."""
    products = x[places] @ x.T
    distances = np.maximum(lengths[places, np.newaxis] + lengths - 2.0 * products, 0.0)
    distances[np.arange(len(places)), places] = 0.0
    return distances
