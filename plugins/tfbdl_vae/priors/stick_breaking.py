"""A Dirichlet-process mixture of Gaussians, truncated, by breaking a stick."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfbdl.distributions import static_shape
from tfbdl.protocols import Parameter

from ..prior_config import StickBreakingOptions
from .diagonal_mixture import DiagonalMixture
from .learned_prior import LearnedPrior, drawn, positive
from .logit_beta import LogitBeta


class StickBreaking(LearnedPrior):
    """``p(z) = sum_k pi_k N(z; m_k, diag(s_k^2))`` with the weights of a Dirichlet process.

    ``pi_k = v_k prod_{j<k} (1 - v_j)`` with ``v_k ~ Beta(1, concentration)``, and ``v_K = 1`` at
    the last component. The base measure is ``m ~ N(0, base_scale^2)``, ``s ~ LogNormal(log
    initial_scale, 1)``. Where sticks and atoms are point estimates, as in a VAE, these densities
    make them maxima a posteriori: the sticks by their logits, in which the density of
    Beta(1, concentration) is bounded whatever the concentration.

    References:
        Sethuraman 1994, "A constructive definition of Dirichlet priors", eq. 1.1; Ishwaran & James
        2001, "Gibbs sampling methods for stick-breaking priors", section 3.2, for the truncation.
    """

    Options = StickBreakingOptions
    options: StickBreakingOptions

    def parameters(
        self, shape: Any, name: str | None = None, dtype: str = "float32"
    ) -> Mapping[str, Parameter]:
        """``stick_logits [K - 1]`` of the v_k, ``loc`` and ``scale`` ``[K, *shape]``."""
        options, count = self.options, self.options.components
        each = (count, *static_shape(shape))
        sticks = LogitBeta(options.concentration, dtype)
        loc = tfd.Normal(tf.constant(0.0, dtype), tf.constant(options.base_scale, dtype))
        middle = tf.constant(math.log(options.initial_scale), dtype)
        scale = tfd.LogNormal(middle, tf.constant(1.0, dtype))
        return {
            "stick_logits": Parameter(
                shape=(count - 1,),
                initial=lambda key: equal_sticks(count, dtype),
                prior=tfd.Sample(sticks, (count - 1,)),
            ),
            "loc": drawn(each, options.spread, dtype, prior=tfd.Sample(loc, each)),
            "scale": positive(each, options.initial_scale, dtype, prior=tfd.Sample(scale, each)),
        }

    def joint(self, shape: tuple[int, ...], dtype: str, **values: tf.Tensor) -> tfd.Distribution:
        """See LearnedPrior."""
        return DiagonalMixture(log_weights(values["stick_logits"]), values["loc"], values["scale"])


def log_weights(stick_logits: tf.Tensor) -> tf.Tensor:
    """``log pi_k = log v_k + sum_{j<k} log(1 - v_j)`` of the logits of v, with ``v_K = 1``.

    Args:
        stick_logits: ``[..., K - 1]``.

    Returns:
        ``[..., K]``; the weights sum to one.
    """
    zero = tf.zeros_like(stick_logits[..., :1])
    broken = tf.concat([tf.math.log_sigmoid(stick_logits), zero], axis=-1)
    left = tf.cumsum(tf.math.log_sigmoid(-stick_logits), axis=-1)  # log(1 - v) = log sigmoid(-l)
    return broken + tf.concat([zero, left], axis=-1)


def equal_sticks(components: int, dtype: str) -> tf.Tensor:
    """Logits of ``v_k = 1 / (K - k + 1)``, which give equal weights: ``[K - 1]``."""
    return -tf.math.log(tf.cast(tf.range(components - 1, 0, -1), dtype))
