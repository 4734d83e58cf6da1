"""The forward-backward recursions, normalised at each step, for all sequences at once.

Throughout, ``log_initial`` is ``[..., k]``, ``log_transition`` ``[..., k, k]`` (row i: from state
i) and ``log_emission`` ``[..., n, T, k]``, the log density of each observation under each state,
0 where it is missing. Leading axes are states of several chains. A probability of zero is minus
infinity and does no harm: where a transition is so improbable that scaled probabilities would lose
digits, the loops run in log space.

References:
    Rabiner 1989, "A tutorial on hidden Markov models", section III; with normalised messages
    Bishop 2006, section 13.2.4.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from . import scaled


class Messages(NamedTuple):
    """What the forward recursion gives.

    Attributes:
        filtered: ``log p(z_t | y_1..t)``, ``[..., n, T, k]``.
        increments: ``log p(y_t | y_1..t-1)``, ``[..., n, T]``; their sum is the log likelihood.
    """

    filtered: tf.Tensor
    increments: tf.Tensor


class Smoothed(NamedTuple):
    """Posterior expectations given whole sequences.

    Attributes:
        log_likelihood: ``log p(y)``, ``[..., n]``.
        marginals: ``p(z_t | y)``, ``[..., n, T, k]``.
        pairs: ``sum_t p(z_t = i, z_t+1 = j | y)``, ``[..., n, k, k]``.
    """

    log_likelihood: tf.Tensor
    marginals: tf.Tensor
    pairs: tf.Tensor


def log_sum_exp(x: tf.Tensor, axis: int) -> tf.Tensor:
    """``log sum exp`` along an axis; minus infinity where all terms are."""
    high = tf.reduce_max(x, axis, keepdims=True)
    high = tf.where(tf.math.is_finite(high), high, tf.zeros_like(high))
    return tf.squeeze(high, axis) + tf.math.log(tf.reduce_sum(tf.exp(x - high), axis))


def forward(log_initial: tf.Tensor, log_transition: tf.Tensor, log_emission: tf.Tensor) -> Messages:
    """Filter: from the first observation to the last."""
    steps = time_major(log_emission)
    filtered, increments = tf.cond(
        scaled.exact(log_transition),
        lambda: scaled.forward(log_initial, log_transition, steps),
        lambda: _forward_in_logs(log_initial, log_transition, steps),
    )
    return Messages(batch_major(filtered), batch_major(increments, 1))


def backward(
    log_transition: tf.Tensor, log_emission: tf.Tensor, increments: tf.Tensor
) -> tf.Tensor:
    """``log p(y_t+1..T | z_t) - log p(y_t+1..T | y_1..t)``: ``[..., n, T, k]``."""
    steps, scales = time_major(log_emission), time_major(increments, 1)
    messages = tf.cond(
        scaled.exact(log_transition),
        lambda: scaled.backward(log_transition, steps, scales),
        lambda: _backward_in_logs(log_transition, steps, scales),
    )
    return batch_major(messages)


def log_pairs(
    messages: Messages, ahead: tf.Tensor, log_transition: tf.Tensor, log_emission: tf.Tensor
) -> tf.Tensor:
    """``log p(z_t, z_t+1 | y)``, ``[..., n, T - 1, k, k]``; ``ahead`` is of ``backward``."""
    scale = finite(messages.increments)[..., 1:, tf.newaxis]
    after = (ahead + log_emission)[..., 1:, :] - scale
    before = messages.filtered[..., :-1, :]
    rows = log_transition[..., tf.newaxis, tf.newaxis, :, :]
    return before[..., tf.newaxis] + rows + after[..., tf.newaxis, :]  # Bishop (13.65)


def smooth(
    log_initial: tf.Tensor,
    log_transition: tf.Tensor,
    log_emission: tf.Tensor,
    counted: tf.Tensor | None = None,
) -> Smoothed:
    """Marginals and expected transitions given whole sequences.

    Args:
        log_initial, log_transition, log_emission: As the page says.
        counted: ``[n, T]``: which steps belong to a sequence; transitions to others do not count.
            None: all.
    """
    messages = forward(log_initial, log_transition, log_emission)
    ahead = backward(log_transition, log_emission, messages.increments)
    pairs = tf.exp(log_pairs(messages, ahead, log_transition, log_emission))
    if counted is not None:
        pairs *= tf.cast(counted[:, 1:, tf.newaxis, tf.newaxis], pairs.dtype)
    return Smoothed(
        log_likelihood=tf.reduce_sum(messages.increments, -1),
        marginals=tf.exp(messages.filtered + ahead),  # Bishop (13.64)
        pairs=tf.reduce_sum(pairs, -3),
    )


@tf.custom_gradient
def log_likelihood(
    log_initial: tf.Tensor, log_transition: tf.Tensor, log_emission: tf.Tensor
) -> tuple[tf.Tensor, Any]:
    """``log p(y)`` of each sequence, ``[..., n]``, in nats.

    Its gradient is Fisher's identity: the derivative by a log probability is the posterior
    expectation of how often it is used. That needs one backward recursion, and no memory for
    the loop's steps.
    """
    messages = forward(log_initial, log_transition, log_emission)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        smoothed = smooth(log_initial, log_transition, log_emission)
        marginals = upstream[..., tf.newaxis, tf.newaxis] * smoothed.marginals
        pairs = upstream[..., tf.newaxis, tf.newaxis] * smoothed.pairs
        return tf.reduce_sum(marginals[..., 0, :], -2), tf.reduce_sum(pairs, -3), marginals

    return tf.reduce_sum(messages.increments, -1), gradient


def _forward_in_logs(
    log_initial: tf.Tensor, log_transition: tf.Tensor, steps: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """As ``scaled.forward``, whatever the probabilities."""
    from_rows = log_transition[..., tf.newaxis, :, :]
    length = tf.shape(steps)[0]

    def body(t: tf.Tensor, predicted: tf.Tensor, filtered: Any, increments: Any) -> tuple[Any, ...]:
        joint = predicted + steps[t]
        increment = log_sum_exp(joint, -1)  # Bishop (13.59): log c_t
        now = joint - finite(increment)[..., tf.newaxis]
        predicted = log_sum_exp(now[..., tf.newaxis] + from_rows, -2)
        return t + 1, predicted, filtered.write(t, now), increments.write(t, increment)

    start = tf.broadcast_to(log_initial[..., tf.newaxis, :], tf.shape(steps)[1:])
    loop = (tf.constant(0), start, array_like(steps), array_like(steps[..., 0]))
    *_, filtered, increments = tf.while_loop(lambda t, *_: t < length, body, loop)
    return filtered.stack(), increments.stack()


def _backward_in_logs(
    log_transition: tf.Tensor, steps: tf.Tensor, increments: tf.Tensor
) -> tf.Tensor:
    """As ``scaled.backward``, whatever the probabilities."""
    from_rows = log_transition[..., tf.newaxis, :, :]
    scales = finite(increments)[..., tf.newaxis]

    def body(t: tf.Tensor, message: tf.Tensor, messages: Any) -> tuple[Any, ...]:
        messages = messages.write(t, message)
        ahead = message + steps[t] - scales[t]  # Bishop (13.62)
        return t - 1, log_sum_exp(from_rows + ahead[..., tf.newaxis, :], -1), messages

    loop = (tf.shape(steps)[0] - 1, tf.zeros_like(steps[0]), array_like(steps))
    *_, messages = tf.while_loop(lambda t, *_: t >= 0, body, loop)
    return messages.stack()


def finite(x: tf.Tensor) -> tf.Tensor:
    """Zero where not finite: what an impossible sequence is normalised by."""
    return tf.where(tf.math.is_finite(x), x, tf.zeros_like(x))


def time_major(x: tf.Tensor, inner: int = 2) -> tf.Tensor:
    """The axis of time first; it is the last but ``inner - 1``."""
    rank = x.shape.rank
    axis = rank - inner
    return tf.transpose(x, [axis, *range(axis), *range(axis + 1, rank)])


def batch_major(x: tf.Tensor, inner: int = 2) -> tf.Tensor:
    """The inverse of ``time_major``."""
    rank = x.shape.rank
    axis = rank - inner
    return tf.transpose(x, [*range(1, axis + 1), 0, *range(axis + 1, rank)])


def array_like(steps: tf.Tensor) -> tf.TensorArray:
    """Room for one tensor of each step."""
    return tf.TensorArray(steps.dtype, tf.shape(steps)[0], element_shape=steps.shape[1:])
