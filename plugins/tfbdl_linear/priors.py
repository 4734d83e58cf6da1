"""Normal priors over weights, and what options say of one, checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tfbdl.errors import OptionsError

Hyperprior = float | tuple[float, float]
"""A precision, or shape and rate of its gamma prior."""


@dataclass(frozen=True)
class WeightPrior:
    """``w ~ N(mean, covariance / alpha)``, or ``/ (alpha beta)`` if ``scaled``.

    Attributes:
        mean: ``[M]``.
        factor: L with ``L L' = covariance``, ``[M, M]``; None: the identity.
        alpha, beta: Each a number or shape and rate; a model without noise has no use for beta.
        scaled: Whether the covariance is divided by beta too.
    """

    mean: np.ndarray
    factor: np.ndarray | None
    alpha: Hyperprior
    beta: Hyperprior = 1.0
    scaled: bool = False


def prior_mean(value: Any, size: int) -> np.ndarray:
    """``m0 [size]``; zeros if it was not given.

    Raises:
        OptionsError: If it has another shape.
    """
    return np.zeros(size) if value is None else _shaped("m0", value, (size,))


def prior_factor(value: Any, size: int) -> np.ndarray | None:
    """L with ``L L' = S0``, ``[size, size]``; None if S0 was not given.

    Raises:
        OptionsError: If S0 has another shape, or is no covariance.
    """
    if value is None:
        return None
    covariance = _shaped("S0", value, (size, size))
    try:
        if not np.allclose(covariance, covariance.T, rtol=1e-8, atol=0.0):
            raise np.linalg.LinAlgError
        return np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        raise OptionsError(
            "S0 must be a covariance: symmetric, with eigenvalues above 0. Received: "
            f"eigenvalues of its symmetric part from "
            f"{np.linalg.eigvalsh(0.5 * (covariance + covariance.T))[0]:.4g}."
        ) from None


def _shaped(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(value, np.float64)
    if array.shape != shape:
        raise OptionsError(
            f"{name} must have the shape {list(shape)} for these data. "
            f"Received: {list(array.shape)}."
        )
    return array
