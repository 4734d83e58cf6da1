"""The loop of samplers whose chains take their transitions together, in one XLA program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from ... import random
from . import adaptation
from .adaptation import Mass, StepSize
from .transitions import Transition
from .trees import LogProbAndGradient, Point, write_rows

STATS = ("lp", "n_steps", "acceptance_rate", "step_size")
"""What is recorded of a transition; a kernel without a choice may leave some out."""
HAMILTONIAN_STATS = ("lp", "energy", "diverging", "n_steps", "acceptance_rate", "step_size")
"""What is recorded of a transition with momenta, by ArviZ' names."""


class LockstepState(NamedTuple):
    """All there is to know, to go on from here.

    Attributes:
        iteration: Transitions done, warm-up included, ``[chain]``; the same for all.
        draws, stats: ``[draws + 1, chain, ...]``; the last row takes what is not kept.
    """

    iteration: tf.Tensor
    point: Point
    step: StepSize
    mass: Mass
    draws: tf.Tensor
    stats: tf.Tensor


class Lockstep:
    """A transition with Stan's warm-up around it; ``start`` and ``advance`` are as in Nuts.

    Args:
        log_prob_and_gradient: From ``z [chain, D]`` to ``[chain]`` and ``[chain, D]``.
        transition: The kernel.
        warmup, thin, target_accept, dense, step_size: As in Nuts.
        initial_step: Where the adapted step size (or a slice's width) starts.
        adapts_step: False for a kernel whose acceptance says nothing of its step size.
        adapts_mass: False for a kernel that uses no mass matrix.
        stats: Which to record: of ``STATS``, or of ``HAMILTONIAN_STATS`` with hmc and mala.
        log_joint_of: From a point to what is recorded as ``lp``; by default the density of the
            point itself.
    """

    def __init__(
        self,
        log_prob_and_gradient: LogProbAndGradient,
        transition: Transition,
        *,
        warmup: int,
        thin: int = 1,
        target_accept: float = 0.8,
        dense: bool = False,
        step_size: float | None = None,
        initial_step: float = 0.1,
        adapts_step: bool = True,
        adapts_mass: bool = True,
        stats: tuple[str, ...] = STATS,
        log_joint_of: Callable[[Point], tf.Tensor] = lambda point: point.log_prob,
    ) -> None:
        self.log_prob_and_gradient, self.transition = log_prob_and_gradient, transition
        self.warmup, self.thin, self.target_accept = warmup, thin, target_accept
        self.dense, self.initial_step = dense, step_size or initial_step
        self.adapts_step = adapts_step and step_size is None
        self.adapts_mass = adapts_mass and step_size is None
        self.stats, self.log_joint_of = stats, log_joint_of
        self._schedule = adaptation.Schedule(warmup)
        self.advance = tf.function(self._advance, jit_compile=True, autograph=False)
        self.start = tf.function(self._start, autograph=False)  # runs once: XLA would cost more

    def _advance(
        self, state: LockstepState, keys: tf.Tensor, last_iteration: tf.Tensor, steps: tf.Tensor
    ) -> LockstepState:
        """Make up to ``steps`` transitions, until ``last_iteration`` is reached."""

        def unfinished(count: tf.Tensor, state: LockstepState) -> tf.Tensor:
            return (count < steps) & (state.iteration[0] < last_iteration)

        def body(count: tf.Tensor, state: LockstepState) -> tuple[tf.Tensor, LockstepState]:
            return count + 1, self._step(state, keys)

        return tf.while_loop(unfinished, body, (tf.zeros_like(steps), state))[1]

    def _step(self, state: LockstepState, keys: tf.Tensor) -> LockstepState:
        now = random.fold_in(keys, tf.cast(state.iteration, tf.int64))
        size = tf.exp(state.step.log_step)
        move = self.transition(self.log_prob_and_gradient, now, state.point, size, state.mass)
        point, accept = move.point, move.acceptance
        step, mass = self._adapt(state, point.z, accept)
        iteration = state.iteration + 1
        done = iteration - self.warmup
        rows = state.draws.shape[0] - 1
        keep = (done > 0) & (done % self.thin == 0) & (done <= rows * self.thin)
        row = tf.where(keep, done // self.thin - 1, rows)
        figures = {
            "lp": self.log_joint_of(point),
            "n_steps": move.evaluations,
            "acceptance_rate": accept,
            "step_size": size,
            **move.hamiltonian,
        }
        return LockstepState(
            iteration=iteration,
            point=point,
            step=step,
            mass=mass,
            draws=write_rows(state.draws, point.z, row),
            stats=write_rows(state.stats, self._stacked(figures, accept.dtype), row),
        )

    def _stacked(self, figures: Mapping[str, tf.Tensor], dtype: Any) -> tf.Tensor:
        return tf.stack([tf.cast(figures[name], dtype) for name in self.stats], axis=-1)

    def _adapt(
        self, state: LockstepState, z: tf.Tensor, accept: tf.Tensor
    ) -> tuple[StepSize, Mass]:
        if not self.warmup or not (self.adapts_step or self.adapts_mass):
            return state.step, state.mass
        step, mass = self._schedule.adapt(
            state.step,
            state.mass,
            z,
            accept,
            state.iteration,
            state.iteration < self.warmup,
            self.target_accept,
        )
        return (step if self.adapts_step else state.step), mass

    def _start(self, z: tf.Tensor, keys: tf.Tensor) -> LockstepState:
        chains, dim = z.shape
        log_prob, gradient = self.log_prob_and_gradient(z)
        size = tf.fill((chains,), tf.constant(self.initial_step, z.dtype))
        return LockstepState(
            iteration=tf.zeros((chains,), tf.int32),
            point=Point(z, gradient, log_prob),
            step=adaptation.start_step_size(size),
            mass=adaptation.start_mass(chains, dim, z.dtype, dense=self.dense),
            draws=tf.zeros((1, chains, dim), z.dtype),
            stats=tf.zeros((1, chains, len(self.stats)), z.dtype),
        )


def with_room(state: Any, draws: int) -> Any:
    """The state (of any sampler) with room for so many draws; those it has are kept."""

    def resized(buffer: tf.Tensor) -> tf.Tensor:
        kept = buffer[:-1][:draws]
        room = tf.zeros((draws + 1 - kept.shape[0], *buffer.shape[1:]), buffer.dtype)
        return tf.concat([kept, room], axis=0)

    draws_and_stats = tf.nest.map_structure(resized, (state.draws, state.stats))
    return state._replace(draws=draws_and_stats[0], stats=draws_and_stats[1])
