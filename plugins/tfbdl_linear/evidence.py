"""The evidence of a linear model, as a function of two precisions, and where it is largest.

Columns and targets enter through a singular value decomposition ``Phi = U diag(s) V'``: what is
computed for one pair of precisions takes time in the rank of the columns alone, whether there are
more rows than columns or fewer.

References:
    Bishop 2006, sections 3.3 to 3.5; for the normal-inverse-gamma prior O'Hagan & Forster 2004,
    Kendall's Advanced Theory of Statistics 2B, section 11.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
from scipy import optimize, special

STEPS = 10_000
TOLERANCE = 1e-12
EVERY = 10  # steps of a fixed point before one that looks ahead
LARGEST = 1e12
"""Ratio to the scale of the data at which a precision counts as infinite."""
LOG_2PI = math.log(2.0 * math.pi)

NO_SIGNAL = (
    "The evidence is largest with all weights at zero: alpha grew without end and was stopped. "
    "The columns say nothing of the targets that noise would not; give alpha to keep weights."
)
NO_NOISE = (
    "The evidence is largest as the noise vanishes, since the columns fit the targets exactly: "
    "beta grew without end and was stopped. Give beta, or use noise_prior='gamma'."
)
NO_VARIATION = (
    "The targets do not vary, so that their evidence says nothing of alpha and beta, which stay "
    "at one. Give both, or more rows."
)


class Spectrum(NamedTuple):
    """Columns and targets, turned so that weights are independent.

    Attributes:
        values: s, of ``Phi = U diag(s) V'``: ``[r]``.
        projected: ``U' t``: ``[r, k]``.
        outside: The squared length of the targets outside the columns' span.
        rows: As many as the density of the targets counts: N, or N - 1 with the level of the
            targets taken out.
        columns: M.
    """

    values: np.ndarray
    projected: np.ndarray
    outside: float
    rows: float
    columns: int

    @property
    def targets(self) -> int:
        """How many targets a row has: k."""
        return int(self.projected.shape[1])

    @property
    def energy(self) -> np.ndarray:
        """Of the projected targets along each direction: ``[r]``."""
        return (self.projected**2).sum(axis=1)

    @property
    def total(self) -> float:
        """The squared length of the targets."""
        return float(self.energy.sum()) + self.outside


class Precisions(NamedTuple):
    """What the search for the largest evidence ends at; ``notice`` says if it is no maximum."""

    alpha: float
    beta: float
    notice: str = ""


def log_evidence(data: Spectrum, alpha: float, beta: float) -> float:
    """``log p(t | alpha, beta)``, in nats (Bishop 2006, 3.86)."""
    curvature = alpha + beta * data.values**2  # eigenvalues of A, (3.81)
    log_det = np.log(curvature).sum() + (data.columns - len(data.values)) * math.log(alpha)
    misfit, weights = _misfit(data, alpha, beta), _squared_weights(data, alpha, beta)
    one_target = 0.5 * (
        data.columns * math.log(alpha) + data.rows * math.log(beta) - log_det - data.rows * LOG_2PI
    )
    return float(data.targets * one_target - 0.5 * (beta * misfit + alpha * weights))


def effective_parameters(data: Spectrum, alpha: float, beta: float) -> float:
    """gamma, the number of weights that the data determine: 0 to M (Bishop 2006, 3.91)."""
    eigenvalues = beta * data.values**2
    return float((eigenvalues / (alpha + eigenvalues)).sum())


def largest_evidence(data: Spectrum, alpha: float | None, beta: float | None) -> Precisions:
    """The fixed point of Bishop 2006, (3.92) and (3.95); a precision that is given stays.

    Args:
        data: Columns and targets.
        alpha: Of the weights; None: sought.
        beta: Of the noise; None: sought.
    """
    if alpha is not None and beta is not None:
        return Precisions(alpha, beta)
    k, size = data.targets, max(float((data.values**2).sum()), np.finfo(float).tiny)
    if data.total <= 1e-300 or not len(data.values):
        flat = data.rows * k / data.total if data.total > 1e-300 and beta is None else 1.0
        notice = NO_VARIATION if data.total <= 1e-300 else NO_SIGNAL
        return Precisions(alpha or 1.0, beta or flat, notice)
    unit = data.rows * k / data.total  # one over the mean square of the targets
    new_alpha = alpha or unit * size / data.columns / data.rows
    new_beta = beta or unit
    before = np.zeros(2)
    for step in range(STEPS):
        old_alpha, old_beta = new_alpha, new_beta
        gamma = effective_parameters(data, old_alpha, old_beta)
        if alpha is None:
            squares = _squared_weights(data, old_alpha, old_beta)
            new_alpha = k * gamma / max(squares, 1e-300)  # (3.92)
            if new_alpha > LARGEST * unit * size / data.rows:
                return Precisions(old_alpha, old_beta, NO_SIGNAL)
        if beta is None:
            misfit = max(_misfit(data, old_alpha, old_beta), 1e-300)
            new_beta = k * max(data.rows - gamma, 1e-12) / misfit  # (3.95)
            if new_beta > LARGEST * unit:
                return Precisions(old_alpha, old_beta, NO_NOISE)
        change = np.log([new_alpha / old_alpha, new_beta / old_beta])
        if np.abs(change).sum() < TOLERANCE:
            break
        if step % EVERY == EVERY - 1:
            far = np.exp(extrapolation(change, before)) * (new_alpha, new_beta)
            if log_evidence(data, *far) > log_evidence(data, new_alpha, new_beta):
                new_alpha, new_beta = map(float, far)
        before = change
    return Precisions(new_alpha, new_beta)


def extrapolation(change: np.ndarray, before: np.ndarray) -> np.ndarray:
    """How much further a sequence will go whose last two changes were these, were they geometric.

    References:
        Aitken 1926, the delta-squared process; each element by itself, and at most 49 changes.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(before == 0.0, 0.0, change / before)
    ratio = np.clip(ratio, 0.0, 0.98)
    return change * ratio / (1.0 - ratio)


