"""Pathfinder: of the normals along an optimiser's path, the one nearest to the density.

References:
    Zhang, Carpenter, Gelman and Vehtari 2022, "Pathfinder: Parallel quasi-Newton variational
    inference", JMLR 23, algorithms 1 (one path) and 5 (several, by importance resampling).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import optimize, special

from ..errors import ModelError
from . import pareto
from .inverse_hessian import LocalNormal, local_normals
from .newton import Value

LogDensities = Callable[[np.ndarray], np.ndarray]
"""From states ``[n, D]`` to their log densities ``[n]``."""
RETRIES = 10
JITTER = 0.1


class Path(NamedTuple):
    """What one path gives.

    Attributes:
        normal: The best of its normals.
        elbo: Of it, in nats.
        draws: ``[M, D]``.
        log_weights: ``[M]``: log density less that of the normal.
        trace: The log density at the points of the path.
    """

    normal: LocalNormal
    elbo: float
    draws: np.ndarray
    log_weights: np.ndarray
    trace: list[float]


class Resampled(NamedTuple):
    """Draws of several paths, resampled by their weights.

    Attributes:
        draws: ``[n, D]``.
        pareto_k: Of the weights: above 0.7 they do not mend what the normals miss.
        log_evidence: ``log`` of the mean weight, in nats.
        efficiency: Effective draws over draws, from 0 to 1.
    """

    draws: np.ndarray
    pareto_k: float
    log_evidence: float
    efficiency: float


def one_path(
    value: Value,
    log_densities: LogDensities,
    start: np.ndarray,
    rng: np.random.Generator,
    *,
    draws: int,
    elbo_draws: int = 100,
    history: int = 6,
    max_steps: int = 1_000,
    tolerance: float = 1e-13,
) -> Path:
    """Follow the optimiser from a start and draw from the best normal on its way (algorithm 1).

    Args:
        value: Log density and gradient at one state.
        log_densities: Of many states; it is given as many at once as ``elbo_draws`` or ``draws``.
        start: ``[D]``.
        rng: Of all random numbers.
        draws: M.
        elbo_draws: K, for each normal's ELBO.
        history: J, steps that an inverse Hessian remembers.
        max_steps: Of the optimiser.
        tolerance: Relative change of the log density at which it stops.

    Raises:
        ModelError: If the density is not finite at the start, or no normal comes out of the path.
    """
    best, best_elbo = None, -np.inf
    trace: list[float] = []
    for attempt in range(RETRIES):
        moved = start if attempt == 0 else start + JITTER * rng.normal(size=start.shape)
        points, gradients, trace = _optimized(value, moved, history, max_steps, tolerance)
        noise = rng.normal(size=(elbo_draws, len(start)))  # common to all, so that they compare
        for normal in local_normals(points, gradients, history):
            elbo = _elbo(normal, log_densities, noise)
            if elbo > best_elbo or best is None:
                best, best_elbo = normal, elbo
        if best is not None and np.isfinite(best_elbo):
            break
    if best is None or not np.isfinite(best_elbo):
        raise ModelError(
            "No normal along the optimiser's path has a finite ELBO: is the density proper, "
            "smooth, and finite around its start? "
            f"Received: log densities from {trace[0]:.6g} to {trace[-1]:.6g}."
        )
    states, log_q = best.draws(rng.normal(size=(draws, len(start))))
    log_p = log_densities(states)
    log_weights = np.where(np.isnan(log_p), -np.inf, log_p) - log_q
    return Path(best, best_elbo, states, log_weights, trace)


def resampled(paths: list[Path], draws: int, rng: np.random.Generator) -> Resampled:
    """Draws of all paths, with replacement, by Pareto-smoothed weights (algorithm 5).

    Args:
        paths: As many draws of each.
        draws: How many to keep.
        rng: Of the choice.
    """
    states = np.concatenate([path.draws for path in paths])
    log_weights = np.concatenate([path.log_weights for path in paths])
    weights = special.softmax(pareto.smoothed(log_weights))
    chosen = rng.choice(len(states), draws, p=weights)
    log_evidence = float(special.logsumexp(log_weights) - np.log(len(log_weights)))
    efficiency = float(1.0 / (len(weights) * (weights**2).sum()))
    return Resampled(states[chosen], pareto.pareto_k(log_weights), log_evidence, efficiency)


def _optimized(
    value: Value, start: np.ndarray, history: int, max_steps: int, tolerance: float
) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Points ``[L + 1, D]`` of the way of L-BFGS, the gradients there, and the log densities."""
    first = value(start)
    if not (np.isfinite(first[0]) and np.isfinite(first[1]).all()):
        raise ModelError(
            "The log density or its gradient is not finite where the path would begin. Expected "
            f"finite numbers. Received: a log density of {first[0]}. Begin elsewhere "
            "(LogDensity(..., initial=...), or start='prior'), or make the density finite there."
        )
    last: dict[bytes, tuple[float, np.ndarray]] = {}
    points, found = [start], [first]

    def negative(z: np.ndarray) -> tuple[float, np.ndarray]:
        log_density, gradient = value(z)
        finite = np.isfinite(log_density) and np.isfinite(gradient).all()
        last[z.tobytes()] = log_density, gradient
        return (-log_density, -gradient) if finite else (np.inf, np.zeros_like(z))

    def taken(z: np.ndarray) -> None:
        points.append(z.copy())
        found.append(last.get(z.tobytes()) or value(z))
        last.clear()

    optimize.minimize(
        negative,
        start,
        jac=True,
        method="L-BFGS-B",
        callback=taken,
        options={"maxcor": history, "maxiter": max_steps, "ftol": tolerance, "gtol": 1e-8},
    )
    gradients = np.stack([gradient for _, gradient in found])
    return np.stack(points), gradients, [float(log_density) for log_density, _ in found]


def _elbo(normal: LocalNormal, log_densities: LogDensities, noise: np.ndarray) -> float:
    states, log_q = normal.draws(noise)
    elbo = float(np.mean(log_densities(states) - log_q))
    return elbo if np.isfinite(elbo) else -np.inf
