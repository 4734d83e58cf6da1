"""Laplace's log evidence of a network, and the prior and noise scales at which it is largest.

References:
    MacKay 1992, "A practical Bayesian framework for backpropagation networks"; Immer et al. 2021,
    "Scalable marginal likelihood estimation for model selection in deep learning", equation 6;
    Daxberger et al. 2021, "Laplace Redux", equation 8.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize

from ..errors import RunError
from .gauss_newton import Fitted

LOG_2PI = math.log(2.0 * math.pi)
REACH = 23.0  # of the logarithms of the precisions, about their starts


class Evidence(NamedTuple):
    """The log evidence at some scales.

    Attributes:
        value: ``log p(D, mode) - 1/2 log det(P / 2 pi)``, in nats.
        precision: Of the prior, ``[D]``.
        noise: Factor of the noise's standard deviation.
        effective: How many parameters the data decide: MacKay's gamma.
    """

    value: float
    precision: np.ndarray
    noise: float
    effective: float


def evidence_at(fitted: Fitted, distance: np.ndarray, precision: np.ndarray) -> Evidence:
    """The log evidence of a normal prior.

    Args:
        fitted: Log likelihood and curvature at the mode.
        distance: Of the mode from the prior's mean, ``[D]``.
        precision: Of the prior, ``[D]``.
    """
    return _Objective(fitted, distance, precision, [np.arange(len(distance))]).at(np.zeros(2))


def maximized(
    fitted: Fitted,
    distance: np.ndarray,
    precision: np.ndarray,
    groups: Sequence[np.ndarray],
    *,
    noise: bool,
) -> Evidence:
    """The largest log evidence over the prior's precisions and the noise, the mode held.

    Args:
        fitted, distance, precision: As for ``evidence_at``, where the search begins.
        groups: Indices of the elements whose precisions change by one factor, for each factor.
        noise: Whether the standard deviation of a Gaussian likelihood is chosen too.

    Raises:
        RunError: If there is no maximum.
    """
    objective = _Objective(fitted, distance, precision, groups)
    free = len(groups) + noise

    def negative(point: np.ndarray) -> tuple[float, np.ndarray]:
        full = np.append(point, 0.0) if not noise else point
        value, gradient = objective.with_gradient(full)
        return -value, -gradient[:free]

    found = optimize.minimize(
        negative,
        np.zeros(free),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-REACH, REACH)] * free,
        options={"maxiter": 200, "ftol": 1e-14, "gtol": 1e-7},
    )
    if not np.isfinite(found.fun):
        raise RunError(
            f"The log evidence has no maximum over the scales. Received: {-found.fun} at "
            f"logarithms {found.x}. Give the net a better mode, or choose the prior yourself."
        )
    return objective.at(found.x if noise else np.append(found.x, 0.0))


class _Objective:
    """The log evidence as a function of ``[log factor of each group's precision, log noise]``."""

    def __init__(
        self,
        fitted: Fitted,
        distance: np.ndarray,
        precision: np.ndarray,
        groups: Sequence[np.ndarray],
    ) -> None:
        self.fitted, self.distance, self.precision = fitted, distance, precision
        self.groups = list(groups)

    def at(self, point: np.ndarray) -> Evidence:
        precision, noise = self._scales(point)
        value, _ = self.with_gradient(point)
        found = self.fitted.curvature.log_det(precision, noise**-2, self.groups)
        return Evidence(value, precision, noise, len(precision) - float(found.shares.sum()))

    def with_gradient(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        fitted = self.fitted
        precision, noise = self._scales(point)
        found = fitted.curvature.log_det(precision, noise**-2, self.groups)
        squares = precision * self.distance**2
        size = len(precision)
        log_lik = (
            fitted.log_likelihood
            + 0.5 * fitted.squares * (1.0 - noise**-2)
            - fitted.targets * math.log(noise)
        )
        log_prior = 0.5 * float((np.log(precision) - squares).sum() - size * LOG_2PI)
        value = log_lik + log_prior + 0.5 * (size * LOG_2PI - found.value)
        by_group = [
            0.5 * (len(group) - squares[group].sum() - share)
            for group, share in zip(self.groups, found.shares, strict=True)
        ]
        by_noise = fitted.squares * noise**-2 - fitted.targets + size - found.shares.sum()
        return value, np.array([*by_group, by_noise])

    def _scales(self, point: np.ndarray) -> tuple[np.ndarray, float]:
        precision = self.precision.copy()
        for group, log_factor in zip(self.groups, point, strict=False):
            precision[group] *= math.exp(log_factor)
        return precision, math.exp(float(point[-1]))
