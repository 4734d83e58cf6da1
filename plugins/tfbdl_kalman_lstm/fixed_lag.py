"""Fixed-lag smoothing: particles of a step, weighted by what their descendants saw later."""

from __future__ import annotations

import numpy as np

from .states import Particles


def smooth(cloud: Particles, lag: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Moments of each state given the observations up to ``lag`` steps later.

    A short lag leaves out what later steps say, a long one leaves few particles of a step that have
    descendants.

    Args:
        cloud: The particles of all steps, of several sequences.
        lag: How many steps later, at least 1.

    Returns:
        Means ``[n, T, d]``, covariances ``[n, T, d, d]``, and the covariances of neighbours
        ``[n, T - 1, d, d]`` (of the later and the earlier state).

    References:
        Kitagawa 1996; Olsson et al. 2008, "Sequential Monte Carlo smoothing with application to
        parameter estimation in nonlinear state-space models".
    """
    count, steps, total, size = cloud.states.shape
    means = np.empty((count, steps, size))
    covariances = np.empty((count, steps, size, size))
    neighbours = np.empty((count, steps - 1, size, size))
    for t in range(steps):
        end = min(t + lag, steps - 1)
        index = np.broadcast_to(np.arange(total), (count, total))
        later = index
        for s in range(end - 1, t - 1, -1):
            later = index
            index = np.take_along_axis(cloud.ancestors[:, s], index, axis=1)
        weights = np.exp(cloud.log_weights[:, end])[..., np.newaxis]
        now = _taken(cloud.states[:, t], index)
        means[:, t] = (weights * now).sum(axis=1)
        away = now - means[:, t, np.newaxis]
        covariances[:, t] = np.swapaxes(weights * away, 1, 2) @ away
        if t < steps - 1:
            following = _taken(cloud.states[:, t + 1], later)
            after = following - (weights * following).sum(axis=1, keepdims=True)
            neighbours[:, t] = np.swapaxes(weights * after, 1, 2) @ away
    return means, covariances, neighbours


def _taken(states: np.ndarray, index: np.ndarray) -> np.ndarray:
    return np.take_along_axis(states, index[..., np.newaxis], axis=1)
