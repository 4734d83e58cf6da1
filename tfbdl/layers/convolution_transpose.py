"""TransposedConvolution: the base of the convolutions that go from few positions to many."""

from __future__ import annotations

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
            kernel,
            self.strides,
            self.padding,
            self.output_padding,
            "channels_last",
            self.dilation_rate,
        )

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "output_padding": self.output_padding}
        del config["groups"]
        return config
