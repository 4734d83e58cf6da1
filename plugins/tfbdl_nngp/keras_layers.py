"""Read the layers of a Keras network as those of its infinitely wide limit."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfbdl.errors import ModelError

from . import duals
from .keras_variances import bias_variance_of, weight_variance_of
from .layers import (
    Activation,
    AveragePooling,
    Convolution,
    Dense,
    Flatten,
    GlobalAveragePooling,
    Layer,
    LayerNormalization,
    Residual,
)

SKIPPED = (keras.layers.InputLayer, keras.layers.Dropout, keras.layers.SpatialDropout2D)
"""What does nothing to a prediction."""


def read(model: Any, weight_variance: Any = None, bias_variance: Any = None) -> list[Layer]:
    """The layers of a chain whose parts may branch and be joined by Add.

    Args:
        model: A built keras.Model of one input and one output.
        weight_variance: In place of the initializers'.
        bias_variance: Likewise.

    Raises:
        ModelError: If a layer or an initializer has no limit here.
    """
    return _read(model, weight_variance, bias_variance, set())


def _read(model: Any, weight_variance: Any, bias_variance: Any, seen: set[int]) -> list[Layer]:
    """See ``read``; ``seen`` holds the layers that were met."""
    if not isinstance(model, keras.Model) or not hasattr(model, "layers") or not model.built:
        raise ModelError(
            "from_keras reads a built Sequential or functional keras.Model; a Sequential one is "
            f"built by keras.Input(shape) as its first layer. Received: {type(model).__name__}."
        )
    if isinstance(model, keras.Sequential):
        variances = weight_variance, bias_variance
        return [out for one in model.layers for out in _layers_of(one, *variances, seen)]
    if len(getattr(model, "inputs", None) or ()) != 1 or len(model.outputs) != 1:
        raise ModelError("from_keras reads models of one input and one output.")
    return _Graph(model, weight_variance, bias_variance, seen).read()


class _Graph:
    """A functional model, read from its output back to its input."""

    def __init__(
        self, model: Any, weight_variance: Any, bias_variance: Any, seen: set[int]
    ) -> None:
        self.model, self.variances = model, (weight_variance, bias_variance)
        self.seen = seen

    def read(self) -> list[Layer]:
        return self._between(self.model.outputs[0], self.model.inputs[0])

    def _between(self, tensor: Any, start: Any) -> list[Layer]:
        """Layers from ``start`` to ``tensor``."""
        found: list[Layer] = []
        while tensor is not start:
            node = _node(tensor)
            parents = list(node.input_tensors)
            if isinstance(node.operation, keras.layers.Add) and len(parents) == 2:
                common = self._common(*parents)
                branches = [self._between(parent, common) for parent in parents]
                # the branch is the one whose weights come last; x itself is the shortcut
                branches.sort(key=len, reverse=True)
                found = [Residual(branches[0], branches[1]), *found]
                tensor = common
                continue
            if len(parents) != 1:
                raise ModelError(
                    "from_keras reads branches that are joined by Add of two. "
                    f"Received: {type(node.operation).__name__} of {len(parents)} tensors."
                )
            found = [*_layers_of(node.operation, *self.variances, self.seen), *found]
            tensor = parents[0]
        return found

    def _common(self, first: Any, second: Any) -> Any:
        """The last tensor that both come from."""
        ancestors = {id(tensor) for tensor in self._line(first)}
        for tensor in self._line(second):
            if id(tensor) in ancestors:
                return tensor
        raise ModelError("from_keras reads models of one input.")

    def _line(self, tensor: Any) -> list[Any]:
        """The tensor and those before it, along the first parent of an Add's common one."""
        line = [tensor]
        while tensor is not self.model.inputs[0]:
            parents = list(_node(tensor).input_tensors)
            tensor = parents[0] if len(parents) == 1 else self._common(*parents[:2])
            line.append(tensor)
        return line


def _node(tensor: Any) -> Any:
    operation, index, _ = tensor._keras_history
    return operation._inbound_nodes[index]


