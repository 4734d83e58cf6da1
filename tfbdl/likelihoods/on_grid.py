"""Values on a grid of levels, such as those of pixels: what the logistic likelihoods share."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from ..config import check_whole
from ..errors import OptionsError
from .base import Likelihood, Tensor, as_targets, refuse, sum_events
from .quantized_logistic import Grid, QuantizedLogistic

FLOOR = 0.1
"""The least scale, in spacings: there a level at the location has the probability 0.987."""


class OnGrid(Likelihood):
    """A likelihood of values on a grid of ``levels`` from ``low`` to ``high``.

    Args:
        levels: How many, at least 2.
        low: The first level.
        high: The last, above ``low``.

    Raises:
        OptionsError: If a value is not admitted.
    """

    is_discrete: ClassVar[bool] = True

    def __init__(self, levels: int = 256, low: float = 0.0, high: float = 1.0) -> None:
        self.levels = check_whole("levels", levels, 2)
        for name, value in (("low", low), ("high", high)):
            if not isinstance(value, (int, float, np.number)) or not math.isfinite(value):
                raise OptionsError(f"{name!r} must be a finite number. Received: {value!r}.")
        if not low < high:
            raise OptionsError(f"'low' must be below 'high'. Received: {low!r} and {high!r}.")
        self.low, self.high = float(low), float(high)

    @property
    def grid(self) -> Grid:
        """The levels."""
        return Grid(self.levels, self.low, self.high)

    @property
    def lattice(self) -> tuple[float, float]:
        """See Likelihood."""
        return self.low, self.grid.spacing

    def get_config(self) -> dict[str, Any]:
        """See Likelihood."""
        return {"levels": self.levels, "low": self.low, "high": self.high}

    def log_prob(
        self,
        outputs: Tensor,
        y: Any,
        parameters: Mapping[str, Any] | None = None,
        key: Any = None,
    ) -> Tensor:
        """See Likelihood; minus infinity off the grid."""
        single = self.elementwise(outputs, parameters)
        like = tf.zeros(single.batch_shape_tensor(), single.dtype)
        y = as_targets(y, tf.ensure_shape(like, single.batch_shape))
        return sum_events(single.log_prob(y))

    def mean(
        self, outputs: Tensor, parameters: Mapping[str, Any] | None = None, key: Any = None
    ) -> Tensor:
        """See Likelihood."""
        return self.elementwise(outputs, parameters).mean()

    def variance(
        self, outputs: Tensor, parameters: Mapping[str, Any] | None = None, key: Any = None
    ) -> Tensor:
        """See Likelihood."""
        return self.elementwise(outputs, parameters).variance()

    def logistic(self, loc: Tensor, raw: Tensor) -> QuantizedLogistic:
        """The rounded logistic of outputs in units of half the range."""
        half_range = 0.5 * (self.levels - 1)
        scale = FLOOR + half_range * tf.math.softplus(raw)
        return QuantizedLogistic(half_range * (1.0 + loc), scale, self.grid)

    def _check_values(self, y: np.ndarray, size: int | None) -> None:
        super()._check_values(y, size)
        grid = self.grid
        index = grid.index(y.astype("float64"))
        k = np.round(index)
        precise = y.dtype if y.dtype.kind == "f" else np.dtype("float32")
        refuse(
            (np.abs(index - k) > grid.near(precise)) | (k < 0) | (k > grid.last),
            y,
            f"Targets of the likelihood {self.name!r} must be among {self.levels} levels from "
            f"{self.low:g} to {self.high:g}, {grid.spacing:g} apart",
        )
