"""SubsetPosterior: the distribution over subsets as a posterior of one site."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
import tensorflow as tf

from tfbdl import Posterior
from tfbdl.closed_form import ClosedFormPosterior

from .dpp import DPP
from .k_dpp import KDPP

MAX_COVARIANCE = 5_000


class SubsetPosterior(ClosedFormPosterior):
    """The site ``subset``: which items a draw has, booleans ``[n]``; the mean is exact.

    Args:
        process: A DPP or k-DPP.
        draws: How many subsets ``.draws`` holds.
    """

    def __init__(self, process: DPP | KDPP, draws: int) -> None:
        self.process, self._num_draws = process, draws
        mean = process.inclusion_probabilities()
        super().__init__(
            self._masks, mean={"subset": mean}, stddev={"subset": np.sqrt(mean * (1.0 - mean))}
        )

    @property
    def num_draws(self) -> int:
        """How many draws ``.draws`` holds."""
        return self._num_draws

    @cached_property
    def _drawn(self) -> dict[str, np.ndarray]:
        return {n: value[np.newaxis] for n, value in self.sample(self._num_draws).items()}

    def covariance(self) -> dict[str, np.ndarray]:
        """``Cov(i, j) = -K_ij^2`` of a DPP, exactly; of a k-DPP that of the draws."""
        if isinstance(self.process, KDPP):
            return Posterior.covariance(self)
        K = self.process.marginal_kernel()
        covariance = -(K**2)
        covariance[np.diag_indices_from(K)] += np.diagonal(K)
        return {"subset": covariance}

    def _masks(self, n: int, key: tf.Tensor) -> Mapping[str, np.ndarray]:
        high, low = (int(word) for word in tf.bitcast(key, tf.uint32).numpy())
        masks = np.zeros((n, self.process.num_items), bool)
        subsets = self.process.sample(n, seed=(high << 31) ^ low)
        for mask, subset in zip(masks, subsets, strict=True):
            mask[subset] = True
        return {"subset": masks}
