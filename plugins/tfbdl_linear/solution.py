"""A posterior over weights in closed form: its moments, its draws, and what it predicts.

References:
    Bishop 2006, (3.49) to (3.59); with a gamma posterior over beta, exercise 3.12 and 3.13.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfbdl import random
from tfbdl.closed_form import ClosedFormPosterior, ClosedFormPredictive

from .regression import BasisRegression

tfd = tfp.distributions

TOO_FEW = (
    "The {rows:g} rows so far leave the variance of the noise infinite: predictions have "
    "quantiles and densities, but no variance. Give more rows, or a larger c0."
)


@dataclass(frozen=True, kw_only=True)
class GammaPosterior:
    """``Gamma(shape, rate)`` of a precision."""

    shape: float
    rate: float

    @property
    def mean(self) -> float:
        """Of the precision."""
        return self.shape / self.rate

    @property
    def mean_variance(self) -> float:
        """Of one over the precision; infinite where the shape is at most 1."""
        return self.rate / (self.shape - 1.0) if self.shape > 1.0 else np.inf


@dataclass(frozen=True, kw_only=True)
class Solution:
    """``w ~ N(mean, root root')`` for each target, and what is known of the noise.

    Attributes:
        model: Whose weights they are.
        mean: ``[M, k]``.
        root: Q with ``Q Q'`` the covariance ``[M, M]``, the same for each target.
        column_means, target_means: Of the training rows: ``[M]`` and ``[k]``; the intercept is
            ``target_means - column_means' w`` but for noise of precision ``beta count``.
        count: Training rows.
        beta: The noise's precision: a number, or its gamma posterior.
        scaled: Whether the weights' covariance is ``Q Q' / beta``.
        others: Further precisions with gamma posteriors of their own, by site.
    """

    model: BasisRegression
    mean: np.ndarray
    root: np.ndarray
    column_means: np.ndarray
    target_means: np.ndarray
    count: float
    beta: float | GammaPosterior
    scaled: bool = False
    others: Mapping[str, GammaPosterior] = field(default_factory=dict)

    @property
    def intercept(self) -> np.ndarray:
        """Mean of the intercept: ``[k]``."""
        return self.target_means - self.column_means @ self.mean

    @property
    def noise_variance(self) -> float:
        """The mean of one over beta."""
        return self.beta.mean_variance if isinstance(self.beta, GammaPosterior) else 1 / self.beta

    def posterior(self) -> ClosedFormPosterior:
        """Moments, draws and predictions."""
        k, shape = self.model.num_targets, self.model.target_shape
        unit = self.noise_variance if self.scaled else 1.0
        means = {"weights": self.mean.reshape(-1, *shape)}
        covariances = {"weights": np.kron(_times(unit, self.root @ self.root.T), np.eye(k))}
        if self.model.options.intercept:
            means["intercept"] = self.intercept.reshape(shape)
            level = self._spread(self.column_means[np.newaxis])[0]
            variance = _times(unit, level) + self.noise_variance / self.count
            covariances["intercept"] = _times(float(variance), np.eye(k))
        for name, gamma in self._gammas.items():
            means[name] = np.asarray(gamma.mean)
            covariances[name] = np.asarray([[gamma.shape / gamma.rate**2]])
        return ClosedFormPosterior(
            self.sample, mean=means, covariance=covariances, predictive=self.predictive
        )

    def sample(self, n: int, key: tf.Tensor) -> dict[str, tf.Tensor]:
        """``n`` draws of every site, from a key ``[2]``."""
        keys = tf.bitcast(random.split(tf.bitcast(key, tf.uint32), 2 + len(self._gammas)), tf.int32)
        draws = {
            name: tfd.Gamma(np.float64(g.shape), np.float64(g.rate)).sample(n, seed=keys[2 + i])
            for i, (name, g) in enumerate(self._gammas.items())
        }
        drawn = isinstance(self.beta, GammaPosterior)
        beta = draws["beta"] if drawn else tf.fill([n], tf.constant(self.beta, tf.float64))
        beta = beta[:, None, None]
        size = (n, self.root.shape[1], self.model.num_targets)
        noise = random.normal(size, keys[0], "float64")
        centred = tf.einsum("ij,njk->nik", tf.constant(self.root), noise)
        weights = self.mean + (centred / tf.sqrt(beta) if self.scaled else centred)
        shape = self.model.target_shape
        draws["weights"] = tf.reshape(weights, [n, len(self.mean), *shape])
        if self.model.options.intercept:
            level = random.normal((n, 1, self.model.num_targets), keys[1], "float64")
            level = level / tf.sqrt(self.count * beta) + self.target_means
            level -= tf.einsum("i,nik->nk", tf.constant(self.column_means), weights)[:, None]
            draws["intercept"] = tf.reshape(level, [n, *shape])
        return {name: tf.cast(value, self.model.dtype) for name, value in draws.items()}

    def predictive(self, x: Any) -> ClosedFormPredictive:
        """``p(t | x, data)`` at inputs ``[n, d]``: normal, or Student t with a gamma posterior.

        Exact where the weights' covariance is known, or scales with the noise. Under
        ``q(w) q(beta)`` the law is a normal convolved with a Student t; a Student t of the same
        mean, variance and degrees of freedom as the noise stands for it.
        """
        columns = self.model.basis(np.asarray(x, np.float64)).numpy() - self.column_means
        loc = self.target_means + columns @ self.mean
        spread = self._spread(columns)[:, np.newaxis]
        level = 1.0 / self.count if self.model.options.intercept else 0.0
        if not isinstance(self.beta, GammaPosterior):
            # (3.59): noise, and what is not known of the function
            variance = (1.0 + level + (spread if self.scaled else 0.0)) / self.beta
            variance += 0.0 if self.scaled else spread
            scale = np.broadcast_to(np.sqrt(variance), loc.shape)
            normal = tfd.Normal(tf.constant(loc), tf.constant(scale))
            return ClosedFormPredictive(self.model, normal, np.asarray(self.noise_variance))
        shape, unit = self.beta.shape, 1.0 / self.beta.mean
        if self.scaled:
            variance = unit * (1.0 + level + spread)
        else:  # the variance of a Student t is shape / (shape - 1) times its scale's square
            variance = unit * (1.0 + level) + spread * ((shape - 1.0) / shape if shape > 1 else 1.0)
        scale = np.broadcast_to(np.sqrt(variance), loc.shape)
        student = tfd.StudentT(np.float64(2.0 * shape), loc, scale)
        return ClosedFormPredictive(self.model, student, np.asarray(self.noise_variance))

    def _spread(self, columns: np.ndarray) -> np.ndarray:
        """``phi' Q Q' phi`` of rows ``[n, M]``, summed from squares: ``[n]``."""
        return np.asarray(((columns @ self.root) ** 2).sum(axis=1))

    @property
    def _gammas(self) -> dict[str, GammaPosterior]:
        own = {"beta": self.beta} if isinstance(self.beta, GammaPosterior) else {}
        return own | dict(self.others)


def _times(unit: float, values: Any) -> np.ndarray:
    """``unit * values``, zero where a value is, also of an infinite unit."""
    values = np.asarray(values)
    return np.multiply(unit, values, out=np.zeros_like(values, np.float64), where=values != 0.0)
