"""What a particle filter needs of a model: draws and densities of its states and observations.

Particles are ``[n, N, d]``: N of each of n sequences.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from tfbdl import random

from .gaussian_recursion import Noises
from .nonlinear_model import StateFunction
from .nonlinear_paths import simulate
from .sequential import root
from .system import congruence, matrix_at

_LOG_2_PI = math.log(2.0 * math.pi)


class At(NamedTuple):
    """A step of a model, and what holds there.

    Attributes:
        t: The step.
        u: Its control input, ``[n, u]``, or None.
        noises: What the model has of numbers, or None.
    """

    t: tf.Tensor
    u: tf.Tensor | None
    noises: Any

    @property
    def u_of_particles(self) -> tf.Tensor | None:
        """The control input of a sequence for each of its particles, ``[n, 1, u]``."""
        return None if self.u is None else self.u[:, tf.newaxis]


class Densities(Hashable, Protocol):
    """A state-space model by its parts; equal ones share their compiled programs.

    Observations are ``values [n, m]``; ``seen`` is 1 where an element was observed, else 0.
    """

    def draw_first(
        self, count: int, particles: int, noises: Noises | None, key: tf.Tensor
    ) -> tf.Tensor:
        """Draws of ``p(x_1)``, ``[n, N, d]``."""

    def move(self, x: tf.Tensor, at: At, key: tf.Tensor) -> tf.Tensor:
        """A draw of ``p(x_t+1 | x_t)`` for each particle."""

    def foresee(
        self, values: tf.Tensor, seen: tf.Tensor, x: tf.Tensor, at: At, next_u: tf.Tensor | None
    ) -> tf.Tensor:
        """About ``log p(y_t+1 | x_t)`` of what was seen of ``y_t+1``, ``[n, N]``.

        ``next_u`` is the control input of the step of that observation.
        """

    def log_move(self, after: tf.Tensor, x: tf.Tensor, at: At) -> tf.Tensor:
        """``log p(x_t+1 | x_t)`` to each of ``after [n, M, d]`` from each one: ``[n, M, N]``."""

    def log_seen(self, values: tf.Tensor, seen: tf.Tensor, x: tf.Tensor, at: At) -> tf.Tensor:
        """``log p(y_t | x_t)`` of what was seen, ``[n, N]``."""

    def expected(self, x: tf.Tensor, at: At) -> tuple[tf.Tensor, tf.Tensor]:
        """``E[y_t | x_t]``, ``[n, N, m]``, and its covariance, ``[n or 1, N or 1, m, m]``."""

    def simulate(
        self, steps: int, count: int, control: Any, noises: Noises | None, key: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """States ``[T, n, d]`` and observations ``[T, n, m]``."""


@dataclass(frozen=True)
class GaussianDensities:
    """Gaussian noise on two functions of a state.

    Attributes:
        f, h: Motion and observation.
    """

    f: StateFunction
    h: StateFunction

    def draw_first(self, count: int, particles: int, noises: Noises, key: tf.Tensor) -> tf.Tensor:
        """As Densities says."""
        eps = random.normal((count, particles, noises.m0.shape[-1]), key, noises.m0.dtype)
        return noises.m0 + _spread(eps, root(noises.P0))

    def move(self, x: tf.Tensor, at: At, key: tf.Tensor) -> tf.Tensor:
        """As Densities says."""
        eps = random.normal(x.shape, key, x.dtype)
        return self.centre(x, at) + _spread(eps, root(matrix_at(at.noises.Q, at.t)[0]))

    def centre(self, x: tf.Tensor, at: At) -> tf.Tensor:
        """``E[x_t+1 | x_t]``, ``[n, N, d]``."""
        return self.f(x, at.u_of_particles)

    def foresee(
        self, values: tf.Tensor, seen: tf.Tensor, x: tf.Tensor, at: At, next_u: tf.Tensor | None
    ) -> tf.Tensor:
        """As Densities says, with h made linear about the middle of the move.

        The spread of the move counts, so the weights that correct for the choice stay bounded
        in expectation: exact where h is linear.
        """
        middle = tf.reshape(self.centre(x, at), [-1, x.shape[-1]])
        if next_u is not None:
            next_u = tf.repeat(next_u, x.shape[1], axis=0)
        with tf.GradientTape() as tape:
            tape.watch(middle)
            expected = self.h(middle, next_u)
        zero = tf.UnconnectedGradients.ZERO
        slope = tape.batch_jacobian(expected, middle, unconnected_gradients=zero)
        Q, R = matrix_at(at.noises.Q, at.t), matrix_at(at.noises.R, at.t + 1)
        spread = congruence(slope, Q) + R
        size = values.shape[-1]
        residual = values[:, tf.newaxis] - tf.reshape(expected, [*x.shape[:2], size])
        spread = tf.reshape(spread, [*x.shape[:2], size, size])
        return _log_normal(residual, spread, seen[:, tf.newaxis])

    def log_move(self, after: tf.Tensor, x: tf.Tensor, at: At) -> tf.Tensor:
        """As Densities says; up to a constant that is the same for all."""
        whiten = _inverse(tf.linalg.cholesky(matrix_at(at.noises.Q, at.t)))
        expected = self.centre(x, at)
        middle = tf.reduce_mean(expected, axis=1, keepdims=True)  # squares keep their digits
        ends = tf.matmul(after - middle, whiten, transpose_b=True)
        begins = tf.matmul(expected - middle, whiten, transpose_b=True)
        product = tf.matmul(ends, begins, transpose_b=True)
        squares = [tf.reduce_sum(tf.square(part), -1) for part in (ends, begins)]
        return product - 0.5 * (squares[0][:, :, tf.newaxis] + squares[1][:, tf.newaxis, :])

    def log_seen(self, values: tf.Tensor, seen: tf.Tensor, x: tf.Tensor, at: At) -> tf.Tensor:
        """As Densities says; any element may be missing."""
        expected, R = self.expected(x, at)
        return _log_normal(values[:, tf.newaxis] - expected, R, seen[:, tf.newaxis])

    def expected(self, x: tf.Tensor, at: At) -> tuple[tf.Tensor, tf.Tensor]:
        """As Densities says."""
        return self.h(x, at.u_of_particles), matrix_at(at.noises.R, at.t)[tf.newaxis]

    def simulate(
        self, steps: int, count: int, control: Any, noises: Noises, key: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """As Densities says."""
        return simulate(self.f, self.h, steps, count, control, noises, key)


@dataclass(frozen=True)
class GeneralDensities:
    """Any distributions of TensorFlow Probability.

    Attributes:
        initial: Of the first state; event shape ``[d]``.
        transition: From states ``[..., d]`` to the distribution of the next, ``[...]`` and ``[d]``.
        observation: From states to the distribution of what is seen, ``[...]`` and ``[m]``.
    """

    initial: Any
    transition: Callable[[tf.Tensor], Any]
    observation: Callable[[tf.Tensor], Any]

    def draw_first(self, count: int, particles: int, noises: None, key: tf.Tensor) -> tf.Tensor:
        """As Densities says."""
        return self.initial.sample((count, particles), seed=_seed(key))

    def move(self, x: tf.Tensor, at: At, key: tf.Tensor) -> tf.Tensor:
        """As Densities says."""
        return tf.ensure_shape(self.transition(x).sample(seed=_seed(key)), x.shape)

    def foresee(
        self, values: tf.Tensor, seen: tf.Tensor, x: tf.Tensor, at: At, next_u: tf.Tensor | None
    ) -> tf.Tensor:
        """As Densities says, by the density at the mean of the move (Pitt & Shephard 1999)."""
        return self.log_seen(values, seen, self.transition(x).mean(), at)

    def log_move(self, after: tf.Tensor, x: tf.Tensor, at: At) -> tf.Tensor:
        """As Densities says."""
        return self.transition(x[:, tf.newaxis]).log_prob(after[:, :, tf.newaxis])

    def log_seen(self, values: tf.Tensor, seen: tf.Tensor, x: tf.Tensor, at: At) -> tf.Tensor:
        """As Densities says; an observation is there or missing as a whole."""
        whole = seen[..., :1] > 0.0
        found = self.observation(x).log_prob(values[:, tf.newaxis])
        return tf.where(whole, found, tf.zeros_like(found))

    def expected(self, x: tf.Tensor, at: At) -> tuple[tf.Tensor, tf.Tensor]:
        """As Densities says."""
        distribution = self.observation(x)
        try:
            covariance = distribution.covariance()
        except NotImplementedError:
            covariance = tf.linalg.diag(distribution.variance())
        return distribution.mean(), covariance

    def simulate(
        self, steps: int, count: int, control: Any, noises: None, key: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """As Densities says."""
        seen_key, move_key = random.fold_in(key, "observation"), random.fold_in(key, "process")
        first = self.draw_first(count, 1, None, random.fold_in(key, "first"))
        written = [tf.TensorArray(first.dtype, steps) for _ in range(2)]

        def step(
            t: tf.Tensor, x: tf.Tensor, arrays: list[tf.TensorArray]
        ) -> tuple[tf.Tensor, tf.Tensor, list[tf.TensorArray]]:
            y = self.observation(x).sample(seed=_seed(random.fold_in(seen_key, t)))
            found = (x[:, 0], y[:, 0])
            arrays = [array.write(t, value) for array, value in zip(arrays, found, strict=True)]
            moved = self.move(x, At(t, None, None), random.fold_in(move_key, t))
            return t + 1, moved, arrays

        *_, written = tf.while_loop(
            lambda t, *_: t < steps,
            step,
            (tf.constant(0), first, written),
            maximum_iterations=steps,
            parallel_iterations=1,
        )
        states, values = (array.stack() for array in written)
        return states, values


def _spread(eps: tf.Tensor, U: tf.Tensor) -> tf.Tensor:
    """Standard normals ``[n, N, a]`` with the covariance ``U U'``."""
    return tf.linalg.matvec(U, eps)


