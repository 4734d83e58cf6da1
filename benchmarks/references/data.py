"""The observations of the reference posteriors: NumPy and scikit-learn alone."""

from __future__ import annotations

import numpy as np


def observations(name: str) -> dict[str, np.ndarray]:
    """The data of a posterior, in float64."""
    from sklearn.datasets import load_breast_cancer, load_diabetes

    if name == "eight_schools":
        return {
            "y": np.array([28.0, 8, -3, 7, -1, 1, 18, 12]),
            "s": np.array([15.0, 10, 16, 11, 9, 11, 10, 18]),
        }
    if name == "logistic":  # 30 standardised features and an intercept
        x, y = load_breast_cancer(return_X_y=True)
        x = (x - x.mean(0)) / x.std(0)
        return {"x": np.concatenate([np.ones((len(x), 1)), x], 1), "y": y.astype(float)}
    if name == "bad_scales":  # columns whose units differ by eight orders of magnitude
        x, y = load_diabetes(return_X_y=True)
        scales = 10.0 ** np.linspace(-4, 4, x.shape[1])
        return {
            "x": (x - x.mean(0)) / x.std(0) * scales,
            "y": (y - y.mean()) / y.std(),
            "scales": scales,
        }
    if name == "mixture":  # two normals, means in order
        rng = np.random.default_rng(5)
        first = rng.random(1000) < 0.4
        return {"y": np.where(first, rng.normal(-2.75, 1.0, 1000), rng.normal(2.75, 1.2, 1000))}
    raise KeyError(name)
