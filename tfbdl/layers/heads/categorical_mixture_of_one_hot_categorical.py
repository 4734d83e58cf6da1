"""CategoricalMixtureOfOneHotCategorical: a mixture of laws over the same classes."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from ...config import check_whole
from ...likelihoods.base import Distribution, Tensor
from .mixture import MixtureHead, mixture
from .one_hot_categorical import OneHotCategorical


@keras.saving.register_keras_serializable(package="tfbdl")
class CategoricalMixtureOfOneHotCategorical(MixtureHead):
    """K laws over ``d`` classes, with weights: K logits, then the ``d`` logits of each component.

    Args:
        event_size: d, at least 1.
        num_components: K, at least 1.
        convert_to_tensor_fn, validate_args, **kwargs: As in Head.
        sample_dtype: Of draws; None: that of the parameters.

    Raises:
        OptionsError: If ``event_size`` or ``num_components`` is no whole number of at least 1.

    Example:
        ```python
        head = tfbdl.layers.CategoricalMixtureOfOneHotCategorical(4, num_components=2)
        model = keras.Sequential([keras.layers.Dense(head.params_size(4, 2)), head])
        model.compile(optimizer="adam", loss=head.loss)
        head.log_mean(model.predict(x))  # log probabilities of the classes
        ```
    """

    def __init__(
        self,
        event_size: int,
        num_components: int,
        convert_to_tensor_fn: Any = None,
        sample_dtype: Any = None,
        validate_args: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_components, convert_to_tensor_fn, validate_args, **kwargs)
        self.event_size = check_whole("event_size", event_size)
        self.sample_dtype = None if sample_dtype is None else tf.as_dtype(sample_dtype).name

    @staticmethod
    def params_size(event_size: int, num_components: int) -> int:
        """How many numbers the layer before must give for each example."""
        return num_components * (1 + event_size)

    @property
    def num_params(self) -> int:
        """See Head."""
        return self.params_size(self.event_size, self.num_components)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Of one draw."""
        return (self.event_size,)

    @staticmethod
    def new(
        params: Any,
        event_size: int,
        num_components: int,
        dtype: Any = None,
        validate_args: bool = False,
    ) -> Distribution:
        """The law of parameters ``[..., params_size]``, without a layer."""
        return mixture(
            params,
            num_components,
            lambda logits: OneHotCategorical.new(logits, event_size, dtype, validate_args),
        )

    def law(self, params: Tensor) -> Distribution:
        """See Head."""
        return self.new(
            params, self.event_size, self.num_components, self.sample_dtype, self.validate_args
        )

    def log_mean(self, outputs: Any) -> Tensor:
        """The log probability of each class, ``log sum_k w_k p_k``: ``[..., event_size]``."""
        law = self.distribution(outputs)
        log_weights = tf.nn.log_softmax(law.mixture_distribution.logits)[..., tf.newaxis]
        log_probs = tf.nn.log_softmax(law.components_distribution.logits)
        return tf.reduce_logsumexp(log_weights + log_probs, axis=-2)

    def get_config(self) -> dict[str, Any]:
        """See Head."""
        own = {"event_size": self.event_size, "sample_dtype": self.sample_dtype}
        return {**super().get_config(), **own}
