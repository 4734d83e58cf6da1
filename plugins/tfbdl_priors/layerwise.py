"""Normal elements whose scale falls with a kernel's fan-in."""

from __future__ import annotations

import math

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfbdl.distributions import Prior

from .config import LayerwiseOptions

_VECTORS = ("bias", "alpha", "beta", "gamma")
_PROJECTIONS = ("query", "key", "value")


class Layerwise(Prior):
    """p(w) = N(w; 0, gain^2 / fan_in) for kernels, N(w; 0, scale^2) for biases and scalars.

    The fan-in is the number of inputs that a unit sums, so that its variance does not grow with
    the width of the layer below. See ``fan_in`` for how it is told from name and shape.

    References:
        Neal 1996, "Bayesian learning for neural networks", section 2.1.
    """

    Options = LayerwiseOptions
    options: LayerwiseOptions

    def element(
        self, shape: tuple[int, ...], dtype: str, name: str | None, **parameters: tf.Tensor
    ) -> tfd.Distribution:
        """The normal distribution of each element of a tensor of this shape."""
        return tfd.Normal(tf.constant(0.0, dtype), tf.constant(self.scale_of(shape, name), dtype))

    def scale_of(self, shape: tuple[int, ...], name: str | None = None) -> float:
        """The standard deviation of an element of a tensor of this shape and site name."""
        inputs = fan_in(shape, name)
        if inputs is None:
            return self.options.scale
        return self.options.gain / math.sqrt(max(1, inputs))


def fan_in(shape: tuple[int, ...], name: str | None = None) -> int | None:
    """How many inputs a unit of a kernel sums; None for a bias or another vector.

    The last part of a site's name tells biases (GRU's ``[2, units]``, attention's
    ``[heads, key]``) and embeddings, of which a look-up takes one row. The part before it, the
    layer's name, tells kernels whose last axis does not count the outputs, where it is Keras' own:
    ``query``, ``key`` and ``value`` of attention ``[in, heads, key]``, ``depthwise``
    ``[..., in, multiplier]`` and ``transpose`` ``[..., out, in]``. All other kernels end in their
    outputs: dense ``[in, out]``, convolution ``[..., in, out]``, attention's output
    ``[heads, key, out]``.

    Args:
        shape: Of the tensor.
        name: Of the site, such as ``multi_head_attention.query.kernel``; None: the shape decides.
    """
    *layers, leaf = (name or "").split(".")
    layer = layers[-1] if layers else ""
    if len(shape) < 2 or leaf.endswith(_VECTORS):
        return None
    if leaf.endswith("embeddings"):
        return 1
    if layer in _PROJECTIONS and len(layers) > 1 and len(shape) == 3:
        return shape[0]
    if leaf.startswith("depthwise") or (layer.startswith("depthwise") and len(shape) > 2):
        return math.prod(shape[:-2])
    if "transpose" in layer and len(shape) > 2:  # for each output, where the stride is one
        return math.prod(shape[:-2]) * shape[-1]
    return math.prod(shape[:-1])
