"""The reparameterisation estimator: one draw of the kernel for all rows of a batch."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from .sampling import representative
from .variational_weight import Parts


class Reparameterization:
    """Beside a VariationalLayer: ``linear(x, W)`` with one ``W = mu + sigma * eps`` a call.

    All rows of a call share the draw, so that their outputs are correlated.

    References:
        Kingma and Welling 2014, "Auto-Encoding Variational Bayes", section 2.4.
        Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2.
    """

    linear: Any
    kernel_posterior_tensor_fn: Any

    def draw_kernel(
        self, posterior: tfd.Distribution, key: tf.Tensor
    ) -> tuple[Parts, tf.Tensor | None]:
        """The kernel."""
        drawn = representative(self.kernel_posterior_tensor_fn, posterior, key, posterior.dtype)
        return (drawn,), drawn

    def apply_kernel(self, inputs: tf.Tensor, parts: Parts, call: Any) -> tf.Tensor:
        """The linear map with the drawn kernel."""
        (kernel,) = parts
        return self.linear(inputs, tf.cast(kernel, inputs.dtype))
