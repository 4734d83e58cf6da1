"""Data, priors and fits that the tests of the Bayesian mixture share."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA

import tfbdl

W0 = [[0.6, 0.2], [0.2, 0.9]]
HYPER = {"beta0": 0.7, "nu0": 3.5, "m0": [0.5, -0.5], "W0": W0}
PRIOR = (0.7, 3.5, np.array([0.5, -0.5]), np.array(W0))


def clusters(n: int, seed: int = 0) -> np.ndarray:
    """Rows about two points that are six standard deviations apart."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)) + np.where(np.arange(n)[:, None] % 2, 3.0, -3.0)


def fit(x, steps=1000, engine_options=None, seed=0, **options):
    engine_options = {"steps": steps, **(engine_options or {})}
    return tfbdl.fit(
        "bayesian_gmm", x, model_options=options, engine_options=engine_options, seed=seed
    )


def wine() -> np.ndarray:
    """178 wines on two principal axes of their measurements, standardised."""
    x = PCA(2).fit_transform(load_wine().data)
    return (x - x.mean(axis=0)) / x.std(axis=0)
