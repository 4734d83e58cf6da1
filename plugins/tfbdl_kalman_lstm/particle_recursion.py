"""Sequential Monte Carlo: particles that are weighted, chosen anew and moved on, step by step.

References:
    Gordon, Salmond & Smith 1993 (bootstrap); Pitt & Shephard 1999 (auxiliary); Pitt et al. 2012
    for the likelihood without bias; Godsill, Doucet & West 2004 (backward simulation).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import tensorflow as tf

from tfbdl import random
from tfbdl.inference.monte_carlo import resampling
from tfbdl.inference.monte_carlo.resampling import Scheme, effective_size

from .densities import At, Densities
from .system import Observed


class Moments(NamedTuple):
    """What each step leaves, with time first.

    Attributes:
        means, covariances: Of the weighted particles, ``[T, n, d]`` and ``[T, n, d, d]``.
        predicted_means, predicted_covariances: Before the observation of the step.
        increments: ``log`` of the estimate of ``p(y_t | y_1..t-1)``, ``[T, n]``.
        effective: Particles that the weights are worth, ``1 / sum w^2``, ``[T, n]``.
    """

    means: tf.Tensor
    covariances: tf.Tensor
    predicted_means: tf.Tensor
    predicted_covariances: tf.Tensor
    increments: tf.Tensor
    effective: tf.Tensor


class Cloud(NamedTuple):
    """All particles, with time first.

    Attributes:
        x: ``[T, n, N, d]``.
        log_weights: Normalised, ``[T, n, N]``.
        ancestors: Which particle of a step each of the next one comes from, ``[T, n, N]``.
    """

    x: tf.Tensor
    log_weights: tf.Tensor
    ancestors: tf.Tensor


class Settings(NamedTuple):
    """What a run's graph is made for.

    Attributes:
        densities: The model.
        num_particles: N.
        auxiliary: Whether particles are chosen by how well they foresee the next observation.
        threshold: They are chosen anew where they are worth fewer than this share of N.
        resampling: By which scheme.
    """

    densities: Densities
    num_particles: int
    auxiliary: bool
    threshold: float
    resampling: Scheme = "systematic"


def run(
    settings: Settings, keep: bool, observed: Observed, control: Any, noises: Any, key: tf.Tensor
) -> tuple[Moments, Cloud | None]:
    """The filter over all steps.

    Args:
        settings: What is run.
        keep: Whether to give all particles.
        observed: ``[T, n, m]``.
        control: ``[T, n, u]`` or None.
        noises: What the densities take.
        key: Of the draws.
    """
    densities, total = settings.densities, settings.num_particles
    steps, count = observed.values.shape[:2]
    moves, picks = random.fold_in(key, "move"), random.fold_in(key, "resample")
    x = densities.draw_first(count, total, noises, random.fold_in(key, "first"))
    dtype = x.dtype
    even = tf.fill((count, total), tf.constant(-math.log(total), dtype))
    kinds = [dtype] * len(Moments._fields) + ([dtype, dtype, tf.int32] if keep else [])
    written = [tf.TensorArray(kind, steps) for kind in kinds]

    def foreseen(x: tf.Tensor, t: tf.Tensor) -> tf.Tensor:
        later = tf.minimum(t + 1, steps - 1)
        values, seen = observed.values[later], observed.seen[later]
        # at the last step nothing is to be foreseen, and a parameter that varies ends
        at = At(later - 1, _at(control, t), noises)
        return densities.foresee(values, seen, x, at, _at(control, later))

    def step(
        t: tf.Tensor, x: tf.Tensor, before: tf.Tensor, arrays: list[tf.TensorArray]
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, list[tf.TensorArray]]:
        at = At(t, _at(control, t), noises)
        log_weights = before + densities.log_seen(observed.values[t], observed.seen[t], x, at)
        increment = tf.reduce_logsumexp(log_weights, -1)
        log_weights = log_weights - increment[:, tf.newaxis]
        ahead = tf.zeros_like(log_weights)
        if settings.auxiliary and steps > 1:
            ahead = foreseen(x, t)
        ancestors, after = _chosen(settings, log_weights, ahead, random.fold_in(picks, t))
        effective = effective_size(log_weights)
        found = [*weighted(x, log_weights), *weighted(x, before), increment, effective]
        found += [x, log_weights, ancestors] if keep else []
        arrays = [array.write(t, value) for array, value in zip(arrays, found, strict=True)]
        parents = tf.gather(x, ancestors, batch_dims=1)
        moved = densities.move(parents, at, random.fold_in(moves, t))
        return t + 1, moved, after, arrays

    *_, written = tf.while_loop(
        lambda t, *_: t < steps,
        step,
        (tf.constant(0), x, even, written),
        maximum_iterations=steps,
        parallel_iterations=1,
    )
    stacked = [array.stack() for array in written]
    size = len(Moments._fields)
    return Moments(*stacked[:size]), Cloud(*stacked[size:]) if keep else None


def _chosen(
    settings: Settings, log_weights: tf.Tensor, foreseen: tf.Tensor, key: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Who moves on, and with which log weight: ``[n, N]`` each.

    A particle is chosen in proportion to ``w v`` with v what it foresees of the next observation
    (1 for the bootstrap filter), and carries ``sum(w v) / (N v)`` then, so that sums over
    particles keep their expectation.
    """
    total = log_weights.shape[-1]
    joined = log_weights + foreseen
    sums = tf.reduce_logsumexp(joined, -1, keepdims=True)
    shares = joined - sums
    anew = effective_size(shares)[:, tf.newaxis] < settings.threshold * total
    chosen = resampling.resample(shares, key, settings.resampling)
    ancestors = tf.where(anew, chosen, tf.range(total))
    carried = sums - math.log(total) - tf.gather(foreseen, ancestors, batch_dims=1)
    return ancestors, tf.where(anew, carried, log_weights)


