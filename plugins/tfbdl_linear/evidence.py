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

STEP = 0.25  # of the grid over the logarithm of a precision
LARGEST = 1e12
"""Ratio to the scale of the data at which a precision counts as infinite."""
LOG_2PI = math.log(2.0 * math.pi)

NO_SIGNAL = (
    "The evidence is largest with all weights at zero: alpha grew without end and was stopped. "
    "The columns say nothing of the targets that noise would not; give alpha to keep weights."
)
NO_NOISE = (
    "The evidence is largest as the noise vanishes, since the columns fit the targets exactly: "
    "beta grew without end and was stopped. Give beta, or use linear with noise_prior='gamma'."
)
NO_VARIATION = (
    "The targets do not vary, so that their evidence says nothing of alpha and beta: those that "
    "were not given are one. Give both, or more rows."
)
UNDETERMINED = (
    "The rows are too few to tell weights from noise: the evidence is the same for every share of "
    "either. alpha and beta give each a half; give both, or more rows."
)
FLAT = 1e-3  # nats


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
    """Where the evidence is largest of all: the best root of Bishop 2006, (3.92) and (3.95).

    With one precision given, or the best beta for each ratio ``alpha / beta``, the evidence is a
    function of one number. Each of its maxima is bracketed on a grid and refined; the highest is
    kept, which a fixed point begun at one place may miss.

    Args:
        data: Columns and targets.
        alpha: Of the weights; None: sought.
        beta: Of the noise; None: sought.
    """
    if alpha is not None and beta is not None:
        return Precisions(alpha, beta)
    if data.total <= 1e-300 or data.rows <= 0.0:
        return Precisions(alpha or 1.0, beta or 1.0, NO_VARIATION)
    unit = data.rows * data.targets / data.total  # one over the mean square of the targets
    if not data.values.any():
        return Precisions(alpha or 1.0, beta or unit, NO_SIGNAL)
    path = _Path(data, alpha, beta, LARGEST * unit)
    grid = np.arange(*path.ends, STEP)
    slopes = np.array([path.slope(point) for point in grid])
    tops = [
        optimize.brentq(path.slope, grid[i], grid[i + 1], xtol=1e-13)
        for i in np.flatnonzero((slopes[:-1] > 0.0) & (slopes[1:] <= 0.0))
    ]
    last = float(grid[-1])
    if slopes[-1] > 0.0 or not tops:
        tops.append(last)
    best = max(tops, key=path.height)
    middle = path.middle
    if np.ptp([path.height(point) for point in (middle - 3.0, middle, best, last)]) < FLAT:
        return Precisions(*path.precisions(middle), UNDETERMINED)
    found = path.precisions(best)
    notice = ""
    if beta is None and found[1] >= 0.999 * path.cap:
        notice = NO_NOISE
    elif alpha is None and best == last:
        notice = NO_SIGNAL
    return Precisions(*found, notice)


class _Path(NamedTuple):
    """The line along which the evidence is largest, by the logarithm of a precision or ratio."""

    data: Spectrum
    alpha: float | None
    beta: float | None
    cap: float  # of a beta that is sought

    @property
    def ends(self) -> tuple[float, float]:
        """Where the evidence rises, and beyond which it is flat to rounding."""
        data, squares = self.data, self.data.values[self.data.values > 0.0] ** 2
        if self.alpha is not None:  # below, (3.95) cannot be met
            low = min(1e-3 * self.cap / LARGEST, 1e-6 * self.alpha / float(squares.max()))
            return math.log(low), math.log(self.cap) + STEP
        # below, alpha m'm < k gamma: (3.92) cannot be met
        noise = max(self.cap, self.beta or 0.0)
        low = math.log(float(squares.min()) / noise / data.total * data.targets * len(squares))
        high = math.log(LARGEST * float(squares.max()))
        shift = 0.0 if self.beta is None else math.log(self.beta)
        return low + shift - 2.0, high + shift

    @property
    def middle(self) -> float:
        """Where the longest direction is half determined: beta s^2 = alpha."""
        longest = 2.0 * math.log(float(self.data.values.max()))
        if self.alpha is not None:
            return math.log(self.alpha) - longest
        return longest + (0.0 if self.beta is None else math.log(self.beta))

    def precisions(self, point: float) -> tuple[float, float]:
        """Of weights and noise there: alpha and beta."""
        if self.alpha is not None:
            return self.alpha, min(math.exp(point), self.cap)
        if self.beta is not None:
            return math.exp(point), self.beta
        ratio = math.exp(point)
        residual = conjugate_rate(self.data, ratio, 0.0) * 2.0
        # (3.95) at the ratio: k N / (misfit + ratio m'm)
        beta = self.data.targets * self.data.rows / residual if residual > 0.0 else math.inf
        beta = min(beta, self.cap)
        return ratio * beta, beta

    def slope(self, point: float) -> float:
        """The derivative of the evidence by the logarithm of what is sought."""
        data, (alpha, beta) = self.data, self.precisions(point)
        gamma = effective_parameters(data, alpha, beta)
        if self.alpha is None:  # zero at (3.92)
            return data.targets * gamma - alpha * _squared_weights(data, alpha, beta)
        return data.targets * (data.rows - gamma) - beta * _misfit(data, alpha, beta)  # (3.95)

    def height(self, point: float) -> float:
        """The evidence there."""
        return log_evidence(self.data, *self.precisions(point))


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
        if np.ptp(heights) < FLAT:
            shape, rate = conjugate_shape(data, c0), conjugate_rate(data, math.exp(scale), d0)
            return Precisions(math.exp(scale), shape / rate, UNDETERMINED)
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
