"""A learned parameter of a likelihood or a prior: a raw weight behind a constrained value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from . import random
from .protocols import Parameter


@dataclass(frozen=True, kw_only=True)
class Learned:
    """A learned parameter of the likelihood, or of the prior of one site.

    Attributes:
        parameter: The keyword under which it goes back to likelihood or prior.
        site: The site whose prior it belongs to; None for the likelihood's.
        definition: Shape, bijector, start and hyperprior.
    """

    parameter: str
    site: str | None
    definition: Parameter

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the constrained value."""
        return tuple(self.definition.shape)

    @property
    def bijector(self) -> Any:
        """From the unconstrained to the constrained space, or None."""
        return self.definition.bijector

    @property
    def prior(self) -> Any:
        """The hyperprior of the constrained value, or None."""
        return self.definition.prior

    def constrain(self, raw: tf.Tensor) -> tf.Tensor:
        """From the raw weight to the parameter."""
        return raw if self.bijector is None else self.bijector.forward(raw)

    def initial_raw(self, seed: int = 0) -> tf.Tensor:
        """The unconstrained starting value, of the parameter's shape.

        Args:
            seed: Of a start that is drawn.
        """
        start = initial_value(self.definition, keras.config.floatx(), seed, self.parameter)
        return start if self.bijector is None else self.bijector.inverse(start)

    def log_prob_raw(self, raw: tf.Tensor) -> tf.Tensor:
        """The hyperprior's log density of the raw value, Jacobian included: a scalar."""
        total = tf.zeros((), raw.dtype)
        if self.prior is not None:
            total += tf.reduce_sum(self.prior.log_prob(self.constrain(raw)))
        if self.bijector is not None:
            total += tf.reduce_sum(self.bijector.forward_log_det_jacobian(raw, event_ndims=0))
        return total


def initial_value(definition: Parameter, dtype: Any, seed: int = 0, name: str = "") -> tf.Tensor:
    """The constrained starting value of a parameter, of its shape.

    Args:
        definition: Of the parameter.
        dtype: Of the value.
        seed: Of a start that is drawn.
        name: Keeps the draws of several parameters apart.
    """
    start: Any = definition.initial
    if callable(start):
        start = start(random.key(seed, "learned", name))
    return tf.broadcast_to(tf.cast(start, dtype), tuple(definition.shape))
