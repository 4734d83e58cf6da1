"""A normal whose covariance is a diagonal and a few directions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
import tensorflow as tf

from ... import random
from .base import Arrays, Normal


class LowRankNormal(Normal):
    """A normal of covariance ``diag(scale^2) + factors' factors``.

    Args:
        mean: ``[D]``.
        scale: ``[D]``, not negative.
        factors: ``[K, D]``; K may be zero.
    """

    kind: ClassVar[str] = "low_rank"

    def __init__(self, mean: np.ndarray, scale: np.ndarray, factors: np.ndarray) -> None:
        self.mean, self.scale, self.factors = mean, scale, factors

    def sample(self, keys: tf.Tensor) -> tf.Tensor:
        """See Normal."""
        across = random.normal((len(self.mean),), random.fold_in(keys, 0))
        along = random.normal((len(self.factors),), random.fold_in(keys, 1))
        # in float64, so that a draw does not depend on how many are made at once
        across, along = tf.cast(across, tf.float64), tf.cast(along, tf.float64)
        return self.mean + self.scale * across + along @ tf.constant(self.factors)

    def stddev(self) -> np.ndarray:
        """See Normal."""
        return np.asarray(np.sqrt(self.scale**2 + (self.factors**2).sum(axis=0)))

    def covariance(self, start: int, stop: int) -> np.ndarray:
        """See Normal."""
        part = self.factors[:, start:stop]
        return np.asarray(np.diag(self.scale[start:stop] ** 2) + part.T @ part)

    def quadratic(self, J: np.ndarray) -> np.ndarray:
        """See Normal."""
        across, along = J * self.scale, J @ self.factors.T
        return np.asarray(across @ across.transpose(0, 2, 1) + along @ along.transpose(0, 2, 1))

    def arrays(self) -> Arrays:
        """See Normal."""
        return {"mean": self.mean, "scale": self.scale, "factors": self.factors}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """See Normal."""
        return cls(arrays["mean"], arrays["scale"], arrays["factors"])
