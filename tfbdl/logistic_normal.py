"""Averages of a class probability whose logit is normal, by the trapezoidal rule.

For a function that is analytic in a strip about the real line the rule converges geometrically in
the step (Trefethen & Weideman 2014, "The exponentially convergent trapezoidal rule"). The logistic
function has its poles at ``+- i pi``: a step of 1/2 gives more than 14 digits. Gauss-Hermite nodes
would spread with the standard deviation, until none is left where the function rises.
"""

from __future__ import annotations

import numpy as np
from scipy import special

STEP = 0.5
REACH = 45.0  # logits beyond which a class is certain to 19 digits
NORMAL_REACH = 9.0  # standard deviations


def mean_probability(mu: np.ndarray, stddev: np.ndarray) -> np.ndarray:
    """``E[sigmoid(a)]`` of ``a ~ N(mu, stddev^2)``: Bishop 2006, eq. 4.151, not 4.155.

    Shapes:
        mu, stddev: ``[n]``; so is what is returned.
    """
    narrow = _over_normal(special.expit, mu, stddev)
    logits = np.arange(-REACH, REACH + STEP, STEP)
    density = special.expit(logits) * special.expit(-logits)  # of a standard logistic l
    below = special.ndtr((mu[:, np.newaxis] - logits) / np.maximum(stddev, 1.0)[:, np.newaxis])
    wide = STEP * below @ density  # P(l < a)
    return np.clip(np.where(stddev < 1.0, narrow, wide), 0.0, 1.0)


def mean_entropy(mu: np.ndarray, stddev: np.ndarray) -> np.ndarray:
    """``E[entropy of Bernoulli(sigmoid(a))]`` in nats: what is aleatoric.

    Shapes:
        mu, stddev: ``[n]``; so is what is returned.
    """
    narrow = _over_normal(entropy, mu, stddev)
    logits = np.arange(-REACH, REACH + STEP, STEP)
    scale = np.maximum(stddev, 1.0)[:, np.newaxis]
    density = np.exp(-0.5 * ((logits - mu[:, np.newaxis]) / scale) ** 2)
    wide = STEP * (density / (scale * np.sqrt(2.0 * np.pi))) @ entropy(logits)
    return np.where(stddev < 1.0, narrow, wide)


def entropy(logits: np.ndarray) -> np.ndarray:
    """Of Bernoulli distributions with these logits, in nats."""
    size = np.abs(logits)  # with t = exp(-size): log(1 + t) + size t / (1 + t)
    return np.asarray(np.log1p(np.exp(-size)) + size * special.expit(-size))


def _over_normal(function: object, mu: np.ndarray, stddev: np.ndarray) -> np.ndarray:
    """``E[function(a)]`` for standard deviations up to one."""
    nodes = np.arange(-NORMAL_REACH, NORMAL_REACH + STEP, STEP)
    weights = STEP * np.exp(-0.5 * nodes**2) / np.sqrt(2.0 * np.pi)
    points = mu[:, np.newaxis] + np.minimum(stddev, 1.0)[:, np.newaxis] * nodes
    assert callable(function)
    return np.asarray(function(points) @ weights)
