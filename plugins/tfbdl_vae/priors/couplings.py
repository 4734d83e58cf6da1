"""Couplings: the layers of a RealNVP flow as one bijector, a function of its weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb

MAX_LOG_SCALE = 2.0
"""A coupling multiplies an element by exp(-2) to exp(2), so that its inverse does not overflow."""


class Couplings(tfb.Bijector):
    """Affine couplings of vectors, each followed by a permutation (``order``).

    A coupling keeps the first elements ``a`` and changes the others to ``b exp(s(a)) + t(a)``,
    where s and t come from a net of one hidden layer (Dinh et al. 2017, eqs. 4 and 5).

    Args:
        kernel_in: ``[L, kept, hidden]``.
        bias_in: ``[L, hidden]``.
        kernel_out: ``[L, hidden, 2 * changed]``.
        bias_out: ``[L, 2 * changed]``.
    """

    def __init__(
        self, kernel_in: tf.Tensor, bias_in: tf.Tensor, kernel_out: tf.Tensor, bias_out: tf.Tensor
    ) -> None:
        parameters = dict(locals())
        weights = (kernel_in, bias_in, kernel_out, bias_out)
        self._nets = list(zip(*(tf.unstack(weight) for weight in weights), strict=True))
        self._seen: tuple[Any, Any] = (None, None)
        self._kept, self._changed = kernel_in.shape[1], kernel_out.shape[-1] // 2
        super().__init__(
            forward_min_event_ndims=1,
            dtype=kernel_in.dtype,
            parameters=parameters,
            name="couplings",
        )

    @classmethod
    def _parameter_properties(cls, dtype: Any) -> dict[str, Any]:
        return {}

    def _forward(self, x: tf.Tensor) -> tf.Tensor:
        return self._run(x)[0]

    def _forward_log_det_jacobian(self, x: tf.Tensor) -> tf.Tensor:
        x_seen, log_det = self._seen
        return log_det if x is x_seen else self._run(x)[1]

    def _inverse(self, y: tf.Tensor) -> tf.Tensor:
        x, log_det = self._run_back(y)
        self._seen = (x, -log_det)  # a density asks for both: the nets run once
        return x

    def _run(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The other side of ``x [..., kept + changed]``, and ``log |dy/dx|`` ``[...]``."""
        outer, x = tf.shape(x)[:-1], self._flat(x)
        total = tf.zeros_like(x[:, 0])
        for layer, net in enumerate(self._nets):
            a, b = tf.split(x, [self._kept, self._changed], axis=-1)
            shift, log_scale = shift_and_log_scale(a, *net)
            b = b * tf.exp(log_scale) + shift  # Dinh et al. 2017, eq. 5
            total += tf.reduce_sum(log_scale, axis=-1)  # eq. 6
            x = tf.gather(tf.concat([a, b], axis=-1), self._order(layer), axis=-1)
        return self._like(x, outer), tf.reshape(total, outer)

    def _run_back(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The inverse of ``y``, and ``log |dx/dy|``."""
        outer, y = tf.shape(y)[:-1], self._flat(y)
        total = tf.zeros_like(y[:, 0])
        for layer, net in reversed(list(enumerate(self._nets))):
            y = tf.gather(y, np.argsort(self._order(layer)), axis=-1)
            a, b = tf.split(y, [self._kept, self._changed], axis=-1)
            shift, log_scale = shift_and_log_scale(a, *net)
            y = tf.concat([a, (b - shift) * tf.exp(-log_scale)], axis=-1)  # eq. 8
            total -= tf.reduce_sum(log_scale, axis=-1)
        return self._like(y, outer), tf.reshape(total, outer)

    def _flat(self, x: tf.Tensor) -> tf.Tensor:
        return tf.reshape(x, [-1, self._kept + self._changed])

    def _like(self, x: tf.Tensor, outer: tf.Tensor) -> tf.Tensor:
        return tf.reshape(x, tf.concat([outer, [self._kept + self._changed]], axis=0))

    def _order(self, layer: int) -> list[int]:
        return order(layer, self._kept, self._changed)


def order(layer: int, kept: int, changed: int) -> list[int]:
    """Which element stands where after a layer: the halves change places, or are interleaved.

    After two layers each element has been changed at least once; the interleaving makes new halves.
    """
    size = kept + changed
    if layer % 2 == 0:
        return [*range(kept, size), *range(kept)]
    return [index for i in range(kept) for index in (kept + i, i)] + list(range(2 * kept, size))


def shift_and_log_scale(
    a: tf.Tensor,
    kernel_in: tf.Tensor,
    bias_in: tf.Tensor,
    kernel_out: tf.Tensor,
    bias_out: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """What the elements ``a [n, kept]`` do to the others: two ``[n, changed]``."""
    h = tf.math.tanh(tf.matmul(a, kernel_in) + bias_in)
    shift, raw = tf.split(tf.matmul(h, kernel_out) + bias_out, 2, axis=-1)
    return shift, MAX_LOG_SCALE * tf.math.tanh(raw / MAX_LOG_SCALE)