def conjugate_rate(data: Spectrum, alpha: float, d0: float) -> float:
    """The rate of the gamma posterior of beta, where the weights' prior precision is alpha beta."""
    kept = alpha / (alpha + data.values**2)
    return d0 + 0.5 * (data.outside + float((kept * data.energy).sum()))


def conjugate_shape(data: Spectrum, c0: float) -> float:
    """The shape of the gamma posterior of beta."""
    return c0 + 0.5 * data.rows * data.targets


def conjugate_log_evidence(data: Spectrum, alpha: float, c0: float, d0: float) -> float:
    """``log p(t | alpha)`` under the normal-inverse-gamma prior: a Student t density of t, nats."""
    shape, rate = conjugate_shape(data, c0), conjugate_rate(data, alpha, d0)
    log_det = np.log1p(data.values**2 / alpha).sum()  # of V_0 times that of V_N inverse
    return float(
        -0.5 * data.targets * (log_det + data.rows * LOG_2PI)
        + c0 * math.log(d0)
        - shape * math.log(rate)
        + special.gammaln(shape)
        - special.gammaln(c0)
    )


def largest_conjugate_evidence(data: Spectrum, c0: float, d0: float) -> Precisions:
    """The relative precision alpha at which ``conjugate_log_evidence`` is largest.

    Returns:
        alpha, and the posterior mean of beta there.
    """
    if len(data.values) and data.total > 1e-300:
        scale = math.log(float((data.values**2).max()))
        grid = np.linspace(scale - 40.0, scale + 28.0, 137)
        heights = [conjugate_log_evidence(data, math.exp(point), c0, d0) for point in grid]
        best = int(np.argmax(heights))
        low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, len(grid) - 1)])
        notice = NO_SIGNAL if best == len(grid) - 1 else ""
        slope = functools.partial(_conjugate_slope, data, c0=c0, d0=d0)
        inside = slope(low) > 0.0 > slope(high)
        alpha = math.exp(optimize.brentq(slope, low, high, xtol=1e-13) if inside else grid[best])
    else:
        alpha, notice = 1.0, NO_VARIATION
    beta = conjugate_shape(data, c0) / conjugate_rate(data, alpha, d0)
    return Precisions(alpha, beta, notice)


def _conjugate_slope(data: Spectrum, log_alpha: float, *, c0: float, d0: float) -> float:
    """The derivative of ``conjugate_log_evidence`` by the logarithm of alpha."""
    alpha, squares = math.exp(log_alpha), data.values**2
    shape, rate = conjugate_shape(data, c0), conjugate_rate(data, alpha, d0)
    determined = float((squares / (alpha + squares)).sum())
    pull = float((alpha * squares / (alpha + squares) ** 2 * data.energy).sum())
    return 0.5 * (data.targets * determined - shape / rate * pull)


def _misfit(data: Spectrum, alpha: float, beta: float) -> float:
    """``||t - Phi m_N||^2``."""
    kept = alpha / (alpha + beta * data.values**2)
    return data.outside + float((kept**2 * data.energy).sum())


def _squared_weights(data: Spectrum, alpha: float, beta: float) -> float:
    """``m_N' m_N``, over all targets (3.84)."""
    gain = beta * data.values / (alpha + beta * data.values**2)
    return float((gain**2 * data.energy).sum())
