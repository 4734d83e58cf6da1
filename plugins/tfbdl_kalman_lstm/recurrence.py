"""A filter with learned parts as a loop over time: what a step carries, and what it gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from .system import apply, congruence, gain_of, log_density, seen_part, symmetric, updated


class FilterState(NamedTuple):
    """What one step leaves to the next; ``...`` are axes of draws of the weights.

    Attributes:
        mean: Of the next state before its observation, ``[..., n, d]``.
        covariance: ``[..., n, d, d]``.
        motion, process, measurement: What lstm_A, lstm_Q and lstm_R remember.
        draws: Weights of lstm_A, ``[S, ...]`` each; empty where they are not random.
    """

    mean: tf.Tensor
    covariance: tf.Tensor
    motion: tuple[tf.Tensor, ...]
    process: tuple[tf.Tensor, ...]
    measurement: tuple[tf.Tensor, ...]
    draws: tuple[tf.Tensor, ...]


class LearnedStep(NamedTuple):
    """What a step finds; stacked over time, with time first.

    Attributes:
        means, covariances: Of the state given its observation too.
        predicted_means, predicted_covariances: Before it.
        increments: ``log p(y_t | y_1..t-1)``, ``[..., n]``, in nats.
        gains: ``[..., n, d, m]``.
        noise: R of the step, ``[..., n, m, m]``.
    """

    means: tf.Tensor
    covariances: tf.Tensor
    predicted_means: tf.Tensor
    predicted_covariances: tf.Tensor
    increments: tf.Tensor
    gains: tf.Tensor
    noise: tf.Tensor


def observe(
    mean: tf.Tensor,
    covariance: tf.Tensor,
    H: tf.Tensor,
    R: tf.Tensor,
    y: tf.Tensor,
    seen: tf.Tensor,
) -> LearnedStep:
    """Update a prediction by an observation, in Joseph's form (Coskun et al. 2017, eqs. 13 to 15).

    Args:
        mean, covariance: Of the prediction, ``[..., n, d]`` and ``[..., n, d, d]``.
        H: ``[1, m, d]``.
        R: ``[..., n, m, m]``.
        y: ``[n, m]``, any number where an element is missing.
        seen: 1 where an element was observed, else 0, ``[n, m]``.
    """
    rows, noise = seen_part(H, R, seen)
    found = gain_of(rows, noise, covariance)
    residual = seen * (y - apply(H, mean))
    return LearnedStep(
        means=mean + apply(found.gain, residual),
        covariances=updated(rows, noise, found.gain, covariance),
        predicted_means=mean,
        predicted_covariances=covariance,
        increments=log_density(residual, found, seen),
        gains=found.gain,
        noise=R,
    )


def moved(A: tf.Tensor, covariance: tf.Tensor, Q: tf.Tensor) -> tf.Tensor:
    """``A P A' + Q`` (Coskun et al. 2017, eq. 12)."""
    return symmetric(congruence(A, covariance)) + Q


def scan(
    step: Callable[[Any, tf.Tensor, tf.Tensor], tuple[Any, Any]],
    state: Any,
    y: tf.Tensor,
    seen: tf.Tensor,
    gives: Any,
    truncate: int | None = None,
) -> tuple[Any, Any]:
    """Run a step over time in one loop of the graph.

    Args:
        step: From ``(state, y_t, seen_t)`` to the next state and what was found.
        state: A nest of tensors.
        y, seen: ``[n, T, m]``.
        gives: The NamedTuple class of what a step finds.
        truncate: Steps after which gradients are cut; None: never.

    Returns:
        The last state, and what was found with time first.
    """
    dtype, steps = y.dtype, y.shape[1] if y.shape[1] is not None else tf.shape(y)[1]
    by_time = [tf.transpose(part, [1, 0, 2]) for part in (y, seen)]
    arrays = [tf.TensorArray(dtype, steps) for _ in gives._fields]

    def body(t: tf.Tensor, carried: Any, arrays: list[Any]) -> tuple[tf.Tensor, Any, list[Any]]:
        if truncate is not None:
            cut = tf.equal(t % truncate, 0)
            carried = tf.nest.map_structure(
                lambda part: tf.where(cut, tf.stop_gradient(part), part), carried
            )
        after, found = step(carried, by_time[0][t], by_time[1][t])
        tf.nest.map_structure(lambda old, new: new.set_shape(old.shape), carried, after)
        return t + 1, after, [a.write(t, part) for a, part in zip(arrays, found, strict=True)]

    _, state, arrays = tf.while_loop(
        lambda t, *_: t < steps,
        body,
        (tf.constant(0), state, arrays),
        maximum_iterations=steps,
        parallel_iterations=1,
    )
    return state, gives(*(array.stack() for array in arrays))


def differentiated(layer: Any, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """What a Keras layer gives at ``x [n, d]``, and its Jacobian ``[n, outputs, d]``.

    Forward mode, on each row once for each element of its input.
    """
    size = x.shape[-1]
    identity = tf.eye(size, dtype=x.dtype)
    rows = tf.repeat(x, size, axis=0)
    changes = tf.tile(identity, [tf.shape(x)[0], 1])
    with tf.autodiff.ForwardAccumulator(rows, changes) as forward:
        output = layer(rows)
    tangents = forward.jvp(output, unconnected_gradients="zero")
    shape = [-1, size, output.shape[-1]]
    return tf.reshape(output, shape)[:, 0], tf.linalg.matrix_transpose(tf.reshape(tangents, shape))
