"""DiagonalMixture: a mixture of Gaussians with independent elements, fast for many components."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf
from tensorflow_probability import random as tfp_random

from tfbdl import random
from tfbdl.distributions import TensorDistribution


class DiagonalMixture(TensorDistribution):
    """``p(z) = sum_k pi_k prod_j N(z_j; m_kj, s_kj^2)`` over a tensor of any shape.

    The exponents of all points and components come from two matrix products, after
    ``(z - m)^2 / s^2 = z^2 / s^2 - 2 z m / s^2 + m^2 / s^2``. The three terms cancel, so they are
    computed in float64; no array holds points times components times elements.

    Args:
        logits: Of the weights pi, ``[K]``.
        loc: Means, ``[K, *shape]``.
        scale: Standard deviations, ``[K, *shape]``.
    """

    def __init__(self, logits: tf.Tensor, loc: tf.Tensor, scale: tf.Tensor) -> None:
        parameters = {"logits": logits, "loc": loc, "scale": scale}
        self.logits, self.loc, self.scale = logits, loc, scale
        super().__init__(loc.dtype, parameters, loc.shape[1:])

    def _log_prob(self, z: tf.Tensor) -> tf.Tensor:
        rank = self.loc.shape.rank - 1
        outer = tf.shape(z)[: tf.rank(z) - rank]
        logs = self._log_joint(tf.reshape(z, [-1, math.prod(self.loc.shape[1:])]))
        static = z.shape[: z.shape.rank - rank] if z.shape.rank is not None else None
        return tf.ensure_shape(tf.reshape(tf.reduce_logsumexp(logs, axis=-1), outer), static)

    def _log_joint(self, z: tf.Tensor) -> tf.Tensor:
        """``log pi_k N(z; m_k, diag(s_k^2))`` of ``z [n, D]``: ``[n, K]``."""
        components, size = self.loc.shape[0], z.shape[-1]
        loc, scale = (
            tf.cast(tf.reshape(part, [components, size]), tf.float64)
            for part in (self.loc, self.scale)
        )
        wide = tf.cast(z, tf.float64)
        precision = 1.0 / tf.square(scale)
        distance = (
            tf.matmul(tf.square(wide), precision, transpose_b=True)
            - 2.0 * tf.matmul(wide, precision * loc, transpose_b=True)
            + tf.reduce_sum(precision * tf.square(loc), axis=-1)
        )
        log_norm = tf.reduce_sum(tf.math.log(scale), axis=-1) + 0.5 * size * math.log(2.0 * math.pi)
        log_pi = tf.nn.log_softmax(tf.cast(self.logits, tf.float64))
        return tf.cast(log_pi - log_norm - 0.5 * distance, self.dtype)

    def _sample_n(self, n: Any, seed: Any = None) -> tf.Tensor:
        which, where = tf.unstack(random.split(tfp_random.sanitize_seed(seed), 2))
        edges = tf.cumsum(tf.nn.softmax(tf.cast(self.logits, tf.float64)))
        u = random.uniform([n], which, tf.float64)
        index = tf.searchsorted(edges, u * edges[-1], side="right")
        index = tf.minimum(index, self.loc.shape[0] - 1)
        noise = random.normal([n, *self.loc.shape[1:]], where, self.dtype)
        return tf.gather(self.loc, index) + tf.gather(self.scale, index) * noise

    def _mean(self) -> tf.Tensor:
        return tf.tensordot(tf.nn.softmax(self.logits), self.loc, 1)

    def _variance(self) -> tf.Tensor:
        away = tf.square(self.loc - self._mean())
        return tf.tensordot(tf.nn.softmax(self.logits), tf.square(self.scale) + away, 1)
