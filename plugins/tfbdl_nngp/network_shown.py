"""What the panel of infinitely wide networks shows: prior, posterior, and the way of depth."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from .covariance_function import CovarianceFunction
from .duals.traced import traced
from .kernel import Kernel
from .mean_field import MeanField
from .panel import REACH, NetworkControls
from .predictive import ProcessPredictive
from .regression import GPRegressor

GRID, LINES, LAYERS = 121, 8, 30
LEAST = 1e-6


def wide_network(fit: Any, controls: NetworkControls) -> dict[str, np.ndarray]:
    """Functions of an infinitely wide network, given points.

    Args:
        fit: None: the panel needs no run.
        controls: The network and the points.

    Returns:
        ``grid [g]``; ``prior_sd [g]``; ``mean [g]`` and ``sd [g]`` of the function; ``line [lines,
        g]``: draws; ``x [n]``, ``y [n]``: the points; ``log_evidence``; ``depth``; ``correlation
        [layers + 1]`` of two inputs that begin at 0.5 with variance 1.
    """
    covariance = _covariance(controls)
    grid = np.linspace(-REACH, REACH, GRID)[:, np.newaxis]
    points = np.reshape(np.asarray(controls.points or (), np.float64), (-1, 2))
    evidence = 0.0
    if len(points):
        process = GPRegressor(covariance, controls.noise).fit(points[:, :1], points[:, 1])
        evidence = process.log_marginal_likelihood()
        p = process.predict_f(grid, full_cov=True)
    else:
        p = _prior(covariance, grid)
    return {
        "grid": grid[:, 0],
        "prior_sd": np.sqrt(covariance.diagonal(grid)),
        "mean": p.mean[:, 0],
        "sd": np.sqrt(p.variance[:, 0]),
        "line": p.sample(LINES, controls.seed)[:, :, 0],
        "x": points[:, 0],
        "y": points[:, 1],
        "log_evidence": np.array(evidence),
        "depth": np.array(controls.depth),
        "correlation": np.array(
            _correlations(controls.activation, controls.weight_variance, controls.bias_variance)
        ),
    }


def _covariance(controls: NetworkControls) -> CovarianceFunction:
    """The kernel without a graph of its own, for it is asked a few times only."""
    kernel = Kernel.mlp(
        controls.depth,
        traced(controls.activation),
        controls.weight_variance,
        controls.bias_variance,
    )
    return CovarianceFunction(
        kernel.between,
        lambda x: kernel.between(x, x, paired=True),
        kernel.dtype,
        check=kernel.check_inputs,
        compiled=True,
    )


def _prior(function: CovarianceFunction, grid: np.ndarray) -> ProcessPredictive:
    covariance = function.matrix(grid)
    variance = np.diagonal(covariance)[:, np.newaxis]
    model = GPRegressor(function)
    return ProcessPredictive(model, np.zeros_like(variance), variance, 0.0, covariance)


@functools.lru_cache(maxsize=64)  # neither depth nor points change it
def _correlations(
    activation: str, weight_variance: float, bias_variance: float
) -> tuple[float, ...]:
    """Layer by layer, also where variances have no fixed point."""
    field = MeanField(activation, weight_variance, bias_variance)
    found, q = [0.5], 1.0
    for _ in range(LAYERS):
        found.append(min(float(field.correlation_map(found[-1], q)), 1.0))
        q = max(float(field.variance_map(q)), LEAST)  # below it a correlation is rounding alone
    return tuple(found)
