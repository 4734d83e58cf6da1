"""The continuous ranked probability score: of formulas, and of draws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.special
import scipy.stats

from ..errors import DataError
from . import checks


def crps_gaussian(mean: Any, sd: Any, y: Any) -> np.ndarray:
    """Continuous ranked probability score of ``N(mean, sd^2)``; less is better.

    ``sd [z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi)]`` with ``z = (y - mean) / sd``, in the units
    of ``y``; for ``sd = 0`` it is ``|y - mean|``.

    Returns:
        One score per element.

    Raises:
        DataError: If the shapes differ, a value is NaN or ``sd`` is negative.

    References:
        Gneiting & Raftery 2007, section 4.2.
    """
    mean, sd, y = checks.same_shape(mean=mean, sd=sd, y=y)
    if np.any(sd < 0):
        raise DataError(f"'sd' must be at least 0. Received: {float(sd.min())}.")
    error = y - mean
    z = error / np.where(sd > 0, sd, 1.0)
    phi: np.ndarray = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    spread = error * (2 * scipy.special.ndtr(z) - 1) + sd * (2 * phi - 1 / math.sqrt(math.pi))
    return np.asarray(np.where(sd > 0, spread, np.abs(error)))


def crps_student_t(df: Any, loc: Any, scale: Any, y: Any) -> np.ndarray:
    """Continuous ranked probability score of a Student t distribution; less is better.

    Of the standard one at z: ``z (2 F(z) - 1) + 2 f(z) (df + z^2) / (df - 1) - 2 sqrt(df) / (df -
    1) B(1/2, df - 1/2) / B(1/2, df/2)^2``, in the units of ``y`` after the scale.

    Returns:
        One score per element; infinite where ``df`` is at most 1, which leaves no mean.

    Raises:
        DataError: If the shapes differ, a value is NaN, or ``df`` or ``scale`` is not above 0.

    References:
        Jordan, Krueger & Lerch 2019, "Evaluating probabilistic forecasts with scoringRules",
        appendix A.2.
    """
    df, loc, scale, y = checks.same_shape(df=df, loc=loc, scale=scale, y=y)
    for name, value in (("df", df), ("scale", scale)):
        if np.any(value <= 0):
            raise DataError(f"'{name}' must be above 0. Received: {float(value.min())}.")
    has_mean = df > 1.0
    nu, z = np.where(has_mean, df, 2.0), (y - loc) / scale
    density = scipy.stats.t.pdf(z, nu)
    betas = scipy.special.betaln(0.5, nu - 0.5) - 2.0 * scipy.special.betaln(0.5, 0.5 * nu)
    spread = 2.0 * (density * (nu + z**2) - np.sqrt(nu) * np.exp(betas)) / (nu - 1.0)
    score = scale * (z * (2.0 * scipy.special.stdtr(nu, z) - 1.0) + spread)
    return np.asarray(np.where(has_mean, score, np.inf))


def crps_samples(samples: Any, y: Any) -> np.ndarray:
    """Continuous ranked probability score from draws, by the unbiased ("fair") estimator.

    ``mean_i |x_i - y| - 1 / (2 k (k - 1)) sum_ij |x_i - x_j|``, the second sum by sorting.

    Args:
        samples: Draws of each predictive distribution, ``[k, ...]`` with k of at least 2.
        y: Observations ``[...]``.

    Returns:
        One score per element of ``y``, in its units. A single score may be negative.

    Raises:
        DataError: If the shapes do not fit or a value is not finite.

    References:
        Gneiting & Raftery 2007, section 4.2; Zamo & Naveau 2018, section 2.
    """
    samples, y = checks.array(samples, "Samples"), checks.array(y, "Observations")
    k = len(samples) if samples.ndim else 0
    if k < 2 or samples.shape[1:] != y.shape:
        raise DataError(
            f"Expected: samples of shape [k, *{y.shape}] with k of at least 2. "
            f"Received: {samples.shape}."
        )
    weights = 2.0 * np.arange(1, k + 1) - k - 1  # sum_ij |x_i - x_j| = 2 sum_i w_i x_(i)
    spread = np.tensordot(weights, np.sort(samples, axis=0), axes=1) / (k * (k - 1))
    return np.asarray(np.mean(np.abs(samples - y), axis=0) - spread)
