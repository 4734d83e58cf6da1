"""The Flipout estimator: one draw of the kernel, decorrelated between rows by random signs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from .. import random
from .normal_kernel import NormalKernel
from .sampling import representative
from .variational_weight import Parts

_WORD = 32


class Flipout(NormalKernel):
    r"""Beside a VariationalLayer: pseudo-independent perturbations of the kernel for each row.

    .. math:: y_n = \mathrm{linear}(x_n, \mu) + \mathrm{linear}(x_n \circ s_n, \Delta) \circ r_n

    with one ``Delta = sigma * eps`` for all rows and random signs ``s_n`` of the inputs' and
    ``r_n`` of the outputs' units. The kernel ``mu + Delta s_n r_n'`` of each row has the law of the
    posterior, and those of two rows are uncorrelated.

    References:
        Wen, Vicol, Ba, Tran and Grosse 2018, "Flipout: Efficient Pseudo-Independent Weight
        Perturbations on Mini-Batches", equation (4).
    """

    sign_shape: Any

    def draw_kernel(
        self, posterior: tfd.Distribution, key: tf.Tensor
    ) -> tuple[Parts, tf.Tensor | None]:
        """The mean and the perturbation; their sum is a draw of the kernel."""
        loc, scale = self.kernel_moments(posterior)
        centred = tfd.Normal(tf.zeros_like(loc), scale)
        delta = representative(self.kernel_posterior_tensor_fn, centred, key, loc.dtype)
        return (loc, delta), loc + delta

    def apply_kernel(self, inputs: tf.Tensor, parts: Parts, call: Any) -> tf.Tensor:
        """The linear map, perturbed for each row: Wen et al. 2018, equation (4)."""
        loc, delta = (tf.cast(part, inputs.dtype) for part in parts)
        outputs = self.linear(inputs, loc)
        s, r = (
            signs(self.sign_shape(values), self.noise_key(call, "kernel", which), inputs.dtype)
            for which, values in (("signs of inputs", inputs), ("signs of outputs", outputs))
        )
        return outputs + self.linear(inputs * s, delta) * r


def signs(shape: Sequence[Any], key: tf.Tensor, dtype: Any) -> tf.Tensor:
    """Random signs, -1 or +1, each of one bit: a word of the generator gives 32 of a row.

    Args:
        shape: ``[..., units]``; all but ``units`` may be tensors.
        key: ``[2]``.
        dtype: Of the signs.
    """
    *rows, units = shape
    words = -(-units // _WORD)
    drawn = random.bits([*rows, words], key)
    places = tf.constant(np.arange(_WORD, dtype=np.uint32))
    bits = tf.bitwise.right_shift(drawn[..., tf.newaxis], places)
    bits = tf.bitwise.bitwise_and(tf.bitcast(bits, tf.int32), 1)
    # XLA would fuse the generators of two layers into one kernel, on which LLVM hangs. It fuses
    # nothing through a product of matrices.
    drawn = tf.matmul(tf.reshape(1.0 - 2.0 * tf.cast(bits, tf.float32), [-1, _WORD]), tf.eye(_WORD))
    return tf.cast(tf.reshape(drawn, [*rows, words * _WORD])[..., :units], dtype)
