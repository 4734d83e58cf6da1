"""Tables and fits that the tests of probabilistic PCA share."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from scipy import stats

import tfbdl

EM = {"tolerance": 1e-11, "steps": 3000}


def table(n: int = 120, seed: int = 0, noise: float = 0.4) -> np.ndarray:
    """Rows of two latent dimensions in six columns."""
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(6, 2))
    return rng.normal(size=(n, 2)) @ W.T + rng.normal(size=6) + noise * rng.normal(size=(n, 6))


def with_gaps(x: np.ndarray, share: float = 0.2, seed: int = 0) -> np.ndarray:
    return np.where(np.random.default_rng(seed).random(x.shape) < share, np.nan, x)


def fitted(x: np.ndarray, k: int = 2, **engine: Any) -> Any:
    name = "em" if engine else "exact"
    options = {"latent_dim": k}
    return tfbdl.fit("ppca", x, engine=name, model_options=options, engine_options=engine)


def parameters(seed: int = 0) -> dict[str, tf.Tensor]:
    rng = np.random.default_rng(seed)
    values = {"W": rng.normal(size=(5, 2)), "mean": rng.normal(size=5), "noise_variance": 0.3}
    return {name: tf.constant(value, tf.float64) for name, value in values.items()}


def marginal(model: Any, x: np.ndarray) -> np.ndarray:
    """log N of the observed entries of each row, by scipy."""
    W, mean, noise = (np.asarray(model[n]) for n in ("W", "mean", "noise_variance"))
    C = W @ W.T + noise * np.eye(len(W))
    values = []
    for row in x:
        o = ~np.isnan(row)
        normal = stats.multivariate_normal(mean[o], C[np.ix_(o, o)]) if o.any() else None
        values.append(normal.logpdf(row[o]) if normal else 0.0)
    return np.asarray(values)
