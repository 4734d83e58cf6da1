"""Counts, one log rate each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from .base import Distribution, Likelihood, Tensor, as_outputs, as_targets, refuse, sum_events

tfd = tfp.distributions


class Poisson(Likelihood):
    """``y ~ Poisson(exp(output))``, independently for each output."""

    name: ClassVar[str] = "poisson"
    is_discrete: ClassVar[bool] = True

    def elementwise(
        self, outputs: Tensor, parameters: Mapping[str, Any] | None = None, key: Any = None
    ) -> Distribution:
        """See Likelihood."""
        self._checked(parameters)
        return tfd.Poisson(log_rate=as_outputs(outputs))

    def log_prob(
        self,
        outputs: Tensor,
        y: Any,
        parameters: Mapping[str, Any] | None = None,
        key: Any = None,
    ) -> Tensor:
        """See Likelihood."""
        self._checked(parameters)
        log_rate = as_outputs(outputs)
        y = as_targets(y, log_rate)
        return sum_events(y * log_rate - tf.exp(log_rate) - tf.math.lgamma(y + 1))

    def mean(
        self, outputs: Tensor, parameters: Mapping[str, Any] | None = None, key: Any = None
    ) -> Tensor:
        """See Likelihood."""
        return tf.exp(as_outputs(outputs))

    def variance(
        self, outputs: Tensor, parameters: Mapping[str, Any] | None = None, key: Any = None
    ) -> Tensor:
        """See Likelihood; equal to the mean."""
        return tf.exp(as_outputs(outputs))

    def _check_values(self, y: np.ndarray, size: int | None) -> None:
        super()._check_values(y, size)
        refuse(
            (y < 0) | (y != np.floor(y)),
            y,
            f"Targets of the likelihood {self.name!r} must be counts: integers of at least 0",
        )