def _layers_of(layer: Any, weight_variance: Any, bias_variance: Any, seen: set[int]) -> list[Layer]:
    known = keras.layers
    if isinstance(layer, SKIPPED):
        return []
    if id(layer) in seen and layer.weights:
        raise ModelError(
            f"The layer {layer.name!r} is called more than once: its weights are shared, and the "
            "limit of shared weights is another. Expected: a layer for each call."
        )
    seen.add(id(layer))
    if isinstance(layer, (keras.Sequential, keras.Model)):
        return _read(layer, weight_variance, bias_variance, seen)
    if isinstance(layer, (known.Dense, known.Conv2D)) and type(layer) in (
        known.Dense,
        known.Conv2D,
    ):
        return [_weights_of(layer, weight_variance, bias_variance), *_activation_of(layer)]
    if isinstance(layer, known.Activation):
        return _activation_of(layer)
    if isinstance(layer, known.ReLU) and not (layer.max_value or layer.threshold):
        return [Activation("leaky_relu", negative_slope=float(layer.negative_slope))]
    if isinstance(layer, known.LeakyReLU):
        return [Activation("leaky_relu", negative_slope=float(layer.negative_slope))]
    if isinstance(layer, known.Flatten):
        return [Flatten()]
    if isinstance(layer, known.GlobalAveragePooling2D) and _channels_last(layer):
        return [GlobalAveragePooling()]
    if isinstance(layer, known.AveragePooling2D) and _channels_last(layer):
        return [AveragePooling(tuple(layer.pool_size), tuple(layer.strides), layer.padding)]
    if isinstance(layer, known.LayerNormalization) and tuple(layer.axis or ()) in ((-1,),):
        return [LayerNormalization(float(layer.epsilon))]
    raise ModelError(
        f"The layer {layer.name!r} ({type(layer).__name__}) has no infinitely wide limit here. "
        "Known: Dense, Conv2D, Activation, ReLU, LeakyReLU, LayerNormalization (of the last axis), "
        "AveragePooling2D, GlobalAveragePooling2D, Flatten, Dropout, and Add of two branches."
    )


def _weights_of(layer: Any, weight_variance: Any, bias_variance: Any) -> Layer:
    kernel = tuple(layer.kernel.shape)
    if weight_variance is None:
        weight_variance = weight_variance_of(layer.kernel_initializer, kernel, layer.name)
    if bias_variance is None:
        used = layer.use_bias
        bias_variance = bias_variance_of(layer.bias_initializer, layer.name) if used else 0.0
    elif not layer.use_bias:
        bias_variance = 0.0
    if isinstance(layer, keras.layers.Dense):
        return Dense(weight_variance, bias_variance)
    if not _channels_last(layer) or set(layer.dilation_rate) != {1} or layer.groups != 1:
        raise ModelError(
            f"The convolution {layer.name!r} must have channels last, no dilation and one group."
        )
    return Convolution(
        tuple(layer.kernel_size),
        tuple(layer.strides),
        layer.padding,
        weight_variance,
        bias_variance,
    )


def _activation_of(layer: Any) -> list[Layer]:
    """By its name where that has a closed form, else the function itself."""
    function = layer.activation
    name = getattr(function, "__name__", "")
    if function is None or name == "linear":
        return []
    own = getattr(keras.activations, name, None) is function
    if own and name in duals.names():
        return [Activation(name)]
    _require_elementwise(function, layer.name)
    return [Activation(function)]


def _require_elementwise(function: Any, layer: str) -> None:
    """Refuse functions of several units at once, such as a softmax."""
    values = np.linspace(-2.0, 2.0, 6)
    try:
        whole = np.asarray(function(tf.constant(values)))
        alone = np.array([np.asarray(function(tf.constant([v, 0.3])))[0] for v in values])
        holds = whole.shape == alone.shape and np.allclose(whole, alone)
    except (IndexError, TypeError, ValueError, tf.errors.OpError):
        holds = False
    if not holds:
        raise ModelError(
            f"The activation of {layer!r} is no function of one unit at a time, so that it has no "
            "limit here. End the net before a softmax. Received: "
            f"{getattr(function, '__name__', function)}."
        )


def _channels_last(layer: Any) -> bool:
    return bool(layer.data_format == "channels_last")
