"""What a filter with a learned gain carries from step to step, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from .states import _Arrays

TINY = 1e-6


class GainState(NamedTuple):
    """What one step leaves to the next.

    Attributes:
        mean: Of the next state before its observation, ``[n, d]``.
        filtered: The state's estimate before it, ``[n, d]``.
        observed: The last observation, ``[n, m]``, as far as it was seen.
        update: What that observation added to the estimate, ``[n, d]``.
        change: Of the estimate from one step to the next, ``[n, d]``.
        memory: Of the GRU, ``[n, units]``.
    """

    mean: tf.Tensor
    filtered: tf.Tensor
    observed: tf.Tensor
    update: tf.Tensor
    change: tf.Tensor
    memory: tf.Tensor


class GainStep(NamedTuple):
    """What a step finds; stacked over time, with time first: see PointStates."""

    means: tf.Tensor
    predicted_means: tf.Tensor
    predicted_observations: tf.Tensor
    gains: tf.Tensor


@dataclass(frozen=True, kw_only=True)
class PointStates(_Arrays):
    """Estimates of states, of which nobody says how sure they are.

    Attributes:
        means: ``[n, T, d]``.
        predicted_means: Before the observation of the step, ``[n, T, d]``.
        gains: ``[n, T, d, m]``.
    """

    means: np.ndarray
    predicted_means: np.ndarray
    gains: np.ndarray


def unit(values: tf.Tensor) -> tf.Tensor:
    """Vectors of length one, and zero where there is nothing to scale."""
    length = tf.sqrt(tf.reduce_sum(tf.square(values), -1, keepdims=True) + TINY**2)
    return values / length
