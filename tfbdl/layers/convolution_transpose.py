"""TransposedConvolution: the base of the convolutions that go from few positions to many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from ..errors import OptionsError
from .convolution import VariationalConvolution


class TransposedConvolution(VariationalConvolution):
    """The gradient of a convolution by its inputs, as Keras' ``Conv2DTranspose``.

    Args:
        output_padding: Positions appended to each spatial axis of the outputs, below its stride;
            one number, or one for each axis. None: as the padding has it.
        *args, **kwargs: As in VariationalConvolution, without ``groups``.

    Shapes:
        inputs: ``[n, *space, channels]``, or ``[n, channels, *space]`` for ``channels_first``.
        kernel: ``[*kernel_size, filters, channels]``
        outputs: As the inputs, with ``filters`` for channels.

    Raises:
        OptionsError, ModelError: As in VariationalConvolution.
    """

    def __init__(self, *args: Any, output_padding: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.groups != 1:
            raise OptionsError(
                f"A transposed convolution has no groups. Received: groups={self.groups}."
            )
        self.output_padding = output_padding
        if output_padding is not None:
            self.output_padding = self._per_axis("output_padding", output_padding, least=0)
            if any(p >= s for p, s in zip(self.output_padding, self.strides, strict=True)):
                raise OptionsError(
                    "output_padding must be below strides. Received: "
                    f"output_padding={self.output_padding}, strides={self.strides}."
                )

    def kernel_shape(self, channels: int) -> tuple[int, ...]:
        return (*self.kernel_size, self.filters, channels)

    def convolve(self, inputs: Any, kernel: Any) -> Any:
        return keras.ops.conv_transpose(
            inputs,
            spread(kernel, self.dilation_rate),
            self.strides,
            self.padding,
            self.output_padding,
            "channels_last",
        )

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "output_padding": self.output_padding}
        del config["groups"]
        return config


def spread(kernel: Any, rates: Sequence[int]) -> Any:
    """A kernel with zeros between its positions, which stands for one that is dilated.

    TensorFlow's transposed convolutions know no dilation on many CPUs.

    Args:
        kernel: ``[*kernel_size, filters, channels]``
        rates: For each spatial axis.

    Returns:
        ``[*(rate * (size - 1) + 1), filters, channels]``
    """
    for axis, rate in enumerate(rates):
        if rate == 1:
            continue
        *before, size = kernel.shape[: axis + 1]
        after = kernel.shape[axis + 1 :]
        kernel = keras.ops.expand_dims(kernel, axis + 1)
        widths = [[0, 0]] * len(kernel.shape)
        widths[axis + 1] = [0, rate - 1]
        kernel = keras.ops.reshape(keras.ops.pad(kernel, widths), (*before, size * rate, *after))
        kernel = kernel[(*[slice(None)] * axis, slice(rate * (size - 1) + 1))]
    return kernel
