"""A mixture of Gaussians whose weights, means and scales are learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfbdl.distributions import static_shape
from tfbdl.protocols import Parameter

from ..prior_config import GaussianMixtureOptions
from .diagonal_mixture import DiagonalMixture
from .learned_prior import LearnedPrior, drawn, positive


class GaussianMixture(LearnedPrior):
    """``p(z) = sum_k pi_k N(z; m_k, diag(s_k^2))`` of the whole tensor.

    Weights, means and standard deviations are point estimates, without a prior of their own.
    """

    Options = GaussianMixtureOptions
    options: GaussianMixtureOptions

    def parameters(
        self, shape: Any, name: str | None = None, dtype: str = "float32"
    ) -> Mapping[str, Parameter]:
        """``logits [K]`` of the weights, ``loc`` and ``scale`` ``[K, *shape]``."""
        options = self.options
        each = (options.components, *static_shape(shape))
        return {
            "logits": Parameter(shape=(options.components,), initial=0.0),
            "loc": drawn(each, options.spread, dtype),
            "scale": positive(each, options.initial_scale, dtype),
        }

    def joint(self, shape: tuple[int, ...], dtype: str, **values: tf.Tensor) -> tfd.Distribution:
        """See LearnedPrior."""
        return DiagonalMixture(values["logits"], values["loc"], values["scale"])
