"""Random paths of states: from the chain itself, and from the posterior given observations.

References:
    Chib 1996, "Calculating posterior distributions and modal estimates in Markov mixture models",
    equation (8); Scott 2002, section 2.1.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from tfbdl import random
from tfbdl.inference.reparameterizations import gumbel_of_uniform

from .forward_backward import batch_major, forward, time_major


def sample_chain(
    log_initial: tf.Tensor, log_transition: tf.Tensor, n: int, length: int, key: tf.Tensor
) -> tf.Tensor:
    """Draw ``n`` paths of ``length`` steps from the chain: ``[n, length]``, int32."""
    noise = _gumbel((length, n, log_initial.shape[-1]), key, log_initial.dtype)

    def body(t: tf.Tensor, state: tf.Tensor, path: Any) -> tuple[Any, ...]:
        path = path.write(t, state)
        ahead = tf.gather(log_transition, state) + noise[tf.minimum(t + 1, length - 1)]
        return t + 1, tf.argmax(ahead, -1, output_type=tf.int32), path

    first = tf.argmax(log_initial + noise[0], -1, output_type=tf.int32)
    loop = (tf.constant(0), first, tf.TensorArray(tf.int32, length, element_shape=(n,)))
    *_, path = tf.while_loop(lambda t, *_: t < length, body, loop)
    return batch_major(path.stack(), 1)


def sample_posterior(
    log_initial: tf.Tensor,
    log_transition: tf.Tensor,
    log_emission: tf.Tensor,
    key: tf.Tensor,
    draws: int | None = None,
) -> tf.Tensor:
    """Draw paths of each sequence from ``p(z | y)``: filter forward once, sample backward.

    Shapes:
        log_initial: ``[k]``; log_transition: ``[k, k]``; log_emission: ``[n, T, k]``.

    Returns:
        ``[n, T]``, int32, or ``[draws, n, T]``.
    """
    filtered = time_major(forward(log_initial, log_transition, log_emission).filtered)
    leading = [] if draws is None else [draws]
    length, shape = tf.shape(filtered)[0], tf.shape(filtered)
    noise = _gumbel(tf.concat([shape[:1], leading, shape[1:]], 0), key, filtered.dtype)
    to_state = tf.transpose(log_transition)

    def body(t: tf.Tensor, ahead: tf.Tensor, path: Any) -> tuple[Any, ...]:
        logits = filtered[t] + ahead  # Chib (8): p(z_t | y_1..t) p(z_t+1 | z_t)
        state = tf.argmax(logits + noise[t], -1, output_type=tf.int32)
        return t - 1, tf.gather(to_state, state), path.write(t, state)

    path = tf.TensorArray(tf.int32, length, element_shape=noise.shape[1:-1])
    loop = (length - 1, tf.zeros_like(noise[0]), path)
    *_, path = tf.while_loop(lambda t, *_: t >= 0, body, loop)
    return batch_major(path.stack(), 1)


def _gumbel(shape: Any, key: tf.Tensor, dtype: Any) -> tf.Tensor:
    """Noise whose addition to logits makes their arg max a draw of the categorical."""
    return gumbel_of_uniform(random.uniform(shape, key, dtype))
