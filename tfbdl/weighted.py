"""A posterior as weighted draws: what importance sampling gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ModelError
from .posterior import Arrays, Posterior

WEIGHTED = "weighted_draws"
LOG_WEIGHT = "tfbdl.log_weight"


class WeightedPosterior(Posterior):
    """Draws of equal weight for all that wants such, and beside them those with weights.

    Mean, standard deviation and covariance are of the weighted draws, whose error is the smaller.

    Args:
        draws: Site name -> ``[chain, draw, ...]``, of equal weight.
        weighted: Site name -> ``[n, ...]``, the draws that have weights.
        log_weights: ``[n]``, up to a constant.

    Attributes:
        weighted: As given.
        log_weights: Normalised.

    Raises:
        ModelError: If there is not one weight for each draw, or one is infinite, or all are zero.
    """

    stored_as = WEIGHTED

    def __init__(
        self, draws: Mapping[str, Any], weighted: Mapping[str, Any], log_weights: Any
    ) -> None:
        super().__init__(draws, independent=True)
        self.weighted = {name: np.asarray(value) for name, value in weighted.items()}
        values = np.asarray(log_weights, np.float64)
        shapes = {name: value.shape for name, value in self.weighted.items()}
        if values.ndim != 1 or any(shape[:1] != values.shape for shape in shapes.values()):
            raise ModelError(
                "Weighted draws need one log weight each: [n] beside sites [n, ...]. "
                f"Received: weights {values.shape}, sites {shapes}."
            )
        highest = values.max(initial=-np.inf)
        if not np.isfinite(highest):
            raise ModelError("The weights must be finite, and one of them positive.")
        self.log_weights = values - highest - np.log(np.exp(values - highest).sum())

    @property
    def effective_size(self) -> float:
        """Equal weights that these count for: ``1 / sum w^2``."""
        return float(1.0 / np.exp(2.0 * self.log_weights).sum())

    def expectation(self, fn: Callable[[Mapping[str, np.ndarray]], Any]) -> np.ndarray:
        """The weighted mean of a function of all draws.

        Args:
            fn: From site name -> ``[n, ...]`` to ``[n, ...]``.
        """
        return np.asarray(np.tensordot(np.exp(self.log_weights), fn(self.weighted), axes=1))

    def mean(self) -> Arrays:
        """Site name -> weighted mean."""
        return {name: self._mean_of(value) for name, value in self.weighted.items()}

    def stddev(self) -> Arrays:
        """Site name -> weighted standard deviation."""
        return {
            name: np.sqrt(self._mean_of((value - self._mean_of(value)) ** 2))
            for name, value in self.weighted.items()
        }

    def covariance(self) -> Arrays:
        """Site name -> ``[size, size]``, the weighted covariance of the flattened site."""
        found = {}
        for name, value in self.weighted.items():
            flat = value.reshape(len(value), -1).astype(np.float64)
            away = flat - np.exp(self.log_weights) @ flat
            found[name] = away.T @ (away * np.exp(self.log_weights)[:, np.newaxis])
        return found

    def to_netcdf(self, path: str | Path) -> None:
        """Write a file that ArviZ reads, and ``read_weighted`` with its weights."""
        import xarray as xr

        super().to_netcdf(path)
        variables = {
            name: (["weighted", *(f"{name}_dim_{i}" for i in range(value.ndim - 1))], value)
            for name, value in self.weighted.items()
        }
        kept = xr.Dataset(variables, coords={LOG_WEIGHT: ("weighted", self.log_weights)})
        kept.to_netcdf(path, mode="a", group=WEIGHTED, engine="h5netcdf")

    def _mean_of(self, value: np.ndarray) -> np.ndarray:
        mean = np.tensordot(np.exp(self.log_weights), value.astype(np.float64), axes=1)
        return np.asarray(mean, value.dtype)


def read_weighted(path: str | Path) -> WeightedPosterior:
    """Read what ``WeightedPosterior.to_netcdf`` wrote."""
    import xarray as xr

    draws = Posterior.from_netcdf(path, independent=True).draws
    with xr.open_dataset(path, group=WEIGHTED, engine="h5netcdf") as stored:
        weighted = {name: stored[name].values for name in draws}
        return WeightedPosterior(draws, weighted, stored[LOG_WEIGHT].values)
