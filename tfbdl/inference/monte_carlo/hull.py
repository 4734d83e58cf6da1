"""Bounds of a log-concave density: its tangents above, the chords between its points below.

References:
    Gilks & Wild 1992, "Adaptive Rejection Sampling for Gibbs Sampling", section 2.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import ModelError

TINY = 1e-12
TRIED = 32


class Hull:
    """What points of a log density ``h`` say of it everywhere.

    Args:
        bounds: Where the density ends below and above; infinite, or numbers that are not reached.
        epsilon: Relative rounding error of ``h``.

    Attributes:
        x, h, slopes: The points, their log density and its derivative, by ascending ``x``.
    """

    def __init__(self, bounds: tuple[float, float], epsilon: float = 2.0**-52) -> None:
        self.bounds, self.epsilon = bounds, epsilon
        self.x, self.h, self.slopes = (np.empty(0) for _ in range(3))

    def insert(self, x: float, h: float, slope: float) -> None:
        """Take a point for one more.

        Raises:
            ModelError: If the log density is not finite there, or with it is not concave.
        """
        if not (np.isfinite(h) and np.isfinite(slope)):
            raise ModelError(
                "Adaptive rejection needs a log density that is finite between its bounds, and its "
                f"slope. Received: {h} with slope {slope} at {x:.6g}, of bounds {self.bounds}."
            )
        place = int(np.searchsorted(self.x, x))
        self.x, self.h, self.slopes = (
            np.insert(old, place, new)
            for old, new in ((self.x, x), (self.h, h), (self.slopes, slope))
        )
        self._check()
        self._crossings = self._crossed()

    def upper(self, x: np.ndarray) -> np.ndarray:
        """The lowest of the tangents (Gilks & Wild, equation 2)."""
        j = np.searchsorted(self._crossings, x)
        return np.asarray(self.h[j] + (x - self.x[j]) * self.slopes[j])

    def lower(self, x: np.ndarray) -> np.ndarray:
        """The chords (equation 4); minus infinity outside the points."""
        return np.interp(x, self.x, self.h, left=-np.inf, right=-np.inf)

    def sample(self, uniforms: np.ndarray) -> np.ndarray:
        """Draws ``[n]`` of the density in proportion to ``exp(upper)`` (equation 3).

        Args:
            uniforms: Numbers in (0, 1), ``[n, 2]``.
        """
        low, high = self._ends()
        masses = _log_masses(low, high, self.x, self.h, self.slopes)
        cumulated = np.cumsum(np.exp(masses - _log_sum(masses)))
        j = np.searchsorted(cumulated / cumulated[-1], uniforms[:, 0], side="right")
        slopes, widths = np.abs(self.slopes[j]), (high - low)[j]
        falls = slopes * widths
        with np.errstate(divide="ignore", invalid="ignore"):
            away = np.where(  # from the end where the segment is highest
                falls < TINY,
                uniforms[:, 1] * widths,
                -np.log1p(uniforms[:, 1] * np.expm1(-falls)) / slopes,
            )
        with np.errstate(invalid="ignore"):
            return np.where(self.slopes[j] > 0.0, high[j] - away, low[j] + away)

    def log_areas(self) -> tuple[float, float]:
        """The logarithms of the areas below the chords and below the tangents."""
        above = _log_masses(*self._ends(), self.x, self.h, self.slopes)
        widths = np.diff(self.x)
        chords = np.diff(self.h) / np.maximum(widths, np.finfo(float).tiny)
        below = _log_masses(self.x[:-1], self.x[1:], self.x[:-1], self.h[:-1], chords)
        return _log_sum(below), _log_sum(above)

    def is_proper(self) -> Sequence[bool]:
        """Whether the tangents fall towards each bound that is infinite."""
        return (
            bool(np.isfinite(self.bounds[0]) or self.slopes[0] > 0.0),
            bool(np.isfinite(self.bounds[1]) or self.slopes[-1] < 0.0),
        )

    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        return (
            np.concatenate([[self.bounds[0]], self._crossings]),
            np.concatenate([self._crossings, [self.bounds[1]]]),
        )

    def _crossed(self) -> np.ndarray:
        """Where each tangent meets the next (equation 1)."""
        widths, turns = np.diff(self.x), -np.diff(self.slopes)
        with np.errstate(divide="ignore", invalid="ignore"):
            away = (np.diff(self.h) - widths * self.slopes[1:]) / turns
        away = np.where(np.isfinite(away), away, 0.5 * widths)
        return np.asarray(self.x[:-1] + np.clip(away, 0.0, widths))

    def _check(self) -> None:
        """Each chord must be flatter than the tangent before it, and steeper than the one after."""
        widths, rises = np.diff(self.x), np.diff(self.h)
        room = 64.0 * self.epsilon * (1.0 + np.abs(self.h).max())
        room = room + 64.0 * self.epsilon * np.abs(self.x).max() * np.abs(self.slopes).max()
        over = np.maximum(rises - self.slopes[:-1] * widths, self.slopes[1:] * widths - rises)
        if (over > room).any():
            j = int(np.argmax(over))
            raise ModelError(
                "Adaptive rejection needs a density whose logarithm is concave. Received: one that "
                f"is not between {self.x[j]:.6g} and {self.x[j + 1]:.6g}, where it rises by "
                f"{rises[j]:.6g} with slopes {self.slopes[j]:.6g} and {self.slopes[j + 1]:.6g} at "
                "the ends. Use nuts, slice or smc."
            )


def _log_sum(values: np.ndarray) -> float:
    """``log sum exp``, of few numbers; minus infinity of none."""
    highest = float(values.max(initial=-np.inf))
    if highest == -np.inf:
        return highest
    return highest + float(np.log(np.exp(values - highest).sum()))


def _log_masses(
    low: np.ndarray, high: np.ndarray, x: np.ndarray, h: np.ndarray, slopes: np.ndarray
) -> np.ndarray:
    """``log`` of the integrals of ``exp(h + (t - x) slope)`` over t from ``low`` to ``high``."""
    with np.errstate(divide="ignore", invalid="ignore"):
        top = np.where(slopes > 0.0, high, low)
        top = np.where(np.isfinite(top), top, x)  # a segment that is flat and has one end
        falls = np.abs(slopes) * (high - low)
        sizes = np.where(
            falls < TINY,
            np.log(high - low),
            np.log(-np.expm1(-falls)) - np.log(np.abs(slopes)),
        )
        return np.asarray(h + (top - x) * slopes + sizes)


def most_telling(hull: Hull, x: np.ndarray, height: np.ndarray) -> float:
    """Where to look next: the place that foreseeably decides most candidates.

    Between two points the log density is foreseen as the cubic with their values and slopes;
    outside them, as the parabola that goes on from the last two.

    Args:
        hull: What is known.
        x, height: Candidates and log heights that are still undecided, ``[n]``.
    """
    if x.size == 1:
        return float(x[0])
    between = np.searchsorted(hull.x, x)
    counts = np.bincount(between, minlength=hull.x.size + 1)
    most, place = -1.0, float(x[0])
    for j in np.argsort(-counts):
        if counts[j] <= most:
            break
        number, there = _decided(hull, int(j), x[between == j], height[between == j])
        if number > most:
            most, place = number, there
    return place


def _decided(hull: Hull, j: int, x: np.ndarray, height: np.ndarray) -> tuple[float, float]:
    """How many candidates before point j the best place decides, and that place."""
    tried = np.sort(x)[:: x.size // TRIED + 1]
    inner = 0 < j < hull.x.size
    if inner:
        a, b = hull.x[j - 1 : j + 1]
        tried = np.concatenate([tried, a + (b - a) * np.linspace(0.125, 0.875, 7)])
    tried = tried[~np.isin(tried, hull.x), np.newaxis]
    if not tried.size:
        return 1.0, float(x[0])
    value, slope = _foreseen(hull, j, tried)
    upper = np.minimum(hull.upper(x), value + (x - tried) * slope)
    lower = np.full(upper.shape, -np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        for k, side in ((j - 1, x < tried), (j, x > tried)):
            if 0 <= k < hull.x.size:
                chord = value + (x - tried) * (hull.h[k] - value) / (hull.x[k] - tried)
                lower = np.where(side, chord, lower)
    decided = (height <= lower) | (height > upper) | (x == tried)
    aside = np.abs(tried[:, 0] - np.median(x))
    number = decided.sum(axis=1) - 1e-6 * aside / (aside.max() or 1.0)
    best = int(np.argmax(number))
    return float(decided[best].sum()), float(tried[best, 0])


def _foreseen(hull: Hull, j: int, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log density and slope at places before point j, as far as can be told."""
    last = hull.x.size - 1
    if 0 < j <= last:
        (a, b), (ha, hb), (sa, sb) = (v[j - 1 : j + 1] for v in (hull.x, hull.h, hull.slopes))
        r, width = (x - a) / (b - a), b - a
        value = (1 + 2 * r) * (1 - r) ** 2 * ha + r**2 * (3 - 2 * r) * hb
        value += width * r * (1 - r) * ((1 - r) * sa - r * sb)
        bend = 6 * r * (1 - r) * (hb - ha) / width
        return value, bend + (3 * r - 1) * (r - 1) * sa + r * (3 * r - 2) * sb
    end, next_ = (0, min(1, last)) if j == 0 else (last, max(last - 1, 0))
    turn = (hull.slopes[next_] - hull.slopes[end]) / (hull.x[next_] - hull.x[end] or 1.0)
    away = x - hull.x[end]
    slope = hull.slopes[end] + turn * away
    return hull.h[end] + away * 0.5 * (hull.slopes[end] + slope), slope
