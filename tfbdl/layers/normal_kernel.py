"""NormalKernel: what the estimators have in common that know the kernel by its moments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from .sampling import normal_moments


class NormalKernel:
    """Beside a VariationalLayer: its kernel must have a posterior of independent normals."""

    linear: Any
    noise_key: Any
    kernel_posterior_tensor_fn: Any
    _kernel: Any

    def make_weights(self, kernel_shape: Sequence[int], bias_shape: Sequence[int]) -> None:
        """As in VariationalLayer.

        Raises:
            ModelError: If the posterior of the kernel has another form.
        """
        super().make_weights(kernel_shape, bias_shape)  # type: ignore[misc]
        self.kernel_moments(self._kernel.posterior.distribution())

    def kernel_moments(self, posterior: tfd.Distribution) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean and standard deviation of each element of the kernel."""
        return normal_moments(posterior, type(self).__name__)
