"""Points, trajectories and the trees of the no-U-turn sampler, for all chains at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.compiler.tf2xla.python import xla

from ..choice import choose
from .adaptation import Mass, velocity

LogProbAndGradient = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

MANY = 16
"""Chains above which rows are written by one scatter."""


class Point(NamedTuple):
    """A state with its log density: ``z, gradient [chain, D]``, ``log_prob [chain]``."""

    z: tf.Tensor
    gradient: tf.Tensor
    log_prob: tf.Tensor


class Edge(NamedTuple):
    """An end of a trajectory, from which it can go on: all ``[chain, D]``."""

    z: tf.Tensor
    momentum: tf.Tensor
    gradient: tf.Tensor


class Trajectory(NamedTuple):
    """The tree so far: its ends, its proposal and the weight of its states."""

    left: Edge
    right: Edge
    proposal: Point
    energy: tf.Tensor  # of the first state, [chain]
    log_weight: tf.Tensor
    momentum_sum: tf.Tensor
    depth: tf.Tensor
    accept_sum: tf.Tensor
    steps: tf.Tensor
    ended: tf.Tensor
    diverging: tf.Tensor


class Subtree(NamedTuple):
    """The doubling at work: where it stands and what it has seen."""

    edge: Edge
    forward: tf.Tensor  # direction, [chain]
    leaves: tf.Tensor
    log_weight: tf.Tensor
    momentum_sum: tf.Tensor
    accept_sum: tf.Tensor
    proposal: Point
    turned: tf.Tensor
    diverging: tf.Tensor


class Tree(NamedTuple):
    """A transition at work.

    Attributes:
        clock: Leapfrog steps that a chain has made, which its random numbers are a function of.
        memory: ``[K + 1, chain, 2, D]``: at slot k the momentum where a subtree begins and the
            sum of momenta up to there, for the turning criterion; the last slot takes what is
            not needed.
    """

    clock: tf.Tensor
    trajectory: Trajectory
    subtree: Subtree
    memory: tf.Tensor


def new_trajectory(point: Point, momentum: tf.Tensor, mass: Mass) -> Trajectory:
    """A trajectory of one state."""
    edge = Edge(point.z, momentum, point.gradient)
    zeros = tf.zeros_like(point.log_prob)
    count = tf.zeros(point.log_prob.shape, tf.int32)
    return Trajectory(
        left=edge,
        right=edge,
        proposal=point,
        energy=point.log_prob - kinetic(mass, momentum),
        log_weight=zeros,
        momentum_sum=momentum,
        depth=count,
        accept_sum=zeros,
        steps=count,
        ended=tf.fill(count.shape, False),
        diverging=tf.fill(count.shape, False),
    )


def new_subtree(trajectory: Trajectory, forward: tf.Tensor) -> Subtree:
    """A subtree without leaves, at the end of the trajectory that it will go on from."""
    zeros = tf.zeros_like(trajectory.log_weight)
    no = tf.fill(zeros.shape, False)
    return Subtree(
        edge=choose(forward, trajectory.right, trajectory.left),
        forward=forward,
        leaves=tf.zeros_like(trajectory.depth),
        log_weight=zeros - np.inf,
        momentum_sum=tf.zeros_like(trajectory.momentum_sum),
        accept_sum=zeros,
        proposal=trajectory.proposal,
        turned=no,
        diverging=no,
    )


def is_complete(tree: Tree) -> tf.Tensor:
    """Whether a chain's subtree has all its leaves, or is not to get any more: ``[chain]``."""
    subtree = tree.subtree
    full = tf.bitwise.left_shift(tf.ones_like(subtree.leaves), tree.trajectory.depth)
    return subtree.turned | subtree.diverging | (subtree.leaves >= full)


def kinetic(mass: Mass, momentum: tf.Tensor) -> tf.Tensor:
    """``r' M^-1 r / 2`` of each chain."""
    return 0.5 * tf.reduce_sum(momentum * velocity(mass, momentum), -1)


def is_turning(begin: tf.Tensor, end: tf.Tensor, total: tf.Tensor, mass: Mass) -> tf.Tensor:
    """The generalised turning criterion, with both ends' momenta counted by half: ``[chain]``.

    Args:
        begin, end: Momenta of the first and the last state, ``[chain, D]``.
        total: The sum of the momenta of all states, both ends included.
        mass: The metric.
    """
    speed = velocity(mass, total - 0.5 * (begin + end))
    return (tf.reduce_sum(begin * speed, -1) <= 0) | (tf.reduce_sum(end * speed, -1) <= 0)


def log_add_exp(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """``log(exp(a) + exp(b))``, also where both are minus infinity."""
    high = tf.maximum(a, b)
    safe = tf.where(tf.math.is_finite(high), high, 0.0)
    return safe + tf.math.log(tf.exp(a - safe) + tf.exp(b - safe))


def population_count(value: tf.Tensor) -> tf.Tensor:
    """Number of one bits."""
    return tf.cast(tf.raw_ops.PopulationCount(x=value), tf.int32)


def read_row(buffer: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
    """``buffer[row]``, at a row that is known at run time alone."""
    rest = buffer.shape[1:]
    start = tf.stack([row, *[tf.zeros_like(row)] * len(rest)])
    return tf.reshape(xla.dynamic_slice(buffer, start, [1, *rest]), rest)


def write_rows(buffer: tf.Tensor, values: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
    """Write ``values [chain, ...]`` into ``buffer [row, chain, ...]``, a row for each chain."""
    rest = [0] * (buffer.shape.rank - 2)
    if values.shape[0] > MANY:  # the time to compile would grow with the number of chains
        where = tf.stack([row, tf.range(values.shape[0], dtype=row.dtype)], axis=-1)
        return tf.tensor_scatter_nd_update(buffer, where, values)
    for chain in range(values.shape[0]):  # in place under XLA, unlike a scatter
        where = tf.stack([row[chain], chain, *rest])
        buffer = xla.dynamic_update_slice(buffer, values[tf.newaxis, chain : chain + 1], where)
    return buffer
