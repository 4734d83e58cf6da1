"""The no-U-turn sampler, with chains that run free of each other in one XLA program.

Three loops in one another: leapfrog steps of all chains, until some chain's subtree is complete;
those merges, until some chain's trajectory has ended; those transitions. No chain waits for
another: each has a trajectory of its own at work all the time. The whole state, half-built trees
included, goes in and out of ``advance``, and every random number is a function of the chain's key
and its own clock: so the draws do not depend on where the loop is cut.

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
from ..choice import choose
from ..compilation import as_one_kernel
from . import adaptation
from .adaptation import Mass, StepSize, momentum_from, velocity
from .trees import (
    Edge,
    LogProbAndGradient,
    Point,
    Subtree,
    Trajectory,
    Tree,
    is_complete,
    is_turning,
    kinetic,
    log_add_exp,
    new_subtree,
    new_trajectory,
    population_count,
    read_row,
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
        iteration: Transitions that a chain has completed, warm-up included.
        point: Where they have led.
        tree: Of the transition at work.
        draws, stats: ``[draws + 1, chain, ...]``; the last row takes what is not kept.
    """

    iteration: tf.Tensor
    point: Point
    step: StepSize
    mass: Mass
    tree: Tree
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

    # -- three loops in one another ------------------------------------------------------------

    def _advance(
        self, state: NutsState, keys: tf.Tensor, last_iteration: tf.Tensor, steps: tf.Tensor
    ) -> NutsState:
        """Make up to ``steps`` leapfrog steps, until all chains have done their iterations.

        Args:
            state: Where to go on.
            keys: One key a chain, ``[chain, 2]``, the same at each call.
            last_iteration: Iterations in all, warm-up included; finished chains stand still.
            steps: How many leapfrog steps, of all chains at once, at the most.
        """

        def unfinished(count: tf.Tensor, state: NutsState) -> tf.Tensor:
            return (count < steps) & tf.reduce_any(state.iteration < last_iteration)

        def transition(count: tf.Tensor, state: NutsState) -> tuple[tf.Tensor, NutsState]:
            active = state.iteration < last_iteration
            count, tree = self._until_one_ends(count, state, keys, active, steps)
            return count, self._end_transitions(state._replace(tree=tree), keys)

        return tf.while_loop(unfinished, transition, (tf.zeros_like(steps), state))[1]

    def _until_one_ends(
        self,
        count: tf.Tensor,
        state: NutsState,
        keys: tf.Tensor,
        active: tf.Tensor,
        steps: tf.Tensor,
    ) -> tuple[tf.Tensor, Tree]:
        """Double the trees until a chain's trajectory has ended."""
        step, mass, one = tf.exp(state.step.log_step), state.mass, tf.minimum(steps, 1)

        def incomplete(count: tf.Tensor, tree: Tree) -> tf.Tensor:
            return (count < steps) & ~tf.reduce_any(is_complete(tree))

        def leaf(count: tf.Tensor, tree: Tree) -> tuple[tf.Tensor, Tree]:
            signed = tf.where(tree.subtree.forward, step, -step)
            edge, log_prob = self._leapfrog(tree.subtree.edge, signed, mass)

            def add(tree: Tree) -> Tree:
                return self._add_leaf(tree, edge, log_prob, mass, keys, active)

            return count + 1, as_one_kernel(one, add, tree)

        def going(count: tf.Tensor, tree: Tree) -> tf.Tensor:
            return (count < steps) & ~tf.reduce_any(tree.trajectory.ended)

        def double(count: tf.Tensor, tree: Tree) -> tuple[tf.Tensor, Tree]:
            count, tree = tf.while_loop(incomplete, leaf, (count, tree))
            return count, as_one_kernel(one, lambda tree: self._merge(tree, mass, keys), tree)

        return tf.while_loop(going, double, (count, state.tree))

    # -- leaves --------------------------------------------------------------------------------

    def _leapfrog(self, edge: Edge, step: tf.Tensor, mass: Mass) -> tuple[Edge, tf.Tensor]:
        step = step[:, tf.newaxis]
        momentum = edge.momentum + 0.5 * step * edge.gradient
        z = edge.z + step * velocity(mass, momentum)
        log_prob, gradient = self.log_prob_and_gradient(z)
        return Edge(z, momentum + 0.5 * step * gradient, gradient), log_prob

    def _add_leaf(
        self,
        tree: Tree,
        edge: Edge,
        log_prob: tf.Tensor,
        mass: Mass,
        keys: tf.Tensor,
        active: tf.Tensor,
    ) -> Tree:
        """Where a leapfrog step has led becomes a leaf of each active chain's subtree."""
        old, trajectory = tree.subtree, tree.trajectory
        weight = log_prob - kinetic(mass, edge.momentum) - trajectory.energy
        weight = tf.where(tf.math.is_finite(weight), weight, -np.inf)
        first = old.leaves == 0
        log_weight = tf.where(first, weight, log_add_exp(old.log_weight, weight))
        now = random.fold_in(keys, tf.cast(tree.clock, tf.int64))
        chance = tf.math.log(random.uniform((), now, weight.dtype))
        take = first | (chance < weight - log_weight)  # multinomial over the subtree's states
        momentum_sum = old.momentum_sum + edge.momentum
        memory, turned = self._remember(tree, edge.momentum, momentum_sum, mass, active)
        grown = Subtree(
            edge=edge,
            forward=old.forward,
            leaves=old.leaves + 1,
            log_weight=log_weight,
            momentum_sum=momentum_sum,
            accept_sum=old.accept_sum + tf.minimum(tf.exp(weight), 1.0),
            proposal=choose(take, Point(edge.z, edge.gradient, log_prob), old.proposal),
            turned=turned,
            diverging=weight < -DIVERGENCE,
        )
        clock = tree.clock + tf.cast(active, tf.int32)
        return Tree(clock, trajectory, choose(active, grown, old), memory)

    def _remember(
        self,
        tree: Tree,
        momentum: tf.Tensor,
        momentum_sum: tf.Tensor,
        mass: Mass,
        active: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The memory with a new leaf, and whether a subtree that the leaf ends makes a U-turn.

        Even leaves begin subtrees, which odd leaves end: the slots ``lowest`` to ``highest`` hold
        the beginnings of those that this one ends (Phan et al. 2019, algorithm 2).
        """
        number = tree.subtree.leaves
        odd = active & ((number & 1) == 1)
        half = tf.bitwise.right_shift(number, 1)
        highest = population_count(half)
        trailing = tf.bitwise.right_shift(tf.bitwise.bitwise_xor(number, number + 1), 1)
        lowest = highest - population_count(trailing) + 1
        slot = tf.where(odd | ~active, self.max_tree_depth, highest)
        memory = write_rows(tree.memory, tf.stack([momentum, momentum_sum], axis=1), slot)

        def check(slot: tf.Tensor, turned: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            row = read_row(memory, slot)
            begin, before = row[:, 0], row[:, 1]
            turns = is_turning(begin, momentum, momentum_sum - before + begin, mass)
            return slot + 1, turned | (odd & turns & (slot >= lowest) & (slot <= highest))

        last = tf.reduce_max(tf.where(odd, highest, -1))
        slot = tf.reduce_min(tf.where(odd, lowest, self.max_tree_depth))
        no = tf.fill(odd.shape, False)
        return memory, tf.while_loop(lambda slot, _: slot <= last, check, (slot, no))[1]

    # -- subtrees ------------------------------------------------------------------------------

    def _merge(self, tree: Tree, mass: Mass, keys: tf.Tensor) -> Tree:
        """Join complete subtrees to their trajectories; mark those that turn, diverge or are full.

        The subtree that comes next goes forward or backward with equal chance.
        """
        trajectory, subtree = tree.trajectory, tree.subtree
        complete = is_complete(tree)
        good = complete & ~(subtree.turned | subtree.diverging)
        now = random.fold_in(random.fold_in(keys, tf.cast(tree.clock, tf.int64)), "merge")
        chance = tf.math.log(random.uniform((2,), now, subtree.log_weight.dtype))
        take = good & (chance[:, 0] < subtree.log_weight - trajectory.log_weight)
        log_weight = log_add_exp(trajectory.log_weight, subtree.log_weight)
        momentum_sum = trajectory.momentum_sum + subtree.momentum_sum
        joined = Trajectory(
            left=choose(good & ~subtree.forward, subtree.edge, trajectory.left),
            right=choose(good & subtree.forward, subtree.edge, trajectory.right),
            proposal=choose(take, subtree.proposal, trajectory.proposal),
            energy=trajectory.energy,
            log_weight=tf.where(good, log_weight, trajectory.log_weight),
            momentum_sum=choose(good, momentum_sum, trajectory.momentum_sum),
            depth=trajectory.depth + tf.cast(good, tf.int32),
            accept_sum=trajectory.accept_sum + tf.where(complete, subtree.accept_sum, 0.0),
            steps=trajectory.steps + tf.where(complete, subtree.leaves, 0),
            ended=trajectory.ended,
            diverging=complete & subtree.diverging,
        )
        turns = is_turning(joined.left.momentum, joined.right.momentum, joined.momentum_sum, mass)
        ended = complete & (~good | turns | (joined.depth >= self.max_tree_depth))
        joined = joined._replace(ended=ended)
        fresh = new_subtree(joined, chance[:, 1] < np.log(0.5))
        return tree._replace(trajectory=joined, subtree=choose(complete, fresh, subtree))

    # -- transitions -----------------------------------------------------------------------------

    def _end_transitions(self, state: NutsState, keys: tf.Tensor) -> NutsState:
        """Where a trajectory has ended: move to its proposal, adapt, record, begin the next."""
        trajectory = state.tree.trajectory
        ended = trajectory.ended
        point = choose(ended, trajectory.proposal, state.point)
        accept = trajectory.accept_sum / tf.cast(tf.maximum(trajectory.steps, 1), point.z.dtype)
        figures = tf.stack(
            [
                point.log_prob,
                -trajectory.energy,
                tf.cast(trajectory.diverging, accept.dtype),
                tf.cast(trajectory.depth, accept.dtype),
                tf.cast(trajectory.depth >= self.max_tree_depth, accept.dtype),
                tf.cast(trajectory.steps, accept.dtype),
                accept,
                tf.exp(state.step.log_step),
            ],
            axis=-1,
        )
        step, mass = self._adapt(state, point.z, accept, ended & (state.iteration < self.warmup))
        now = random.fold_in(keys, tf.cast(state.tree.clock, tf.int64))
        noise = random.normal(point.z.shape[1:], random.fold_in(now, "momentum"), point.z.dtype)
        fresh = new_trajectory(point, momentum_from(mass, noise), mass)
        first = new_subtree(fresh, state.tree.subtree.forward)
        tree = state.tree._replace(
            trajectory=choose(ended, fresh, trajectory),
            subtree=choose(ended, first, state.tree.subtree),
        )
        return self._record(
            state._replace(
                iteration=state.iteration + tf.cast(ended, tf.int32),
                point=point,
                step=step,
                mass=mass,
                tree=tree,
            ),
            figures,
            ended,
        )

    def _adapt(
        self, state: NutsState, z: tf.Tensor, accept: tf.Tensor, adapting: tf.Tensor
    ) -> tuple[StepSize, Mass]:
        if self.step_size is not None or not self.warmup:
            return state.step, state.mass
        return self._schedule.adapt(
            state.step, state.mass, z, accept, state.iteration, adapting, self.target_accept
        )

    def _record(self, state: NutsState, figures: tf.Tensor, ended: tf.Tensor) -> NutsState:
        """Write the draws of the chains that have made one; the last row takes the others'."""
        rows = state.draws.shape[0] - 1
        done = state.iteration - self.warmup
        keep = ended & (done > 0) & (done % self.thin == 0) & (done <= rows * self.thin)
        row = tf.where(keep, done // self.thin - 1, rows)
        return state._replace(
            draws=write_rows(state.draws, state.point.z, row),
            stats=write_rows(state.stats, figures, row),
        )

    # -- the start ---------------------------------------------------------------------------

    def _start(self, z: tf.Tensor, keys: tf.Tensor) -> NutsState:
        """The state before the first iteration, from ``z [chain, D]``; it has room for no draws."""
        chains, dim = z.shape
        dtype = z.dtype
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
        memory = tf.zeros((self.max_tree_depth + 1, chains, 2, dim), dtype)
        return NutsState(
            iteration=zero,
            point=point,
            step=adaptation.start_step_size(size),
            mass=mass,
            tree=Tree(zero, trajectory, new_subtree(trajectory, forward), memory),
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

        def searching(count: tf.Tensor, size: tf.Tensor, grow: tf.Tensor, going: tf.Tensor) -> Any:
            return (count < 50) & tf.reduce_any(going)

        def search(count: tf.Tensor, size: tf.Tensor, grow: tf.Tensor, going: tf.Tensor) -> Any:
            good = accepted(size)
            grow = tf.where(count == 0, good, grow)  # the first answer gives the direction
            going &= good == grow
            moved = tf.where(grow, 2.0 * size, 0.5 * size)
            return count + 1, tf.where(going, moved, size), grow, going

        size = tf.fill(point.log_prob.shape, tf.constant(0.1, point.z.dtype))
        everywhere = tf.fill(size.shape, True)
        loop = (tf.constant(0), size, everywhere, everywhere)
        return tf.while_loop(searching, search, loop)[1]
