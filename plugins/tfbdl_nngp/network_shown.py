"""What the panel of infinitely wide networks shows: prior, posterior, and the way of depth."""

from __future__ import annotations

from typing import Any

import numpy as np

from .kernel import Kernel
from .mean_field import MeanField
from .panel import NetworkControls
from .predictive import ProcessPredictive
from .regression import GPRegressor

GRID, REACH, LINES, LAYERS = 161, 3.0, 8, 30

# in the order in which they are seen
POINTS = np.array([0.5, -2.0, 1.8, -0.7, 2.7, -2.8, 1.1, -1.4, 0.0, 2.2, -2.4, 1.5])


def wide_network(fit: Any, controls: NetworkControls) -> dict[str, np.ndarray]:
    """Functions of an infinitely wide network, given the first points of a fixed curve.

    Args:
        fit: None: the panel needs no run.
        controls: The network and the number of points.

    Returns:
        ``grid [g]``; ``mean [g]`` and ``sd [g]`` of the function; ``line [lines, g]``: draws;
        ``x [n]``, ``y [n]``: the points; ``y_all``: those to come too; ``log_evidence``;
        ``correlation [layers + 1]`` of two inputs that begin at 0.5 with variance 1.
    """
    kernel = Kernel.mlp(
        controls.depth, controls.activation, controls.weight_variance, controls.bias_variance
    )
    grid = np.linspace(-REACH, REACH, GRID)[:, np.newaxis]
    targets = np.sin(1.5 * POINTS) + 0.3 * POINTS
    x, y = POINTS[: controls.points], targets[: controls.points]
    if controls.points:
        process = GPRegressor(kernel, controls.noise).fit(x[:, np.newaxis], y)
        evidence = process.log_marginal_likelihood()
        p = process.predict_f(grid, full_cov=True)
    else:
        evidence = 0.0
        p = _prior(kernel, grid)
    return {
        "grid": grid[:, 0],
        "mean": p.mean[:, 0],
        "sd": np.sqrt(p.variance[:, 0]),
        "line": p.sample(LINES, controls.seed)[:, :, 0],
        "x": x,
        "y": y,
        "y_all": targets,
        "log_evidence": np.array(evidence),
        "correlation": _correlations(controls),
    }


def _prior(kernel: Kernel, grid: np.ndarray) -> Any:
    covariance = kernel.nngp(grid)
    variance = np.diagonal(covariance)[:, np.newaxis]
    model = GPRegressor(kernel)
    return ProcessPredictive(model, np.zeros_like(variance), variance, 0.0, covariance)


def _correlations(controls: NetworkControls) -> np.ndarray:
    """Layer by layer, also where variances have no fixed point."""
    field = MeanField(controls.activation, controls.weight_variance, controls.bias_variance)
    found, q = [0.5], 1.0
    for _ in range(LAYERS):
        found.append(float(field.correlation_map(found[-1], q)))
        q = float(field.variance_map(q))
    return np.clip(found, -1.0, 1.0)
