"""Densities averaged over the draws of a Gibbs sampler."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl.posterior import Posterior

from .table import in_blocks

DRAWS = 250  # that a density is averaged over at the most: its error is a sixteenth of its spread

Density = Callable[[Any], Any]
"""From rows ``[m, d]`` to log densities ``[m]``."""


def some_draws(posterior: Posterior) -> dict[str, tf.Tensor]:
    """Site name -> at most ``DRAWS`` draws ``[s, ...]``, spread evenly over the chains."""
    count = min(DRAWS, posterior.num_draws)
    return posterior.states(0, count, 0, count)


def log_mean_density(
    density: Callable[[int], Density], count: int, rows: np.ndarray, row_bytes: int
) -> np.ndarray:
    """``ln`` of the mean over draws of densities of rows ``[n, d]``: ``[n]``, in nats.

    Args:
        density: Gives the log density that a draw describes, by its number; called once a draw.
        count: How many draws.
        rows: ``[n, d]``.
        row_bytes: What one density needs for a row.
    """
    total = np.full(len(rows), -np.inf)
    for i in range(count):
        total = np.logaddexp(total, in_blocks(density(i), rows, row_bytes))
    mean: np.ndarray = (total - math.log(count)).astype(rows.dtype)
    return mean
