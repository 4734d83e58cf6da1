"""The local reparameterisation estimator: activations are drawn, each on its own."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from .. import row_noise
from .normal_kernel import NormalKernel
from .sampling import representative
from .variational_weight import Parts


class LocalReparameterization(NormalKernel):
    r"""Beside a VariationalLayer: activations as normals, given the inputs.

    .. math:: N(\mathrm{linear}(x, \mu), \mathrm{linear}(x^2, \sigma^2))

    is the law of each activation under independent normal elements of the kernel. Each is drawn
    on its own: rows are independent, and so are positions that share a kernel, though under one
    drawn kernel they would not be.

    References:
        Kingma, Salimans and Welling 2015, "Variational Dropout and the Local Reparameterization
        Trick", equation (6).
    """

    def draw_kernel(
        self, posterior: tfd.Distribution, key: tf.Tensor
    ) -> tuple[Parts, tf.Tensor | None]:
        """Mean and variance of each element."""
        loc, scale = self.kernel_moments(posterior)
        return (loc, tf.square(scale)), None

    def apply_kernel(self, inputs: tf.Tensor, parts: Parts, call: Any) -> tf.Tensor:
        """Activations, drawn."""
        law = row_noise.activations(self.linear, inputs, *parts)
        key = self.noise_key(call, "kernel", "activations")
        return tf.cast(
            representative(self.kernel_posterior_tensor_fn, law, key, law.dtype), inputs.dtype
        )
