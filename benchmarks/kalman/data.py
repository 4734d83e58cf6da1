"""Simulated sequences of the Lorenz attractor, and errors in dB."""

from __future__ import annotations

import numpy as np
from tfbdl_kalman_lstm.dynamics import lorenz_step

R2, Q2, STEPS = 1.0, 0.01, 100


def simulate(
    count: int, observed: tuple[int, ...], seed: int, steps: int = STEPS
) -> tuple[np.ndarray, np.ndarray]:
    """States ``[count, steps, 3]`` and observations ``[count, steps, m]``, begun at (1, 1, 1)."""
    rng = np.random.default_rng([seed, count])
    states = np.empty((count, steps, 3))
    state = np.ones((count, 3))
    for t in range(steps):
        state = lorenz_step(state).numpy() + np.sqrt(Q2) * rng.normal(size=state.shape)
        states[:, t] = state
    noise = np.sqrt(R2) * rng.normal(size=(count, steps, len(observed)))
    return states, states[..., list(observed)] + noise


def hidden(y: np.ndarray, share: float, seed: int) -> np.ndarray:
    """The observations with a share of the steps missing (NaN)."""
    rng = np.random.default_rng([seed, 1])
    return np.where(rng.random(y.shape[:2])[..., None] < share, np.nan, y)


def decibels(means: np.ndarray, states: np.ndarray) -> float:
    """``10 log10`` of the mean squared error of an element."""
    return 10.0 * float(np.log10(np.mean((means - states) ** 2)))
