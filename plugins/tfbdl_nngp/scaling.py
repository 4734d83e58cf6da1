"""Scaling: inputs and targets of mean 0 and standard deviation 1, in arrays and in graphs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from tfbdl.standardization import column_moments


@dataclass(frozen=True)
class Scaling:
    """Shifts and scales of rows; constant columns keep their scale.

    Attributes:
        input_mean, input_scale: ``[d]``.
        target_mean, target_scale: ``[k]``; of classes 1 / C and 1.
    """

    input_mean: Any
    input_scale: Any
    target_mean: Any
    target_scale: Any

    @classmethod
    def of(cls, x: Any, y: Any, standardize: bool, num_classes: int | None) -> Self:
        """By training rows ``x [n, d]`` and ``y [n, k]``: arrays, or tensors of float64."""
        none, one = np.zeros(1), np.ones(1)
        inputs = column_moments(x) if standardize else (none, one)
        if num_classes is not None:
            targets: tuple[Any, Any] = (np.full(num_classes, 1.0 / num_classes), one)
        elif standardize:
            targets = column_moments(y)
        else:
            targets = (np.zeros(y.shape[1]), np.ones(y.shape[1]))
        return cls(inputs[0], inputs[1], targets[0], targets[1])

    def inputs(self, x: Any) -> Any:
        """Standardised inputs."""
        return (x - self.input_mean) / self.input_scale

    def targets(self, y: Any) -> Any:
        """Standardised targets; of one-hot labels those of Lee et al. 2018, of mean 0."""
        return (y - self.target_mean) / self.target_scale
