"""VariationalDense: the base of the dense layers with a posterior over kernel and bias."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from ..config import check_whole
from ..errors import ModelError
from .defaults import DIVERGENCE, DRAW, POINT, POSTERIOR, PRIOR
from .posterior_layer import Function
from .variational import VariationalLayer


class VariationalDense(VariationalLayer):
    """``outputs = activation(inputs @ kernel + bias)`` with kernel and bias drawn at each call.

    Args:
        units: Of the outputs, at least 1.
        activation, activity_regularizer, trainable: As in VariationalLayer, and so are
            ``kernel_...``, ``bias_...``, ``num_data``, ``seed`` and the errors.

    Shapes:
        inputs: ``[..., d]``, two axes or more.
        kernel: ``[d, units]``
        outputs: ``[..., units]``
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        activity_regularizer: Any = None,
        trainable: bool = True,
        kernel_posterior_fn: Function = POSTERIOR,
        kernel_posterior_tensor_fn: Function = DRAW,
        kernel_prior_fn: Function | None = PRIOR,
        kernel_divergence_fn: Function | None = DIVERGENCE,
        bias_posterior_fn: Function | None = POINT,
        bias_posterior_tensor_fn: Function = DRAW,
        bias_prior_fn: Function | None = None,
        bias_divergence_fn: Function | None = DIVERGENCE,
        seed: int | None = None,
        num_data: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            activation=activation,
            activity_regularizer=activity_regularizer,
            trainable=trainable,
            kernel_posterior_fn=kernel_posterior_fn,
            kernel_posterior_tensor_fn=kernel_posterior_tensor_fn,
            kernel_prior_fn=kernel_prior_fn,
            kernel_divergence_fn=kernel_divergence_fn,
            bias_posterior_fn=bias_posterior_fn,
            bias_posterior_tensor_fn=bias_posterior_tensor_fn,
            bias_prior_fn=bias_prior_fn,
            bias_divergence_fn=bias_divergence_fn,
            seed=seed,
            num_data=num_data,
            **kwargs,
        )
        self.units = check_whole("units", units)
        self.input_spec = keras.InputSpec(min_ndim=2)

    def build(self, input_shape: Any) -> None:  # type: ignore[override]
        """Make the weights.

        Raises:
            ModelError: If the last axis of the inputs is not known.
        """
        self.make_weights([width_of(input_shape, self), self.units], [self.units])
        self.input_spec = keras.InputSpec(min_ndim=2, axes={-1: input_shape[-1]})

    def linear(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """The product of inputs ``[..., d]`` and a kernel ``[d, units]``."""
        return product(inputs, kernel)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """``[..., units]``."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


def product(inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """``[..., d]`` times ``[d, units]``, as one product of matrices."""
    if inputs.shape.rank == 2:
        return tf.matmul(inputs, kernel)
    return tf.tensordot(inputs, kernel, 1)


def width_of(input_shape: Any, layer: keras.layers.Layer) -> int:
    """The length of the last axis.

    Raises:
        ModelError: If it is not known.
    """
    width = input_shape[-1]
    if width is None:
        raise ModelError(
            f"The last axis of the inputs of {layer.name!r} must be known when it is built. "
            f"Received: inputs of shape {tuple(input_shape)}."
        )
    return int(width)
