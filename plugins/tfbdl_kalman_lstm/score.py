"""The score: the gradient of the log likelihood by one pass backwards, without automatic one.

References:
    de Jong 1989, "Smoothing and interpolation with the state-space model" (r and N); Koopman &
    Shephard 1992, "Exact score for time series models in state space form" (Q, R); here with the
    parameters of the motion and of what is observed, and none of Q, R, P0 inverted.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from .sequential import Filtered
from .system import Observed, System, apply, congruence, gain_of, matrix_at, seen_part


class _Backward(NamedTuple):
    """The gradient of what follows a step by the mean of its prediction, and ``N`` beside it.

    ``r: [..., n, d]``; ``N: [..., s, d, d]`` is the information of what follows, so that the
    gradient by the covariance is ``(r r' - N) / 2``.
    """

    r: tf.Tensor
    N: tf.Tensor


def score(
    system: System, observed: Observed, found: Filtered, weights: tf.Tensor
) -> tuple[System, tf.Tensor]:
    """The gradient of ``sum_n weights_n log p(y_n)`` by the parameters and the observations.

    Args:
        system: Constant parameters, all with the same axes of chains.
        observed: What was seen.
        found: What the filter found in it.
        weights: ``[..., n]``.

    Returns:
        Gradients of the shapes of ``system`` (by a covariance the symmetric one), and of
        ``observed.values`` for each chain, ``[T, ..., n, m]``.
    """
    A = matrix_at(system.A, tf.constant(0))
    seen = observed.seen
    H, R = seen_part(matrix_at(system.H, tf.constant(0)), matrix_at(system.R, tf.constant(0)), seen)
    W = gain_of(H, R, found.predicted_covariances).whitening
    S_inverse = tf.matmul(W, W, transpose_a=True)
    residual = seen * (observed.values - apply(H, found.predicted_means))
    e = apply(S_inverse, residual)
    K, P, d = found.gains, found.covariances, A.shape[-1]
    kept = tf.eye(d, dtype=A.dtype) - tf.matmul(K, H)
    after, first = _backward(tf.matmul(A, kept), apply(_T(H), e), congruence(_T(H), S_inverse))

    z = apply(_T(A), after.r)
    AN = tf.matmul(A, after.N, transpose_a=True)  # A' N
    ANA = tf.matmul(AN, A)
    states = found.means + apply(P, z)  # given all observations
    u = e - apply(_T(K), z)  # R^-1 times the noise given all observations
    noise = S_inverse + congruence(_T(K), ANA)  # the information on it
    each = weights[..., tf.newaxis]
    many = weights if seen.shape[-2] != 1 else tf.reduce_sum(weights, -1, keepdims=True)
    many = many[..., tf.newaxis, tf.newaxis]

    def over_all(left: tf.Tensor, right: tf.Tensor, information: tf.Tensor) -> tf.Tensor:
        """``sum_tn weights left right'`` less the information: ``[..., a, b]``."""
        outer = tf.matmul(each * left, right, transpose_a=True)
        return tf.reduce_sum(outer - tf.reduce_sum(many * information, -3), 0)

    both = seen[..., tf.newaxis] * seen[..., tf.newaxis, :]
    unseen = tf.linalg.diag(1.0 - seen)  # stands for nothing, and has S = 1
    by_Q = 0.5 * over_all(after.r, after.r, after.N)
    by_R = 0.5 * over_all(u, u, both * (noise - unseen))
    by_A = over_all(after.r, states, tf.matmul(AN, P, transpose_a=True))
    by_H = over_all(u, states, _T(K) - tf.matmul(_T(K), tf.matmul(ANA, P)))
    by_offset = tf.reduce_sum(each * after.r, [0, -2])
    outer = tf.matmul(each * first.r, first.r, transpose_a=True)
    gradients = System(
        A=by_A[..., tf.newaxis, :, :],
        offset=by_offset[..., tf.newaxis, tf.newaxis, :],
        H=by_H[..., tf.newaxis, :, :],
        Q=by_Q[..., tf.newaxis, :, :],
        R=by_R[..., tf.newaxis, :, :],
        m0=tf.reduce_sum(each * first.r, -2),
        P0=0.5 * (outer - tf.reduce_sum(many * first.N, -3)),
    )
    return gradients, -each * u


def _backward(B: tf.Tensor, e: tf.Tensor, N: tf.Tensor) -> tuple[_Backward, _Backward]:
    """``r_t-1 = H' S^-1 v_t + B_t' r_t``, ``N_t-1 = H' S^-1 H + B_t' N_t B_t``; 0 at the end.

    Args:
        B: ``A (I - K H)``, ``[T, ..., s, d, d]``.
        e: ``H' S^-1 v``, ``[T, ..., n, d]``.
        N: ``H' S^-1 H``, ``[T, ..., s, d, d]``.

    Returns:
        After each step, with time first; and before the first one.
    """
    steps = e.shape[0]
    written = [tf.TensorArray(e.dtype, steps) for _ in range(2)]

    def step(
        t: tf.Tensor, later: _Backward, arrays: list[tf.TensorArray]
    ) -> tuple[tf.Tensor, _Backward, list[tf.TensorArray]]:
        arrays = [array.write(t, part) for array, part in zip(arrays, later, strict=True)]
        back = _T(B[t])
        before = _Backward(e[t] + apply(back, later.r), N[t] + congruence(back, later.N))
        return t - 1, before, arrays

    start = _Backward(tf.zeros_like(e[0]), tf.zeros_like(N[0]))
    _, first, written = tf.while_loop(
        lambda t, *_: t >= 0,
        step,
        (tf.constant(steps - 1), start, written),
        maximum_iterations=steps,
        parallel_iterations=1,
    )
    return _Backward(*(array.stack() for array in written)), first


def _T(matrix: tf.Tensor) -> tf.Tensor:
    return tf.linalg.matrix_transpose(matrix)
