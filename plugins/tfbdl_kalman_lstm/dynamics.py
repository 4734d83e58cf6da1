"""Systems by name: how a state moves, and what is seen of it.

The functions take states ``[..., d]``, one state ``[d]`` among them, and keep its precision; so
filters differentiate them and simulators call them for many sequences at once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfbdl.config import check_whole
from tfbdl.errors import OptionsError

Function = Callable[..., Any]

GRAVITY = 9.81
"""Metres per second squared, of a pendulum of one metre."""


class Dynamics(NamedTuple):
    """A nonlinear system with Gaussian noise, in the order in which filters take it.

    Example:
        ```python
        ExtendedKalmanFilter(*lorenz(q2=0.01, r2=1.0)).filter(y)
        ```

    Attributes:
        f: From a state to the next, without noise.
        h: From a state to what is seen of it, without noise.
        Q: Covariance of the process noise, ``[d, d]``.
        R: Covariance of the observation noise, ``[m, m]``.
        m0, P0: Mean and covariance of the first state before its observation.
    """

    f: Function
    h: Function
    Q: np.ndarray
    R: np.ndarray
    m0: np.ndarray
    P0: np.ndarray


def lorenz_step(x: Any, dt: float = 0.02, J: int = 5) -> tf.Tensor:
    """The Lorenz attractor ``dx/dt = A(x) x`` over ``dt``, with A held.

    ``f(x) = sum_j (A(x) dt)^j / j! x`` for j from 0 to J: the Taylor series of the matrix
    exponential, with sigma = 10, rho = 28, beta = 8/3.

    Args:
        x: States ``[..., 3]``.
        dt: Length of a step.
        J: Terms after the first.

    Returns:
        ``[..., 3]``.

    References:
        Lorenz 1963; Revach et al. 2022, "KalmanNet", section IV.D.
    """
    x = tf.convert_to_tensor(x)
    x1 = x[..., 0]
    term, total = x, x
    for j in range(1, J + 1):
        a, b, c = term[..., 0], term[..., 1], term[..., 2]
        moved = tf.stack([10.0 * (b - a), 28.0 * a - b - x1 * c, x1 * b - (8.0 / 3.0) * c], -1)
        term = moved * (dt / j)
        total = total + term
    return total


def pendulum_step(x: Any, dt: float = 0.05) -> tf.Tensor:
    """A pendulum of one metre, by a step of Euler's method that keeps its energy bounded.

    The speed changes first and the angle with the new speed (the symplectic form).

    Args:
        x: Angle from straight down in radians, and its change per second, ``[..., 2]``.
        dt: Length of a step in seconds.

    Returns:
        ``[..., 2]``.
    """
    x = tf.convert_to_tensor(x)
    speed = x[..., 1] - GRAVITY * dt * tf.sin(x[..., 0])
    return tf.stack([x[..., 0] + dt * speed, speed], -1)


def pendulum_seen(x: Any) -> tf.Tensor:
    """How far the pendulum is to the side: the sine of its angle, ``[..., 1]``."""
    return tf.sin(tf.convert_to_tensor(x)[..., :1])


def track_step(x: Any, dt: float = 1.0) -> tf.Tensor:
    """Constant velocity: positions move on, velocities stay.

    Args:
        x: Positions, then velocities, ``[..., 2 k]``.
        dt: Length of a step.

    Returns:
        ``[..., 2 k]``.
    """
    position, velocity = tf.split(tf.convert_to_tensor(x), 2, axis=-1)
    return tf.concat([position + dt * velocity, velocity], -1)


def first(x: Any, count: int) -> tf.Tensor:
    """The first coordinates alone, ``[..., count]``."""
    return tf.convert_to_tensor(x)[..., :count]


def chosen(x: Any, coordinates: Sequence[int]) -> tf.Tensor:
    """Some coordinates of a state, in this order, ``[..., len(coordinates)]``."""
    x = tf.convert_to_tensor(x)
    return tf.stack([x[..., index] for index in coordinates], -1)


def lorenz(
    q2: float = 0.01,
    r2: float = 1.0,
    dt: float = 0.02,
    J: int = 5,
    observed: Sequence[int] = (0, 1, 2),
) -> Dynamics:
    """The Lorenz attractor, begun one step after (1, 1, 1).

    Args:
        q2: Variance of the process noise of each coordinate and step.
        r2: Variance of the noise of each observation.
        dt, J: As ``lorenz_step``.
        observed: Coordinates that are seen, from 0 to 2.

    Raises:
        OptionsError: If a coordinate or a number of terms is none.
    """
    check_whole("J", J)
    coordinates = tuple(int(index) for index in observed)
    if not coordinates or not set(coordinates) <= {0, 1, 2}:
        raise OptionsError(
            "observed must name coordinates of the Lorenz attractor, from 0 to 2. "
            f"Received: {list(observed)}."
        )
    f = _with(lorenz_step, dt=float(dt), J=int(J))
    Q = q2 * np.eye(3)
    return Dynamics(
        f=f,
        h=_with(chosen, coordinates=coordinates),
        Q=Q,
        R=r2 * np.eye(len(coordinates)),
        m0=f(tf.ones(3, tf.float64)).numpy(),
        P0=Q,
    )


def pendulum(q2: float = 0.1, r2: float = 0.01, dt: float = 0.05) -> Dynamics:
    """A pendulum that random pushes drive, of which the sine of the angle is seen.

    Args:
        q2: Variance of the pushes per second, in radians squared per second cubed.
        r2: Variance of the noise of each observation.
        dt: As ``pendulum_step``.
    """
    return Dynamics(
        f=_with(pendulum_step, dt=float(dt)),
        h=pendulum_seen,
        Q=_pushed(q2, dt, 1),
        R=r2 * np.eye(1),
        m0=np.array([1.0, 0.0]),
        P0=0.1 * np.eye(2),
    )


def track(
    q2: float = 0.01, r2: float = 1.0, dt: float = 1.0, coordinates: int = 2, spread: float = 10.0
) -> Dynamics:
    """An object of nearly constant velocity, of which the position is seen.

    Args:
        q2: Variance of the random change of velocity in a unit of time, of each coordinate.
        r2: Variance of the noise of each observation.
        dt: As ``track_step``.
        coordinates: k: 2 for a plane.
        spread: Standard deviation of the first position and velocity about 0.

    Raises:
        OptionsError: If ``coordinates`` is no positive integer.
    """
    check_whole("coordinates", coordinates)
    return Dynamics(
        f=_with(track_step, dt=float(dt)),
        h=_with(first, count=int(coordinates)),
        Q=_pushed(q2, dt, coordinates),
        R=r2 * np.eye(coordinates),
        m0=np.zeros(2 * coordinates),
        P0=spread**2 * np.eye(2 * coordinates),
    )


SYSTEMS: dict[str, Callable[..., Dynamics]] = {
    "lorenz": lorenz,
    "pendulum": pendulum,
    "track": track,
}
"""Name -> what makes the system from its noise levels."""


def _pushed(q2: float, dt: float, coordinates: int) -> np.ndarray:
    """White noise on the velocity, integrated over a step (Sarkka 2013, example 3.6)."""
    block = q2 * np.array([[dt**3 / 3.0, dt**2 / 2.0], [dt**2 / 2.0, dt]])
    return np.kron(block, np.eye(coordinates))


@functools.lru_cache(maxsize=64)
def _with(function: Function, **settings: Any) -> Function:
    """A function with its settings; the same object for the same ones, so compiled once."""
    return functools.partial(function, **settings)
