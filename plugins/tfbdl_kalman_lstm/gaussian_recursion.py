"""Filters that keep a Gaussian: the Kalman recursion on functions made affine at each step.

About a belief ``N(m, P)`` a function g is taken for ``A x + b + e`` with ``e ~ N(0, Omega)``. A
Taylor series gives the extended filter (Omega is 0), regression on sigma points the unscented one.
All else is what the linear filter does, with ``Q + Omega`` and ``R + Omega`` for the noise.

References:
    Sarkka 2013, "Bayesian Filtering and Smoothing", chapters 5 and 9; Garcia-Fernandez, Svensson,
    Morelande & Sarkka 2015 for repeated updates in this form.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple, Protocol

import tensorflow as tf

from . import path_draws, smoothing
from .nonlinear_model import StateFunction
from .sequential import Filtered
from .smoothing import Smoothed
from .system import (
    Observed,
    System,
    apply,
    congruence,
    gain_of,
    log_density,
    matrix_at,
    seen_part,
    symmetric,
    updated,
)


class Affine(NamedTuple):
    """What a function of a Gaussian state is taken for.

    Attributes:
        A: Slope, ``[n, e, d]``.
        mean: Of its value, ``A m + b``, ``[n, e]``.
        noise: Omega, the covariance that the slope does not explain, ``[n, e, e]``.
    """

    A: tf.Tensor
    mean: tf.Tensor
    noise: tf.Tensor


class Rule(Hashable, Protocol):
    """A way to make a function affine; equal ones share their compiled programs."""

    def affine(
        self, g: StateFunction, mean: tf.Tensor, covariance: tf.Tensor, control: tf.Tensor | None
    ) -> Affine:
        """``g`` about ``N(mean [n, d], covariance [n, d, d])``."""


class Noises(NamedTuple):
    """What is not a function: Q ``[T or 1, d, d]``, R ``[T or 1, m, m]``, m0, P0."""

    Q: tf.Tensor
    R: tf.Tensor
    m0: tf.Tensor
    P0: tf.Tensor


class Linearised(NamedTuple):
    """What the filter gives, and the motion as it was taken at each step.

    Attributes:
        filtered: With time first and an axis for each sequence.
        A: Slope of f at the filtered states, ``[T, n, d, d]``.
        Q: Noise of the motion with what A does not explain, ``[T, n, d, d]``.
    """

    filtered: Filtered
    A: tf.Tensor
    Q: tf.Tensor


def run(
    rule: Rule,
    f: StateFunction,
    h: StateFunction,
    iterations: int,
    observed: Observed,
    control: tf.Tensor | None,
    noises: Noises,
) -> Linearised:
    """The filter over all steps.

    Args:
        rule: How functions are made affine.
        f, h: Motion and observation.
        iterations: How often h is made affine anew for one observation, about what the observation
            has led to.
        observed: The observations.
        control: ``[T, n, u]``.
        noises: What is not a function.
    """
    steps, count = observed.values.shape[:2]
    size = noises.m0.shape[-1]
    mean = tf.broadcast_to(noises.m0, (count, size))
    covariance = tf.broadcast_to(noises.P0, (count, size, size))
    written = [tf.TensorArray(mean.dtype, steps) for _ in range(len(Filtered._fields) + 2)]

    def step(
        t: tf.Tensor, mean: tf.Tensor, covariance: tf.Tensor, arrays: list[tf.TensorArray]
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, list[tf.TensorArray]]:
        u = None if control is None else control[t]
        after, spread, increment, gain = _update(
            rule, h, iterations, observed, t, mean, covariance, u, matrix_at(noises.R, t)
        )
        move = rule.affine(f, after, spread, u)
        noise = move.noise + matrix_at(noises.Q, t)
        found = (after, spread, mean, covariance, increment, gain, move.A, noise)
        arrays = [array.write(t, value) for array, value in zip(arrays, found, strict=True)]
        return t + 1, move.mean, symmetric(congruence(move.A, spread)) + noise, arrays

    *_, written = tf.while_loop(
        lambda t, *_: t < steps,
        step,
        (tf.constant(0), mean, covariance, written),
        maximum_iterations=steps,
        parallel_iterations=1,
    )
    stacked = [array.stack() for array in written]
    return Linearised(Filtered(*stacked[:-2]), *stacked[-2:])


def expect(
    rule: Rule,
    h: StateFunction,
    mean: tf.Tensor,
    covariance: tf.Tensor,
    control: tf.Tensor | None,
    R: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean ``[n, m]`` and covariance ``[n, m, m]`` of observations of states ``N(m, P)``.

    Args:
        rule, h: As ``run``.
        mean, covariance: Of the states, ``[n, d]`` and ``[n, d, d]``.
        control: ``[n, u]``.
        R: ``[n or 1, m, m]``.
    """
    seen = rule.affine(h, mean, covariance, control)
    return seen.mean, symmetric(congruence(seen.A, covariance)) + seen.noise + R


def smooth(found: Linearised) -> Smoothed:
    """The Rauch-Tung-Striebel smoother with the motion that the filter took.

    Returns:
        Time first, an axis for each sequence: ``[T, n, d]``, ``[T, n, d, d]``.
    """
    result = smoothing.smooth(*_each_alone(found))
    return Smoothed(
        tf.squeeze(result.means, -2),
        tf.squeeze(result.covariances, -3),
        tf.squeeze(result.lag_covariances, -3),
    )


def draw_paths(count: int, found: Linearised, key: tf.Tensor) -> tf.Tensor:
    """``count`` paths given the observations, ``[T, draw, n, d]``."""
    return tf.squeeze(path_draws.draw_paths(*_each_alone(found), count, key), -2)


def _each_alone(found: Linearised) -> tuple[System, Filtered]:
    """Each sequence as a chain with parameters of its own, which varies with time."""
    A, Q = (tf.transpose(part, [1, 0, 2, 3]) for part in (found.A, found.Q))
    filtered = found.filtered
    nothing = tf.zeros_like(filtered.means[0])
    system = System(
        A=A,
        offset=nothing[:, tf.newaxis, tf.newaxis],
        H=A,
        Q=Q,
        R=Q,
        m0=nothing,
        P0=filtered.covariances[0],
    )
    return system, filtered._replace(
        means=filtered.means[..., tf.newaxis, :],
        covariances=filtered.covariances[..., tf.newaxis, :, :],
        predicted_means=filtered.predicted_means[..., tf.newaxis, :],
        predicted_covariances=filtered.predicted_covariances[..., tf.newaxis, :, :],
    )


def _update(
    rule: Rule,
    h: StateFunction,
    iterations: int,
    observed: Observed,
    t: tf.Tensor,
    mean: tf.Tensor,
    covariance: tf.Tensor,
    control: tf.Tensor | None,
    R: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Mean and covariance after an observation, its log density, and the gain."""
    values, seen = observed.values[t], observed.seen[t]
    at, spread, increment = mean, covariance, None
    for _ in range(iterations):
        made = rule.affine(h, at, spread, control)
        H, noise = seen_part(made.A, R + made.noise, seen)
        found = gain_of(H, noise, covariance)
        residual = seen * (values - made.mean - apply(made.A, mean - at))
        if increment is None:  # of what was predicted, before the observation moved anything
            increment = log_density(residual, found, seen)
        at = mean + apply(found.gain, residual)
        spread = updated(H, noise, found.gain, covariance)
    return at, spread, increment, found.gain
