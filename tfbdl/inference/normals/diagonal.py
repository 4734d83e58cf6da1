"""A normal with independent elements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

import numpy as np
import tensorflow as tf

from ... import random
from .base import Arrays, LikelihoodCurvature, LogDet, Normal


class DiagonalNormal(Normal):
    """A normal with independent elements.

    Args:
        mean: ``[D]``.
        scale: Standard deviations, ``[D]``.
    """

    kind: ClassVar[str] = "diagonal"

    def __init__(self, mean: np.ndarray, scale: np.ndarray) -> None:
        self.mean, self.scale = mean, scale

    def sample(self, keys: tf.Tensor) -> tf.Tensor:
        """See Normal."""
        noise = random.normal((len(self.mean),), keys)
        return self.mean + self.scale * tf.cast(noise, tf.float64)

    def stddev(self) -> np.ndarray:
        """See Normal."""
        return self.scale

    def covariance(self, start: int, stop: int) -> np.ndarray:
        """See Normal."""
        return np.diag(self.scale[start:stop] ** 2)

    def quadratic(self, J: np.ndarray) -> np.ndarray:
        """See Normal."""
        scaled = J * self.scale
        return np.asarray(scaled @ scaled.transpose(0, 2, 1))

    def arrays(self) -> Arrays:
        """See Normal."""
        return {"mean": self.mean, "scale": self.scale}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """See Normal."""
        return cls(arrays["mean"], arrays["scale"])


class DiagonalCurvature(LikelihoodCurvature):
    """The diagonal of the curvature.

    Args:
        h: ``[D]``, not negative.
    """

    def __init__(self, h: np.ndarray) -> None:
        self.h = h

    def log_det(self, precision: np.ndarray, scale: float, groups: Sequence[np.ndarray]) -> LogDet:
        """See LikelihoodCurvature."""
        whole = scale * self.h + precision
        own = precision / whole
        return LogDet(float(np.log(whole).sum()), np.array([own[group].sum() for group in groups]))

    def normal(self, mean: np.ndarray, precision: np.ndarray, scale: float = 1.0) -> DiagonalNormal:
        """See LikelihoodCurvature."""
        return DiagonalNormal(mean, (scale * self.h + precision) ** -0.5)
