"""Which layers a pruned layer concerns, and the net rebuilt with fewer of its channels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import keras
import numpy as np

from tfbdl.errors import ModelError, OptionsError, did_you_mean

layers = keras.layers

KERNELS = (layers.Dense, layers.Conv1D, layers.Conv2D)
PASSING = (  # layers that keep channels apart, the last axis being theirs
    layers.Activation, layers.ReLU, layers.LeakyReLU, layers.ELU,
    layers.Dropout, layers.SpatialDropout1D, layers.SpatialDropout2D,
    layers.GaussianDropout, layers.GaussianNoise, layers.AlphaDropout,
    layers.MaxPooling1D, layers.MaxPooling2D, layers.AveragePooling1D, layers.AveragePooling2D,
    layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D,
    layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D,
    layers.ZeroPadding1D, layers.ZeroPadding2D, layers.UpSampling1D, layers.UpSampling2D,
    layers.Cropping1D, layers.Cropping2D,
    layers.BatchNormalization, layers.Flatten,
)  # fmt: skip
MIXING = ("softmax", "log_softmax", "glu", "sparsemax")


@dataclass(frozen=True, eq=False)
class Channels:
    """The channels of a layer, and who gets them.

    Attributes:
        layer: The layer's name.
        count: Its units or filters.
        between: Layers that pass the channels on, each for itself.
        consumers: Layers with a kernel that get them, by name.
    """

    layer: str
    count: int
    between: tuple[str, ...]
    consumers: Mapping[str, keras.layers.Layer]

    def matrix(self, name: str) -> np.ndarray:
        """A consumer's kernel as ``[columns, outputs]``: column j is of channel j modulo count."""
        kernel = keras.ops.convert_to_numpy(self.consumers[name].kernel).astype(np.float64)
        return np.asarray(kernel.reshape(-1, kernel.shape[-1]))

    def columns(self, name: str, values: np.ndarray) -> np.ndarray:
        """What a consumer multiplies by its matrix, ``[rows, columns]``: patches of a convolution.

        Args:
            name: Of the consumer.
            values: Its input.
        """
        layer = self.consumers[name]
        if isinstance(layer, layers.Dense):
            return np.asarray(values).reshape(-1, values.shape[-1])
        size, strides, dilation = layer.kernel_size, layer.strides, layer.dilation_rate
        if isinstance(layer, layers.Conv1D):
            values = values[:, :, np.newaxis]
            size, strides, dilation = (*size, 1), (*strides, 1), (*dilation, 1)
        if any(step > 1 for step in dilation):
            strides = (1, 1)  # rows to learn from; Keras strides no dilated patches
        patches = keras.ops.image.extract_patches(
            values, size, strides=strides, dilation_rate=dilation, padding=layer.padding
        )
        return np.asarray(patches).reshape(-1, patches.shape[-1])


def channels_of(model: keras.Model, layer_name: str) -> Channels:
    """Follow the channels of a layer to the layers with a kernel that get them.

    Raises:
        OptionsError: If there is no such layer.
        ModelError: If the model is no built Sequential or functional one, or the layer or one
            behind it is of a kind that cannot be pruned.
    """
    after = _successors(model)
    if layer_name not in after:
        raise OptionsError(
            f"The model has no layer {layer_name!r}. Expected one of {', '.join(after)}."
            f"{did_you_mean(layer_name, after)}"
        )
    layer = model.get_layer(layer_name)
    _check_kernel(layer)
    if getattr(layer.activation, "__name__", "") in MIXING:
        raise ModelError(
            f"The activation of {layer_name!r} mixes its units, which cannot be taken apart. "
            f"Received: {layer.activation.__name__}."
        )
    outputs = {tensor._keras_history.operation.name for tensor in model.outputs}
    between: list[str] = []
    consumers: dict[str, keras.layers.Layer] = {}
    waiting = [layer_name]
    while waiting:
        name = waiting.pop(0)
        if not after[name] or name in outputs:
            raise ModelError(
                f"The units of {layer_name!r} are outputs of the model (through {name!r}). "
                "Expected a layer with a Dense or convolutional one behind it."
            )
        for successor in after[name]:
            behind = model.get_layer(successor)
            if type(behind) in KERNELS:
                _check_kernel(behind)
                consumers.setdefault(successor, behind)
            elif type(behind) in PASSING and _is_passing(behind):
                if successor not in between:
                    between.append(successor)
                    waiting.append(successor)
            else:
                raise ModelError(
                    f"{type(behind).__name__} {successor!r} behind {layer_name!r} cannot take "
                    "fewer channels. Expected activations, dropout, pooling, BatchNormalization "
                    "or Flatten, then Dense, Conv1D or Conv2D."
                )
    count = layer.units if isinstance(layer, layers.Dense) else layer.filters
    return Channels(layer_name, int(count), tuple(between), consumers)


