"""AppendVariable: numbers that all examples share, beside those that the net gives for each."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from ...config import check_whole
from ...likelihoods.base import Tensor
from ..configs import config_of


@keras.saving.register_keras_serializable(package="tfbdl")
class AppendVariable(keras.layers.Layer):
    """Learned numbers, the same for each example, after the last axis of the inputs.

    A head's parameters come from its inputs alone; this is how one of them becomes a constant
    that is learned, such as a scale of the noise.

    Args:
        units: How many, at least 1.
        initializer: Of the numbers; raw ones, where the head takes a softplus.
        **kwargs: Of ``keras.layers.Layer``.

    Shapes:
        inputs: ``[..., d]``
        outputs: ``[..., d + units]``, in float32 at least.

    Raises:
        OptionsError: If ``units`` is no whole number of at least 1.

    Example:
        ```python
        head = tfbdl.layers.IndependentNormal(1)  # one scale for all data
        net = [keras.layers.Dense(1), tfbdl.layers.AppendVariable(1), head]
        ```
    """

    def __init__(self, units: int, initializer: Any = "zeros", **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.supports_masking = True
        self.units = check_whole("units", units)
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape: Any) -> None:
        """Make the numbers."""
        self.variable = self.add_weight(
            name="variable", shape=(self.units,), initializer=self.initializer, autocast=False
        )
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        """The inputs and, after them, the numbers."""
        inputs = tf.cast(tf.convert_to_tensor(inputs), self.variable.dtype)
        shape = tf.concat([tf.shape(inputs)[:-1], [self.units]], axis=0)
        return tf.concat([inputs, tf.broadcast_to(self.variable, shape)], axis=-1)

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        """The width of the inputs and ``units``."""
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=self.variable_dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """``[..., d + units]``."""
        *lead, width = input_shape
        return (*lead, None if width is None else width + self.units)

    def get_config(self) -> dict[str, Any]:
        """Plain values."""
        initializer = config_of(self.initializer, "initializer")
        return {**super().get_config(), "units": self.units, "initializer": initializer}
