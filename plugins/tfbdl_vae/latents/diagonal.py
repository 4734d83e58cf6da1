"""Independent normals, one for each latent dimension."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfbdl import Config, distributions

from .base import Draw, LatentPosterior, epsilon
from .noise import log_standard_normal, standard_normal


class LocScale(NamedTuple):
    """Mean and standard deviation of each latent dimension, ``[n, d]``."""

    loc: tf.Tensor
    scale: tf.Tensor


class Diagonal(LatentPosterior):
    """``q(z | x) = N(z; mu(x), diag(sigma(x)^2))`` (Kingma & Welling 2014, eq. 9).

    The encoder ends in ``2 d`` units: the mean, then the raw scale, whose softplus is sigma.
    """

    family: ClassVar[str] = "diagonal"

    def __init__(self, latent_dim: int, options: Config, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(latent_dim, options, seed, **kwargs)
        self.units = 2 * latent_dim

    def parameters(self, outputs: tf.Tensor) -> LocScale:
        """See LatentPosterior."""
        loc, raw = tf.split(outputs, 2, axis=-1)
        return LocScale(loc, tf.math.softplus(raw) + epsilon(raw.dtype))

    def draw(self, parameters: LocScale, keys: tf.Tensor) -> Draw:
        """See LatentPosterior: ``z = mu + sigma * eps``."""
        eps = standard_normal(keys, parameters.loc)
        z = parameters.loc + parameters.scale * eps
        log_q = log_standard_normal(eps) - tf.reduce_sum(tf.math.log(parameters.scale), axis=-1)
        return Draw(z, log_q)

    def log_prob(self, parameters: LocScale, z: tf.Tensor) -> tf.Tensor:
        """See LatentPosterior."""
        eps = (z - parameters.loc) / parameters.scale
        return log_standard_normal(eps) - tf.reduce_sum(tf.math.log(parameters.scale), axis=-1)

    def mean(self, parameters: LocScale) -> tf.Tensor:
        """See LatentPosterior."""
        return parameters.loc

    def kl(self, parameters: LocScale, prior: Any) -> tf.Tensor | None:
        """See LatentPosterior; for N(0, I) it is appendix B of Kingma & Welling 2014."""
        normal = distributions.as_normal(prior)
        if normal is None:
            return None
        ratio = tf.square(parameters.scale / normal.scale)
        distance = tf.square((parameters.loc - normal.loc) / normal.scale)
        return 0.5 * (distance + ratio - 1.0 - tf.math.log(ratio))

    def distribution(self, parameters: LocScale) -> tfd.Distribution:
        """See LatentPosterior."""
        return tfd.MultivariateNormalDiag(parameters.loc, parameters.scale)