def rebuilt(
    model: keras.Model, channels: Channels, kept: np.ndarray, kernels: Mapping[str, np.ndarray]
) -> keras.Model:
    """The net with these channels of the layer alone.

    Args:
        model: The whole net.
        channels: Of the layer.
        kept: Sorted channels.
        kernels: The new weights of each layer behind, ``[columns, outputs]``.
    """

    def smaller(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if layer.name == channels.layer:
            config["units" if "units" in config else "filters"] = len(kept)
        return type(layer).from_config(config)

    net = keras.models.clone_model(model, clone_function=smaller)
    for old in model.layers:
        if not old.variables:
            continue  # an input too, whose name may be another one
        values = [keras.ops.convert_to_numpy(v) for v in old.variables]
        if old.name == channels.layer:
            values = [value[..., kept] for value in values]
        elif old.name in channels.between and isinstance(old, layers.BatchNormalization):
            values = [v[_of(kept, channels.count, len(v))] for v in values]
        elif old.name in kernels:
            shape = net.get_layer(old.name).kernel.shape
            values[0] = kernels[old.name].reshape(shape)
        for variable, value in zip(net.get_layer(old.name).variables, values, strict=True):
            variable.assign(value)
    if model.compiled:
        net.compile_from_config(model.get_compile_config())
    return net


def _of(kept: np.ndarray, count: int, size: int) -> np.ndarray:
    """Which entries of a vector over channels, perhaps at several places, are of kept ones."""
    return np.isin(np.arange(size) % count, kept)


def _check_kernel(layer: keras.layers.Layer) -> None:
    if type(layer) not in KERNELS:
        raise ModelError(
            f"Units of Dense, Conv1D and Conv2D can be pruned. "
            f"Received: {type(layer).__name__} {layer.name!r}."
        )
    config = layer.get_config()
    odd = {
        "data_format": config.get("data_format", "channels_last") != "channels_last",
        "groups": config.get("groups", 1) != 1,
        "padding": config.get("padding", "valid") == "causal",
        "lora_rank": bool(config.get("lora_rank")),
        "quantization_config": bool(config.get("quantization_config")),
    }
    for option, is_odd in odd.items():
        if is_odd:
            raise ModelError(
                f"Layer {layer.name!r} with {option}={config[option]!r} cannot be pruned. "
                "Expected channels last, one group, padding 'valid' or 'same', plain kernels."
            )


def _is_passing(layer: keras.layers.Layer) -> bool:
    config = layer.get_config()
    axis = config.get("axis", -1)
    rank = len(layer.output.shape)
    activation = getattr(getattr(layer, "activation", None), "__name__", "")
    return (
        axis in (-1, rank - 1, [-1], [rank - 1])
        and config.get("data_format", "channels_last") != "channels_first"
        and activation not in MIXING
    )


def _successors(model: keras.Model) -> dict[str, list[str]]:
    """Layer name -> names of the layers that get its output.

    Raises:
        ModelError: If the graph is not known, or a layer is used more than once.
    """
    sequential = isinstance(model, keras.Sequential)
    inputs = getattr(model, "inputs", None)  # of a model with a graph alone
    if not model.built or not inputs:
        raise ModelError(
            "A net is pruned by its graph. Expected a built Sequential or functional model. "
            f"Received: {type(model).__name__}{'' if model.built else ', not built'}."
        )
    names = [layer.name for layer in model.layers]
    found: dict[str, list[str]] = {name: [] for name in names}
    if sequential:
        for name, successor in pairwise(names):
            found[name].append(successor)
        return found
    for entry in model.get_config()["layers"]:
        if len(entry["inbound_nodes"]) > 1:
            raise ModelError(
                f"Layer {entry['name']!r} is used more than once: it has no one input."
            )
        for source in _sources(entry["inbound_nodes"]):
            found[source].append(entry["name"])
    return found


def _sources(value: Any) -> Iterator[str]:
    """Names of the layers that a serialised call refers to."""
    if isinstance(value, dict):
        if "keras_history" in value.get("config", {}):
            yield value["config"]["keras_history"][0]
            return
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from _sources(part)
