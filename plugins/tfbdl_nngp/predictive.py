"""ProcessPredictive: what a Gaussian process says of new inputs, of y and of f."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfbdl import random
from tfbdl.closed_form import ClosedFormPredictive

from .cholesky import root_of

tfd = tfp.distributions
TINY = float(np.finfo(np.float64).tiny)


class ProcessPredictive(ClosedFormPredictive):
    """``N(mean, variance of f + noise)`` at each input; ``.epistemic`` is the variance of f.

    Args:
        model: What predicts; it has ``likelihood``.
        mean: ``[n, outputs]``.
        variance: Of f: ``[n, outputs]``.
        noise: Its variance, which is aleatoric: a number or ``[outputs]``.
        covariance: Of f between inputs ``[n, n]``, for an output of scale 1; None: not asked for.
        scale: What the covariance is to be multiplied by, for each output ``[outputs]``.

    Attributes:
        covariance: Of f between inputs: ``[n, n]``, for one output or several alike; ``[n, n,
            outputs]`` where outputs have scales of their own; None unless it was asked for.
    """

    def __init__(
        self,
        model: Any,
        mean: np.ndarray,
        variance: np.ndarray,
        noise: Any,
        covariance: np.ndarray | None = None,
        scale: np.ndarray | None = None,
    ) -> None:
        self._given = (mean, variance, covariance, scale)
        self._noise = np.broadcast_to(np.asarray(noise, np.float64), mean.shape)
        total = np.sqrt(np.maximum(np.maximum(variance, 0.0) + self._noise, TINY))
        super().__init__(model, tfd.Normal(tf.constant(mean), tf.constant(total)), self._noise)
        self.covariance = covariance
        if covariance is not None and scale is not None and len(set(scale.tolist())) > 1:
            self.covariance = covariance[:, :, np.newaxis] * scale
        elif covariance is not None and scale is not None:
            self.covariance = covariance * scale[0]

    @property
    def f(self) -> ProcessPredictive:
        """The function itself, without noise: ``p(f(x) | data)``."""
        mean, variance, covariance, scale = self._given
        return ProcessPredictive(self.model, mean, variance, 0.0, covariance, scale)

    def sample(self, k: int = 1, seed: int = 0) -> np.ndarray:
        """``k`` draws ``[k, n, outputs]``; joint over inputs where the covariance was asked for."""
        if self._given[2] is None:
            return super().sample(k, seed)
        mean, _, _, scale = self._given
        keys = random.split(random.key(seed, "process"), 2)
        unit = random.normal((k, *mean.shape), keys[0], "float64").numpy()
        sizes = np.ones(mean.shape[1]) if scale is None else np.sqrt(scale)
        drawn = mean + np.einsum("ij,kjo->kio", self._root, unit) * sizes
        noise = random.normal((k, *mean.shape), keys[1], "float64").numpy()
        return np.asarray(drawn + np.sqrt(self._noise) * noise)

    @cached_property
    def _root(self) -> np.ndarray:
        """A square root of the covariance, which may be singular."""
        covariance = self._given[2]
        assert covariance is not None  # asked for by sample
        return root_of(covariance)
