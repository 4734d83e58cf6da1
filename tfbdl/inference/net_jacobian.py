"""How the outputs of a net depend on its weights, row by row.

For dense layers, and for convolutions as dense layers over the patches that their kernels see, the
derivatives by a kernel are products of what the layer sees and what comes back to it; other layers
are differentiated as they are, one row after the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from .. import functional
from ..protocols import Params
from ..serial import map_serially
from . import layer_calls

FactorOf = Callable[[tf.Tensor], tf.Tensor]
"""From outputs ``[n, ...]`` to the directions ``[n, C, K]`` in which they are differentiated."""


class Place(NamedTuple):
    """A layer that multiplies what it sees by a kernel.

    Attributes:
        layer: Dense, Conv1D or Conv2D.
        kernel, bias: Names of the chosen weights; None where one is not chosen, or not there.
    """

    layer: Any
    kernel: str | None
    bias: str | None


class Seen(NamedTuple):
    """One place in a pass over n rows, of P positions each.

    Attributes:
        inputs: ``[n, P, in]``; where the bias is chosen, the last is one.
        gradients: ``[K, n, P, out]``: of each direction by what the layer gives before its
            activation.
    """

    inputs: tf.Tensor
    gradients: tf.Tensor


class NetJacobian:
    """Derivatives of a net's outputs by chosen weights.

    Args:
        model: What has a net and ``outputs(params, x)``, as a BayesianNetwork.
        names: The chosen weights.

    Attributes:
        places: Where there is a product form.
        others: Names of the weights without one.
        names: The chosen weights in the order of the flat vector: those of the places, kernel
            before bias, then the others.
        shapes: Of each place: rows and columns of its weights, the bias a last row.
        sizes: Of each name, in numbers.
    """

    def __init__(self, model: Any, names: Sequence[str]) -> None:
        self.model = model
        self.places, self.others = _places(model.net, names)
        placed = [name for place in self.places for name in place[1:] if name is not None]
        self.names = (*placed, *self.others)
        self.shapes = [_shape(place) for place in self.places]
        weights = functional.site_names(model.net)
        self.sizes = {name: functional.count([weights[name]]) for name in self.names}
        self.vectorize = functional.is_vectorizable(model.net)
        for place in self.places:
            layer_calls.listen(place.layer)

    def seen(
        self, params: Params, x: Any, factor_of: FactorOf | None = None
    ) -> tuple[tf.Tensor, list[Seen]]:
        """Outputs ``[n, ...]`` of a batch, and what each place sees.

        Args:
            params: All that the net is run with: name -> value.
            x: Inputs ``[n, ...]``.
            factor_of: The directions; None: each output.
        """
        outputs, seen, _ = self._pass(params, x, factor_of)
        return outputs, seen

    def rows(
        self, params: Params, x: Any, factor_of: FactorOf | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Outputs ``[n, ...]`` of a batch, and their derivatives ``[n, K, D]``.

        Args:
            params, x, factor_of: As for ``seen``.
        """
        outputs, seen, factor = self._pass(params, x, factor_of)
        n, K = tf.shape(factor)[0], factor.shape[2]
        parts = [
            tf.reshape(tf.einsum("npi,knpo->nkio", part.inputs, part.gradients), (n, K, rows * out))
            for part, (rows, out) in zip(seen, self.shapes, strict=True)
        ]
        if self.others:
            parts.append(tf.einsum("ncd,nck->nkd", self._other_rows(params, x), factor))
        return outputs, tf.concat(parts, axis=2)

    def _pass(
        self, params: Params, x: Any, factor_of: FactorOf | None
    ) -> tuple[tf.Tensor, list[Seen], tf.Tensor]:
        inputs: list[list[tf.Tensor]] = [[] for _ in self.places]
        before: list[list[tf.Tensor]] = [[] for _ in self.places]

        def call_of(i: int, layer: Any) -> Callable[..., tf.Tensor]:
            def call(values: tf.Tensor, **_: Any) -> tf.Tensor:
                values = tf.cast(values, layer.compute_dtype)
                kernel = tf.cast(keras.ops.convert_to_tensor(layer.kernel), values.dtype)
                linear = layer_calls.linear_map(layer)(values, kernel)
                linear = layer_calls.biased(layer, linear)
                tape.watch(linear)
                inputs[i].append(unfolded(layer, values))
                before[i].append(linear)
                return layer_calls.activated(layer, linear)

            return call

        calls = {id(place.layer): call_of(i, place.layer) for i, place in enumerate(self.places)}
        with tf.GradientTape(persistent=True) as tape, layer_calls.instead(calls):
            outputs = self.model.outputs(params, x)
        factor = identity(outputs) if factor_of is None else factor_of(outputs)
        backward = self._backward(tape, outputs, before, factor)
        seen = [
            self._seen(place, given, back, outputs.dtype)
            for place, given, back in zip(self.places, inputs, backward, strict=True)
        ]
        return outputs, seen, factor

    def _backward(
        self, tape: Any, outputs: tf.Tensor, before: list[list[tf.Tensor]], factor: tf.Tensor
    ) -> list[list[tf.Tensor]]:
        """``[K, *shape]`` of each tensor of ``before``."""
        K = factor.shape[2]
        directions = tf.reshape(
            tf.transpose(factor, (2, 0, 1)), (K, *tf.unstack(tf.shape(outputs)))
        )
        zero = tf.UnconnectedGradients.ZERO

        def back(direction: tf.Tensor) -> Any:
            direction = tf.cast(direction, outputs.dtype)
            return tape.gradient(
                outputs, before, output_gradients=direction, unconnected_gradients=zero
            )

        if K == 1 or not self.vectorize:
            each = [back(directions[k]) for k in range(K)]
            return tf.nest.map_structure(lambda *parts: tf.stack(parts), *each)
        return tf.vectorized_map(back, directions, warn=False)

    @staticmethod
    def _seen(place: Place, inputs: list[Any], gradients: list[Any], dtype: Any) -> Seen:
        """Several calls of one layer are further positions of each row."""
        values = tf.cast(tf.concat(inputs, axis=1), dtype)
        ones = tf.ones_like(values[:, :, :1])
        parts = [values] if place.kernel is not None else []
        parts += [ones] if place.bias is not None else []
        rows = tf.shape(values)[0]
        back = [tf.reshape(g, (tf.shape(g)[0], rows, -1, g.shape[-1])) for g in gradients]
        return Seen(tf.concat(parts, axis=2), tf.cast(tf.concat(back, axis=2), dtype))

    def _other_rows(self, params: Params, x: Any) -> tf.Tensor:
        """Derivatives of all outputs by the other weights: ``[n, C, D]``."""
        own = {name: tf.convert_to_tensor(params[name]) for name in self.others}

        def one(row: Any) -> tf.Tensor:
            alone = tf.nest.map_structure(lambda part: part[tf.newaxis], row)
            with tf.GradientTape() as tape:
                tape.watch(own)
                outputs = tf.reshape(self.model.outputs({**params, **own}, alone), [-1])
            zero = tf.UnconnectedGradients.ZERO
            found = tape.jacobian(
                outputs, own, unconnected_gradients=zero, experimental_use_pfor=self.vectorize
            )
            parts = [tf.reshape(found[name], (tf.shape(outputs)[0], -1)) for name in self.others]
            return tf.concat(parts, axis=1)

        return map_serially(one, x, tf.nest.flatten(own)[0].dtype)


