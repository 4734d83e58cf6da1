"""Conjugate families of normal data: unknown mean and covariance, or mean and precision.

References:
    Murphy 2007, "Conjugate Bayesian analysis of the Gaussian distribution", sections 3 and 9;
    Murphy 2012, section 4.6.3 (normal-inverse-Wishart).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import special

from tfbdl import random
from tfbdl.closed_form import ClosedFormPosterior
from tfbdl.errors import OptionsError

from .conjugate_family import Arrays, Family
from .priors import prior_factor

tfd = tfp.distributions


class NormalInverseWishart(Family):
    """Rows ``x ~ N(mean, covariance)``; ``covariance ~ IW(S, nu)``, ``mean ~ N(m, cov / kappa)``.

    ``S`` is the scale matrix of the inverse Wishart distribution: the mean of the covariance is
    ``S / (nu - d - 1)``.
    """

    def prior(self, x: np.ndarray) -> Arrays:
        d, options = self.dim, self.options
        nu = d + 2.0 if options.nu0 is None else options.nu0
        if nu <= d - 1:
            raise OptionsError(
                f"nu0 must be above {d - 1} for {d} columns (columns less one). Received: {nu:g}."
            )
        factor = prior_factor(options.S0, d)
        return {
            "mean": self.given("m0", 0.0, (d,)),
            "kappa": np.asarray(1.0 if options.kappa0 is None else options.kappa0),
            "nu": np.asarray(nu),
            "scale": np.eye(d) if factor is None else np.asarray(options.S0, np.float64),
        }

    def check(self, x: np.ndarray) -> None:
        """Any real numbers."""

    def update(self, params: Mapping[str, np.ndarray], x: np.ndarray) -> Arrays:
        n, centre = len(x), x.mean(axis=0)
        kappa = params["kappa"] + n
        shift, spread = centre - params["mean"], x - centre
        between = params["kappa"] * n / kappa * np.outer(shift, shift)
        return {
            "mean": (params["kappa"] * params["mean"] + n * centre) / kappa,
            "kappa": kappa,
            "nu": params["nu"] + n,
            "scale": params["scale"] + spread.T @ spread + between,
        }

    def log_normalizer(self, params: Mapping[str, np.ndarray]) -> float:
        d, nu = self.dim, float(params["nu"])
        log_det = float(np.linalg.slogdet(params["scale"])[1])
        return (
            float(special.multigammaln(0.5 * nu, d))
            + 0.5 * nu * d * math.log(2.0)
            - 0.5 * nu * log_det
            + 0.5 * d * math.log(2.0 * math.pi / float(params["kappa"]))
        )

    def log_base(self, x: np.ndarray) -> np.ndarray:
        return np.full(len(x), -0.5 * self.dim * math.log(2.0 * math.pi))

    def posterior(self, params: Mapping[str, np.ndarray]) -> ClosedFormPosterior:
        d, nu, kappa = self.dim, float(params["nu"]), float(params["kappa"])
        S, free = params["scale"], float(params["nu"]) - self.dim - 1.0
        precision_factor = np.linalg.cholesky(np.linalg.inv(S))

        def sample(n: int, key: tf.Tensor) -> Mapping[str, tf.Tensor]:
            keys = random.split(key, 2)
            wishart = tfd.WishartTriL(
                tf.constant(nu, tf.float64), precision_factor, input_output_cholesky=True
            )
            L = wishart.sample(n, seed=tf.bitcast(keys[0], tf.int32))  # of the precision
            noise = random.normal((n, d, 1), keys[1], "float64")
            step = tf.linalg.triangular_solve(L, noise, adjoint=True)[..., 0]
            identity = tf.eye(d, batch_shape=[n], dtype=tf.float64)
            covariance = tf.linalg.cholesky_solve(L, identity)
            return {"mean": params["mean"] + step / math.sqrt(kappa), "covariance": covariance}

        mean_covariance = S / free if free > 0 else np.full((d, d), np.nan)
        variances = (
            _inverse_wishart_covariance(S, nu) if free > 2 else np.full((d**2, d**2), np.inf)
        )
        return ClosedFormPosterior(
            sample,
            {"mean": params["mean"], "covariance": mean_covariance},
            {"mean": mean_covariance / kappa, "covariance": variances},
        )

    def log_prob(self, params: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
        return np.asarray(self._predictive(params).log_prob(x))

    def sample(self, params: Mapping[str, np.ndarray], n: int, key: Any) -> np.ndarray:
        return np.asarray(self._predictive(params).sample(n, seed=key))

    def _predictive(self, params: Mapping[str, np.ndarray]) -> Any:
        """A multivariate t with ``nu - d + 1`` degrees of freedom (Murphy 2012, 4.6.3.6)."""
        df = float(params["nu"]) - self.dim + 1.0
        kappa = float(params["kappa"])
        factor = np.linalg.cholesky(params["scale"] * (kappa + 1.0) / (kappa * df))
        operator = tf.linalg.LinearOperatorLowerTriangular(tf.constant(factor))
        return tfd.MultivariateStudentTLinearOperator(
            tf.constant(df, tf.float64), tf.constant(params["mean"]), operator
        )


class NormalGamma(Family):
    """Independent columns ``x ~ N(mean, 1 / precision)``.

    ``precision ~ Gamma(shape, rate)``, ``mean ~ N(m, 1 / (kappa precision))``.
    """

    def prior(self, x: np.ndarray) -> Arrays:
        kappa = 1.0 if self.options.kappa0 is None else self.options.kappa0
        return {
            "mean": self.given("m0", 0.0, (self.dim,)),
            "kappa": np.asarray(kappa),
            "shape": self.positive("shape", (self.dim,)),
            "rate": self.positive("rate", (self.dim,)),
        }

    def check(self, x: np.ndarray) -> None:
        """Any real numbers."""

    def update(self, params: Mapping[str, np.ndarray], x: np.ndarray) -> Arrays:
        n, centre = len(x), x.mean(axis=0)
        kappa = params["kappa"] + n
        between = params["kappa"] * n / kappa * (centre - params["mean"]) ** 2
        return {
            "mean": (params["kappa"] * params["mean"] + n * centre) / kappa,
            "kappa": kappa,
            "shape": params["shape"] + 0.5 * n,
            "rate": params["rate"] + 0.5 * (((x - centre) ** 2).sum(axis=0) + between),
        }

    def log_normalizer(self, params: Mapping[str, np.ndarray]) -> float:
        gamma = special.gammaln(params["shape"]) - params["shape"] * np.log(params["rate"])
        half = 0.5 * math.log(2.0 * math.pi / float(params["kappa"]))
        return float(gamma.sum() + self.dim * half)

    def log_base(self, x: np.ndarray) -> np.ndarray:
        return np.full(len(x), -0.5 * self.dim * math.log(2.0 * math.pi))

    def posterior(self, params: Mapping[str, np.ndarray]) -> ClosedFormPosterior:
        kappa = float(params["kappa"])
        gamma = tfd.Gamma(tf.constant(params["shape"]), tf.constant(params["rate"]))

        def sample(n: int, key: tf.Tensor) -> Mapping[str, tf.Tensor]:
            keys = random.split(key, 2)
            precision = gamma.sample(n, seed=tf.bitcast(keys[0], tf.int32))
            noise = random.normal((n, self.dim), keys[1], "float64")
            return {
                "mean": params["mean"] + noise / tf.sqrt(kappa * precision),
                "precision": precision,
            }

        free = params["shape"] - 1.0  # the mean is Student t with twice the shape for its freedom
        with np.errstate(divide="ignore"):
            variance = np.where(free > 0, params["rate"] / (kappa * np.maximum(free, 0.0)), np.inf)
        return ClosedFormPosterior(
            sample,
            {"mean": params["mean"], "precision": gamma.mean()},
            {"mean": np.diag(variance), "precision": np.diag(gamma.variance())},
        )

    def log_prob(self, params: Mapping[str, np.ndarray], x: np.ndarray) -> np.ndarray:
        return np.asarray(self._predictive(params).log_prob(x)).sum(axis=1)

    def sample(self, params: Mapping[str, np.ndarray], n: int, key: Any) -> np.ndarray:
        return np.asarray(self._predictive(params).sample(n, seed=key))

    def _predictive(self, params: Mapping[str, np.ndarray]) -> Any:
        """Student t with twice the shape degrees of freedom (Murphy 2007, section 3)."""
        kappa = float(params["kappa"])
        width = np.sqrt(params["rate"] * (kappa + 1.0) / (params["shape"] * kappa))
        return tfd.StudentT(
            tf.constant(2.0 * params["shape"]), tf.constant(params["mean"]), tf.constant(width)
        )


def _inverse_wishart_covariance(S: np.ndarray, nu: float) -> np.ndarray:
    """Covariance ``[d^2, d^2]`` of a flattened inverse Wishart matrix (von Rosen 1988)."""
    d = len(S)
    free = nu - d - 1.0
    first = 2.0 * np.einsum("ij,kl->ijkl", S, S) / free
    others = np.einsum("ik,jl->ijkl", S, S) + np.einsum("il,jk->ijkl", S, S)
    total = (first + others) / ((free + 1.0) * free * (free - 2.0))
    return np.asarray(total.reshape(d**2, d**2))
