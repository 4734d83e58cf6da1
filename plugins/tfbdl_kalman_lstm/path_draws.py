"""Draws of whole paths: from the model, and from its posterior given observations."""

from __future__ import annotations

import tensorflow as tf

from tfbdl import random

from .sequential import Filtered, root
from .smoothing import backward
from .system import System, apply, offset_over_time, over_time


@tf.function
def simulate(system: System, steps: int, count: int, key: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """States ``[T, n, d]`` and observations ``[T, n, m]`` of ``count`` sequences."""
    dtype, size, seen_size = system.A.dtype, system.m0.shape[-1], system.H.shape[-2]
    moves = random.normal((steps, count, size), random.fold_in(key, "process"), dtype)
    noise = random.normal((steps, count, seen_size), random.fold_in(key, "observation"), dtype)
    first = system.m0 + apply(root(system.P0)[tf.newaxis], moves[0])
    pushes = apply(root(over_time(system.Q, steps - 1)), moves[1:]) if steps > 1 else moves[1:]
    everywhere = tf.zeros((steps, 1, 1), dtype)
    A = over_time(system.A, steps) + everywhere[..., tf.newaxis]
    offset = offset_over_time(system.offset, steps) + everywhere

    def step(state: tf.Tensor, parts: tuple[tf.Tensor, ...]) -> tf.Tensor:
        transition, constant, push = parts
        return apply(transition, state) + constant + push

    states = first[tf.newaxis]
    if steps > 1:
        later = tf.scan(step, (A[:-1], offset[:-1], pushes), first, parallel_iterations=1)
        states = tf.concat([states, later], 0)
    spread = apply(root(over_time(system.R, steps)), noise)
    return states, apply(over_time(system.H, steps), states) + spread


@tf.function
def draw_paths(system: System, filtered: Filtered, count: int, key: tf.Tensor) -> tf.Tensor:
    """``count`` paths given the observations, ``[T, draw, ..., n, d]``; from the last state on."""
    steps, each = filtered.means.shape[0], tf.unstack(tf.shape(filtered.means)[1:])
    noise = random.normal((steps, count, *each), key, system.A.dtype)
    last = filtered.means[-1] + apply(root(filtered.covariances[-1]), noise[-1])
    if steps == 1:
        return last[tf.newaxis]
    back = backward(system, filtered)

    def step(after: tf.Tensor, parts: tuple[tf.Tensor, ...]) -> tf.Tensor:
        gain, offset, factor, eps = parts
        return apply(gain, after) + offset + apply(factor, eps)

    parts = (back.gains, back.offsets, root(back.covariances), noise[:-1])
    earlier = tf.scan(step, parts, last, reverse=True, parallel_iterations=1)
    return tf.concat([earlier, last[tf.newaxis]], 0)
