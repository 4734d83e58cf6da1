"""The no-U-turn sampler, with chains that run free of each other in one XLA program.

Each pass of the loop is one leapfrog step of every chain; a chain that has finished its trajectory
begins the next at once. The whole state, half-built trees included, goes in and out of
``advance``, and every random number is a function of the chain's key and its own clock: so the
draws do not depend on where the loop is cut.

References:
    Hoffman & Gelman 2014 (the sampler); Betancourt 2017, appendix A (multinomial sampling,
    generalised turning criterion); Phan, Pradhan & Jankowiak 2019 (iterative trees with
    O(log n) checkpoints).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ... import random
from . import adaptation
from .adaptation import Mass, StepSize, choose, momentum_from, velocity
from .trees import (
    Edge,
    LogProbAndGradient,
    Point,
    Subtree,
    Trajectory,
    kinetic,
    log_add_exp,
    new_subtree,
    new_trajectory,
    population_count,
    write_rows,
)

DIVERGENCE = 1000.0
STATS = (
    "lp",
    "energy",
    "diverging",
    "tree_depth",
    "reached_max_treedepth",
    "n_steps",
    "acceptance_rate",
    "step_size",
)


class NutsState(NamedTuple):
    """All there is to know, to go on from here.

    Attributes:
        clock: Leapfrog steps that a chain has made, which its random numbers are a function of.
        iteration: Transitions that a chain has completed, warm-up included.
        momenta, sums: ``[K + 1, chain, D]``, what the turning criterion remembers of a subtree.
        last: ``[chain, len(STATS)]``, figures of the last transition.
        draws, stats: ``[draws + 1, chain, ...]``; the last row takes what is not kept.
    """

    clock: tf.Tensor
    iteration: tf.Tensor
    point: Point
    step: StepSize
    mass: Mass
    trajectory: Trajectory
    subtree: Subtree
    momenta: tf.Tensor
    sums: tf.Tensor
    last: tf.Tensor
    draws: tf.Tensor
    stats: tf.Tensor


class Nuts:
    """The sampler of one target.

    Args:
        log_prob_and_gradient: From ``z [chain, D]`` to ``[chain]`` and ``[chain, D]``.
        warmup: Iterations that adapt step size and mass matrix.
        thin: Every so many iterations after warm-up is kept.
        target_accept: Mean acceptance statistic that the step size aims at.
        max_tree_depth: Of the trees; a trajectory has at most ``2**max_tree_depth - 1`` steps.
        dense: Whether the mass matrix is dense.
        step_size: A fixed step size, with which nothing adapts; None: adapted.
    """

    def __init__(
        self,
        log_prob_and_gradient: LogProbAndGradient,
        *,
        warmup: int,
        thin: int = 1,
        target_accept: float = 0.8,
        max_tree_depth: int = 10,
        dense: bool = False,
        step_size: float | None = None,
    ) -> None:
        self.log_prob_and_gradient = log_prob_and_gradient
        self.warmup, self.thin = warmup, thin
        self.target_accept, self.max_tree_depth = target_accept, max_tree_depth
        self.dense, self.step_size = dense, step_size
        self._schedule = adaptation.Schedule(warmup)
        self.advance = tf.function(self._advance, jit_compile=True, autograph=False)
        self.start = tf.function(self._start, autograph=False)  # runs once: XLA would cost more

    # -- the loop ----------------------------------------------------------------------------

    def _advance(
        self, state: NutsState, keys: tf.Tensor, last_iteration: tf.Tensor, steps: tf.Tensor
    ) -> NutsState:
        """Make up to ``steps`` leapfrog steps, until all chains have done their iterations.

        Args:
            state: Where to go on.
            keys: One key a chain, ``[chain, 2]``, the same at each call.
            last_iteration: Iterations in all, warm-up included; finished chains stand still.
            steps: How many passes of the loop at the most.
        """

        def unfinished(count: tf.Tensor, state: NutsState) -> tf.Tensor:
            return (count < steps) & tf.reduce_any(state.iteration < last_iteration)

        def body(count: tf.Tensor, state: NutsState) -> tuple[tf.Tensor, NutsState]:
            return count + 1, self._step(state, keys, state.iteration < last_iteration)

        return tf.while_loop(unfinished, body, (tf.zeros_like(steps), state))[1]

    def _step(self, state: NutsState, keys: tf.Tensor, active: tf.Tensor) -> NutsState:
        """One leapfrog step of each active chain, and what follows where a tree is complete."""
        now = random.fold_in(keys, tf.cast(state.clock, tf.int64))
        chance = tf.math.log(random.uniform((3,), now, state.point.z.dtype))
        trajectory, subtree, mass = state.trajectory, state.subtree, state.mass
        sign = tf.where(subtree.forward, 1.0, -1.0)
        step = tf.exp(state.step.log_step) * tf.cast(sign, state.point.z.dtype)
        edge, log_prob = self._leapfrog(subtree.edge, step, mass)
        weight = log_prob - kinetic(mass, edge.momentum) - trajectory.energy
        weight = tf.where(tf.math.is_finite(weight), weight, -np.inf)
        diverging = active & (weight < -DIVERGENCE)
        grown, momenta, sums, turned = self._grow(
            state, Point(edge.z, edge.gradient, log_prob), edge, weight, chance[:, 0], active
        )
        trajectory = choose(
            active,
            trajectory._replace(
                accept_sum=trajectory.accept_sum + tf.minimum(tf.exp(weight), 1.0),
                steps=trajectory.steps + 1,
            ),
            trajectory,
        )
        bad = turned | diverging
        full = grown.leaves >= tf.bitwise.left_shift(tf.ones_like(grown.leaves), trajectory.depth)
        complete = active & (bad | full)
        state = state._replace(
            clock=state.clock + tf.cast(active, tf.int32),
            trajectory=trajectory,
            subtree=grown,
            momenta=momenta,
            sums=sums,
        )
        state = tf.cond(
            tf.reduce_any(complete),
            lambda: self._merge(state, now, chance, complete, bad, diverging),
            lambda: state,
        )
        return self._record(state)

    def _leapfrog(self, edge: Edge, step: tf.Tensor, mass: Mass) -> tuple[Edge, tf.Tensor]:
        step = step[:, tf.newaxis]
        momentum = edge.momentum + 0.5 * step * edge.gradient
        z = edge.z + step * velocity(mass, momentum)
        log_prob, gradient = self.log_prob_and_gradient(z)
        return Edge(z, momentum + 0.5 * step * gradient, gradient), log_prob

    # -- trees -------------------------------------------------------------------------------

    def _grow(
        self,
        state: NutsState,
        leaf: Point,
        edge: Edge,
        weight: tf.Tensor,
        chance: tf.Tensor,
        active: tf.Tensor,
    ) -> tuple[Subtree, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Add a leaf to the subtree; tell whether any of its own subtrees makes a U-turn."""
        old = state.subtree
        first = old.leaves == 0
        log_weight = tf.where(first, weight, log_add_exp(old.log_weight, weight))
        take = first | (chance < weight - log_weight)  # multinomial over the subtree's states
        momentum_sum = old.momentum_sum + edge.momentum
        odd = (old.leaves & 1) == 1
        half = tf.bitwise.right_shift(old.leaves, 1)
        highest = population_count(half)
        trailing = tf.bitwise.right_shift(tf.bitwise.bitwise_xor(old.leaves, old.leaves + 1), 1)
        lowest = highest - population_count(trailing) + 1
        depth = self.max_tree_depth
        slot = tf.where(odd | ~active, depth, highest)  # only even leaves begin a subtree
        momenta = write_rows(state.momenta, edge.momentum, slot)
        sums = write_rows(state.sums, momentum_sum, slot)
        begin = momenta[:depth]
        total = momentum_sum - sums[:depth] + begin - 0.5 * (begin + edge.momentum)
        speed = velocity(state.mass, total)
        turning = (tf.reduce_sum(begin * speed, -1) <= 0) | (
            tf.reduce_sum(edge.momentum * speed, -1) <= 0
        )
        slots = tf.range(depth)[:, tf.newaxis]
        turned = odd & tf.reduce_any(turning & (slots >= lowest) & (slots <= highest), axis=0)
        grown = Subtree(
            edge=edge,
            forward=old.forward,
            leaves=old.leaves + 1,
            log_weight=log_weight,
            momentum_sum=momentum_sum,
            proposal=choose(take, leaf, old.proposal),
        )
        return choose(active, grown, old), momenta, sums, turned & active

    def _merge(
        self,
        state: NutsState,
        now: tf.Tensor,
        chance: tf.Tensor,
        complete: tf.Tensor,
        bad: tf.Tensor,
        diverging: tf.Tensor,
    ) -> NutsState:
        """Join complete subtrees to trajectories; end those that turn, diverge or are full."""
        trajectory, subtree = state.trajectory, state.subtree
        good = complete & ~bad
        take = good & (chance[:, 1] < subtree.log_weight - trajectory.log_weight)
        momentum_sum = trajectory.momentum_sum + subtree.momentum_sum
        joined = trajectory._replace(
            left=choose(good & ~subtree.forward, subtree.edge, trajectory.left),
            right=choose(good & subtree.forward, subtree.edge, trajectory.right),
            proposal=choose(take, subtree.proposal, trajectory.proposal),
            log_weight=tf.where(
                good, log_add_exp(trajectory.log_weight, subtree.log_weight), trajectory.log_weight
            ),
            momentum_sum=choose(good, momentum_sum, trajectory.momentum_sum),
            depth=trajectory.depth + tf.cast(good, tf.int32),
        )
        ended = complete & (
            bad | self._turns(joined, state.mass) | (joined.depth >= self.max_tree_depth)
        )
        state = state._replace(trajectory=joined)
        state = tf.cond(
            tf.reduce_any(ended),
            lambda: self._end_transition(state, now, ended, diverging),
            lambda: state,
        )
        fresh = new_subtree(state.trajectory, chance[:, 2] < np.log(0.5))
        return state._replace(subtree=choose(complete, fresh, state.subtree))

    def _turns(self, trajectory: Trajectory, mass: Mass) -> tf.Tensor:
        left, right = trajectory.left.momentum, trajectory.right.momentum
        speed = velocity(mass, trajectory.momentum_sum - 0.5 * (left + right))
        return (tf.reduce_sum(left * speed, -1) <= 0) | (tf.reduce_sum(right * speed, -1) <= 0)

    # -- transitions -------------------------------------------------------------------------

    def _end_transition(
        self, state: NutsState, now: tf.Tensor, ended: tf.Tensor, diverging: tf.Tensor
    ) -> NutsState:
        """Move to the proposal, adapt during warm-up, and begin the next trajectory."""
        trajectory = state.trajectory
        point = choose(ended, trajectory.proposal, state.point)
        accept = trajectory.accept_sum / tf.cast(tf.maximum(trajectory.steps, 1), point.z.dtype)
        figures = tf.stack(
            [
                point.log_prob,
                -trajectory.energy,
                tf.cast(diverging, accept.dtype),
                tf.cast(trajectory.depth, accept.dtype),
                tf.cast(trajectory.depth >= self.max_tree_depth, accept.dtype),
                tf.cast(trajectory.steps, accept.dtype),
                accept,
                tf.exp(state.step.log_step),
            ],
            axis=-1,
        )
        step, mass = self._adapt(state, point.z, accept, ended & (state.iteration < self.warmup))
        noise = random.normal(point.z.shape[1:], random.fold_in(now, "momentum"), point.z.dtype)
        fresh = new_trajectory(point, momentum_from(mass, noise), mass)
        return state._replace(
            iteration=state.iteration + tf.cast(ended, tf.int32),
            point=point,
            step=step,
            mass=mass,
            trajectory=choose(ended, fresh, trajectory),
            last=choose(ended, figures, state.last),
        )

    def _adapt(
        self, state: NutsState, z: tf.Tensor, accept: tf.Tensor, adapting: tf.Tensor
    ) -> tuple[StepSize, Mass]:
        if self.step_size is not None or not self.warmup:
            return state.step, state.mass
        return self._schedule.adapt(
            state.step, state.mass, z, accept, state.iteration, adapting, self.target_accept
        )

    def _record(self, state: NutsState) -> NutsState:
        """Write each chain's latest draw into its row; the last row takes what is not kept."""
        rows = state.draws.shape[0] - 1
        done = state.iteration - self.warmup
        keep = (done > 0) & (done % self.thin == 0) & (done <= rows * self.thin)
        row = tf.where(keep, done // self.thin - 1, rows)
        return state._replace(
            draws=write_rows(state.draws, state.point.z, row),
            stats=write_rows(state.stats, state.last, row),
        )

    # -- the start ---------------------------------------------------------------------------

    def _start(self, z: tf.Tensor, keys: tf.Tensor) -> NutsState:
        """The state before the first iteration, from ``z [chain, D]``; it has room for no draws."""
        chains, dim = z.shape
        dtype, depth = z.dtype, self.max_tree_depth
        log_prob, gradient = self.log_prob_and_gradient(z)
        point = Point(z, gradient, log_prob)
        mass = adaptation.start_mass(chains, dim, dtype, dense=self.dense)
        first = random.fold_in(keys, "start")
        noise = random.normal((dim,), first, dtype)
        if self.step_size is None:
            size = self._reasonable_step(point, noise, mass)
        else:
            size = tf.fill((chains,), tf.constant(self.step_size, dtype))
        zero = tf.zeros((chains,), tf.int32)
        later = random.fold_in(keys, "first trajectory")
        trajectory = new_trajectory(point, random.normal((dim,), later, dtype), mass)
        forward = random.uniform((), random.fold_in(later, "direction"), dtype) < 0.5
        memory = tf.zeros((depth + 1, chains, dim), dtype)
        return NutsState(
            clock=zero,
            iteration=zero,
            point=point,
            step=adaptation.start_step_size(size),
            mass=mass,
            trajectory=trajectory,
            subtree=new_subtree(trajectory, forward),
            momenta=memory,
            sums=memory,
            last=tf.zeros((chains, len(STATS)), dtype),
            draws=tf.zeros((1, chains, dim), dtype),
            stats=tf.zeros((1, chains, len(STATS)), dtype),
        )

    def _reasonable_step(self, point: Point, momentum: tf.Tensor, mass: Mass) -> tf.Tensor:
        """Double or halve until one step's acceptance crosses 0.8 (Hoffman & Gelman, alg. 4)."""
        before = point.log_prob - kinetic(mass, momentum)
        edge = Edge(point.z, momentum, point.gradient)

        def accepted(size: tf.Tensor) -> tf.Tensor:
            moved, log_prob = self._leapfrog(edge, size, mass)
            change = log_prob - kinetic(mass, moved.momentum) - before
            return tf.where(tf.math.is_finite(change), change, -np.inf) > np.log(0.8)

        size = tf.fill(point.log_prob.shape, tf.constant(0.1, point.z.dtype))
        grow = accepted(size)

        def searching(count: tf.Tensor, size: tf.Tensor, going: tf.Tensor) -> tf.Tensor:
            return (count < 50) & tf.reduce_any(going)

        def search(count: tf.Tensor, size: tf.Tensor, going: tf.Tensor) -> Any:
            moved = tf.where(going, tf.where(grow, 2.0 * size, 0.5 * size), size)
            return count + 1, moved, going & (accepted(moved) == grow)

        everywhere = tf.fill(size.shape, True)
        return tf.while_loop(searching, search, (tf.constant(0), size, everywhere))[1]
