"""The Flipout estimator: one draw of the kernel, decorrelated between rows by random signs."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from .. import row_noise
from .normal_kernel import NormalKernel
from .sampling import representative
from .variational_weight import Parts


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

        def draw_signs(values: tf.Tensor, which: str) -> tf.Tensor:
            key = self.noise_key(call, "kernel", which)
            return row_noise.signs(self.sign_shape(values), key, values.dtype)

        loc, delta = parts
        return row_noise.flipout(self.linear, inputs, loc, delta, draw_signs)
