"""Fully Bayesian linear regression: gamma priors over both precisions, by VB, Gibbs or NUTS.

References:
    Bishop 2006, section 10.3 (extended to an unknown beta: exercise 10.26); Gelman et al. 2013,
    Bayesian Data Analysis, section 14.8 (the conditionals).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfbdl import Capability, random
from tfbdl.closed_form import ClosedFormPosterior
from tfbdl.data import Dataset
from tfbdl.errors import OptionsError
from tfbdl.protocols import Conditional

from . import mean_field
from .config import LinearFullOptions
from .density import JointDensity, WeightPrior
from .solution import GammaPosterior, Solution

tfd = tfp.distributions
Tensors = Mapping[str, tf.Tensor]


class LinearFull(JointDensity):
    """``w ~ N(0, I / alpha)``, ``alpha ~ Gamma(a0, b0)``, ``beta ~ Gamma(c0, d0)``; b0, d0 rates.

    Fitted arrays after ``em``: ``weights_``, ``covariance_``, ``intercept_``, ``alpha_shape_``,
    ``alpha_rate_``, ``beta_shape_``, ``beta_rate_``, ``column_means_``, ``count_``.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.EM, Capability.LOG_JOINT, Capability.CONDITIONALS}
    )
    default_engine: ClassVar[str] = "em"
    objective: ClassVar[str] = "elbo"
    options: LinearFullOptions
    _shift: tuple[np.ndarray, np.ndarray] | None = None

    # -- variational Bayes, by the engine em ---------------------------------------------------

    def rows(self, data: Dataset) -> dict[str, np.ndarray]:
        """Columns ``[n, M]`` and targets ``[n, k]``, shifted by their means over all rows.

        Raises:
            DataError: If they are no rows of a regression.
        """
        columns, targets = self.columns_and_targets(data)
        if self.options.intercept:
            self._shift = columns.mean(axis=0), targets.mean(axis=0)
        else:
            self._shift = np.zeros(columns.shape[1]), np.zeros(targets.shape[1])
        return {"columns": columns - self._shift[0], "targets": targets - self._shift[1]}

    def start(self, rows: Any, method: str, seed: int) -> dict[str, tf.Tensor]:
        """The weights' posterior at precisions on the scale of columns and targets.

        Raises:
            OptionsError: If ``method`` is none of auto and random.
        """
        if method not in ("auto", "random"):
            raise OptionsError(
                f"A LinearFull starts by 'auto' or 'random'. Received: initial={method!r}."
            )
        size = tf.reduce_mean(tf.convert_to_tensor(rows["targets"]) ** 2) + 1e-12
        precisions = tf.stack([1.0 / size, 1.0 / size])
        if method == "random":
            precisions *= tf.exp(2.0 * random.normal((2,), random.key(seed, "start"), "float64"))
        statistics = mean_field.statistics(rows, precisions[0], precisions[1])
        return self.m_step(statistics)

    def e_step(self, params: Tensors, rows: Tensors) -> dict[str, tf.Tensor]:
        """Products of columns and targets, and the precisions that ``q(w)`` is to expect."""
        alpha = params["alpha_shape"] / params["alpha_rate"]
        beta = params["beta_shape"] / params["beta_rate"]
        return mean_field.statistics(rows, alpha, beta)

    def m_step(self, statistics: Tensors) -> dict[str, tf.Tensor]:
        """``q(w)``, then ``q(alpha)`` and ``q(beta)``."""
        return mean_field.update(statistics, self._hyper, self._column_shift, self._target_shift)

    def log_likelihood(self, params: Tensors, statistics: Tensors) -> tf.Tensor:
        """The ELBO in nats, the intercept integrated out under its flat prior."""
        return mean_field.elbo(params, statistics, self._hyper)

    def figures(self) -> Mapping[str, float]:
        """Posterior means of ``alpha`` and ``beta``."""
        return {name: gamma.mean for name, gamma in self._gammas().items()}

    @property
    def posterior(self) -> ClosedFormPosterior:
        """``q(w) q(alpha) q(beta)``; ``predictive(x)`` is Student t with 2 c degrees of freedom.

        Raises:
            ModelError: If the model was not fitted by ``em``.
        """
        params, gammas = self.fitted(), self._gammas()
        mean = params["weights"].astype(np.float64)
        column_means = params["column_means"].astype(np.float64)
        return Solution(
            model=self,
            mean=mean,
            covariance=params["covariance"].astype(np.float64),
            column_means=column_means,
            target_means=params["intercept"] + column_means @ mean,
            count=float(params["count"]),
            beta=gammas["beta"],
            others={"alpha": gammas["alpha"]},
        ).posterior()

    # -- Gibbs sampling ------------------------------------------------------------------------

    @property
    def conditionals(self) -> Mapping[str, Conditional]:
        """Three blocks: weights with the intercept, ``alpha``, ``beta``."""
        return {"weights": self._draw_weights, "alpha": self._draw_alpha, "beta": self._draw_beta}

    def weight_prior(self) -> WeightPrior:
        """Normal weights; both precisions have gamma priors."""
        own = self.options
        zeros = np.zeros(self.basis.num_columns)
        return WeightPrior(zeros, None, (own.a0, own.b0), (own.c0, own.d0))

    def _draw_weights(self, key: tf.Tensor, params: Tensors, batch: Any) -> dict[str, tf.Tensor]:
        columns, targets = self._of(batch)
        intercept = self.options.intercept
        column_means = tf.reduce_mean(columns, axis=0) if intercept else tf.zeros_like(columns[0])
        target_means = tf.reduce_mean(targets, axis=0) if intercept else tf.zeros_like(targets[0])
        columns, targets = columns - column_means, targets - target_means
        beta, keys = params["beta"], random.split(key, 2)
        identity = tf.eye(self.basis.num_columns, dtype=columns.dtype)
        precision = params["alpha"] * identity + beta * tf.matmul(
            columns, columns, transpose_a=True
        )
        root = tf.linalg.cholesky(precision)
        # N(m_N, S_N), Bishop 2006, (3.53) and (3.54); L^-T z has the covariance (L L')^-1
        mean = tf.linalg.cholesky_solve(root, beta * tf.matmul(columns, targets, transpose_a=True))
        noise = random.normal((self.basis.num_columns, self.num_targets), keys[0], self.dtype)
        weights = mean + tf.linalg.triangular_solve(root, noise, adjoint=True)
        drawn = {"weights": tf.reshape(weights, params["weights"].shape)}
        if intercept:
            level = random.normal((self.num_targets,), keys[1], self.dtype)
            level = target_means + level / tf.sqrt(beta * float(columns.shape[0]))
            level -= tf.linalg.matvec(weights, column_means, transpose_a=True)
            drawn["intercept"] = tf.reshape(level, params["intercept"].shape)
        return drawn

    def _draw_alpha(self, key: tf.Tensor, params: Tensors, batch: Any) -> dict[str, tf.Tensor]:
        own, weights = self.options, params["weights"]
        shape = own.a0 + 0.5 * math.prod(weights.shape)
        rate = own.b0 + 0.5 * tf.reduce_sum(weights**2)
        return {"alpha": self._gamma_draw(shape, rate, key)}

    def _draw_beta(self, key: tf.Tensor, params: Tensors, batch: Any) -> dict[str, tf.Tensor]:
        own, targets = self.options, self._of(batch)[1]
        misfit = tf.reduce_sum((targets - self.outputs(params, batch[0])) ** 2)
        shape = own.c0 + 0.5 * math.prod(targets.shape)
        return {"beta": self._gamma_draw(shape, own.d0 + 0.5 * misfit, key)}

    def _gamma_draw(self, shape: float, rate: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        return tfd.Gamma(tf.constant(shape, rate.dtype), rate).sample(seed=key)

    def _of(self, batch: Any) -> tuple[tf.Tensor, tf.Tensor]:
        x, y = batch
        return self.design(x), tf.reshape(tf.cast(y, self.dtype), [y.shape[0], self.num_targets])

    # -- parts ---------------------------------------------------------------------------------

    @property
    def _hyper(self) -> mean_field.Hyperpriors:
        own = self.options
        return mean_field.Hyperpriors(own.a0, own.b0, own.c0, own.d0, own.intercept)

    @property
    def _column_shift(self) -> np.ndarray:
        return np.zeros(self.basis.num_columns) if self._shift is None else self._shift[0]

    @property
    def _target_shift(self) -> np.ndarray:
        return np.zeros(self.num_targets) if self._shift is None else self._shift[1]

    def _gammas(self) -> dict[str, GammaPosterior]:
        params = self.fitted()
        return {
            name: GammaPosterior(
                shape=float(params[f"{name}_shape"]), rate=float(params[f"{name}_rate"])
            )
            for name in ("alpha", "beta")
        }
