"""The frame of a scalar distribution whose parameters are Python numbers."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd


class ScalarDistribution(tfd.Distribution):
    """A distribution of one number; a subclass has ``_log_prob`` and ``_sample_n``.

    Args:
        dtype: Of the values.
        parameters: The subclass's arguments by name.
    """

    def __init__(self, dtype: str, parameters: dict[str, Any]) -> None:
        super().__init__(
            dtype=tf.as_dtype(dtype),
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=False,
            allow_nan_stats=True,
            parameters=parameters,
            name=type(self).__name__,
        )

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: Any = None) -> dict[str, Any]:
        return {}

    def _event_shape(self) -> tf.TensorShape:
        return tf.TensorShape([])
