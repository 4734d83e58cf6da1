"""IndependentBernoulli: a logit for each element."""

from __future__ import annotations

import functools
from typing import Any

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from ...likelihoods.base import Distribution, Likelihood, Tensor
from ...likelihoods.bernoulli import Bernoulli
from .head_likelihood import require_flat
from .independent import IndependentHead, independent


@keras.saving.register_keras_serializable(package="tfbdl")
class IndependentBernoulli(IndependentHead):
    """Independent zeros and ones, whose parameters are logits.

    Args:
        event_shape: Of one draw: a number, or a list of numbers.
        convert_to_tensor_fn, validate_args, **kwargs: As in Head.
        sample_dtype: Of draws; None: that of the parameters.

    Example:
        ```python
        head = tfbdl.layers.IndependentBernoulli((28, 28, 1))
        decoder = keras.Sequential([keras.layers.Dense(head.num_params), head])
        decoder.compile(optimizer="adam", loss=head.loss)  # targets [n, 28, 28, 1]
        ```
    """

    def __init__(
        self,
        event_shape: Any = (),
        convert_to_tensor_fn: Any = None,
        sample_dtype: Any = None,
        validate_args: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(event_shape, convert_to_tensor_fn, validate_args, **kwargs)
        self.sample_dtype = None if sample_dtype is None else tf.as_dtype(sample_dtype).name

    @staticmethod
    def element(*parts: Tensor, validate_args: bool = False, dtype: Any = None) -> Distribution:
        """See IndependentHead."""
        (logits,) = parts
        return tfd.Bernoulli(
            logits=logits, dtype=dtype or logits.dtype, validate_args=validate_args
        )

    @classmethod
    def new(  # type: ignore[override]  # TFP's order of arguments
        cls,
        params: Any,
        event_shape: Any = (),
        dtype: Any = None,
        validate_args: bool = False,
    ) -> Distribution:
        """The law of parameters ``[..., params_size]``, without a layer."""
        element = functools.partial(cls.element, dtype=dtype)
        return independent(element, params, 1, event_shape, validate_args)

    def law(self, params: Tensor) -> Distribution:
        """See Head."""
        return self.new(params, self.event_shape, self.sample_dtype, self.validate_args)

    @property
    def as_likelihood(self) -> Likelihood:
        """See Head: the house's own."""
        require_flat(self)
        return Bernoulli()

    def get_config(self) -> dict[str, Any]:
        """See Head."""
        return {**super().get_config(), "sample_dtype": self.sample_dtype}
