"""The most probable path of states (Viterbi 1967; Rabiner 1989, section III.B)."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from .forward_backward import array_like, batch_major, time_major


def viterbi(
    log_initial: tf.Tensor, log_transition: tf.Tensor, log_emission: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Maximise ``log p(z, y)`` over paths z; of equal ones, that with the lower states at the end.

    Shapes:
        log_initial: ``[k]``; log_transition: ``[k, k]``; log_emission: ``[n, T, k]``.

    Returns:
        The paths ``[n, T]``, int32, and their log joint densities ``[n]``, in nats.
    """
    steps = time_major(log_emission)
    length = tf.shape(steps)[0]

    def extend(t: tf.Tensor, best: tf.Tensor, origins: Any) -> tuple[Any, ...]:
        ways = best[..., tf.newaxis] + log_transition
        origin = tf.argmax(ways, -2, output_type=tf.int32)  # Rabiner (33b)
        best = tf.reduce_max(ways, -2) + steps[t]  # Rabiner (33a)
        return t + 1, best, origins.write(t, origin)

    origins = tf.TensorArray(tf.int32, length, element_shape=steps.shape[1:])
    first = log_initial + steps[0]
    origins = origins.write(0, tf.zeros_like(first, tf.int32))
    _, best, origins = tf.while_loop(
        lambda t, *_: t < length, extend, (tf.constant(1), first, origins)
    )
    table = origins.stack()

    def trace(t: tf.Tensor, state: tf.Tensor, path: Any) -> tuple[Any, ...]:
        before = select(table[t], state)  # Rabiner (35)
        return t - 1, before, path.write(t, state)

    last = tf.argmax(best, -1, output_type=tf.int32)
    loop = (length - 1, last, array_like(table[..., 0]))
    *_, path = tf.while_loop(lambda t, *_: t >= 0, trace, loop)
    return batch_major(path.stack(), 1), tf.reduce_max(best, -1)


def select(table: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
    """``table[..., state]``, without a gather: ``[n, k]`` and ``[n]`` to ``[n]``."""
    chosen = tf.one_hot(state, tf.shape(table)[-1], dtype=table.dtype)
    return tf.reduce_sum(table * chosen, -1)
