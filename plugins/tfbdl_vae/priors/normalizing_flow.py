"""A normalising flow: coupling layers and an affine map of standard normal noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfbdl.distributions import static_shape
from tfbdl.protocols import Parameter

from ..prior_config import NormalizingFlowOptions
from .couplings import Couplings
from .learned_prior import LearnedPrior, drawn, positive

START = 0.01
"""Standard deviation of the output kernels' start: couplings begin near the identity."""


class NormalizingFlow(LearnedPrior):
    """``z = m + s * f_L(... f_1(eps))`` with eps ~ N(0, I) and affine couplings f (RealNVP).

    A coupling leaves one half of the elements as they are and shifts and scales the others by a
    net of one hidden layer of these; after each, the halves change places, or are interleaved.
    Density and draws each take one pass. A tensor of one element has no halves: there the flow is
    the affine map alone, so that z is normal with learned mean and scale.

    References:
        Dinh, Sohl-Dickstein & Bengio 2017, "Density estimation using Real NVP", eqs. 4 and 5.
    """

    Options = NormalizingFlowOptions
    options: NormalizingFlowOptions

    def parameters(
        self, shape: Any, name: str | None = None, dtype: str = "float32"
    ) -> Mapping[str, Parameter]:
        """``loc``, ``scale`` ``[*shape]``, and the couplings' kernels and biases ``[L, ...]``."""
        shape = static_shape(shape)
        own = {"loc": Parameter(shape=shape, initial=0.0), "scale": positive(shape, 1.0, dtype)}
        size = math.prod(shape)
        if size == 1:
            return own
        layers, hidden = self.options.layers, self.options.hidden
        kept = size // 2
        changed = size - kept
        return {
            **own,
            "kernel_in": drawn((layers, kept, hidden), kept**-0.5, dtype),
            "bias_in": Parameter(shape=(layers, hidden), initial=0.0),
            "kernel_out": drawn((layers, hidden, 2 * changed), START, dtype),
            "bias_out": Parameter(shape=(layers, 2 * changed), initial=0.0),
        }

    def joint(self, shape: tuple[int, ...], dtype: str, **values: tf.Tensor) -> tfd.Distribution:
        """See LearnedPrior."""
        loc, scale = values["loc"], values["scale"]
        if "kernel_in" not in values:
            return tfd.Independent(tfd.Normal(loc, scale), len(shape))
        size = math.prod(shape)
        nets = (values["kernel_in"], values["bias_in"], values["kernel_out"], values["bias_out"])
        flow = tfb.Chain(
            [
                tfb.Shift(loc),
                tfb.Scale(scale),
                tfb.Reshape(event_shape_out=shape, event_shape_in=(size,)),
                Couplings(*nets),
            ]
        )
        noise = tfd.Normal(tf.constant(0.0, dtype), tf.constant(1.0, dtype))
        return Flow(tfd.Sample(noise, (size,)), flow)


class Flow(tfd.TransformedDistribution):
    """A transformed distribution whose draws have a gradient in ``log_prob``.

    TFP remembers from which noise a draw came, and the inverse would be that constant.
    """

    def _call_sample_n(self, sample_shape: Any, seed: Any, **kwargs: Any) -> tf.Tensor:
        return tf.identity(super()._call_sample_n(sample_shape, seed, **kwargs))
