"""Differentiable log determinants and elementary symmetric polynomials of many kernels at once.

Each has its gradient in closed form: that of a factorisation, taken automatically, costs several
times the value, and XLA takes minutes to compile it for a batch of subsets.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

Gradient = Callable[[tf.Tensor], tf.Tensor]
SWEPT = 128
_NOTHING = -1e30  # log 0 with which sums go on


@tf.custom_gradient
def log_dets_by_sweeps(A: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
    """``log det A_b`` of many small positive definite matrices, ``[s, s, batch] -> [batch]``.

    The sweep operator (Goodnight 1979) takes the items in turn: item j has the pivot
    ``d = det A_{1..j} / det A_{1..j-1}``, and after the last the matrix is ``-A^-1``, which is the
    gradient. All matrices take a step together, along the axis that is contiguous in memory.
    """
    size = A.shape[0]
    identity = tf.eye(size, dtype=A.dtype)[:, :, tf.newaxis]

    def sweep(j: tf.Tensor, A: tf.Tensor, total: tf.Tensor) -> tuple[tf.Tensor, ...]:
        unit = identity[j]  # e_j
        pivot = A[j, j]
        u = A[j] - unit
        A = A - u[:, tf.newaxis] * (u / pivot) - 2.0 * unit[:, tf.newaxis] * unit
        return j + 1, A, total + tf.math.log(pivot)

    start = (tf.constant(0), A, tf.zeros_like(A[0, 0]))
    _, swept, total = tf.while_loop(lambda j, *_: j < size, sweep, start, maximum_iterations=size)
    return total, lambda upstream: -swept * upstream


def log_det(A: tf.Tensor) -> tf.Tensor:
    """``log det A`` of positive definite matrices, ``[..., n, n] -> [...]``.

    Sweeps up to 128 rows, for XLA's Cholesky factors of small matrices take many times as long.
    """
    if A.shape[-1] > SWEPT:
        return _log_det_by_cholesky(A)
    leading, n = tf.shape(A)[:-2], A.shape[-1]
    together = tf.transpose(tf.reshape(A, [-1, n, n]), [1, 2, 0])
    return tf.reshape(log_dets_by_sweeps(together), leading)


@tf.custom_gradient
def _log_det_by_cholesky(A: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
    factor = tf.linalg.cholesky(A)
    total = 2.0 * tf.reduce_sum(tf.math.log(tf.linalg.diag_part(factor)), axis=-1)

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        identity = tf.eye(A.shape[-1], batch_shape=tf.shape(A)[:-2], dtype=A.dtype)
        return tf.linalg.cholesky_solve(factor, identity) * upstream[..., tf.newaxis, tf.newaxis]

    return total, gradient


def log_polynomial(L: tf.Tensor, k: int) -> tf.Tensor:
    """``log e_k`` of the eigenvalues of kernels, ``[..., n, n] -> [...]``.

    Eigenvectors are not used, so that equal eigenvalues do no harm.
    """
    values = tf.linalg.eigvalsh(L)
    largest = tf.reduce_max(values, axis=-1, keepdims=True)
    return log_polynomial_of(tf.math.log(tf.maximum(values, 1e-14 * largest)), k)


def log_polynomial_of(logs: tf.Tensor, k: int) -> tf.Tensor:
    """``log e_k`` of values with logarithms ``[..., n]``: ``[...]``."""

    @tf.custom_gradient
    def log_e(logs: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
        rows = tf.transpose(logs, [logs.shape.rank - 1, *range(logs.shape.rank - 1)])
        before = _tables(rows, k)

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            # P(m is chosen) = l_m e_{k-1}(others) / e_k (Kulesza & Taskar 2012, eq. 205)
            after = tf.reverse(_tables(tf.reverse(rows, [0]), k), [0])
            pairs = before[:-1, ..., :k] + tf.reverse(after[1:, ..., :k], [-1])
            chosen = rows + tf.reduce_logsumexp(pairs, axis=-1) - before[-1, ..., k]
            order = [*range(1, rows.shape.rank), 0]
            return tf.transpose(tf.exp(chosen), order) * upstream[..., tf.newaxis]

        return before[-1, ..., k], gradient

    return log_e(logs)


def _tables(rows: tf.Tensor, k: int) -> tf.Tensor:
    """``log e_j`` of the first m values: ``[n, ...] -> [n + 1, ..., k + 1]``.

    ``e_j(m) = e_j(m - 1) + l_m e_{j-1}(m - 1)`` (Kulesza & Taskar 2012, algorithm 7).
    """
    shape = tf.concat([tf.shape(rows)[1:], [k]], 0)
    one = tf.zeros(tf.shape(rows)[1:], rows.dtype)[..., tf.newaxis]
    first = tf.concat([one, tf.fill(shape, tf.constant(_NOTHING, rows.dtype))], -1)

    def grown(row: tf.Tensor, log_value: tf.Tensor) -> tf.Tensor:
        with_it = log_value[..., tf.newaxis] + row[..., :-1]
        larger = tf.maximum(row[..., 1:], with_it)
        both = larger + tf.math.log1p(tf.exp(-tf.abs(row[..., 1:] - with_it)))
        return tf.concat([one, both], -1)

    return tf.concat([first[tf.newaxis], tf.scan(grown, rows, first)], 0)
