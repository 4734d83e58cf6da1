"""Adaptive rejection: independent draws of a log-concave density of one number.

Candidates come from the hull of tangents. One below the chords is taken and one above the tangents
left without a look at the density; each look makes the hull tighter, and counts for all candidates
that are still undecided.

References:
    Gilks & Wild 1992, "Adaptive Rejection Sampling for Gibbs Sampling", section 2.2.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from ... import random
from ...config import check_whole
from ...errors import ModelError, OptionsError
from ..compilation import sums_in_order
from .hull import Hull, most_telling

FIRST = 200
MOST = 100_000
"""Candidates of the first hull, and of a later one."""
DOUBLINGS = 60

Uniforms = Callable[[int, int], np.ndarray]
"""From a number of candidates and of their batch to numbers in (0, 1), ``[candidates, 3]``."""


class AdaptiveRejection(NamedTuple):
    """What adaptive rejection gives.

    Attributes:
        draws: ``[n]``, independent.
        evaluations: Of the density and its slope.
        squeezed: Draws that were taken without an evaluation.
        acceptance_rate: Share of the candidates that were taken.
        log_bounds: Numbers between which the logarithm of the density's integral lies.
    """

    draws: np.ndarray
    evaluations: int
    squeezed: int
    acceptance_rate: float
    log_bounds: tuple[float, float]


Sampling = Generator[float, tuple[float, float], AdaptiveRejection]
"""Asks for the log density and its slope at a point, until it returns the draws."""


@sums_in_order()
def adaptive_rejection_sampling(
    log_density: Callable[[tf.Tensor], tf.Tensor],
    n: int,
    seed: int = 0,
    *,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    start: Sequence[float] | None = None,
) -> AdaptiveRejection:
    """Independent draws of a density whose logarithm is concave.

    Args:
        log_density: From a float64 scalar to its log density in nats, up to a constant, in
            TensorFlow.
        n: How many draws.
        seed: Of the draws.
        bounds: The ends of the interval on which the density is positive.
        start: Points to begin with, within the bounds.

    Raises:
        OptionsError: If bounds and start do not fit together, or n is no positive integer.
        ModelError: If the log density is not finite at a point within the bounds, not concave, or
            does not fall towards an infinite bound.

    Example:
        ```python
        def gamma(x):
            return 2.0 * tf.math.log(x) - x

        found = adaptive_rejection_sampling(gamma, 10_000, bounds=(0.0, np.inf))
        found.draws, found.evaluations  # 10,000 draws for some fifty evaluations
        ```
    """

    @tf.function(autograph=False)
    def value_and_slope(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = log_density(x)
        slope = tape.gradient(value, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return value, slope

    check_whole("n", n)
    drawing = sampling(n, uniforms_of(random.key(seed, "adaptive rejection")), bounds, start)
    try:
        x = next(drawing)
        while True:
            value, slope = value_and_slope(tf.constant(x, tf.float64))
            x = drawing.send((float(value), float(slope)))
    except StopIteration as end:
        found: AdaptiveRejection = end.value
        return found


def uniforms_of(key: tf.Tensor) -> Uniforms:
    """Numbers in (0, 1) that are a function of the key and the batch."""

    def uniforms(count: int, batch: int) -> np.ndarray:
        drawn = random.uniform((count, 3), random.fold_in(key, batch), "float64")
        return np.asarray(drawn)

    return uniforms


def sampling(
    n: int,
    uniforms: Uniforms,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    start: Sequence[float] | None = None,
    epsilon: float = 2.0**-52,
) -> Sampling:
    """The method as a generator, for callers that look at many densities at once.

    Args:
        n: How many draws.
        uniforms: Where chance comes from.
        bounds, start: As in ``adaptive_rejection_sampling``, and so are the errors.
        epsilon: Relative rounding error of the log density.
    """
    hull = Hull(bounds, epsilon)
    for x in _started(bounds, start):
        hull.insert(x, *(yield x))
    yield from _widened(hull)
    draws: list[np.ndarray] = []
    taken = squeezed = candidates = batch = 0
    while taken < n:
        count = min(n - taken, MOST if batch else FIRST)
        accepted, looks = yield from _decided(hull, uniforms(count, batch))
        found = accepted[~np.isnan(accepted)][: n - taken]
        draws.append(found)
        taken, squeezed = taken + found.size, squeezed + found.size - looks
        candidates, batch = candidates + count, batch + 1
    return AdaptiveRejection(
        draws=np.concatenate(draws),
        evaluations=hull.x.size,
        squeezed=squeezed,
        acceptance_rate=taken / candidates,
        log_bounds=hull.log_areas(),
    )


def _decided(
    hull: Hull, uniforms: np.ndarray
) -> Generator[float, tuple[float, float], tuple[np.ndarray, int]]:
    """Candidates of the hull, NaN where one is not taken; and how many were after a look."""
    x = hull.sample(uniforms[:, :2])
    height = hull.upper(x) + np.log(uniforms[:, 2])
    taken, looks = np.zeros(x.size, bool), 0
    open_ = np.arange(x.size)
    while True:
        squeezed = height[open_] <= hull.lower(x[open_])
        taken[open_[squeezed]] = True
        open_ = open_[~squeezed & (height[open_] <= hull.upper(x[open_]))]
        if not open_.size:
            return np.where(taken, x, np.nan), looks
        place = most_telling(hull, x[open_], height[open_])
        value, slope = yield place
        hull.insert(place, value, slope)
        seen = open_[x[open_] == place]
        taken[seen] = height[seen] <= value
        looks += int(taken[seen].sum())
        open_ = np.setdiff1d(open_, seen, assume_unique=True)


def _started(bounds: tuple[float, float], start: Sequence[float] | None) -> list[float]:
    """Points to begin with."""
    low, high = bounds
    if not low < high:
        raise OptionsError(f"bounds must be ascending. Received: {bounds}.")
    if start is not None:
        points = sorted({float(x) for x in start})
        if not points or points[0] <= low or points[-1] >= high:
            raise OptionsError(
                f"start must be points between the bounds {bounds}. Received: {list(start)}."
            )
        return points
    if np.isfinite(low) and np.isfinite(high):
        return [low + share * (high - low) for share in (0.2, 0.5, 0.8)]
    if np.isfinite(low):
        return [low + 0.5, low + 2.0]
    if np.isfinite(high):
        return [high - 2.0, high - 0.5]
    return [-1.0, 1.0]


def _widened(hull: Hull) -> Generator[float, tuple[float, float], None]:
    """Go outwards from the points until the tangents fall towards infinite bounds."""
    for side, sign in ((0, -1.0), (1, 1.0)):
        step = max(1.0, float(np.ptp(hull.x)))
        for _ in range(DOUBLINGS):
            if hull.is_proper()[side]:
                break
            x = float(hull.x[-side] + sign * step)
            hull.insert(x, *(yield x))
            step *= 2.0
        else:
            raise ModelError(
                "The density does not fall towards an infinite bound, so it is not proper. "
                f"Received: slope {hull.slopes[-side]:.3g} at {hull.x[-side]:.3g}."
            )


def lockstep(
    samplings: Sequence[Sampling], look: Callable[[np.ndarray], Any]
) -> list[AdaptiveRejection]:
    """Run several at once.

    Args:
        samplings: Each of a density of its own.
        look: From a point of each ``[chain]`` to log densities and slopes, ``[chain]`` each.
    """
    found: list[AdaptiveRejection | None] = [None] * len(samplings)
    points = np.array([next(one) for one in samplings])
    while None in found:
        values, slopes = look(points)
        for i, one in enumerate(samplings):
            if found[i] is None:
                try:
                    points[i] = one.send((float(values[i]), float(slopes[i])))
                except StopIteration as end:
                    found[i] = end.value
    return [one for one in found if one is not None]
