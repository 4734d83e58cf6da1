"""Draws of whole paths from a nonlinear model with Gaussian noise."""

from __future__ import annotations

import tensorflow as tf

from tfbdl import random

from .gaussian_recursion import Noises
from .nonlinear_model import StateFunction
from .sequential import root
from .system import matrix_at


def simulate(
    f: StateFunction,
    h: StateFunction,
    steps: int,
    count: int,
    control: tf.Tensor | None,
    noises: Noises,
    key: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """States ``[T, n, d]`` and observations ``[T, n, m]`` of ``count`` sequences.

    Args:
        f, h: Motion and observation.
        steps, count: T and n.
        control: ``[T, n, u]``.
        noises: What is not a function.
        key: Of the draws.
    """
    dtype, size, seen_size = noises.m0.dtype, noises.m0.shape[-1], noises.R.shape[-1]
    moves = random.normal((steps, count, size), random.fold_in(key, "process"), dtype)
    blurs = random.normal((steps, count, seen_size), random.fold_in(key, "observation"), dtype)
    roots_of_Q, roots_of_R = root(noises.Q), root(noises.R)
    written = [tf.TensorArray(dtype, steps) for _ in range(2)]

    def step(
        t: tf.Tensor, state: tf.Tensor, arrays: list[tf.TensorArray]
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.TensorArray]]:
        u = None if control is None else control[t]
        seen = h(state, u) + _spread(roots_of_R, t, blurs[t])
        arrays = [a.write(t, v) for a, v in zip(arrays, (state, seen), strict=True)]
        push = _spread(roots_of_Q, t, moves[tf.minimum(t + 1, steps - 1)])
        return t + 1, f(state, u) + push, arrays

    first = noises.m0 + tf.matmul(moves[0], root(noises.P0), transpose_b=True)
    *_, written = tf.while_loop(
        lambda t, *_: t < steps,
        step,
        (tf.constant(0), first, written),
        maximum_iterations=steps,
        parallel_iterations=1,
    )
    states, values = (array.stack() for array in written)
    return states, values


def _spread(roots: tf.Tensor, t: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """Standard normals ``[n, a]`` with the covariance of step t."""
    return tf.matmul(noise, matrix_at(roots, t)[0], transpose_b=True)
