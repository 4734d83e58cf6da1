"""Densities in the plane on which samplers are watched, with exact contours and draws.

All are of one family: ``p(u) N(v | mean(u), sd(u)^2)``, u from one normal or two of equal weight,
the mean a parabola and the logarithm of the deviation a line. A contour is then
``v = mean(u) +- sd(u) sqrt(2 (log p(u) - log sd(u) - log(2 pi) / 2 - level))``, exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize

HALF_LOG_2PI = 0.5 * float(np.log(2.0 * np.pi))
MASSES = (0.5, 0.9, 0.99)
"""Of the contours: the mass that each encloses."""
LEVEL_DRAWS = 100_000


@dataclass(frozen=True, kw_only=True)
class PlaneDensity:
    """A normalised density of ``(u, v)``.

    Attributes:
        distance, scale: u is ``N(-distance, scale^2)`` or ``N(distance, scale^2)``.
        mean: ``(a, b, c)`` of ``a + b u + c u^2``, the mean of v given u.
        log_sd: ``(a, b)`` of ``a + b u``, the logarithm of its standard deviation.
        reach: Where u is drawn from and to.
        start: Where chains begin.
    """

    distance: float = 0.0
    scale: float = 1.0
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    log_sd: tuple[float, float] = (0.0, 0.0)
    reach: tuple[float, float]
    start: tuple[float, float]

    @property
    def numbers(self) -> tuple[float, ...]:
        """``distance, scale``, the three of ``mean`` and the two of ``log_sd``."""
        return (self.distance, self.scale, *self.mean, *self.log_sd)

    def log_first(self, u: np.ndarray) -> np.ndarray:
        """``log p(u)``, in nats."""
        below, above = ((u + sign * self.distance) / self.scale for sign in (1.0, -1.0))
        both = np.logaddexp(-0.5 * below**2, -0.5 * above**2)
        return np.asarray(both - np.log(2.0 * self.scale) - HALF_LOG_2PI)

    def second(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean of v given u, and the logarithm of its standard deviation."""
        a, b, c = self.mean
        return a + b * u + c * u**2, self.log_sd[0] + self.log_sd[1] * u

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """``[..., 2]`` to ``[...]``, in nats."""
        u, v = x[..., 0], x[..., 1]
        mean, log_sd = self.second(u)
        z = (v - mean) * np.exp(-log_sd)
        return np.asarray(self.log_first(u) - 0.5 * z**2 - log_sd - HALF_LOG_2PI)

    def draw(self, n: int, seed: int) -> np.ndarray:
        """Independent draws ``[n, 2]``."""
        rng = np.random.default_rng(seed)
        u = self.distance * rng.choice([-1.0, 1.0], n) + self.scale * rng.normal(size=n)
        mean, log_sd = self.second(u)
        return np.stack([u, mean + np.exp(log_sd) * rng.normal(size=n)], axis=-1)

    def levels(self) -> np.ndarray:
        """The log densities at whose contours ``MASSES`` lie inside: ``[3]``."""
        values = self.log_prob(self.draw(LEVEL_DRAWS, seed=0))
        return np.asarray(np.quantile(values, [1.0 - mass for mass in MASSES]))

    def contour(self, level: float) -> np.ndarray:
        """A contour as two closed lines ``[2, 200, 2]``; NaN for the second where there is one."""
        grid = np.linspace(*self.reach, 2_001)
        above = np.flatnonzero(self._squared(grid, level) > 0)
        lines = np.full((2, 200, 2), np.nan)
        runs = np.split(above, np.flatnonzero(np.diff(above) > 1) + 1)
        for line, run in zip(lines, runs, strict=False):
            left = self._end(grid, int(run[0]), -1, level)
            right = self._end(grid, int(run[-1]), 1, level)
            u = left + (right - left) * 0.5 * (1.0 - np.cos(np.linspace(0.0, np.pi, 100)))
            mean, log_sd = self.second(u)
            half = np.exp(log_sd) * np.sqrt(np.maximum(self._squared(u, level), 0.0))
            line[:, 0] = np.concatenate([u, u[::-1]])
            line[:, 1] = np.concatenate([mean + half, (mean - half)[::-1]])
        return lines

    def _squared(self, u: np.ndarray, level: float) -> np.ndarray:
        """The square of a contour's distance from the mean of v, in deviations of v."""
        return np.asarray(2.0 * (self.log_first(u) - self.second(u)[1] - HALF_LOG_2PI - level))

    def _end(self, grid: np.ndarray, place: int, step: int, level: float) -> float:
        """Where a contour turns round, beside a point of the grid that lies within it."""
        beyond = place + step
        if not 0 <= beyond < grid.size:
            return float(grid[place])
        found = optimize.brentq(lambda u: self._squared(u, level), grid[place], grid[beyond])
        return float(found)


DENSITIES = {
    "correlated_normal": PlaneDensity(
        mean=(0.0, 0.95, 0.0),
        log_sd=(0.5 * float(np.log(1.0 - 0.95**2)), 0.0),
        reach=(-3.6, 3.6),
        start=(-2.5, -2.5),
    ),
    "banana": PlaneDensity(
        scale=1.5,
        mean=(-1.5, 0.0, 0.6),
        log_sd=(float(np.log(0.5)), 0.0),
        reach=(-5.0, 5.0),
        start=(-2.5, 2.5),
    ),
    "two_modes": PlaneDensity(distance=2.5, reach=(-6.5, 6.5), start=(-2.5, 0.0)),
    "funnel": PlaneDensity(scale=1.5, log_sd=(0.0, 0.5), reach=(-7.0, 6.0), start=(0.0, 0.0)),
}
