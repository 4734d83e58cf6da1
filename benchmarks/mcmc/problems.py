"""The data of the four posteriors, for tfbdl and its peers alike: NumPy alone."""

from __future__ import annotations

import numpy as np

NAMES = ("eight_schools", "logistic", "regression", "radon")


def data(name: str) -> dict[str, np.ndarray]:
    """The observations of a posterior, from fixed seeds."""
    rng = np.random.default_rng(20)
    if name == "eight_schools":  # Rubin 1981
        return {
            "y": np.array([28.0, 8, -3, 7, -1, 1, 18, 12]),
            "s": np.array([15.0, 10, 16, 11, 9, 11, 10, 18]),
        }
    if name == "logistic":  # 1000 rows, 25 coefficients, standard normal prior
        x = rng.normal(size=(1000, 25)) / 5
        weights = rng.normal(size=25)
        y = rng.random(1000) < 1 / (1 + np.exp(-x @ weights))
        return {"x": x, "y": y.astype(float)}
    if name == "regression":  # badly conditioned: an interaction of correlated, uncentred columns
        first = rng.random(434) < 0.78
        second = rng.normal(100, 15, size=434)
        x = np.stack([np.ones(434), first, second, first * second], axis=1)
        y = x @ np.array([-11.0, 51.0, 1.1, -0.48]) + rng.normal(0, 18, size=434)
        return {"x": x, "y": y}
    if name == "radon":  # varying intercepts of 85 groups, non-centred
        group = np.sort(rng.integers(0, 85, size=919))
        x = (rng.random(919) < 0.17).astype(float)
        y = (1.5 + 0.3 * rng.normal(size=85))[group] - 0.7 * x + 0.75 * rng.normal(size=919)
        return {"group": group.astype(np.int32), "x": x, "y": y}
    raise KeyError(name)


def shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Parameter -> shape; those in ``POSITIVE`` are positive and sampled on the log scale."""
    return {
        "eight_schools": {"mu": (), "tau": (), "theta": (8,)},
        "logistic": {"weights": (25,)},
        "regression": {"weights": (4,), "sigma": ()},
        "radon": {"mu": (), "tau": (), "offset": (85,), "slope": (), "sigma": ()},
    }[name]


POSITIVE = ("tau", "sigma")
