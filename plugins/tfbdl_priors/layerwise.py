"""Normal elements whose scale falls with a kernel's fan-in."""

from __future__ import annotations

import math

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfbdl.distributions import Prior

from .config import LayerwiseOptions


class Layerwise(Prior):
    """p(w) = N(w; 0, gain^2 / fan_in) for kernels, N(w; 0, scale^2) for vectors and scalars.

    A kernel has two axes or more, and its last axis counts the outputs: dense ``[in, out]``,
    convolution ``[..., in, out]``. Its fan-in is the product of all other axes, so that the
    variance of a unit does not grow with the width of the layer below.

    References:
        Neal 1996, "Bayesian learning for neural networks", section 2.1.
    """

    Options = LayerwiseOptions
    options: LayerwiseOptions

    def element(
        self, shape: tuple[int, ...], dtype: str, name: str | None, **parameters: tf.Tensor
    ) -> tfd.Distribution:
        """The normal distribution of each element of a tensor of this shape."""
        return tfd.Normal(tf.constant(0.0, dtype), tf.constant(self.scale_of(shape), dtype))

    def scale_of(self, shape: tuple[int, ...]) -> float:
        """The standard deviation of an element of a tensor of this shape."""
        if len(shape) < 2:
            return self.options.scale
        return self.options.gain / math.sqrt(max(1, math.prod(shape[:-1])))
