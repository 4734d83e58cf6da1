"""Normal elements whose scale is learned for each tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfbdl.distributions import Prior
from tfbdl.protocols import Parameter

from .config import EmpiricalNormalOptions


class EmpiricalNormal(Prior):
    """p(w | scale) = N(w; 0, scale^2) for each element, with one learned scale for each tensor.

    Where the scale is a point estimate this is empirical Bayes (type-II maximum likelihood); where
    it is sampled it has the chosen hyperprior.

    References:
        MacKay 1992, "A practical Bayesian framework for backpropagation networks".
    """

    Options = EmpiricalNormalOptions
    options: EmpiricalNormalOptions

    def element(
        self,
        shape: tuple[int, ...],
        dtype: str,
        name: str | None,
        **parameters: tf.Tensor,
    ) -> tfd.Distribution:
        """The normal distribution of each element, given ``scale``."""
        given = parameters.get("scale")
        # tf.cast would take a Python number through float32
        scale = tf.constant(self.options.initial, dtype) if given is None else tf.cast(given, dtype)
        return tfd.Normal(tf.constant(0.0, dtype), scale)

    def parameters(
        self, shape: Any, name: str | None = None, dtype: str = "float32"
    ) -> Mapping[str, Parameter]:
        """The scale of the tensor: ``()``, positive."""
        zero, width = tf.constant(0.0, dtype), tf.constant(self.options.hyper_scale, dtype)
        if self.options.hyperprior == "half_cauchy":
            hyperprior: tfd.Distribution = tfd.HalfCauchy(zero, width)
        else:
            hyperprior = tfd.LogNormal(zero, width)
        return {
            "scale": Parameter(
                shape=(), bijector=tfb.Softplus(), initial=self.options.initial, prior=hyperprior
            )
        }
