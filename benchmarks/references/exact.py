"""The badly scaled regression without sampling: a normal given its noise, which is on a grid."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import logsumexp

from benchmarks.references import data

POINTS = 4001


def bad_scales() -> dict[str, Any]:
    """Moments under ``w_j ~ N(0, (10 / scale_j)^2)``, ``sigma ~ HalfNormal(1)``.

    ``p(w | sigma, y)`` is normal and ``p(sigma | y)`` is one-dimensional; the columns are brought
    to one scale first, so that no digit is lost.
    """
    observed = data.observations("bad_scales")
    y, scales = observed["y"], observed["scales"]
    x = observed["x"] / scales
    log_sigma = np.linspace(np.log(0.5), np.log(1.0), POINTS)
    weights, means, variances = [], [], []
    for sigma in np.exp(log_sigma):
        precision = x.T @ x / sigma**2 + np.eye(x.shape[1]) / 10.0**2
        mean = np.linalg.solve(precision, x.T @ y / sigma**2)
        residual = y @ (y - x @ mean) / sigma**2
        log_evidence = -0.5 * (residual + np.linalg.slogdet(precision)[1])
        log_evidence -= len(y) * np.log(sigma)
        weights.append(log_evidence - 0.5 * sigma**2 + np.log(sigma))  # and the Jacobian
        means.append(mean)
        variances.append(np.diag(np.linalg.inv(precision)))
    share = np.exp(np.array(weights) - logsumexp(weights))
    assert max(share[0], share[-1]) < 1e-9, "the grid is too narrow"
    mean = share @ np.array(means)
    variance = share @ (np.array(variances) + (np.array(means) - mean) ** 2)
    sigma = np.exp(log_sigma)
    middle = share @ sigma
    return {
        "weights": _exact(mean / scales, np.sqrt(variance) / scales),
        "sigma": _exact(middle, np.sqrt(share @ (sigma - middle) ** 2)),
    }


def _exact(mean: Any, sd: Any) -> dict[str, Any]:
    figures = {"mean": mean, "sd": sd, "mcse": np.zeros_like(mean)}
    return {name: np.asarray(value).tolist() for name, value in figures.items()}
