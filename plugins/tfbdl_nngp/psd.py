"""NetworkKernel: the kernel of an infinitely wide network for TensorFlow Probability."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp


class NetworkKernel(tfp.math.psd_kernels.PositiveSemidefiniteKernel):
    """A ``psd_kernels`` kernel; matrices and gradients are computed at once, not in blocks.

    Args:
        kernel: A tfbdl_nngp.Kernel.
        which: ``nngp`` or ``ntk``.
    """

    def __init__(self, kernel: Any, which: str = "nngp") -> None:
        self.network, self.which = kernel, which
        super().__init__(
            feature_ndims=3 if kernel.takes_images else 1,
            dtype=tf.as_dtype(kernel.dtype),
            name=f"network_{which}",
            parameters={"kernel": kernel, "which": which},
        )

    @classmethod
    def _parameter_properties(cls, dtype: Any) -> dict[str, Any]:
        return {}

    def _apply(self, x1: tf.Tensor, x2: tf.Tensor, example_ndims: int = 0) -> tf.Tensor:
        x1, x2 = (tf.convert_to_tensor(x, self.dtype) for x in (x1, x2))
        ndims = self.feature_ndims
        batch = tf.broadcast_dynamic_shape(tf.shape(x1)[:-ndims], tf.shape(x2)[:-ndims])
        static = tf.broadcast_static_shape(x1.shape[:-ndims], x2.shape[:-ndims])
        rows = []
        for x in (x1, x2):
            features = x.shape[-ndims:]
            whole = tf.broadcast_to(x, tf.concat([batch, tf.shape(x)[-ndims:]], 0))
            rows.append(tf.reshape(whole, [-1, *features]))
        found = self.network.between(*rows, self.which, paired=True)
        return tf.ensure_shape(tf.reshape(found, batch), static)

    def _matrix(self, x1: tf.Tensor, x2: tf.Tensor) -> tf.Tensor:
        x1, x2 = (tf.convert_to_tensor(x, self.dtype) for x in (x1, x2))
        if x1.shape.rank == x2.shape.rank == self.feature_ndims + 1:
            return self.network.between(x1, x2, self.which)
        return super()._matrix(x1, x2)
