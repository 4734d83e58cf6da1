"""Averages over a softmax of independent normals, to many digits.

With Gumbel noise g the class of the largest ``f_c + g_c`` has the probabilities softmax(f), so that
``E[softmax(f)_c]`` is the probability that ``f_c + g_c`` is the largest of independent numbers: an
integral over a line of densities and distribution functions, by the trapezoidal rule.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from tfbdl import random

STEP = 0.5
NORMAL_REACH, LOW, HIGH = 8.0, -4.0, 24.0
"""Standard deviations, and Gumbel numbers, beyond which nothing counts."""
DRAWS = 64
"""Of the functions, for the expected entropy."""
ELEMENTS = 2**22


def mean_probabilities(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """``E[softmax(f)]`` of ``f_c ~ N(mean_c, variance_c)``, independent.

    Shapes:
        mean, variance: ``[n, C]``; so is what is returned.
    """
    sd = np.sqrt(np.maximum(variance, 0.0))
    found = np.empty_like(mean)
    reach = HIGH - LOW + 2.0 * NORMAL_REACH * sd.max(axis=1) + np.ptp(mean, axis=1)
    steps = reach / (STEP * np.maximum(sd.min(axis=1), 1.0))
    each = int(steps.max(initial=1.0)) * mean.shape[1] * 100
    rows = max(1, ELEMENTS // max(each, 1))
    for start in range(0, len(mean), rows):
        part = slice(start, start + rows)
        found[part] = _of_rows(mean[part], sd[part])
    return found / found.sum(axis=1, keepdims=True)


def mean_entropy(mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """``E[entropy of softmax(f)]`` in nats, over 64 draws of f and their mirror images: ``[n]``."""
    noise = random.normal((DRAWS // 2, *mean.shape), random.key(0, "entropy"), "float64").numpy()
    sd, total = np.sqrt(np.maximum(variance, 0.0)), np.zeros(len(mean))
    for unit in noise:
        for f in (mean + sd * unit, mean - sd * unit):
            total += special.entr(special.softmax(f, axis=1)).sum(axis=1)
    return total / DRAWS


def _of_rows(mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """The largest of all lies between the least that its class allows and the most of any."""
    low = (mean - NORMAL_REACH * sd).max(axis=1) + LOW
    high = (mean + NORMAL_REACH * sd).max(axis=1) + HIGH
    step = STEP * np.maximum(sd.min(axis=1), 1.0)  # all densities are at least so wide
    count = int(np.ceil(((high - low) / step).max())) + 1
    t = low[:, np.newaxis] + step[:, np.newaxis] * np.arange(count)  # [n, t]
    at = t[:, np.newaxis] - mean[:, :, np.newaxis]  # [n, C, t]
    wide = np.maximum(sd, 1e-300)[:, :, np.newaxis]
    log_below, density = np.empty_like(at), np.empty_like(at)
    narrow = sd < 1.0
    nodes = np.arange(-NORMAL_REACH, NORMAL_REACH + STEP, STEP)
    weights = STEP * np.exp(-0.5 * nodes**2) / np.sqrt(2.0 * np.pi)
    u = at[narrow][..., np.newaxis] - sd[narrow][:, np.newaxis, np.newaxis] * nodes
    decay = np.exp(-np.maximum(u, -700.0))
    below = np.exp(-decay) @ weights
    log_below[narrow], density[narrow] = _log(below), (np.exp(-decay) * decay) @ weights
    gumbel = np.arange(LOW, HIGH + STEP, STEP)
    own = STEP * np.exp(-gumbel - np.exp(-gumbel))
    z = (at[~narrow][..., np.newaxis] - gumbel) / wide[~narrow][..., np.newaxis]
    log_below[~narrow] = _log(special.ndtr(z) @ own)
    normal = np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi) / wide[~narrow][..., np.newaxis]
    density[~narrow] = normal @ own
    others = log_below.sum(axis=1, keepdims=True) - log_below
    return np.asarray(step[:, np.newaxis] * (density * np.exp(others)).sum(axis=2))


def _log(values: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(values, 1e-300))
