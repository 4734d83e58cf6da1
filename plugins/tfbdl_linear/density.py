"""The joint density of weights, precisions and targets, for the engines that take one.

``log p(t | w, w_0, beta) + log p(w | alpha) + log p(alpha) + log p(beta)``, and a flat prior of
the intercept. Precisions that are numbers are no sites.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfbdl import random
from tfbdl.protocols import Site

from .regression import BasisRegression

tfb, tfd = tfp.bijectors, tfp.distributions

Hyperprior = float | tuple[float, float]
"""A precision, or shape and rate of its gamma prior."""


@dataclass(frozen=True)
class WeightPrior:
    """``w ~ N(mean, covariance / alpha)``, or ``/ (alpha beta)`` if ``scaled``.

    Attributes:
        mean: ``[M]``.
        factor: L with ``L L' = covariance``, ``[M, M]``; None: the identity.
        alpha, beta: Each a number or shape and rate.
        scaled: Whether the covariance is divided by beta too.
    """

    mean: np.ndarray
    factor: np.ndarray | None
    alpha: Hyperprior
    beta: Hyperprior
    scaled: bool = False


class JointDensity(BasisRegression):
    """A linear regression with capability ``log_joint``; a subclass says what the prior is."""

    num_data: int | None = None

    def weight_prior(self) -> WeightPrior:
        """The prior over weights and precisions.

        Raises:
            NotImplementedError: In this base class.
        """
        raise NotImplementedError

    @property
    def sites(self) -> tuple[Site, ...]:
        """``weights [M]`` (or ``[M, k]``), ``intercept``, and precisions that are not numbers."""
        shape, prior = self.target_shape, self.weight_prior()
        found = [Site("weights", (self.basis.num_columns, *shape), None, self.dtype)]
        if self.options.intercept:
            found.append(Site("intercept", shape, None, self.dtype))
        for name, value in (("alpha", prior.alpha), ("beta", prior.beta)):
            if isinstance(value, tuple):
                found.append(Site(name, (), tfb.Exp(), self.dtype))
        return tuple(found)

    def init(self, seed: int) -> dict[str, tf.Tensor]:
        """Weights near zero, the intercept at the mean of the targets, noise as large as they."""
        y_mean, y_std = (
            np.asarray(moment or [default], np.float64)
            for moment, default in ((self.info and self.info.y_mean, 0.0), (self._y_std, 1.0))
        )
        start: dict[str, tf.Tensor] = {}
        for site in self.sites:
            jitter = random.normal(site.shape, random.key(seed, "start", site.name), self.dtype)
            if site.name == "intercept":
                level = tf.constant(y_mean.reshape(site.shape), self.dtype)
                start[site.name] = level + 0.1 * float(y_std.mean()) * jitter
            elif site.name == "beta":
                start[site.name] = float((y_std**-2).mean()) * tf.exp(0.1 * jitter)
            else:
                start[site.name] = tf.exp(jitter) if site.name == "alpha" else 0.01 * jitter
        return start

    def log_joint(self, params: Mapping[str, tf.Tensor], batch: Any) -> tf.Tensor:
        """``log_prior(params) + num_data * mean(log_lik)``, in nats, without Jacobians."""
        x, y = batch
        prior, outputs = self.weight_prior(), self.outputs(params, x)
        targets = tf.cast(tf.reshape(y, tf.shape(outputs)), outputs.dtype)
        beta = self.noise_precision(params)
        count = self.num_data or (self.info.num_rows if self.info else None)
        rows = tf.cast(tf.shape(outputs)[0], outputs.dtype)
        misfit = tf.reduce_sum((targets - outputs) ** 2) / rows
        normalizer = self.num_targets * (tf.math.log(beta) - math.log(2.0 * math.pi))
        total = 0.5 * (rows if count is None else float(count)) * (normalizer - beta * misfit)
        total += self._log_weights(params, prior)
        for name, value in (("alpha", prior.alpha), ("beta", prior.beta)):
            if isinstance(value, tuple):
                shape, rate = (tf.constant(v, self.dtype) for v in value)
                total += tfd.Gamma(shape, rate).log_prob(params[name])  # rate, not scale
        return total

    def noise_precision(self, params: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """The precision of the noise under one state."""
        return _value("beta", self.weight_prior().beta, params, self.dtype)

    def _log_weights(self, params: Mapping[str, tf.Tensor], prior: WeightPrior) -> tf.Tensor:
        """``log p(w | alpha, beta)``."""
        size = self.basis.num_columns
        precision = _value("alpha", prior.alpha, params, self.dtype)
        if prior.scaled:
            precision *= self.noise_precision(params)
        weights = tf.reshape(params["weights"], [size, self.num_targets])
        centred = weights - tf.constant(prior.mean[:, np.newaxis], self.dtype)
        log_det = 0.0
        if prior.factor is not None:
            centred = tf.linalg.triangular_solve(tf.constant(prior.factor, self.dtype), centred)
            log_det = 2.0 * float(np.log(np.diagonal(prior.factor)).sum())
        each = size * (tf.math.log(precision) - math.log(2.0 * math.pi)) - log_det
        return 0.5 * (self.num_targets * each - precision * tf.reduce_sum(centred**2))

    @property
    def _y_std(self) -> tuple[float, ...] | None:
        return None if self.info is None else self.info.y_std


def _value(name: str, value: Hyperprior, params: Mapping[str, tf.Tensor], dtype: str) -> tf.Tensor:
    return params[name] if isinstance(value, tuple) else tf.constant(value, dtype)
