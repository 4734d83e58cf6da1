"""One step of an inverse autoregressive flow and its inverse: pure functions of masked weights."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb


class GatedStep(NamedTuple):
    """The masked net of one step: from z and a context to the gate and what it lets in.

    Attributes:
        kernels: Of each layer, masked: ``[width, next width]``; the last has ``2 d`` columns, the
            d shifts m and the d logits s of the gate.
        biases: Of each layer.
        context: From the context to the first layer: ``[context, width]``.
    """

    kernels: tuple[tf.Tensor, ...]
    biases: tuple[tf.Tensor, ...]
    context: tf.Tensor


def masks(size: int, hidden: Sequence[int], backward: bool) -> list[np.ndarray]:
    """Masks of a net whose outputs for element i depend on the elements before i alone.

    A hidden unit of degree k sees the first k elements and the context; those of degree 0 see the
    context alone.

    Args:
        size: Elements d.
        hidden: Units of each hidden layer.
        backward: Count the elements from the last to the first.

    Returns:
        One mask ``[width, next width]`` for each layer; the last for 2 d outputs.

    References:
        Germain et al. 2015, "MADE: Masked autoencoder for distribution estimation", eqs. 12, 13.
    """
    order = np.arange(1, size + 1)
    order = order[::-1] if backward else order
    degrees = [order, *(np.arange(width) * size // width for width in hidden)]
    inner = [before[:, None] <= after[None] for before, after in pairwise(degrees)]
    last = degrees[-1][:, None] < np.tile(order, 2)[None]
    return [mask.astype("float32") for mask in (*inner, last)]


def forward(step: GatedStep, z: tf.Tensor, context: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """``sigma * z + (1 - sigma) * m`` and ``log det = sum_j log sigma_j``.

    Args:
        step: Masked weights.
        z: ``[..., n, d]``.
        context: Of each row, ``[n, context]``.

    Returns:
        ``[..., n, d]`` and ``[..., n]``.

    References:
        Kingma et al. 2016, "Improving variational inference with inverse autoregressive flow",
        algorithm 1.
    """
    shift, logit = _shift_and_logit(step, z, context)
    z = tf.sigmoid(logit) * z + tf.sigmoid(-logit) * shift
    return z, tf.reduce_sum(tf.math.log_sigmoid(logit), axis=-1)


def inverse(step: GatedStep, z: tf.Tensor, context: tf.Tensor) -> tf.Tensor:
    """What ``forward`` makes ``z`` from: each of d passes of the net sets one element right."""

    def body(before: tf.Tensor) -> tuple[tf.Tensor]:
        shift, logit = _shift_and_logit(step, before, context)
        return ((z - tf.sigmoid(-logit) * shift) / tf.sigmoid(logit),)

    size = z.shape[-1]
    (before,) = tf.while_loop(
        lambda before: True, body, (tf.zeros_like(z),), maximum_iterations=size
    )
    return before


class Flow(tfb.Bijector):
    """The steps of a flow, one after the other, for given contexts.

    Args:
        steps: Masked weights of each.
        context: Of each row, ``[n, context]``.
    """

    def __init__(self, steps: Sequence[GatedStep], context: tf.Tensor, name: str = "flow") -> None:
        parameters = dict(locals())
        with tf.name_scope(name):
            super().__init__(
                forward_min_event_ndims=1,
                dtype=context.dtype,
                parameters=parameters,
                name=name,
            )
        self.steps, self.context = tuple(steps), context

    @classmethod
    def _parameter_properties(cls, dtype: Any, num_classes: Any = None) -> dict[str, Any]:
        return {}

    def _forward(self, x: tf.Tensor) -> tf.Tensor:
        for step in self.steps:
            x, _ = forward(step, x, self.context)
        return x

    def _inverse(self, y: tf.Tensor) -> tf.Tensor:
        for step in reversed(self.steps):
            y = inverse(step, y, self.context)
        return y

    def _forward_log_det_jacobian(self, x: tf.Tensor) -> tf.Tensor:
        total = tf.zeros_like(x[..., 0])
        for step in self.steps:
            x, log_det = forward(step, x, self.context)
            total += log_det
        return total


def _shift_and_logit(
    step: GatedStep, z: tf.Tensor, context: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    h = tf.tensordot(z, step.kernels[0], 1) + tf.matmul(context, step.context) + step.biases[0]
    for kernel, bias in zip(step.kernels[1:], step.biases[1:], strict=True):
        h = tf.tensordot(tf.nn.elu(h), kernel, 1) + bias
    shift, logit = tf.split(h, 2, axis=-1)
    return shift, logit
