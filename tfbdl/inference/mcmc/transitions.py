"""One transition of each chain by the classic kernels: HMC, Langevin, random walk, slices.

All are pure functions ``(target, keys, point, scale, mass) -> Move`` over chains at once:
``keys [chain, 2]``, a step size (or width) ``scale [chain]``, the mass matrix as in ``adaptation``.

References:
    Neal 2011 (HMC); Roberts & Rosenthal 1998 (Langevin); Haario, Saksman & Tamminen 2001
    (adaptive random walk); Neal 2003 (slices).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ... import random
from ..choice import choose
from .adaptation import Mass, is_dense, momentum_from, velocity
from .nuts import DIVERGENCE
from .trees import LogProbAndGradient, Point, kinetic


class Move(NamedTuple):
    """What a transition gives.

    Attributes:
        point: Where it led.
        acceptance: The probability with which it was accepted, ``[chain]``.
        evaluations: Of the density, ``[chain]``.
        hamiltonian: ``energy`` at the start, momentum included, and ``diverging``: whether the
            energy was lost on the way, each ``[chain]``; empty without momenta.
    """

    point: Point
    acceptance: tf.Tensor
    evaluations: tf.Tensor
    hamiltonian: Mapping[str, tf.Tensor] = MappingProxyType({})


Transition = Callable[[LogProbAndGradient, tf.Tensor, Point, tf.Tensor, Mass], Move]


def leapfrog(
    target: LogProbAndGradient, point: Point, momentum: tf.Tensor, step: tf.Tensor, mass: Mass
) -> tuple[Point, tf.Tensor]:
    """One leapfrog step: reversible, volume-preserving, its energy error of order ``step^3``."""
    step = step[:, tf.newaxis]
    momentum += 0.5 * step * point.gradient
    z = point.z + step * velocity(mass, momentum)
    log_prob, gradient = target(z)
    return Point(z, gradient, log_prob), momentum + 0.5 * step * gradient


def hmc(num_leapfrog: int) -> Transition:
    """Hamiltonian Monte Carlo; each trajectory has 1 to ``2 num_leapfrog - 1`` steps, at random."""

    def transition(
        target: LogProbAndGradient, keys: tf.Tensor, point: Point, scale: tf.Tensor, mass: Mass
    ) -> Move:
        dtype = point.z.dtype
        noise = random.normal(point.z.shape[1:], random.fold_in(keys, "momentum"), dtype)
        start = momentum_from(mass, noise)
        spread = random.uniform((), random.fold_in(keys, "length"), dtype)
        length = 1 + tf.cast(spread * float(2 * num_leapfrog - 1), tf.int32)

        def body(i: tf.Tensor, here: Point, momentum: tf.Tensor) -> Any:
            moved, turned = leapfrog(target, here, momentum, scale, mass)
            going = i < length
            return i + 1, choose(going, moved, here), choose(going, turned, momentum)

        longest = tf.reduce_max(length)
        _, end, momentum = tf.while_loop(
            lambda i, *_: i < longest, body, (tf.constant(0), point, start)
        )
        return _hamiltonian_move(keys, point, start, end, momentum, mass, length)

    return transition


def mala(
    target: LogProbAndGradient, keys: tf.Tensor, point: Point, scale: tf.Tensor, mass: Mass
) -> Move:
    """Metropolis-adjusted Langevin: HMC with a single leapfrog step."""
    noise = random.normal(point.z.shape[1:], random.fold_in(keys, "momentum"), point.z.dtype)
    start = momentum_from(mass, noise)
    end, momentum = leapfrog(target, point, start, scale, mass)
    once = tf.ones(scale.shape, tf.int32)
    return _hamiltonian_move(keys, point, start, end, momentum, mass, once)


def random_walk(
    target: LogProbAndGradient, keys: tf.Tensor, point: Point, scale: tf.Tensor, mass: Mass
) -> Move:
    """Metropolis with normal proposals, shaped by the adapted covariance."""
    noise = random.normal(point.z.shape[1:], random.fold_in(keys, "proposal"), point.z.dtype)
    z = point.z + scale[:, tf.newaxis] * shaped(mass, noise)
    log_prob, gradient = target(z)
    end = Point(z, gradient, log_prob)
    moved, acceptance = metropolis(keys, log_prob - point.log_prob, end, point)
    return Move(moved, acceptance, tf.ones(scale.shape, tf.int32))


def slice_direction(max_steps_out: int = 20) -> Transition:
    """Slice sampling along a random direction: stepping out, then shrinking (Neal 2003)."""

    def transition(
        target: LogProbAndGradient, keys: tf.Tensor, point: Point, scale: tf.Tensor, mass: Mass
    ) -> Move:
        dtype = point.z.dtype
        noise = random.normal(point.z.shape[1:], random.fold_in(keys, "direction"), dtype)
        direction = shaped(mass, noise / tf.norm(noise, axis=-1, keepdims=True))
        chance = random.uniform((3,), random.fold_in(keys, "slice"), dtype)
        level = point.log_prob + tf.math.log(chance[:, 0])
        low = -scale * chance[:, 1]
        high = low + scale
        budget = float(max_steps_out)
        left_budget = tf.floor(budget * chance[:, 2])  # Neal 2003, figure 3: keeps it reversible

        def inside(place: tf.Tensor) -> tuple[tf.Tensor, Point]:
            z = point.z + place[:, tf.newaxis] * direction
            log_prob, gradient = target(z)
            return log_prob > level, Point(z, gradient, log_prob)

        def out(limit: tf.Tensor, end: tf.Tensor, stride: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            def body(i: tf.Tensor, end: tf.Tensor, going: tf.Tensor, used: tf.Tensor) -> Any:
                going = going & (used < limit) & inside(end)[0]
                return (
                    i + 1,
                    tf.where(going, end + stride, end),
                    going,
                    used + tf.cast(going, dtype),
                )

            going = tf.fill(end.shape, True)
            _, end, _, used = tf.while_loop(
                lambda i, end, going, used: (i <= max_steps_out) & tf.reduce_any(going),
                body,
                (tf.constant(0), end, going, tf.zeros_like(end)),
            )
            return end, used

        low, left = out(left_budget, low, -scale)
        high, right = out(budget - 1.0 - left_budget, high, scale)

        def shrink(
            i: tf.Tensor,
            low: tf.Tensor,
            high: tf.Tensor,
            found: tf.Tensor,
            end: Point,
            used: tf.Tensor,
        ) -> Any:
            draw = random.uniform((), random.fold_in(random.fold_in(keys, "shrink"), i), dtype)
            place = low + draw * (high - low)
            hit, candidate = inside(place)
            end = choose(hit & ~found, candidate, end)
            low = tf.where(~found & ~hit & (place < 0), place, low)
            high = tf.where(~found & ~hit & (place >= 0), place, high)
            return i + 1, low, high, found | hit, end, used + tf.cast(~found, dtype)

        nothing = tf.fill(scale.shape, False)
        _, _, _, _, end, used = tf.while_loop(
            lambda i, low, high, found, *_: (i < 100) & ~tf.reduce_all(found),
            shrink,
            (tf.constant(0), low, high, nothing, point, tf.zeros_like(scale)),
        )
        evaluations = tf.cast(left + right + used + 2.0, tf.int32)
        return Move(end, tf.ones_like(scale), evaluations)

    return transition


def shaped(mass: Mass, noise: tf.Tensor) -> tf.Tensor:
    """Noise with the adapted covariance, from standard normal noise."""
    if is_dense(mass):
        return tf.linalg.matvec(mass.factor, noise)
    return mass.factor * noise


def metropolis(
    keys: tf.Tensor, change: tf.Tensor, new: Point, old: Point
) -> tuple[Point, tf.Tensor]:
    """Metropolis: take the new point with probability ``min(1, exp(change))``."""
    change = tf.where(tf.math.is_finite(change), change, -np.inf)
    chance = random.uniform((), random.fold_in(keys, "accept"), change.dtype)
    return choose(tf.math.log(chance) < change, new, old), tf.exp(tf.minimum(change, 0.0))


def _hamiltonian_move(
    keys: tf.Tensor,
    point: Point,
    start: tf.Tensor,
    end: Point,
    momentum: tf.Tensor,
    mass: Mass,
    evaluations: tf.Tensor,
) -> Move:
    """Accept or refuse the end of a trajectory that began at ``point`` with momentum ``start``."""
    change = end.log_prob - kinetic(mass, momentum) - point.log_prob + kinetic(mass, start)
    moved, acceptance = metropolis(keys, change, end, point)
    figures = {
        "energy": kinetic(mass, start) - point.log_prob,
        "diverging": ~tf.math.is_finite(change) | (change < -DIVERGENCE),
    }
    return Move(moved, acceptance, evaluations, figures)
