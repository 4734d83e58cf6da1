"""Linear maps with a normal kernel whose noise is each row's own: pure functions.

A batch that shares one draw of a kernel has outputs that err together, and so a gradient that
errs more than it must. Both estimators here give each row a kernel of the same law as before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from . import random

LinearMap = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""From inputs and a kernel of one dtype to outputs; linear in the kernel."""

_WORD = 32


def activations(
    linear: LinearMap, inputs: tf.Tensor, loc: tf.Tensor, variance: tf.Tensor
) -> tfd.Normal:
    """The law of each activation under a kernel of independent normals.

    Args:
        linear: The map, whose output is a sum of products of inputs and elements of the kernel.
        inputs: Of any precision; squares are taken in that of ``variance``, for in half precision
            they would overflow and small variances vanish.
        loc, variance: Of each element of the kernel.

    References:
        Kingma, Salimans and Welling 2015, "Variational Dropout and the Local Reparameterization
        Trick", equation (6).
    """
    dtype = variance.dtype
    mean = tf.cast(linear(inputs, tf.cast(loc, inputs.dtype)), dtype)
    spread = linear(tf.square(tf.cast(inputs, dtype)), variance)
    # Where all inputs are zero, as beside a digit, the root has no finite gradient.
    tiny = tf.constant(np.finfo(dtype.as_numpy_dtype).tiny, dtype)
    return tfd.Normal(mean, tf.sqrt(tf.maximum(spread, tiny)))  # eq. (6)


def flipout(
    linear: LinearMap,
    inputs: tf.Tensor,
    loc: tf.Tensor,
    delta: tf.Tensor,
    draw_signs: Callable[[tf.Tensor, str], tf.Tensor],
) -> tf.Tensor:
    """One perturbation of the kernel for all rows, under random signs of each row's own.

    Args:
        linear: The map.
        inputs: Of any precision.
        loc, delta: Mean of the kernel, and a draw of its deviation from it.
        draw_signs: From inputs or outputs, and a name for which, to signs that multiply them.

    References:
        Wen, Vicol, Ba, Tran and Grosse 2018, "Flipout: Efficient Pseudo-Independent Weight
        Perturbations on Mini-Batches", equation (4).
    """
    loc, delta = (tf.cast(part, inputs.dtype) for part in (loc, delta))
    outputs = linear(inputs, loc)
    s, r = draw_signs(inputs, "signs of inputs"), draw_signs(outputs, "signs of outputs")
    return outputs + linear(inputs * s, delta) * r  # eq. (4)


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


def sign_shape(values: tf.Tensor, shared: Sequence[int] = ()) -> list[Any]:
    """The shape of signs for ``values``: a sign for each number, but one along ``shared`` axes."""
    shape = tf.shape(values)
    sizes = [shape[i] if size is None else size for i, size in enumerate(values.shape)]
    return [1 if axis in shared else size for axis, size in enumerate(sizes)]
