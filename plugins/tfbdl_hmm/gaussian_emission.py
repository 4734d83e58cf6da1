"""Gaussian observations, as the model asks for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import distributions as tfd

from tfbdl import random
from tfbdl.errors import ModelError, OptionsError
from tfbdl.protocols import Site

from . import conjugate, gaussian, starts
from .conjugate import NormalInverseWishart
from .emissions import Params

tfb = tfp.bijectors


class GaussianEmission:
    """Vectors of real numbers.

    Args:
        options: See HMMOptions.
        size: d, or None if it is not known yet.
    """

    names: tuple[str, ...] = ("means", "covariances")

    def __init__(self, options: Any, size: int | None) -> None:
        self.options, self.size = options, size
        self.diagonal = options.covariance == "diagonal"
        self.log_prob = _diagonal_log_prob if self.diagonal else _full_log_prob
        self.origin: Any = 0.0  # of the statistics: near the data, so that they keep their digits

    def observed(self, y: tf.Tensor) -> tf.Tensor:
        return gaussian.observed(y)

    def statistics(self, y: tf.Tensor, weights: tf.Tensor) -> dict[str, tf.Tensor]:
        return gaussian.statistics(y, weights, tf.cast(self.origin, y.dtype))

    def m_step(self, statistics: Params) -> dict[str, tf.Tensor]:
        origin = tf.cast(self.origin, statistics["total"].dtype)
        means, covariances = gaussian.m_step(
            statistics, origin, self.options.variance_floor, self.diagonal
        )
        return {"means": means, "covariances": covariances}

    def start(self, y: np.ndarray, method: str, seed: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        k = self.options.num_states
        there = ~np.isnan(y).any(axis=-1)
        points = y[there].astype(np.float64)
        if method == "random":
            means = points[rng.choice(len(points), size=k, replace=len(points) < k)]
            spread, chain = points - points.mean(axis=0), starts.random_chain(k, rng)
        else:
            found = starts.k_means(points, k, rng)
            means = np.stack(
                [points[found == j].mean(axis=0) if (found == j).any() else points.mean(axis=0)
                 for j in range(k)]
            )  # fmt: skip
            labels = np.full(there.shape, -1)
            labels[there] = found
            spread, chain = points - means[found], starts.chain_of_labels(labels, k)
        # One covariance for all states: a state of a single observation has none of its own.
        covariance = spread.T @ spread / len(points)
        if self.diagonal:
            covariance = np.diag(np.diag(covariance))
        values, vectors = np.linalg.eigh(covariance)
        values = np.maximum(values, max(self.options.variance_floor, 1e-3 * values.max()))
        covariance = (vectors * values) @ vectors.T
        return {**chain, "means": means, "covariances": np.stack([covariance] * k)}

    def sample(self, params: Params, states: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        means, factors = params["means"], tf.linalg.cholesky(params["covariances"])
        noise = random.normal((*states.shape, means.shape[-1]), key, means.dtype)
        return tf.gather(means, states) + tf.linalg.matvec(tf.gather(factors, states), noise)

    def distribution(self, params: Params, probs: tf.Tensor) -> tfd.Distribution:
        factors = tf.linalg.cholesky(params["covariances"])
        normals = tfd.MultivariateNormalTriL(params["means"], factors)
        return tfd.MixtureSameFamily(tfd.Categorical(probs=probs), normals)

    def sites(self) -> tuple[Site, ...]:
        k, d = self.options.num_states, self._known_size()
        means = Site("means", (k, d), None, self.options.dtype)
        if self.diagonal:
            return (means, Site("variances", (k, d), tfb.Softplus(), self.options.dtype))
        factors = tfb.FillScaleTriL(diag_bijector=tfb.Softplus(), diag_shift=None)
        bijector = tfb.Chain([tfb.CholeskyOuterProduct(), factors])
        return (means, Site("covariances", (k, d, d), bijector, self.options.dtype))

    def init(self, mean: Any, deviation: Any, key: tf.Tensor) -> dict[str, tf.Tensor]:
        k, d, dtype = self.options.num_states, self._known_size(), self.options.dtype
        noise = random.normal((k, d), key, dtype)
        variances = tf.broadcast_to(tf.cast(deviation, dtype) ** 2, (k, d))
        means = tf.cast(mean, dtype) + tf.cast(deviation, dtype) * noise
        if self.diagonal:
            return {"means": means, "variances": variances}
        return {"means": means, "covariances": tf.linalg.diag(variances)}

    def draw(self, y: tf.Tensor, weights: tf.Tensor, key: tf.Tensor) -> dict[str, tf.Tensor]:
        prior = self.prior(y)
        sums = gaussian.statistics(y, weights, prior.m)
        niw = conjugate.posterior(prior, sums["count"], sums["total"], sums["squares"])
        means, covariances = conjugate.sample(niw, key, self.diagonal)
        return {"means": means, ("variances" if self.diagonal else "covariances"): covariances}

    def log_prior(self, params: Params, y: tf.Tensor) -> tf.Tensor:
        name = "variances" if self.diagonal else "covariances"
        return conjugate.log_prob(self.prior(y), params["means"], params[name], self.diagonal)

    def from_sites(self, params: Params) -> dict[str, np.ndarray]:
        if not self.diagonal:
            return {name: np.asarray(params[name]) for name in self.names}
        variances = np.asarray(params["variances"])
        covariances = np.stack([np.diag(row) for row in variances])
        return {"means": np.asarray(params["means"]), "covariances": covariances}

    def prior(self, y: tf.Tensor) -> NormalInverseWishart:
        """The prior of a state's parameters; what the options leave open is taken from ``y``."""
        options, d, dtype = self.options, self._known_size(), y.dtype
        there = gaussian.observed(y)[..., tf.newaxis]
        known = tf.where(there, y, tf.zeros_like(y))
        count = tf.reduce_sum(tf.cast(there, dtype))
        mean = tf.reduce_sum(known, (0, 1)) / count
        gaps = tf.where(there, y - mean, tf.zeros_like(y))
        variance = tf.reduce_sum(gaps**2, (0, 1)) / count
        variance = tf.where(variance > 0.0, variance, tf.ones_like(variance))
        least = 1 if self.diagonal else d
        nu = least + 2.0 if options.nu0 is None else options.nu0
        if nu <= least - 1:
            raise OptionsError(f"nu0 must be above {least - 1}. Received: {nu:g}.")
        m = mean if options.m0 is None else self._array("m0", options.m0, (d,), dtype)
        if options.Psi0 is None:
            Psi = tf.linalg.diag(variance)
        elif np.ndim(options.Psi0) == 1:
            Psi = tf.linalg.diag(self._array("Psi0", options.Psi0, (d,), dtype))
        else:
            Psi = self._array("Psi0", options.Psi0, (d, d), dtype)
        return NormalInverseWishart(
            m, tf.constant(options.kappa0, dtype), tf.constant(nu, dtype), Psi
        )

    def _array(self, name: str, value: Any, shape: tuple[int, ...], dtype: Any) -> tf.Tensor:
        if np.shape(value) != shape:
            raise OptionsError(
                f"{name} must have the shape {list(shape)}. Received: {list(np.shape(value))}."
            )
        return tf.constant(value, dtype)

    def _known_size(self) -> int:
        if self.size is None:
            raise ModelError("The dimension of the observations is not known. Fit it to data.")
        return self.size


def _full_log_prob(params: Params, y: tf.Tensor) -> tf.Tensor:
    return gaussian.log_prob(y, params["means"], params["covariances"], diagonal=False)


def _diagonal_log_prob(params: Params, y: tf.Tensor) -> tf.Tensor:
    covariances = params.get("covariances")
    if covariances is None:
        covariances = tf.linalg.diag(params["variances"])
    return gaussian.log_prob(y, params["means"], covariances, diagonal=True)
