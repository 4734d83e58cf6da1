"""IndependentPoisson: a log rate for each element."""

from __future__ import annotations

import keras
from tensorflow_probability import distributions as tfd

from ...likelihoods.base import Distribution, Likelihood, Tensor
from ...likelihoods.poisson import Poisson
from .head_likelihood import require_flat
from .independent import IndependentHead


@keras.saving.register_keras_serializable(package="tfbdl")
class IndependentPoisson(IndependentHead):
    """Independent Poisson counts, whose parameters are log rates.

    Args:
        event_shape: Of one draw: a number, or a list of numbers.
        convert_to_tensor_fn, validate_args, **kwargs: As in Head.

    Example:
        ```python
        head = tfbdl.layers.IndependentPoisson(1)
        model = keras.Sequential([keras.layers.Dense(head.params_size(1)), head])
        model.compile(optimizer=keras.optimizers.Adam(0.05), loss=head.loss)
        ```
    """

    @staticmethod
    def element(*parts: Tensor, validate_args: bool = False) -> Distribution:
        """See IndependentHead."""
        return tfd.Poisson(log_rate=parts[0], validate_args=validate_args)

    @property
    def as_likelihood(self) -> Likelihood:
        """See Head: the house's own."""
        require_flat(self)
        return Poisson()
