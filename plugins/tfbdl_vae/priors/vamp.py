"""The VampPrior: a mixture of approximate posteriors at learned pseudo-inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfbdl.distributions import static_shape
from tfbdl.protocols import Parameter

from ..prior_config import VampOptions
from .diagonal_mixture import DiagonalMixture
from .learned_prior import LearnedPrior, drawn, positive


class Vamp(LearnedPrior):
    """``p(z) = 1/K sum_k q(z | u_k)`` with learned pseudo-inputs u_k.

    In a VAE the components are the encoder's (``of_components``), and the gradient goes through it.
    A tensor without an encoder, such as a net's weights, has K Gaussians of equal weight, whose
    means and standard deviations are learned freely.

    References:
        Tomczak & Welling 2018, "VAE with a VampPrior", eq. 9.
    """

    Options = VampOptions
    options: VampOptions

    @property
    def pseudo_inputs(self) -> int:
        """How many there are: K."""
        return self.options.pseudo_inputs

    def of_components(self, components: tfd.Distribution) -> tfd.Distribution:
        """The mixture, with equal weights, of K distributions (Tomczak & Welling 2018, eq. 9).

        Args:
            components: ``q(z | u_k)``: batch shape ``[K]``, event shape ``[d]``.

        Returns:
            A distribution of batch shape ``()`` and event shape ``[d]``.
        """
        logits = tf.zeros([self.pseudo_inputs], components.dtype)
        if isinstance(components, tfd.MultivariateNormalDiag):
            return DiagonalMixture(logits, components.mean(), components.stddev())
        return tfd.MixtureSameFamily(tfd.Categorical(logits=logits), components)

    def parameters(
        self, shape: Any, name: str | None = None, dtype: str = "float32"
    ) -> Mapping[str, Parameter]:
        """``loc`` and ``scale`` ``[K, *shape]``, of a tensor without an encoder."""
        each = (self.pseudo_inputs, *static_shape(shape))
        return {
            "loc": drawn(each, self.options.spread, dtype),
            "scale": positive(each, self.options.initial_scale, dtype),
        }

    def joint(self, shape: tuple[int, ...], dtype: str, **values: tf.Tensor) -> tfd.Distribution:
        """See LearnedPrior."""
        logits = tf.zeros([self.pseudo_inputs], dtype)
        return DiagonalMixture(logits, values["loc"], values["scale"])
