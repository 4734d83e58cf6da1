"""Metrics of a bound: the bound, its parts, KL by latent dimension, and active units."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from .bound import Terms

ACTIVE = 1e-2
"""The least variance of a latent dimension's mean over rows for it to count as active."""


class BoundMetrics(keras.metrics.Metric):
    """Means over rows of the bound and its parts, in nats.

    Args:
        latents: How many parts of the KL are shown, as ``kl_0``, ``kl_1``, ...; 0: none.
        bound: Whether what is trained is another bound, shown as ``bound``.
    """

    def __init__(self, latents: int = 0, bound: bool = False) -> None:
        super().__init__(name="bound_metrics")
        parts = tuple(f"kl_{j}" for j in range(latents))
        self.names = ("elbo", "reconstruction", "kl", *(("bound",) if bound else ()), *parts)
        self.latents, self.bound = latents, bound
        self.sums = self.add_variable((len(self.names),), "zeros", name="sums")
        self.rows = self.add_variable((), "zeros", name="rows")

    def update_state(self, terms: Terms, bound: tf.Tensor | None = None) -> None:
        """Take in the terms of a batch, and the bound of its rows ``[n]``."""
        means = [terms.elbo, terms.reconstruction, terms.kl]
        sums = tf.stack([tf.reduce_sum(value) for value in (*means, *([bound] * self.bound))])
        if self.latents:
            sums = tf.concat([sums, tf.reduce_sum(terms.kl_parts, axis=0)], axis=0)
        self.sums.assign_add(tf.cast(sums, self.sums.dtype))
        self.rows.assign_add(tf.cast(tf.shape(terms.kl)[0], self.rows.dtype))

    def result(self) -> dict[str, tf.Tensor]:
        """Name -> mean."""
        means = tf.math.divide_no_nan(tf.convert_to_tensor(self.sums), self.rows)
        return dict(zip(self.names, tf.unstack(means), strict=True))


class ActiveUnits(keras.metrics.Metric):
    """How many latent dimensions carry information: ``Var_x(E_q[z_j]) > 0.01``.

    Args:
        latent_dim: Size of z.

    References:
        Burda et al. 2016, section 5.1.
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__(name="active_units")
        exact = {"dtype": "float64"}  # the variance is a small difference of large squares
        self.moments = self.add_variable((2, latent_dim), "zeros", name="moments", **exact)
        self.rows = self.add_variable((), "zeros", name="rows", **exact)

    def update_state(self, means: Any) -> None:
        """Take in the posterior means of a batch, ``[n, d]``."""
        means = tf.cast(means, self.moments.dtype)
        sums = tf.stack([tf.reduce_sum(means, axis=0), tf.reduce_sum(tf.square(means), axis=0)])
        self.moments.assign_add(sums)
        self.rows.assign_add(tf.cast(tf.shape(means)[0], self.rows.dtype))

    def result(self) -> tf.Tensor:
        """The number of active dimensions."""
        first, second = tf.unstack(tf.math.divide_no_nan(self.moments.value, self.rows))
        return tf.reduce_sum(tf.cast(second - tf.square(first) > ACTIVE, self.dtype))
