"""Noise from a mixture of Gaussians of which weights, means and covariances are learned."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfbdl import random
from tfbdl.distributions import Prior
from tfbdl.inference.reparameterizations import concrete, gumbel_of_uniform
from tfbdl.inference.surrogate import read

from .base import Draw
from .registered import RegisteredLatents


@keras.saving.register_keras_serializable(package="tfbdl_bayesian_gan")
class MixtureLatents(RegisteredLatents):
    r"""``p(z) = sum_k pi_k N(z; m_k, S_k)`` of a registered prior whose distribution is a mixture.

    The prior gives weights ``pi``, means ``m_k`` and standard deviations ``s_k``. With
    ``covariance="full"`` each component learns a unit lower-triangular ``L_k`` besides, and
    ``S_k = diag(s_k) L_k L_k^T diag(s_k)``.

    The gradient of an expectation with respect to means and covariances is pathwise: given its
    component, ``z = m_k + diag(s_k) L_k e``. With respect to the weights it is

    - ``score``: the score function of the component, carried by the weights of ``draw``. It is
      unbiased. The components of a draw are a systematic sample in random order, of counts within
      one of ``n pi_k``, so no baseline is needed; ``sample`` alone has no gradient of the weights.
    - ``gumbel``: through ``z``, by a straight-through Gumbel-softmax. ``sample`` and ``draw`` both
      have it. It is biased: it reads the loss at a component from its slope at another.

    Args:
        prior: Its distribution has ``logits [K]``, ``loc`` and ``scale`` ``[K, d]``.
        latent_dim: Of z.
        covariance: ``diagonal`` or ``full``.
        weights_gradient: ``score`` or ``gumbel``.
        temperature: Of the Gumbel-softmax.
        weights_rate: See RegisteredLatents. Below one, components find their modes before their
            weights decide which of them count.
        seed: Of starts that are drawn.

    References:
        Huang et al. 2021, "GAN-Based Gaussian Mixture Model Responsibility Learning"; Glynn 1990,
        "Likelihood ratio gradient estimation", for the score; Jang et al. 2017, "Categorical
        reparameterization with Gumbel-softmax", section 2.2.
    """

    def __init__(
        self,
        prior: Prior,
        latent_dim: int,
        *,
        covariance: str = "diagonal",
        weights_gradient: str = "score",
        temperature: float = 0.5,
        weights_rate: float = 0.2,
        seed: int = 0,
    ) -> None:
        super().__init__(
            prior,
            latent_dim,
            weights_rate=weights_rate,
            covariance=covariance,
            weights_gradient=weights_gradient,
            temperature=temperature,
            seed=seed,
        )
        self.covariance, self.weights_gradient = covariance, weights_gradient
        self.temperature = temperature
        self.coupling = None
        if covariance == "full":
            shape = (self.num_components, latent_dim, latent_dim)
            self.coupling = self.add_weight(
                name="coupling", shape=shape, initializer="zeros", autocast=False
            )

    @property
    def num_components(self) -> int:
        """K."""
        return int(self.distribution().loc.shape[0])

    def log_weights(self) -> tf.Tensor:
        """``log pi``: ``[K]``."""
        return tf.nn.log_softmax(self.distribution().logits)

    def means(self) -> tf.Tensor:
        """``m``: ``[K, d]``."""
        return self.distribution().loc

    def factors(self) -> tf.Tensor:
        """Lower-triangular roots of the covariances: ``[K, d, d]``."""
        scale = self.distribution().scale
        if self.coupling is None:
            return tf.linalg.diag(scale)
        couplings = tf.linalg.band_part(read(self.coupling), -1, 0)
        unit = tf.linalg.set_diag(couplings, tf.ones_like(scale))
        return scale[..., tf.newaxis] * unit

    def covariances(self) -> tf.Tensor:
        """``S``: ``[K, d, d]``."""
        root = self.factors()
        return tf.matmul(root, root, transpose_b=True)

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """See LatentPrior."""
        return tf.reduce_logsumexp(self.log_joint(z), axis=-1)

    def log_joint(self, z: tf.Tensor) -> tf.Tensor:
        """``log pi_k N(z; m_k, S_k)`` of ``z [..., d]``: ``[..., K]``."""
        away = tf.convert_to_tensor(z)[..., tf.newaxis, :] - self.means()
        if self.coupling is None:
            scale = self.distribution().scale
            standard = away / scale
        else:
            root = self.factors()
            scale = tf.linalg.diag_part(root)
            inverse = tf.linalg.triangular_solve(root, tf.eye(self.latent_dim, dtype=z.dtype))
            standard = tf.einsum("kij,...kj->...ki", inverse, away)
        log_norm = tf.reduce_sum(tf.math.log(scale), axis=-1)
        log_norm += 0.5 * self.latent_dim * math.log(2.0 * math.pi)
        return self.log_weights() - log_norm - 0.5 * tf.reduce_sum(tf.square(standard), axis=-1)

    def responsibilities(self, z: tf.Tensor) -> tf.Tensor:
        """``p(k | z)``, by Bayes' rule: ``[..., K]`` (Bishop 2006, eq. 9.13)."""
        return tf.nn.softmax(self.log_joint(tf.convert_to_tensor(z, self.dtype)), axis=-1)

    def components_used(self, share: float = 0.02) -> int:
        """How many components have a weight of at least ``share``."""
        return int((np.exp(self.log_weights()) >= share).sum())

    def sample(self, n: Any, keys: tf.Tensor) -> tf.Tensor:
        """See LatentPrior."""
        which, where = tf.unstack(random.split(keys, 2))
        if self.weights_gradient == "gumbel":
            return self._relaxed(n, which, where)[0]
        return self._at(self._components(random.uniform([n], which, "float64")), n, where)

    def draw(self, n: Any, keys: tf.Tensor) -> Draw:
        """See LatentPrior."""
        which, where = tf.unstack(random.split(keys, 2))
        if self.weights_gradient == "gumbel":
            z, k = self._relaxed(n, which, where)
            return Draw(z, tf.ones_like(z[:, 0]), k)
        order = tf.argsort(random.uniform([n], random.fold_in(which, "order")))
        strata = tf.cast(order, tf.float64) + random.uniform((), which, "float64")
        k = self._components(strata / tf.cast(n, tf.float64))
        chosen = tf.one_hot(k, self.num_components, dtype=self.dtype)
        log_pi = tf.linalg.matvec(chosen, self.log_weights())
        return Draw(self._at(k, n, where), tf.exp(log_pi - tf.stop_gradient(log_pi)), k)

    def _components(self, u: tf.Tensor) -> tf.Tensor:
        """Components at the quantiles ``u [n]``."""
        edges = tf.cumsum(tf.exp(tf.cast(tf.stop_gradient(self.log_weights()), tf.float64)))
        k = tf.searchsorted(edges, u * edges[-1], side="right")
        return tf.minimum(k, self.num_components - 1)

    def _at(self, k: tf.Tensor, n: Any, key: tf.Tensor) -> tf.Tensor:
        """``m_k + diag(s_k) L_k e``."""
        noise = random.normal([n, self.latent_dim], key, self.dtype)
        chosen = tf.one_hot(k, self.num_components, dtype=noise.dtype)
        # Products, not gathers: optimisers treat the gradient of a gather as sparse
        if self.coupling is None:
            noise *= tf.matmul(chosen, self.distribution().scale)
        else:
            noise = tf.einsum("nk,kij,nj->ni", chosen, self.factors(), noise)
        return tf.matmul(chosen, self.means()) + noise

    def _relaxed(self, n: Any, which: tf.Tensor, where: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws and their components; the gradient of the choice is that of a softmax."""
        u = random.uniform([n, self.num_components], which, self.dtype)
        logits = self.log_weights() + gumbel_of_uniform(u)
        k = tf.argmax(logits, axis=-1, output_type=tf.int32)
        choice = concrete.through(tf.nn.softmax(logits / self.temperature), logits)
        noise = random.normal([n, self.latent_dim], where, self.dtype)
        each = self.means() + tf.einsum("kij,nj->nki", self.factors(), noise)
        return tf.einsum("nk,nkd->nd", choice, each), k


def is_mixture(distribution: tfd.Distribution) -> bool:
    """Whether a distribution of vectors is a mixture of Gaussians with independent elements."""
    logits, loc, scale = (getattr(distribution, name, None) for name in ("logits", "loc", "scale"))
    if logits is None or loc is None or scale is None:
        return False
    return logits.shape.rank == 1 and loc.shape.rank == 2 and loc.shape == scale.shape
