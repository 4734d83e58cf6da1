"""The evidence lower bound of one row, its estimators and their gradients: pure functions.

With draws z_s of q(z | x), s = 1..S, and weights ``log w_s = log p(x | z_s) + log p(z_s) -
log q(z_s | x)``:

- SGVB-A (Kingma & Welling 2014, eq. 6): ``mean_s log w_s``;
- SGVB-B (eq. 7): ``mean_s log p(x | z_s) - KL(q || p)``, the KL in closed form;
- the importance-weighted bound (Burda et al. 2016, eq. 8): ``log mean_s w_s``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf


class Terms(NamedTuple):
    """What draws say of each row, in nats.

    Attributes:
        log_lik: ``log p(x | z)``: ``[S, n]``.
        kl: KL(q(z | x) || p(z)), exact or estimated: ``[n]``.
        kl_parts: The same by latent dimension ``[n, d]`` (``[n, 1]`` where it does not part), in
            closed form; None where there is none.
        log_ratio: ``log p(z) - log q(z | x)``: ``[S, n]``; None where nothing needs it.
    """

    log_lik: tf.Tensor
    kl: tf.Tensor
    kl_parts: tf.Tensor | None
    log_ratio: tf.Tensor | None

    @property
    def reconstruction(self) -> tf.Tensor:
        """``E_q[log p(x | z)]``, estimated: ``[n]``."""
        return tf.reduce_mean(self.log_lik, axis=0)

    @property
    def elbo(self) -> tf.Tensor:
        """The bound itself, whatever training weighs: ``[n]``."""
        return self.reconstruction - self.kl


def importance_weighted(log_w: tf.Tensor) -> tf.Tensor:
    """``log mean_s w_s`` of ``log_w [S, n]``: ``[n]`` (Burda et al. 2016, eq. 8)."""
    draws = tf.cast(tf.shape(log_w)[0], log_w.dtype)
    return tf.reduce_logsumexp(log_w, axis=0) - tf.math.log(draws)


def free(kl: tf.Tensor, nats: tf.Tensor) -> tf.Tensor:
    """``sum_j max(nats, KL_j)``: the first nats of each part cost nothing.

    Args:
        kl: A mean over rows for each part, ``[d]``.
        nats: Of each part.

    References:
        Kingma et al. 2016, "Improving variational inference with inverse autoregressive flow",
        eq. 15.
    """
    return tf.reduce_sum(tf.maximum(kl, nats))


class DoublyReparameterised:
    """The gradient of Tucker et al. 2019 (eq. 8), whose noise does not grow with S.

    The density of q is held constant where it is evaluated, so that the encoder learns through z
    alone. With ``log w = log p(x | z) + b (log p(z) - log q(z | x))``, whose normalised weights are
    v, each draw counts there with ``(1 - b) v + b v^2``: v itself is of the bound, and the score of
    q, of which there is b, has the mean of ``(v - v^2)`` times the path's derivative. At b = 1 this
    is the paper's square. In the decoder a draw counts with v. The weights are known only after z
    was used, so the factor ``1 - b + b v`` is put in on the way back.

    Use ``z = hook(z)`` before p and q see it, and ``objective(log_w, b)`` in the bound's place: its
    value is the bound's, its gradient is this one.
    """

    def __init__(self) -> None:
        self.factor: tf.Tensor | None = None

    def hook(self, z: tf.Tensor) -> tf.Tensor:
        """``z [S, n, d]``, whose gradient will be multiplied by the factor of each draw."""

        @tf.custom_gradient
        def identity(value: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
            def gradient(upstream: tf.Tensor) -> tf.Tensor:
                assert self.factor is not None, "objective(log_w) was not part of the loss"
                return upstream * self.factor[..., tf.newaxis]

            return tf.identity(value), gradient

        return identity(z)

    def objective(self, log_w: tf.Tensor, weight: tf.Tensor | float = 1.0) -> tf.Tensor:
        """The importance-weighted bound ``[n]``, with this gradient.

        Args:
            log_w: ``[S, n]``.
            weight: How often ``log p(z) - log q(z | x)`` is in it: b.
        """
        normalised = tf.stop_gradient(tf.nn.softmax(log_w, axis=0))
        weight = tf.cast(weight, log_w.dtype)
        self.factor = 1.0 - weight + weight * normalised
        surrogate = tf.reduce_sum(normalised * log_w, axis=0)
        return surrogate + tf.stop_gradient(importance_weighted(log_w) - surrogate)


class RunningLogMean(NamedTuple):
    """``log mean_s exp(log_w_s)``, taken in block by block.

    Attributes:
        peak: The largest term so far, ``[n]``.
        total: The sum of all terms over the largest, ``[n]``.
        count: How many terms.
    """

    peak: tf.Tensor
    total: tf.Tensor
    count: tf.Tensor

    @classmethod
    def zeros(cls, rows: Any, dtype: str = "float64") -> RunningLogMean:
        """Before the first block of so many rows."""
        low = tf.fill([rows], tf.cast(-math.inf, dtype))
        return cls(low, tf.zeros([rows], dtype), tf.zeros((), dtype))

    def update(self, log_w: tf.Tensor, used: tf.Tensor) -> RunningLogMean:
        """Take in ``log_w [S, n]``, or those of its draws that count: ``used [S]``."""
        log_w = tf.cast(log_w, self.peak.dtype)
        log_w = tf.where(used[:, tf.newaxis], log_w, tf.cast(-math.inf, log_w.dtype))
        peak = tf.maximum(self.peak, tf.reduce_max(log_w, axis=0))
        shift = tf.where(tf.math.is_finite(peak), peak, tf.zeros_like(peak))  # no -inf - -inf
        before = tf.math.multiply_no_nan(self.total, tf.exp(self.peak - shift))
        total = before + tf.reduce_sum(tf.exp(log_w - shift), axis=0)
        count = self.count + tf.cast(tf.math.count_nonzero(used), peak.dtype)
        return RunningLogMean(peak, total, count)

    def value(self) -> tf.Tensor:
        """``[n]``."""
        return self.peak + tf.math.log(self.total) - tf.math.log(self.count)
