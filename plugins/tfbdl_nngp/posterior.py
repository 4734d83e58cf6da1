"""ProcessPosterior: the function at the training rows, in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.closed_form import ClosedFormPosterior

from .cholesky import root_of


class ProcessPosterior(ClosedFormPosterior):
    """The site ``f``: ``[n]`` (``[n, k]`` of several outputs), in the units of the targets.

    With ``A = K + s I`` its covariance is ``s I - s^2 A^-1``, for targets without regard to units.
    Moments are computed when they are asked for.

    Args:
        model: A fitted ProcessModel.
    """

    def __init__(self, model: Any) -> None:
        super().__init__(self._draw, mean={}, predictive=model.predictive)
        self._model = model

    @property
    def num_parameters(self) -> int:
        """How many numbers one state holds."""
        return int(self.mean()["f"].size)

    def mean(self) -> dict[str, np.ndarray]:
        """The mean of f."""
        process, scaling = self._model.regressor, self._scaling
        # K A^-1 y = y - s A^-1 y
        values = process.y - self._level * process.weights
        return {"f": self._shaped(scaling.target_mean + scaling.target_scale * values)}

    def stddev(self) -> dict[str, np.ndarray]:
        """The standard deviation of f."""
        variance = np.maximum(np.diagonal(self._unit_covariance), 0.0)[:, np.newaxis]
        return {"f": self._shaped(np.sqrt(variance) * self._units)}

    def covariance(self) -> dict[str, np.ndarray]:
        """``[n k, n k]`` of f, row by row."""
        return {"f": np.kron(self._unit_covariance, np.diag(self._units[0] ** 2))}

    def _draw(self, n: int, key: tf.Tensor) -> Mapping[str, Any]:
        rows, outputs = self._model.regressor.y.shape
        noise = random.normal((n, rows, outputs), key, "float64").numpy()
        centred = np.einsum("ij,njk->nik", root_of(self._unit_covariance), noise) * self._units
        return {"f": self.mean()["f"] + centred.reshape(n, *self.mean()["f"].shape)}

    @property
    def _scaling(self) -> Any:
        return self._model._scaling(self._model.params)

    @property
    def _level(self) -> float:
        process = self._model.regressor
        return float(process.noise) + process.jitter

    @property
    def _units(self) -> np.ndarray:
        """Scales of the outputs, ``[1, k]``."""
        scale = np.asarray(self._scaling.target_scale)
        return np.broadcast_to(scale, (1, self._model.regressor.y.shape[1]))

    @cached_property
    def _unit_covariance(self) -> np.ndarray:
        s = self._level
        covariance = -(s**2) * self._model.regressor.factor.inverse()
        covariance[np.diag_indices_from(covariance)] += s
        return covariance

    def _shaped(self, values: np.ndarray) -> np.ndarray:
        one = self._model.num_classes is None and values.shape[1] == 1
        return values[:, 0] if one else values