def unfolded(layer: Any, values: tf.Tensor) -> tf.Tensor:
    """What the kernel of a layer is multiplied by: ``[n, P, in]``."""
    if isinstance(layer, keras.layers.Dense):
        return _positions(values, 1)
    padding = layer.padding
    if padding == "causal":
        values, padding = layer_calls.padded_in_time(layer, values), "valid"
    sizes, strides, rates = layer.kernel_size, layer.strides, layer.dilation_rate
    if len(sizes) == 1:
        values = values[:, tf.newaxis]
        sizes, strides, rates = (1, *sizes), (1, *strides), (1, *rates)
    patches = tf.image.extract_patches(
        values, (1, *sizes, 1), (1, *strides, 1), (1, *rates, 1), padding.upper()
    )
    return _positions(patches, 1)


def _positions(values: tf.Tensor, leading: int) -> tf.Tensor:
    """All axes between the first ``leading`` and the last as one."""
    between = values.shape[leading:-1]
    size = math.prod(between) if between.is_fully_defined() else -1
    first = tf.unstack(tf.shape(values)[:leading])
    return tf.reshape(values, (*first, size, values.shape[-1]))


def identity(outputs: tf.Tensor) -> tf.Tensor:
    """Every output of each row as a direction of its own: ``[n, C, C]``."""
    size = math.prod(outputs.shape[1:])
    return tf.eye(size, batch_shape=[tf.shape(outputs)[0]], dtype=outputs.dtype)


def _places(net: Any, names: Sequence[str]) -> tuple[tuple[Place, ...], tuple[str, ...]]:
    layers = [net, *functional.layers_of(net)]
    wrapped = layer_calls.wrapped_layers(layers)
    chosen = set(names)
    by_id = {id(v): n for n, v in functional.site_names(net).items() if n in chosen}
    places = []
    for layer in layers:
        if id(layer) in wrapped or not _has_product_form(layer):
            continue
        bias = None if layer.bias is None else by_id.get(id(layer.bias))
        place = Place(layer, by_id.get(id(layer.kernel)), bias)
        if place.kernel or place.bias:
            places.append(place)
    placed = {name for place in places for name in place[1:]}
    return tuple(places), tuple(name for name in names if name not in placed)


def _has_product_form(layer: Any) -> bool:
    if type(layer) is keras.layers.Dense:
        return layer_calls.is_plain(layer)
    return (
        type(layer) in (keras.layers.Conv1D, keras.layers.Conv2D)
        and layer.groups == 1
        and layer.data_format == "channels_last"
        and layer_calls.is_plain(layer)
    )


def _shape(place: Place) -> tuple[int, int]:
    kernel = tuple(place.layer.kernel.shape)
    rows = tf.TensorShape(kernel[:-1]).num_elements() if place.kernel is not None else 0
    return int(rows) + (place.bias is not None), int(kernel[-1])
