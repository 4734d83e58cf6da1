"""OneHotCategorical: a logit for each class, and one-hot targets."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from ...config import check_whole
from ...likelihoods.base import Distribution, Likelihood, Tensor
from ...likelihoods.categorical import Categorical
from .head import Head
from .head_likelihood import require_flat


@keras.saving.register_keras_serializable(package="tfbdl")
class OneHotCategorical(Head):
    """One-hot vectors of ``d`` classes, whose parameters are ``d`` logits.

    Args:
        event_size: d, at least 1.
        convert_to_tensor_fn, validate_args, **kwargs: As in Head.
        sample_dtype: Of draws; None: that of the parameters.

    Raises:
        OptionsError: If ``event_size`` is no whole number of at least 1.

    Example:
        ```python
        head = tfbdl.layers.OneHotCategorical(10)
        model = keras.Sequential([keras.layers.Dense(head.params_size(10)), head])
        model.compile(optimizer="adam", loss=head.loss)
        model.fit(x, keras.utils.to_categorical(labels, 10))
        ```
    """

    def __init__(
        self,
        event_size: int,
        convert_to_tensor_fn: Any = None,
        sample_dtype: Any = None,
        validate_args: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(convert_to_tensor_fn, validate_args, **kwargs)
        self.event_size = check_whole("event_size", event_size)
        self.sample_dtype = None if sample_dtype is None else tf.as_dtype(sample_dtype).name

    @staticmethod
    def params_size(event_size: int) -> int:
        """How many numbers the layer before must give for each example."""
        return event_size

    @property
    def num_params(self) -> int:
        """See Head."""
        return self.params_size(self.event_size)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Of one draw."""
        return (self.event_size,)

    @staticmethod
    def new(
        params: Any, event_size: int, dtype: Any = None, validate_args: bool = False
    ) -> Distribution:
        """The law of parameters ``[..., event_size]``, without a layer."""
        params = tf.convert_to_tensor(params)
        return tfd.OneHotCategorical(
            logits=params, dtype=dtype or params.dtype, validate_args=validate_args
        )

    def law(self, params: Tensor) -> Distribution:
        """See Head."""
        return self.new(params, self.event_size, self.sample_dtype, self.validate_args)

    @property
    def as_likelihood(self) -> Likelihood:
        """See Head: the house's own."""
        require_flat(self)
        return Categorical()

    def get_config(self) -> dict[str, Any]:
        """See Head."""
        own = {"event_size": self.event_size, "sample_dtype": self.sample_dtype}
        return {**super().get_config(), **own}
