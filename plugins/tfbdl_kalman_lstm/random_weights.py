"""RandomWeights: the part of LSTMKalman whose motion has a posterior over its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfbdl import random
from tfbdl.inference.surrogate import MeanField, read
from tfbdl.posterior import SurrogatePosterior
from tfbdl.protocols import Params


class RandomWeights:
    """A mean-field posterior over the weights of lstm_A, a mixin of LSTMKalman.

    Attributes:
        bayesian: Whether the weights are random; else there is no surrogate.
        draws: Of the weights, in a filter.
        prior_scale: Standard deviation of their normal prior.
        surrogate: The posterior; its sites have the names of lstm_A's weights.
    """

    bayesian: bool
    draws: int
    prior_scale: float
    surrogate: MeanField
    rng_seed: keras.Variable
    dtype: Any

    @property
    def posterior(self) -> SurrogatePosterior | None:
        """The posterior of lstm_A's weights as it stands; None where they are not random."""
        return SurrogatePosterior(self) if self.bayesian else None  # type: ignore[arg-type]

    def prior_of(self, site: str, params: Params) -> tfd.Distribution:
        """The normal prior of a site."""
        shape = tuple(self.surrogate.locs[site].shape)
        zero = tf.zeros((), self.dtype)
        return tfd.Sample(tfd.Normal(zero, tf.cast(self.prior_scale, self.dtype)), shape)

    def filter_draws(self) -> list[tf.Tensor]:
        """The draws of lstm_A's weights that a filter runs with; none where they are not random."""
        if not self.bayesian:
            return []
        keys = random.split(random.key(read(self.rng_seed), "weights of a filter"), self.draws)
        drawn = self.surrogate.sample(keys)
        return [drawn[name] for name in self.surrogate.site_names]

    def weights_kl(self) -> tf.Tensor:
        """KL of the posterior of lstm_A's weights from their prior, in nats."""
        total = tf.zeros((), self.dtype)
        locations, scales = self.surrogate.mean(), self.surrogate.stddev()
        for name, location in locations.items():
            ratio = tf.square(scales[name] / self.prior_scale)
            shift = tf.square(location / self.prior_scale)
            total += 0.5 * tf.reduce_sum(ratio + shift - 1.0 - tf.math.log(ratio))
        return total

    # -- what SurrogatePosterior asks of a model ------------------------------------------------

    @property
    def learned(self) -> Mapping[str, Any]:
        """No site has a bijector."""
        return {}

    def learned_values(self, params: Params) -> dict[str, tf.Tensor]:
        """Nothing is a point estimate beside the sites."""
        return {}

    def constrained(self, draw: Params) -> dict[str, tf.Tensor]:
        """The draw itself."""
        return dict(draw)
