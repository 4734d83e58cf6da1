"""The joint density of weights, precisions and targets, for the engines that take one.

``log p(t | w, w_0, beta) + log p(w | alpha) + log p(alpha) + log p(beta)``, and a flat prior of
the intercept. Precisions that are numbers are no sites.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfbdl import random
from tfbdl.protocols import Site

from . import evidence, roots
from .priors import Hyperprior, WeightPrior
from .regression import BasisRegression
from .ridge import decompose

tfb, tfd = tfp.bijectors, tfp.distributions

VAGUE = 1e-2
"""A gamma prior of a lesser shape cannot be meant to hold a precision by itself."""
RAN_AWAY = (
    "At the mode of weights and precisions together {name} = {value:.3g} is held by its prior "
    "alone: {why}. The normal there says little of the posterior. Give {name}, or take another "
    "engine."
)


class JointDensity(BasisRegression, abc.ABC):
    """A linear regression with capability ``log_joint``; a subclass says what the prior is."""

    num_data: int | None = None

    @abc.abstractmethod
    def weight_prior(self) -> WeightPrior:
        """The prior over weights and precisions."""

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

    def mode_start(self, batch: Any) -> dict[str, tf.Tensor]:
        """The ridge solution: weights at precisions on the scale of the data.

        The joint density of weights and precisions has, beside the mode that is sought, one at
        zero weights where alpha is as large as its prior lets it be.
        """
        prior, (columns, targets) = self.weight_prior(), self._rows_of(batch)
        centred = roots.centred(columns, targets, self.options.intercept)
        rows = len(columns) - float(self.options.intercept)
        found = decompose(centred.columns, centred.targets, rows, prior.mean, prior.factor)
        alpha, beta = _near_evidence(found.spectrum, prior)
        weights = found.mean(alpha, 1.0 if prior.scaled else beta)
        level = centred.target_means - centred.column_means @ weights
        start = {"weights": weights, "intercept": level, "alpha": alpha, "beta": beta}
        return {
            site.name: tf.constant(np.reshape(start[site.name], site.shape), self.dtype)
            for site in self.sites
        }

    def mode_notices(self, params: Mapping[str, tf.Tensor], batch: Any) -> list[str]:
        """Of precisions that at a mode are held by their vague priors, not by the data."""
        prior, beta = self.weight_prior(), float(self.noise_precision(params))
        columns, targets = self._rows_of(batch)
        weights = np.asarray(params["weights"], np.float64).reshape(columns.shape[1], -1)
        misfit = float(((targets - self.outputs(params, batch[0]).numpy()) ** 2).sum())
        centred = weights - prior.mean[:, np.newaxis]
        if prior.factor is not None:
            centred = np.linalg.solve(prior.factor, centred)
        squares = float((centred**2).sum()) * (beta if prior.scaled else 1.0)
        held = {
            "alpha": (prior.alpha, squares, "it grew as the weights vanished"),
            "beta": (prior.beta, misfit, "it grew as the noise vanished"),
        }
        return [
            RAN_AWAY.format(name=name, value=float(params[name]), why=why)
            for name, (hyper, sum_of_squares, why) in held.items()
            if isinstance(hyper, tuple) and hyper[0] < VAGUE and 0.5 * sum_of_squares < hyper[1]
        ]

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

    def prior_of(self, site: str, params: Mapping[str, tf.Tensor]) -> Any:
        """The prior of a site, of the weights given the precisions; None for the intercept."""
        prior = self.weight_prior()
        if site in ("alpha", "beta"):
            hyper = getattr(prior, site)
            if not isinstance(hyper, tuple):
                return None
            shape, rate = (tf.constant(value, self.dtype) for value in hyper)
            return tfd.Gamma(shape, rate)
        if site != "weights":
            return None
        known = {**self.params, **params}
        precision = tf.cast(_value("alpha", prior.alpha, known, self.dtype), self.dtype)
        if prior.scaled:
            precision *= tf.cast(_value("beta", prior.beta, known, self.dtype), self.dtype)
        size = self.basis.num_columns
        factor = np.eye(size) if prior.factor is None else prior.factor
        column = tfd.MultivariateNormalTriL(
            tf.constant(prior.mean, self.dtype),
            tf.constant(factor, self.dtype) / tf.sqrt(precision),
        )
        if not self.target_shape:
            return column
        # [M, k]: columns of weights are independent and alike
        sd = tf.repeat(column.stddev()[:, tf.newaxis], self.num_targets, axis=1)
        loc = tf.repeat(column.mean()[:, tf.newaxis], self.num_targets, axis=1)
        return tfd.Independent(tfd.Normal(loc, sd), 2)

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

    def _rows_of(self, batch: Any) -> tuple[np.ndarray, np.ndarray]:
        """Columns ``[n, M]`` and targets ``[n, k]`` in float64."""
        x, y = batch
        columns = self.design(x).numpy().astype(np.float64)
        return columns, np.asarray(y, np.float64).reshape(len(columns), -1)

    @property
    def _y_std(self) -> tuple[float, ...] | None:
        return None if self.info is None else self.info.y_std


def _value(name: str, value: Hyperprior, params: Mapping[str, tf.Tensor], dtype: str) -> tf.Tensor:
    return params[name] if isinstance(value, tuple) else tf.constant(value, dtype)


def _near_evidence(data: evidence.Spectrum, prior: WeightPrior) -> tuple[float, float]:
    """Precisions of the largest evidence; where it has none, as large as the data are."""
    alpha, beta = (None if isinstance(v, tuple) else v for v in (prior.alpha, prior.beta))
    if prior.scaled:
        c0, d0 = prior.beta if isinstance(prior.beta, tuple) else (1.0, 1.0)
        found = evidence.largest_conjugate_evidence(data, c0, d0)
        alpha = found.alpha if alpha is None else alpha
        rate = evidence.conjugate_rate(data, alpha, d0)
        return alpha, evidence.conjugate_shape(data, c0) / rate
    found = evidence.largest_evidence(data, alpha, beta)
    if not found.notice:
        return found.alpha, found.beta
    unit = max(data.rows, 1.0) * data.targets / data.total if data.total > 0.0 else 1.0
    size = float((data.values**2).sum()) / max(data.rows, 1.0) / data.columns
    return alpha or unit * max(size, np.finfo(float).tiny), beta or unit
