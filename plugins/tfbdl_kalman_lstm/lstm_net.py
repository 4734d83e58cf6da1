"""LSTMNet: LSTMs and a dense layer, run one step at a time, with the Jacobian of that step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from tfbdl.inference.surrogate import read

Memory = tuple[tf.Tensor, ...]
"""What LSTMs remember: h and c of each layer in turn, ``[..., n, units]``."""

Weights = list[tf.Tensor]
"""Kernel, recurrent kernel and bias of each LSTM in turn, then kernel and bias of the output."""


@keras.saving.register_keras_serializable(package="tfbdl_kalman_lstm")
class LSTMNet(keras.layers.Layer):
    """Stacked LSTMs under a dense layer.

    Its weights can be given in place of its own, so that many draws of them run at once: weights
    ``[S, a, b]`` go with inputs ``[S, n, a]``.

    Args:
        inputs: Size of an input.
        units: Of each LSTM, from the first.
        outputs: Size of an output.
        forget_bias: Start of the forget gates' bias; large: what is remembered stays at first.
        output_scale: Size of the output's first kernel beside Glorot's.
        output_bias: Start of the output's bias.
        seed: Of the weights.
        **kwargs: Of ``keras.layers.Layer``.

    References:
        Hochreiter & Schmidhuber 1997; Gers et al. 2000, "Learning to forget"; Jozefowicz et al.
        2015, section 2.2 (the bias of the forget gate).
    """

    def __init__(
        self,
        inputs: int,
        units: Sequence[int],
        outputs: int,
        *,
        forget_bias: float = 1.0,
        output_scale: float = 1.0,
        output_bias: float = 0.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.inputs, self.units, self.outputs = inputs, tuple(units), outputs
        self.forget_bias, self.output_scale = forget_bias, output_scale
        self.output_bias, self.seed = output_bias, seed
        start = keras.initializers
        sizes = (inputs, *self.units)
        for i, (below, size) in enumerate(zip(sizes, self.units, strict=False)):
            self._add(f"kernel_{i}", (below, 4 * size), start.GlorotUniform(seed + 3 * i))
            self._add(
                f"recurrent_kernel_{i}", (size, 4 * size), start.Orthogonal(seed=seed + 3 * i + 1)
            )
            bias = self._add(f"bias_{i}", (4 * size,), "zeros")
            gates = [tf.zeros(size), tf.fill([size], forget_bias), tf.zeros(2 * size)]
            bias.assign(tf.concat(gates, 0))
        spread = start.VarianceScaling(
            output_scale**2, "fan_avg", "uniform", seed=seed + 3 * len(self.units)
        )
        self._add("output_kernel", (sizes[-1], outputs), spread)
        self._add("output_bias", (outputs,), start.Constant(output_bias))
        self.built = True

    def _add(self, name: str, shape: tuple[int, ...], initializer: Any) -> keras.Variable:
        return self.add_weight(
            name=name, shape=shape, initializer=initializer, autocast=False, dtype=self.dtype
        )

    def current_weights(self) -> Weights:
        """Its own weights."""
        return [read(variable) for variable in self.trainable_variables]

    def initial_memory(self, shape: Sequence[Any]) -> Memory:
        """Zeros: nothing is remembered.

        Args:
            shape: Leading axes, ``[..., n]``.
        """
        dtype = self.variable_dtype
        return tuple(tf.zeros([*shape, size], dtype) for size in self.units for _ in range(2))

    def step(self, x: tf.Tensor, memory: Memory, weights: Weights) -> tuple[tf.Tensor, Memory]:
        """One step: the output ``[..., n, outputs]`` of inputs ``[..., n, inputs]``."""
        output, after, _ = self._run(x, memory, weights, None)
        return output, after

    def step_with_jacobian(
        self, x: tf.Tensor, memory: Memory, weights: Weights
    ) -> tuple[tf.Tensor, Memory, tf.Tensor]:
        """The same with d output / d input, ``[..., n, outputs, inputs]``; memory is held.

        Forward mode: a unit change of each element of the input is carried through the step.
        """
        identity = tf.eye(self.inputs, dtype=x.dtype)
        tangents = identity + tf.zeros_like(x)[..., tf.newaxis, :]  # [..., n, change, element]
        output, after, moved = self._run(x, memory, weights, tangents)
        return output, after, tf.linalg.matrix_transpose(moved)

    def _run(
        self, x: tf.Tensor, memory: Memory, weights: Weights, tangents: tf.Tensor | None
    ) -> tuple[tf.Tensor, Memory, tf.Tensor]:
        after: list[tf.Tensor] = []
        for i in range(len(self.units)):
            kernel, recurrent, bias = weights[3 * i : 3 * i + 3]
            h, c = memory[2 * i : 2 * i + 2]
            sums = tf.matmul(x, kernel) + tf.matmul(h, recurrent) + bias[..., tf.newaxis, :]
            entered, kept, fresh, shown = tf.split(sums, 4, axis=-1)
            entered, kept, shown = map(tf.sigmoid, (entered, kept, shown))
            fresh = tf.tanh(fresh)
            before, c = c, kept * c + entered * fresh
            squashed = tf.tanh(c)
            x = shown * squashed
            if tangents is not None:
                tangents = _lstm_tangents(
                    _product(tangents, kernel), entered, kept, fresh, shown, before, squashed
                )
            after += [x, c]
        kernel, bias = weights[-2:]
        output = tf.matmul(x, kernel) + bias[..., tf.newaxis, :]
        return output, tuple(after), None if tangents is None else _product(tangents, kernel)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        names = ("inputs", "units", "outputs", "forget_bias", "output_scale", "output_bias", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _lstm_tangents(
    sums: tf.Tensor,
    entered: tf.Tensor,
    kept: tf.Tensor,
    fresh: tf.Tensor,
    shown: tf.Tensor,
    before: tf.Tensor,
    squashed: tf.Tensor,
) -> tf.Tensor:
    """How h changes where the gates' sums change by ``sums [..., n, change, 4 units]``.

    Args:
        sums: Changes of the sums of input, forget, cell and output gate.
        entered, kept, fresh, shown: The gates' values, ``[..., n, units]``.
        before: The cell before the step.
        squashed: tanh of the cell after it.
    """
    into, forget, cell, out = tf.split(sums, 4, axis=-1)
    by_into, by_forget = fresh * entered * (1.0 - entered), before * kept * (1.0 - kept)
    by_cell = entered * (1.0 - fresh * fresh)
    slope = shown * (1.0 - squashed * squashed)
    by_out = squashed * shown * (1.0 - shown)
    parts = zip((slope * by_into, slope * by_forget, slope * by_cell, by_out),
                (into, forget, cell, out), strict=True)  # fmt: skip
    return tf.add_n([factor[..., tf.newaxis, :] * change for factor, change in parts])


def _product(tangents: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """``tangents [..., n, change, a]`` times ``kernel [a, b]`` or ``[S, a, b]``, in one product."""
    changes, size = tangents.shape[-2:]
    shape = tf.shape(tangents)
    joined = tf.reshape(tangents, tf.concat([shape[:-3], [shape[-3] * changes, size]], 0))
    rank = tangents.shape.rank
    product = tf.matmul(tf.ensure_shape(joined, [None] * (rank - 2) + [size]), kernel)
    whole = tf.concat([shape[:-1], [kernel.shape[-1]]], 0)
    return tf.ensure_shape(
        tf.reshape(product, whole), [None] * (rank - 2) + [changes, kernel.shape[-1]]
    )
