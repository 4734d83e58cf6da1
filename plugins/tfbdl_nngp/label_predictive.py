"""LabelPredictive: classes by regression on their labels."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from scipy import special

from tfbdl import random
from tfbdl.closed_form import ClosedFormPredictive

NODES, FEWER = 48, 16
DRAWS = 32
"""Of f, for the expected entropy."""
FLOOR = 1e-12


class LabelPredictive(ClosedFormPredictive):
    """The probability that a class's regression is the largest of all.

    Regressions are independent normals, ``P(c) = E[prod_c' Phi((z_c - m_c') / s_c')]`` over
    ``z_c ~ N(m_c, s_c^2)``, by Gauss-Hermite quadrature.

    Args:
        model: What predicts; its likelihood is categorical.
        mean: Of f, ``[n, C]``.
        variance: Of f, ``[n, C]``.
        noise: Of the regression.
    """

    def __init__(self, model: Any, mean: np.ndarray, variance: np.ndarray, noise: float) -> None:
        self._function = (mean, np.maximum(variance, 0.0), noise)
        probs = largest_probabilities(mean, variance + noise)
        super().__init__(model, probs, np.zeros(len(mean)))

    @property
    def probs(self) -> np.ndarray:
        """Class probabilities, ``[n, classes]``."""
        return np.asarray(self.distribution, np.float64)

    @property
    def entropy(self) -> np.ndarray:
        """Entropy of the probabilities in nats, ``[n]``."""
        return _entropy(self.probs)

    @cached_property
    def _classes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Computed when the parts of the entropy are asked for; they take the longest."""
        return self.probs, self.entropy, np.minimum(self._expected_entropy, self.entropy)

    @cached_property
    def _expected_entropy(self) -> np.ndarray:
        """The mean, over draws of f, of the entropy that the noise alone leaves: ``[n]``."""
        mean, variance, noise = self._function
        unit = random.normal((DRAWS, *mean.shape), random.key(0, "labels"), "float64").numpy()
        total = np.zeros(len(mean))
        for draw in unit:
            f = mean + np.sqrt(variance) * draw
            total += _entropy(largest_probabilities(f, np.full_like(f, noise), FEWER))
        return total / DRAWS


def largest_probabilities(mean: np.ndarray, variance: np.ndarray, nodes: int = NODES) -> np.ndarray:
    """``P(z_c is the largest)`` of independent normals of like variances: ``[n, C]`` of ``[n, C]``.

    Where variances of a row differ by orders of magnitude the nodes miss the narrow ones.
    """
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    sd = np.sqrt(np.maximum(variance, FLOOR))
    total = np.zeros_like(mean)
    for node, weight in zip(points, weights / weights.sum(), strict=True):
        z = mean + sd * node  # [n, C]: of each class as the largest
        log_below = special.log_ndtr(
            (z[:, :, np.newaxis] - mean[:, np.newaxis]) / sd[:, np.newaxis]
        )
        own = np.einsum("ncc->nc", log_below)
        total += weight * np.exp(log_below.sum(axis=2) - own)
    return np.asarray(total / total.sum(axis=1, keepdims=True))


def _entropy(probs: np.ndarray) -> np.ndarray:
    return np.asarray(special.entr(probs).sum(axis=-1))
