"""Moves of particles that keep a tempered density, in the shape of the particles themselves.

In coordinates ``u`` with ``z = centre + F u``, F the Cholesky factor of the particles' covariance,
the density is nearly that of independent unit normals, so one step size serves all directions.

References:
    Chopin 2002, "A sequential particle filter method for static models", section 4; Buchholz,
    Chopin & Jacob 2021, "Adaptive Tuning of Hamiltonian Monte Carlo Within Sequential Monte Carlo".
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from ... import random
from ..mcmc.adaptation import Mass
from ..mcmc.transitions import Transition
from ..mcmc.trees import Point
from .tempering import Path


class Shape(NamedTuple):
    """Where particles lie.

    Attributes:
        centre: ``[D]``.
        factor: ``[D, D]``, lower triangular; ``[D]`` for a diagonal one.
    """

    centre: tf.Tensor
    factor: tf.Tensor

    def to_unit(self, z: tf.Tensor) -> tf.Tensor:
        """From z to u, ``[n, D]``."""
        away = z - self.centre
        if self.factor.shape.rank == 1:
            return away / self.factor
        return tf.transpose(tf.linalg.triangular_solve(self.factor, tf.transpose(away)))

    def from_unit(self, u: tf.Tensor) -> tf.Tensor:
        """From u to z, ``[n, D]``."""
        if self.factor.shape.rank == 1:
            return self.centre + u * self.factor
        return self.centre + tf.matmul(u, self.factor, transpose_b=True)

    def pulled(self, gradient: tf.Tensor) -> tf.Tensor:
        """From gradients by z to gradients by u, ``[n, D]``."""
        if self.factor.shape.rank == 1:
            return gradient * self.factor
        return tf.matmul(gradient, self.factor)


def shape_of(z: tf.Tensor, weights: tf.Tensor, dense: bool) -> Shape:
    """Mean and covariance of weighted particles.

    A dense covariance is drawn towards its diagonal by a share of ``D / (D + effective size)``, so
    that it can be factored with fewer particles than directions.

    Args:
        z: ``[n, D]``.
        weights: Normalised, ``[n]``, float64.
        dense: Whether to give a matrix.
    """
    z = tf.cast(z, weights.dtype)
    centre = tf.linalg.matvec(z, weights, transpose_a=True)
    away = z - centre
    variance = tf.linalg.matvec(tf.square(away), weights, transpose_a=True)
    variance += 1e-12 * (tf.reduce_max(variance) + tf.square(centre)) + 1e-300
    if not dense:
        return Shape(centre, tf.sqrt(variance))
    dim = float(z.shape[1])
    share = dim / (dim + 1.0 / tf.reduce_sum(tf.square(weights)))
    covariance = tf.matmul(away * weights[:, tf.newaxis], away, transpose_a=True)
    shrunk = tf.linalg.set_diag((1.0 - share) * covariance, variance)
    return Shape(centre, tf.linalg.cholesky(shrunk))


def move(
    path: Path,
    transition: Transition,
    z: tf.Tensor,
    t: tf.Tensor,
    shape: Shape,
    sizes: tf.Tensor,
    adapt: tf.Tensor,
    target_accept: float,
    key: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Several transitions of all particles.

    Args:
        path: Both ends of the density.
        transition: The kernel.
        z: Particles, ``[n, D]``.
        t: Temperature of the density that is kept.
        shape: Of the particles.
        sizes: Step size of each transition, ``[moves]``.
        adapt: Whether the first size alone counts, and each of the others follows from how many
            particles took the move before.
        target_accept: How many should.
        key: Of the draws.

    Returns:
        The particles, the step sizes that were used, and the share of the moves that were taken.
    """
    count, dim = z.shape
    ones, nothing = tf.ones((1, dim), z.dtype), tf.zeros((1,), z.dtype)
    mass = Mass(ones, ones, nothing, tf.zeros_like(ones), tf.zeros_like(ones))
    keys = random.split(key, count)

    def log_prob_and_gradient(u: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        value, gradient = path.tempered(shape.from_unit(u), t)
        return value, shape.pulled(gradient)

    def body(
        i: tf.Tensor, point: Point, used: tf.Tensor, taken: tf.Tensor, size: tf.Tensor
    ) -> tuple[tf.Tensor, Point, tf.Tensor, tf.Tensor, tf.Tensor]:
        size = tf.where(adapt, size, sizes[i])
        scale = tf.fill((count,), size)
        found = transition(log_prob_and_gradient, random.fold_in(keys, i), point, scale, mass)
        rate = tf.reduce_mean(found.acceptance)
        used = tf.tensor_scatter_nd_update(used, [[i]], [size])
        size *= tf.exp(rate - target_accept)
        return i + 1, found.point, used, taken + rate, size

    u = shape.to_unit(z)
    value, gradient = log_prob_and_gradient(u)
    number = sizes.shape[0]
    start = (tf.constant(0), Point(u, gradient, value), sizes, nothing[0], sizes[0])
    _, point, used, taken, _ = tf.while_loop(lambda i, *_: i < number, body, start)
    return shape.from_unit(point.z), used, taken / number
