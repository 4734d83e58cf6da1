"""The density of one element of a distribution over a tensor: by formula, else from draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from .. import distributions, random

EVEN, DENSE, CLOSING = 121, 40, 40
POINTS = EVEN + DENSE + 2 * CLOSING
"""Of a grid."""
NUM_DRAWS = 4_000
MOST_NUMBERS = 4_000_000
"""That draws of a whole tensor may hold, where one element cannot be drawn alone."""
REACH = 1.8
"""A grid is so many times the width of the central 90 % of the draws: 3 sd of a normal."""


def element_of(distribution: Any, index: Sequence[int]) -> Any | None:
    """The scalar distribution of one element, where the form of the whole gives it.

    Args:
        distribution: A tfd distribution of one tensor, with batch shape ``()``.
        index: Of the element.
    """
    index = tuple(index)
    if distribution.event_shape.rank == 0 and distribution.batch_shape.rank == 0:
        return distribution
    # TFP gives tfd.Sample another class where its part is no composite tensor
    inner = getattr(distribution, "distribution", None)
    if inner is not None and hasattr(distribution, "sample_shape"):
        return inner if inner.batch_shape.rank == 0 and inner.event_shape.rank == 0 else None
    normal = distributions.as_normal(distribution)
    if normal is not None:
        shape = distribution.event_shape
        loc, scale = (tf.broadcast_to(v, shape)[index] for v in (normal.loc, normal.scale))
        return tfd.Normal(loc, scale)
    if isinstance(distribution, tfd.MultivariateNormalLinearOperator):
        return tfd.Normal(distribution.mean()[index], distribution.stddev()[index])
    return None


def draws_of(
    distribution: Any, index: Sequence[int], seed: int = 0, count: int = NUM_DRAWS
) -> np.ndarray:
    """Draws of one element, in float64: ``[count]``, fewer of a very large tensor."""
    key = tf.bitcast(random.key(seed, "marginal"), tf.int32)
    alone = element_of(distribution, index)
    if alone is not None:
        return np.asarray(alone.sample(count, seed=key), np.float64)
    size = max(1, distribution.event_shape.num_elements() or 1)
    fitting = int(np.clip(MOST_NUMBERS // size, 1, count))
    drawn = distribution.sample(fitting, seed=key)
    return np.asarray(drawn[(slice(None), *index)], np.float64)


def grid_over(draws: np.ndarray, low: float = np.nan, high: float = np.nan) -> np.ndarray:
    """Points ``[241]`` over the centre of some draws, more of them where draws are dense.

    Args:
        draws: ``[n]``; what is not finite is left out.
        low, high: What the grid is to take in beside them, or NaN.
    """
    values = draws[np.isfinite(draws)]
    bottom, top = np.quantile(values, [0.05, 0.95]) if values.size else (-1.0, 1.0)
    centre, half = 0.5 * (bottom + top), 0.5 * REACH * (top - bottom)
    if half == 0.0 and not np.isfinite([low, high]).all():
        half = 1.0
    # a distribution of numbers above zero is not drawn below it
    floor = values.min() - 0.02 * half if values.size else -np.inf
    ends = max(centre - half, floor), centre + half
    if half == 0.0:  # draws that tell no range, such as those of a gamma prior next to improper
        ends = low, high
    ends = float(np.fmin(ends[0], low)), float(np.fmax(ends[1], high))
    even = np.linspace(*ends, EVEN)
    inside = values[(values > ends[0]) & (values < ends[1])]
    inside = inside if inside.size else even
    dense = np.quantile(inside, np.linspace(0.0, 1.0, DENSE))
    # a narrow peak may hold half of the draws: points that close in on their median
    sides = np.geomspace(1e-5, 1.0, CLOSING)
    peak = np.median(inside)
    near = np.concatenate([peak - sides * (peak - ends[0]), peak + sides * (ends[1] - peak)])
    return np.sort(np.concatenate([even, dense, near]))


def density(
    distribution: Any, index: Sequence[int], grid: np.ndarray, draws: np.ndarray
) -> np.ndarray:
    """The density of one element on a grid: by its formula, else the histogram of draws.

    Args:
        distribution: As for ``element_of``.
        index: Of the element.
        grid: ``[m]``.
        draws: Of the element, ``[n]``.

    Returns:
        ``[m]``; zero where the distribution has no mass.
    """
    alone = element_of(distribution, index)
    if alone is None:
        return histogram(draws, grid)
    try:
        log_prob = alone.log_prob(tf.constant(grid, alone.dtype))
    except NotImplementedError:
        return histogram(draws, grid)
    values = np.exp(np.asarray(log_prob, np.float64))
    return np.where(np.isfinite(values), values, 0.0)


def histogram(draws: np.ndarray, grid: np.ndarray, bins: int = 60) -> np.ndarray:
    """The share of draws in the bin of each point over the bin's width."""
    edges = np.linspace(grid[0], grid[-1], bins + 1)
    finite = draws[np.isfinite(draws)]
    counts, _ = np.histogram(finite, edges)
    heights = counts / max(1, len(finite)) / np.diff(edges)
    return np.asarray(heights[np.clip(np.searchsorted(edges, grid, "right") - 1, 0, bins - 1)])
