"""MultivariateNormalTriL: a location and the Cholesky factor of a covariance."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from ...config import check_whole
from ...likelihoods.base import Distribution, Tensor
from .head import Head

DIAGONAL_SHIFT = 1e-5
"""The least standard deviation of an element, given those before it; as in TFP."""


@keras.saving.register_keras_serializable(package="tfbdl")
class MultivariateNormalTriL(Head):
    """A normal with full covariance, from ``d + d (d + 1) / 2`` numbers: ``loc``, then the factor.

    The lower triangle is filled in the order of ``tfp.math.fill_triangular``; its diagonal is
    1e-5 + softplus.

    Args:
        event_size: d, at least 1.
        convert_to_tensor_fn, validate_args, **kwargs: As in Head.

    Raises:
        OptionsError: If ``event_size`` is no whole number of at least 1.

    Example:
        ```python
        head = tfbdl.layers.MultivariateNormalTriL(2)
        model = keras.Sequential([keras.layers.Dense(head.params_size(2)), head])
        model.compile(optimizer=keras.optimizers.Adam(0.02), loss=head.loss)
        model.fit(x, y, batch_size=100, epochs=500)
        head.distribution(model.predict(x_test)).covariance()  # [n, 2, 2]
        ```
    """

    def __init__(
        self,
        event_size: int,
        convert_to_tensor_fn: Any = None,
        validate_args: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(convert_to_tensor_fn, validate_args, **kwargs)
        self.event_size = check_whole("event_size", event_size)

    @staticmethod
    def params_size(event_size: int) -> int:
        """How many numbers the layer before must give for each example."""
        return event_size + event_size * (event_size + 1) // 2

    @property
    def num_params(self) -> int:
        """See Head."""
        return self.params_size(self.event_size)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Of one draw."""
        return (self.event_size,)

    @staticmethod
    def new(params: Any, event_size: int, validate_args: bool = False) -> Distribution:
        """The law of parameters ``[..., params_size]``, without a layer."""
        params = tf.convert_to_tensor(params)
        fill = tfb.FillScaleTriL(
            diag_shift=tf.constant(DIAGONAL_SHIFT, params.dtype), validate_args=validate_args
        )
        return tfd.MultivariateNormalTriL(
            loc=params[..., :event_size],
            scale_tril=fill(params[..., event_size:]),
            validate_args=validate_args,
        )

    def law(self, params: Tensor) -> Distribution:
        """See Head."""
        return self.new(params, self.event_size, self.validate_args)

    def marginals(self, params: Tensor) -> Distribution:
        """See Head."""
        law = self.law(params)
        return tfd.Normal(law.mean(), law.stddev())

    def get_config(self) -> dict[str, Any]:
        """See Head."""
        return {**super().get_config(), "event_size": self.event_size}
