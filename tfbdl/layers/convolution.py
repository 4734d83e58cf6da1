"""VariationalConvolution: the base of the convolutions with a posterior over kernel and bias."""

from __future__ import annotations

import abc
from collections.abc import Iterable
from typing import Any, ClassVar

import keras
import tensorflow as tf

from .. import row_noise
from ..config import check_whole
from ..errors import ModelError, OptionsError, did_you_mean
from .defaults import DIVERGENCE, DRAW, POINT, POSTERIOR, PRIOR
from .posterior_layer import Function
from .variational import VariationalLayer

PADDINGS = ("valid", "same")
FORMATS = ("channels_last", "channels_first")


class VariationalConvolution(VariationalLayer):
    """``outputs = activation(convolve(inputs, kernel) + bias)``, with both drawn at each call.

    Args:
        filters: Channels of the outputs, at least 1.
        kernel_size: One number, or one for each spatial axis.
        strides: As ``kernel_size``.
        padding: ``valid`` or ``same``.
        data_format: ``channels_last`` or ``channels_first``. The latter is transposed inside, so
            that it works on a CPU too.
        dilation_rate: As ``kernel_size``; above 1 only where all strides are 1.
        activation, activity_regularizer, trainable: As in VariationalLayer, and so are
            ``kernel_...``, ``bias_...``, ``num_data`` and ``seed``.
        groups: Into which the channels are split, each with filters of its own; it divides the
            channels of inputs and outputs.

    Shapes:
        inputs: ``[n, *space, channels]``, or ``[n, channels, *space]`` for ``channels_first``.
        kernel: ``[*kernel_size, channels / groups, filters]``
        outputs: As the inputs, with ``filters`` for channels.

    Raises:
        OptionsError: If an argument does not fit.
        ModelError: If the inputs do not, and as in VariationalLayer.
    """

    rank: ClassVar[int]

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str = "channels_last",
        dilation_rate: Any = 1,
        activation: Any = None,
        activity_regularizer: Any = None,
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
        groups: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            activation=activation,
            activity_regularizer=activity_regularizer,
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
        self.filters = check_whole("filters", filters)
        self.kernel_size = self._per_axis("kernel_size", kernel_size)
        self.strides = self._per_axis("strides", strides)
        self.dilation_rate = self._per_axis("dilation_rate", dilation_rate)
        self.padding = _one_of("padding", padding, PADDINGS)
        self.data_format = _one_of("data_format", data_format, FORMATS)
        self.groups = check_whole("groups", groups)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise OptionsError(
                "strides above 1 do not go with a dilation_rate above 1. Received: "
                f"strides={self.strides} and dilation_rate={self.dilation_rate}."
            )
        if self.filters % self.groups:
            raise OptionsError(
                f"groups must divide filters. Received: groups={groups}, filters={filters}."
            )
        self.input_spec = keras.InputSpec(ndim=self.rank + 2)
        self.supports_masking = False

    # -- what a transposed convolution does otherwise ----------------------------------------------

    @abc.abstractmethod
    def convolve(self, inputs: Any, kernel: Any) -> Any:
        """The convolution, channels last."""

    def kernel_shape(self, channels: int) -> tuple[int, ...]:
        """Of the kernel, for so many channels of the inputs in each group."""
        return (*self.kernel_size, channels, self.filters)

    # -- what all convolutions share ---------------------------------------------------------------

    def build(self, input_shape: Any) -> None:  # type: ignore[override]
        """Make the weights.

        Raises:
            ModelError: If the channels of the inputs are not known, or groups do not divide them.
        """
        axis = self._channel_axis
        channels = input_shape[axis]
        if channels is None or channels % self.groups:
            raise ModelError(
                f"The channels of the inputs of {self.name!r} must be known when it is built, and "
                f"a multiple of groups={self.groups}. Received: inputs of shape "
                f"{tuple(input_shape)}, {self.data_format}."
            )
        self.make_weights(self.kernel_shape(channels // self.groups), (self.filters,))
        self.input_spec = keras.InputSpec(ndim=self.rank + 2, axes={axis: channels})

    def linear(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return self.convolve(inputs, kernel)

    def arranged(self, values: tf.Tensor, back: bool = False) -> tf.Tensor:
        if self.data_format == "channels_last":
            return values
        space = range(2, self.rank + 2)
        if back:
            return tf.transpose(values, [0, self.rank + 1, *(axis - 1 for axis in space)])
        return tf.transpose(values, [0, *space, 1])

    def sign_shape(self, values: tf.Tensor) -> list[Any]:
        """Of Flipout's signs, channels last: one for each row and channel."""
        return row_noise.sign_shape(values, shared=range(1, self.rank + 1))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """As the inputs, with the spatial axes that Keras' own convolution has."""
        rows, *rest = input_shape
        first = self.data_format == "channels_first"
        channels, space = (rest[0], rest[1:]) if first else (rest[-1], rest[:-1])
        kernel = keras.KerasTensor(self.kernel_shape(channels))
        *rest, _ = self.convolve(keras.KerasTensor((rows, *space, channels)), kernel).shape
        return (rest[0], self.filters, *rest[1:]) if first else (*rest, self.filters)

    def get_config(self) -> dict[str, Any]:
        names = ("filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate")
        own = {name: getattr(self, name) for name in (*names, "groups")}
        return {**super().get_config(), **own}

    @property
    def _channel_axis(self) -> int:
        return 1 if self.data_format == "channels_first" else -1

    def _per_axis(self, name: str, value: Any, least: int = 1) -> tuple[int, ...]:
        """One whole number for each spatial axis."""
        numbers = tuple(value) if isinstance(value, Iterable) else (value,) * self.rank
        if len(numbers) != self.rank:
            raise OptionsError(
                f"{name} must be a number, or {self.rank} of them for the spatial axes. "
                f"Received: {value!r}."
            )
        return tuple(check_whole(name, number, least) for number in numbers)


class ForwardConvolution(VariationalConvolution):
    """The ordinary direction: cross-correlation, as in Keras and TFP."""

    def convolve(self, inputs: Any, kernel: Any) -> Any:
        return keras.ops.conv(
            inputs, kernel, self.strides, self.padding, "channels_last", self.dilation_rate
        )


def _one_of(name: str, given: Any, known: tuple[str, ...]) -> str:
    """One of the words, in small letters."""
    word = str(given).lower()
    if word not in known:
        raise OptionsError(
            f"{name} must be one of {', '.join(known)}.{did_you_mean(word, known)} "
            f"Received: {given!r}."
        )
    return word
