"""Simulated sequences whose states are known, to hold filters against."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl.data import Dataset, as_dataset

from . import dynamics
from .data_config import (
    LinearGaussianOptions,
    LorenzOptions,
    PendulumOptions,
    SimulatedOptions,
    TrackOptions,
)
from .dynamics import Dynamics
from .kalman_filter import KalmanFilter
from .series import with_gaps

LEVEL_AND_SLOPE = ((1.0, 1.0), (0.0, 1.0))
TRAIN, TEST = 0, 1
"""Streams of random numbers: test sequences do not depend on how many there are to train on."""


def lorenz(options: LorenzOptions) -> Dataset:
    """The Lorenz attractor: observations as inputs, states as targets.

    Shapes:
        x: ``[n, T, num_observed]``; y: ``[n, T, 3]``.

    References:
        Lorenz 1963; Revach et al. 2022, "KalmanNet", section IV.D.
    """
    q2, r2 = (_variance(level, options.unit) for level in (options.q2, options.r2))
    observed = range(options.num_observed)
    system = dynamics.lorenz(q2, r2, options.dt, options.order, observed)
    return _dataset("lorenz", system, options)


def pendulum(options: PendulumOptions) -> Dataset:
    """A pendulum that random pushes drive: its horizontal position, and angle and speed.

    Shapes:
        x: ``[n, T, 1]``; y: ``[n, T, 2]``.
    """
    return _dataset("pendulum", dynamics.pendulum(options.q2, options.r2, options.dt), options)


def track(options: TrackOptions) -> Dataset:
    """A body in the plane: its position with noise, and position and velocity.

    Shapes:
        x: ``[n, T, 2]``; y: ``[n, T, 4]``.
    """
    return _dataset("track", dynamics.track(options.q2, options.r2, options.dt), options)


def linear_gaussian(options: LinearGaussianOptions) -> Dataset:
    """A linear Gaussian model: observations, and states.

    Shapes:
        x: ``[n, T, m]``; y: ``[n, T, d]``.

    Raises:
        OptionsError: If the matrices do not fit together.
    """
    A = np.asarray(LEVEL_AND_SLOPE if options.A is None else options.A)
    H = np.eye(len(A)) if options.H is None else np.asarray(options.H)
    Q = 0.01 * np.eye(len(A)) if options.Q is None else np.asarray(options.Q)
    R = np.eye(len(H)) if options.R is None else np.asarray(options.R)
    m0 = np.zeros(len(A)) if options.m0 is None else np.asarray(options.m0)
    P0 = np.eye(len(A)) if options.P0 is None else np.asarray(options.P0)
    kalman = KalmanFilter(A, H, Q, R, m0, P0)
    system = Dynamics(_product(kalman.parameters.A), _product(kalman.parameters.H), Q, R, m0, P0)
    return _dataset("linear_gaussian", system, options)


def simulate(
    system: Dynamics, steps: int, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw states ``[count, steps, d]`` and observations ``[count, steps, m]``.

    Args:
        system: What moves, and how it is seen.
        steps: T.
        count: Sequences.
        rng: Of all noise.
    """
    move = tf.function(system.f, autograph=False)
    first = rng.standard_normal((count, len(system.m0))) @ _root(system.P0).T
    pushes = rng.standard_normal((steps, count, len(system.m0))) @ _root(system.Q).T
    states = [np.asarray(system.m0) + first]
    for push in pushes[1:]:
        states.append(move(tf.constant(states[-1])).numpy() + push)
    path = np.stack(states, axis=1)
    seen = np.asarray(system.h(tf.constant(path)))
    noise = rng.standard_normal(seen.shape) @ _root(system.R).T
    return path, seen + noise


def _dataset(name: str, system: Dynamics, options: SimulatedOptions) -> Dataset:
    x, y = _part(system, options, TRAIN, options.num_sequences, options.missing)
    held_out: dict[str, Any] = {}
    if options.num_test:
        x_test, y_test = _part(system, options, TEST, options.num_test, options.missing_test)
        held_out = {"x_test": x_test, "y_test": y_test}
    gaps = max(options.missing, options.missing_test) > 0.0
    return as_dataset((x, y), name=name, allow_nan=gaps, task="regression", **held_out)


def _part(
    system: Dynamics, options: SimulatedOptions, stream: int, count: int, missing: float
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng([options.noise_seed, stream])
    states, seen = simulate(system, options.steps, count, rng)
    return with_gaps(seen, missing, [options.noise_seed, stream, 1]), states


def _variance(level: float, unit: str) -> float:
    return 10.0 ** (level / 10.0) if unit == "dB" else level


def _root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(np.atleast_2d(covariance))
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def _product(matrix: np.ndarray) -> Any:
    """Of each state ``[..., d]`` the product with a matrix ``[a, d]``."""
    return lambda x: tf.linalg.matvec(tf.constant(matrix, x.dtype), x)
