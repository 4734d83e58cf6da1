"""VariableLayer: learned numbers that do not depend on the inputs."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..errors import OptionsError
from .configs import activation_from, config_of


@keras.saving.register_keras_serializable(package="tfbdl")
class VariableLayer(keras.layers.Layer):
    """A vector of learned numbers, whatever the inputs are.

    As the beginning of a net it makes that one independent of its inputs: before a head such as
    IndependentNormal it is the posterior or the prior of DenseVariational.

    Args:
        shape: The number of numbers, or a sequence of one number.
        dtype: Of the numbers.
        activation: What is applied to them.
        initializer, regularizer, constraint: Of the numbers.
        **kwargs: Of ``keras.layers.Layer``.

    Shapes:
        inputs: Any.
        outputs: ``[n]``

    Raises:
        OptionsError: If the shape is no positive number.

    Example:
        ```python
        head = tfbdl.layers.IndependentNormal(3)
        posterior = keras.Sequential([tfbdl.layers.VariableLayer(6), head])
        ```
    """

    def __init__(
        self,
        shape: Any,
        dtype: Any = None,
        activation: Any = None,
        initializer: Any = "zeros",
        regularizer: Any = None,
        constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(dtype=getattr(dtype, "name", dtype), autocast=False, **kwargs)
        size = np.asarray(shape)
        if size.ndim > 1 or size.size != 1 or size.dtype.kind not in "iu" or size.item() < 1:
            raise OptionsError(
                f"shape must be the number of learned numbers, at least 1. Received: {shape!r}."
            )
        self.shape = (int(size.item()),)
        self.activation = activation_from(activation)
        self.initializer = keras.initializers.get(initializer)
        self.regularizer = keras.regularizers.get(regularizer)
        self.constraint = keras.constraints.get(constraint)

    def build(self, input_shape: Any = None) -> None:
        """Make the numbers."""
        self.constant = self.add_weight(
            name="constant",
            shape=self.shape,
            initializer=self.initializer,
            regularizer=self.regularizer,
            constraint=self.constraint,
            autocast=False,
        )

    def call(self, inputs: Any) -> tf.Tensor:
        """The numbers, activated."""
        return self.activation(tf.convert_to_tensor(self.constant.value))

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        """A vector of the numbers' dtype."""
        return keras.KerasTensor(self.shape, dtype=self.variable_dtype)

    def get_config(self) -> dict[str, Any]:
        """Plain values."""
        parts = ("activation", "initializer", "regularizer", "constraint")
        own = {name: config_of(getattr(self, name), name) for name in parts}
        return {**super().get_config(), "shape": math.prod(self.shape), **own}