def weighted(x: tf.Tensor, log_weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean ``[n, d]`` and covariance ``[n, d, d]`` of weighted particles."""
    weights = tf.exp(log_weights - tf.reduce_logsumexp(log_weights, -1, keepdims=True))
    mean = tf.einsum("nk,nkd->nd", weights, x)
    away = x - mean[:, tf.newaxis]
    return mean, tf.matmul(away * weights[..., tf.newaxis], away, transpose_a=True)


def expect(
    densities: Densities, start: int, cloud: Cloud, control: Any, noises: Any
) -> tuple[tf.Tensor, tf.Tensor]:
    """Moments of observations from step ``start``: ``[T - start, n, m]`` and ``[., ., m, m]``."""
    means, covariances = [], []
    for t in range(start, cloud.x.shape[0]):  # as many as a forecast has steps
        at = At(tf.constant(t), _at(control, t), noises)
        value, noise = densities.expected(cloud.x[t], at)
        mean, spread = weighted(value, cloud.log_weights[t])
        weights = tf.exp(cloud.log_weights[t])[..., tf.newaxis, tf.newaxis]
        means.append(mean)
        covariances.append(spread + tf.reduce_sum(weights * noise, 1))
    return tf.stack(means), tf.stack(covariances)


def simulate(
    densities: Densities, steps: int, count: int, control: Any, noises: Any, key: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """States ``[T, n, d]`` and observations ``[T, n, m]`` of the model."""
    return densities.simulate(steps, count, control, noises, key)


def draw_paths(
    densities: Densities, count: int, cloud: Cloud, control: Any, noises: Any, key: tf.Tensor
) -> tf.Tensor:
    """Paths given all observations, by backward simulation: ``[T, n, count, d]``.

    A particle of a step is taken in proportion to its weight and the density of moving from it to
    the state already taken of the next.
    """
    steps, sequences = cloud.x.shape[:2]
    uniforms = random.uniform((steps, sequences, count), key, cloud.x.dtype)
    last = tf.gather(
        cloud.x[-1], resampling.find(cloud.log_weights[-1], uniforms[-1]), batch_dims=1
    )
    written = tf.TensorArray(cloud.x.dtype, steps).write(steps - 1, last)

    def step(
        t: tf.Tensor, after: tf.Tensor, paths: tf.TensorArray
    ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray]:
        x, log_weights = cloud.x[t], cloud.log_weights[t]
        moves = densities.log_move(after, x, At(t, _at(control, t), noises))
        joined = moves + log_weights[:, tf.newaxis]
        joined = joined - tf.reduce_logsumexp(joined, -1, keepdims=True)
        index = resampling.find(joined, uniforms[t][..., tf.newaxis])[..., 0]
        now = tf.gather(x, index, batch_dims=1)
        return t - 1, now, paths.write(t, now)

    *_, written = tf.while_loop(
        lambda t, *_: t >= 0,
        step,
        (tf.constant(steps - 2), last, written),
        maximum_iterations=steps,
        parallel_iterations=1,
    )
    return written.stack()


def _at(control: tf.Tensor | None, t: Any) -> tf.Tensor | None:
    """The control input of a step, ``[n, u]``."""
    return None if control is None else control[t]