def _log_normal(residual: tf.Tensor, covariance: tf.Tensor, seen: tf.Tensor) -> tf.Tensor:
    """``log N(residual; 0, C)`` of the elements seen.

    Args:
        residual: ``[n, N, m]``.
        covariance: ``[n or 1, N or 1, m, m]``.
        seen: ``[n or 1, 1, m]``.
    """
    both = seen[..., tf.newaxis] * seen[..., tf.newaxis, :]
    factor = tf.linalg.cholesky(covariance * both + tf.linalg.diag(1.0 - seen))
    log_det = 2.0 * tf.reduce_sum(tf.math.log(tf.linalg.diag_part(factor)), -1)
    white = tf.linalg.matvec(_inverse(factor), residual * seen)
    constant = _LOG_2_PI * tf.reduce_sum(seen, -1) + log_det
    return -0.5 * (tf.reduce_sum(tf.square(white), -1) + constant)


def _inverse(factor: tf.Tensor) -> tf.Tensor:
    """Of a triangular matrix."""
    identity = tf.eye(factor.shape[-1], dtype=factor.dtype)
    return tf.linalg.triangular_solve(factor, tf.broadcast_to(identity, tf.shape(factor)))


def _seed(key: tf.Tensor) -> tf.Tensor:
    """A key as TensorFlow Probability takes it."""
    return tf.bitcast(key, tf.int32)
