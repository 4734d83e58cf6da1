"""Binary targets, one logit each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from .base import Distribution, Likelihood, Tensor, as_outputs, as_targets, refuse, sum_events

tfd = tfp.distributions


class Bernoulli(Likelihood):
    """``P(y = 1) = sigmoid(output)``, independently for each output.

    Example:
        ```python
        tfbdl.likelihoods.Bernoulli().log_prob(tf.zeros([5, 1]), tf.ones([5]))  # [5], each -log 2
        ```
    """

    name: ClassVar[str] = "bernoulli"
    is_classification: ClassVar[bool] = True
    is_discrete: ClassVar[bool] = True

    def elementwise(
        self, outputs: Tensor, parameters: Mapping[str, Any] | None = None, key: Any = None
    ) -> Distribution:
        """See Likelihood."""
        self._checked(parameters)
        outputs = as_outputs(outputs)
        return tfd.Bernoulli(logits=outputs, dtype=outputs.dtype)

    def log_prob(
        self,
        outputs: Tensor,
        y: Any,
        parameters: Mapping[str, Any] | None = None,
        key: Any = None,
    ) -> Tensor:
        """See Likelihood."""
        self._checked(parameters)
        outputs = as_outputs(outputs)
        y = as_targets(y, outputs)
        return -sum_events(tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=outputs))

    def mean(
        self, outputs: Tensor, parameters: Mapping[str, Any] | None = None, key: Any = None
    ) -> Tensor:
        """See Likelihood."""
        return tf.sigmoid(as_outputs(outputs))

    def probs(
        self, outputs: Tensor, parameters: Mapping[str, Any] | None = None, key: Any = None
    ) -> Tensor:
        """The probability of 1, of the shape of the outputs."""
        return self.mean(outputs, parameters, key)

    def variance(
        self, outputs: Tensor, parameters: Mapping[str, Any] | None = None, key: Any = None
    ) -> Tensor:
        """See Likelihood."""
        outputs = as_outputs(outputs)
        return tf.sigmoid(outputs) * tf.sigmoid(-outputs)

    def _check_values(self, y: np.ndarray, size: int | None) -> None:
        super()._check_values(y, size)
        refuse((y != 0) & (y != 1), y, f"Targets of the likelihood {self.name!r} must be 0 or 1")
