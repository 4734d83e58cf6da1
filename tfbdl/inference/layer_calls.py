"""Let chosen layers of a net compute something else than their own ``call``, in one thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras

from .. import row_noise

CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)
TRANSPOSED = (
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
_ACTIVE = threading.local()
"""``calls``: layer's id -> what it computes in this thread in place of its own ``call``."""


def listen(layer: keras.layers.Layer) -> None:
    """Let a layer compute what this thread asks for, and its own ``call`` where nothing is asked.

    It stays so: to put a method in and out for each pass would show it to other threads, and
    replicas pause amid a pass.
    """
    own = layer.call
    if getattr(own, "listens", False):
        return

    def call(*args: Any, **kwargs: Any) -> Any:
        asked = getattr(_ACTIVE, "calls", {}).get(id(layer), own)
        return asked(*args, **kwargs)

    call.listens = True  # type: ignore[attr-defined]
    object.__setattr__(layer, "call", call)


@contextlib.contextmanager
def instead(calls: Mapping[int, Callable[..., Any]]) -> Iterator[None]:
    """While it lasts, layers that listen compute these, by their ids, in this thread."""
    before = getattr(_ACTIVE, "calls", {})
    _ACTIVE.calls = {**before, **calls}
    try:
        yield
    finally:
        _ACTIVE.calls = before


def is_plain(layer: keras.layers.Layer) -> bool:
    """Whether a layer computes with its kernel and nothing else."""
    return not (getattr(layer, "lora_enabled", False) or getattr(layer, "quantization_mode", None))


def wrapped_layers(layers: list[keras.layers.Layer]) -> set[int]:
    """The ids of the layers inside wrappers, which may change their kernels."""
    return {id(part.layer) for part in layers if isinstance(part, keras.layers.Wrapper)}


def linear_map(layer: keras.layers.Layer) -> row_noise.LinearMap:
    """What a dense or convolutional layer does with inputs and a kernel, without its bias."""
    if type(layer) is keras.layers.Dense:
        return lambda inputs, kernel: keras.ops.matmul(inputs, kernel)
    if getattr(layer, "padding", None) == "causal":
        return lambda inputs, kernel: _causal(layer, inputs, kernel)
    if type(layer) in CONVOLUTIONS:
        return lambda inputs, kernel: layer.convolution_op(inputs, kernel)
    return lambda inputs, kernel: keras.ops.conv_transpose(
        inputs,
        kernel,
        strides=list(layer.strides),
        padding=layer.padding,
        output_padding=layer.output_padding,
        dilation_rate=layer.dilation_rate,
        data_format=layer.data_format,
    )


def biased(layer: keras.layers.Layer, outputs: Any) -> Any:
    """With the layer's bias, where it has one."""
    if layer.bias is None:
        return outputs
    bias = keras.ops.cast(layer.bias, outputs.dtype)
    if getattr(layer, "data_format", None) == "channels_first":
        bias = keras.ops.reshape(bias, (1, -1, *[1] * (len(outputs.shape) - 2)))
    return keras.ops.add(outputs, bias)


def activated(layer: keras.layers.Layer, outputs: Any) -> Any:
    """With the layer's activation."""
    return outputs if layer.activation is None else layer.activation(outputs)


def padded_in_time(layer: Any, inputs: Any) -> Any:
    """Inputs of a causal convolution, with zeros before their first position."""
    past = [layer.dilation_rate[0] * (layer.kernel_size[0] - 1), 0]
    first = layer.data_format == "channels_first"
    return keras.ops.pad(inputs, [[0, 0], [0, 0], past] if first else [[0, 0], past, [0, 0]])


def _causal(layer: Any, inputs: Any, kernel: Any) -> Any:
    """A convolution in time that sees no later positions; Keras pads outside its own operation."""
    padded = padded_in_time(layer, inputs)
    return keras.ops.conv(
        padded, kernel, list(layer.strides), "valid", layer.data_format, layer.dilation_rate
    )
