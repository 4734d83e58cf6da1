"""The mode of a density by Newton steps, damped where the density is not concave.

References:
    Nocedal & Wright 2006, "Numerical Optimization", section 4.1 (trust by the ratio of gains);
    Marquardt 1963, "An algorithm for least-squares estimation of nonlinear parameters".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from scipy import linalg

from ..errors import ModelError

Value = Callable[[np.ndarray], tuple[float, np.ndarray]]
"""From a point ``[D]`` to the log density and its gradient ``[D]``."""
Curvature = Callable[[np.ndarray], np.ndarray]
"""From a point ``[D]`` to minus the Hessian of the log density, ``[D, D]``."""

ACCEPT = 1e-4  # share of the gain foretold that a step must bring
DAMPING = 1e-3
MAX_DAMPING = 1e15
ESCAPES = 40  # lengths tried along a direction that curves upwards
ROUNDING = 1e3


class Point(NamedTuple):
    """Where a search stands.

    Attributes:
        z: ``[D]``.
        log_density: There, in nats.
        gradient: ``[D]``.
        is_mode: Whether it is the end: a step from here would gain less than the tolerance.
    """

    z: np.ndarray
    log_density: float
    gradient: np.ndarray
    is_mode: bool = False


def ascend(
    value: Value,
    curvature: Curvature,
    start: np.ndarray,
    *,
    tolerance: float = 1e-10,
    epsilon: float = 2.0**-52,
) -> Iterator[Point]:
    """The points of the way up: first the start, then one for each Newton step; the mode is last.

    A step solves ``(A + lambda diag |A|) p = g``, with lambda zero where the whole Newton step
    keeps what its quadratic model promises, and larger otherwise. A stationary point that is no
    mode is left along its direction of steepest upward curvature.

    Args:
        value: Log density and gradient.
        curvature: Minus the Hessian.
        start: Where to begin.
        tolerance: Of the gain, in nats, that another step would bring at the mode.
        epsilon: Relative rounding error of the log density.

    Raises:
        ModelError: If density or gradient is not finite at the start, or no step gains anything.
    """
    point = _at(value, start)
    if not (np.isfinite(point.log_density) and np.isfinite(point.gradient).all()):
        raise ModelError(
            "The log density or its gradient is not finite where the search for the mode would "
            f"begin. Expected finite numbers. Received: a log density of {point.log_density}. "
            "Begin elsewhere (LogDensity(..., initial=...)), or make the density finite there."
        )
    yield point
    damping = 0.0
    while True:
        A = curvature(point.z)
        least = max(tolerance, 4.0 * epsilon * (1.0 + abs(point.log_density)))
        point, damping = _step(value, point, A, damping, least)
        yield point
        if point.is_mode:
            return


def _step(
    value: Value, point: Point, A: np.ndarray, damping: float, least: float
) -> tuple[Point, float]:
    """The next point and its damping; damping grows until a step holds."""
    g = point.gradient
    whole = solve(A, g)
    promised = np.inf if whole is None else 0.5 * float(g @ whole)
    if whole is not None and promised <= least:
        return _last(value, point, whole, least), 0.0
    scale = np.abs(np.diagonal(A))
    scale = np.maximum(scale, 1e-8 * max(float(scale.max()), 1e-8))
    timid = damping > 0.0
    while damping < MAX_DAMPING:
        p = solve(A + damping * np.diag(scale), g)
        if p is not None:
            gain = float(g @ p - 0.5 * p @ A @ p)
            if gain <= least and whole is None:
                return _escaped(value, point, A, least), 0.0
            if gain <= least and not timid:
                break
            if gain <= least:  # the damping of the step before is too much here
                timid, damping = False, 0.0
                continue
            found = _at(value, point.z + p)
            ratio = (found.log_density - point.log_density) / gain
            if np.isfinite(ratio) and ratio > ACCEPT and np.isfinite(found.gradient).all():
                return found, _relaxed(damping, ratio)
        damping = max(8.0 * damping, DAMPING)
    if promised <= ROUNDING * least:  # what is left to gain cannot be told from rounding
        return point._replace(is_mode=True), 0.0
    raise ModelError(
        "No step from here raises the log density, and it is no mode: density and gradient do not "
        f"agree, or the density is not smooth. Received: a log density of {point.log_density:.6g} "
        f"and a gradient of norm {np.linalg.norm(g):.3g}."
    )


def _relaxed(damping: float, ratio: float) -> float:
    """More trust after a step that kept its promise, less after one that hardly did."""
    if ratio < 0.25:
        return max(4.0 * damping, DAMPING)
    if ratio < 0.75:
        return damping
    return 0.0 if damping <= DAMPING else damping / 8.0


def _last(value: Value, point: Point, step: np.ndarray, least: float) -> Point:
    """The mode: after the whole Newton step, unless rounding makes it a step down."""
    found = _at(value, point.z + step)
    if found.log_density >= point.log_density - 2.0 * least:
        point = found
    return point._replace(is_mode=True)


def _escaped(value: Value, point: Point, A: np.ndarray, least: float) -> Point:
    """A higher point along the direction in which a stationary point curves upwards most."""
    curvatures, directions = linalg.eigh(A, subset_by_index=[0, 0])
    lowest = float(curvatures[0])
    if lowest < 0.0:
        reach = 1.0 / np.sqrt(-lowest)
        for k in range(ESCAPES):
            for sign in (1.0, -1.0):
                found = _at(value, point.z + sign * reach * 2.0**-k * directions[:, 0])
                if (
                    found.log_density > point.log_density + least
                    and np.isfinite(found.gradient).all()
                ):
                    return found
    raise ModelError(flat_message(lowest))


def flat_message(lowest: float) -> str:
    """What to say of a density that is flat along some direction where its mode should be."""
    return (
        "The log density has no peak along some direction of the unconstrained parameters, so no "
        "normal stands for the posterior: is a prior improper, or a parameter without influence? "
        f"Expected a positive curvature everywhere. Received: {lowest:.3g} at the least."
    )


def solve(A: np.ndarray, b: np.ndarray) -> np.ndarray | None:
    """``A^-1 b`` of a symmetric positive definite matrix; None if it is none."""
    try:
        factor = linalg.cho_factor(A, lower=True)
    except (linalg.LinAlgError, ValueError):  # ValueError: not finite
        return None
    return np.asarray(linalg.cho_solve(factor, b))


def _at(value: Value, z: np.ndarray) -> Point:
    log_density, gradient = value(z)
    return Point(z, float(log_density), np.asarray(gradient, np.float64))
