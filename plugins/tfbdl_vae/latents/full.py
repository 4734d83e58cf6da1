"""A normal with a covariance between the latent dimensions."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import distributions as tfd

from tfbdl import Config, distributions

from .base import Draw, LatentPosterior, epsilon
from .noise import log_standard_normal, standard_normal


class LocTril(NamedTuple):
    """Mean ``[n, d]`` and Cholesky factor of the covariance ``[n, d, d]``."""

    loc: tf.Tensor
    tril: tf.Tensor


class Full(LatentPosterior):
    """``q(z | x) = N(z; mu(x), L(x) L(x)')`` (Kingma & Welling 2019, section 2.5.1).

    The encoder ends in ``d + d (d + 1) / 2`` units: the mean, then the lower triangle of L in the
    order of ``tfp.math.fill_triangular``; the softplus of its diagonal is that of L.
    """

    family: ClassVar[str] = "full"

    def __init__(self, latent_dim: int, options: Config, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(latent_dim, options, seed, **kwargs)
        self.units = latent_dim + latent_dim * (latent_dim + 1) // 2

    def parameters(self, outputs: tf.Tensor) -> LocTril:
        """See LatentPosterior."""
        loc, raw = outputs[..., : self.latent_dim], outputs[..., self.latent_dim :]
        tril = tfp.math.fill_triangular(raw)
        diagonal = tf.math.softplus(tf.linalg.diag_part(tril)) + epsilon(raw.dtype)
        return LocTril(loc, tf.linalg.set_diag(tril, diagonal))

    def draw(self, parameters: LocTril, keys: tf.Tensor) -> Draw:
        """See LatentPosterior: ``z = mu + L eps``."""
        eps = standard_normal(keys, parameters.loc)
        z = parameters.loc + tf.einsum("nij,snj->sni", parameters.tril, eps)
        return Draw(z, log_standard_normal(eps) - _log_det(parameters.tril))

    def log_prob(self, parameters: LocTril, z: tf.Tensor) -> tf.Tensor:
        """See LatentPosterior."""
        columns = tf.transpose(z - parameters.loc, [1, 2, 0])
        eps = tf.linalg.triangular_solve(parameters.tril, columns)  # [n, d, S]
        return log_standard_normal(tf.transpose(eps, [2, 0, 1])) - _log_det(parameters.tril)

    def mean(self, parameters: LocTril) -> tf.Tensor:
        """See LatentPosterior."""
        return parameters.loc

    def kl(self, parameters: LocTril, prior: Any) -> tf.Tensor | None:
        """See LatentPosterior: ``[n, 1]``, for it does not part into latent dimensions."""
        normal = distributions.as_normal(prior)
        if normal is None:
            return None
        scale = normal.scale * tf.ones_like(parameters.loc)
        variance = tf.reduce_sum(tf.square(parameters.tril), axis=-1)  # diagonal of L L'
        moments = (variance + tf.square(parameters.loc - normal.loc)) / tf.square(scale)
        log_ratio = tf.math.log(tf.linalg.diag_part(parameters.tril) / scale)
        return tf.reduce_sum(0.5 * (moments - 1.0) - log_ratio, axis=-1, keepdims=True)

    def distribution(self, parameters: LocTril) -> tfd.Distribution:
        """See LatentPosterior."""
        return tfd.MultivariateNormalTriL(parameters.loc, parameters.tril)


def _log_det(tril: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.math.log(tf.linalg.diag_part(tril)), axis=-1)
