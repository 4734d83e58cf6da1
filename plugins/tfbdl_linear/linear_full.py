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

from . import evidence, mean_field, roots
from .config import LinearFullOptions
from .density import VAGUE, JointDensity
from .priors import WeightPrior
from .ridge import decompose
from .solution import TOO_FEW, GammaPosterior, Solution

tfd = tfp.distributions
Tensors = Mapping[str, tf.Tensor]


class LinearFull(JointDensity):
    """``w ~ N(0, I / alpha)``, ``alpha ~ Gamma(a0, b0)``, ``beta ~ Gamma(c0, d0)``; b0, d0 rates.

    Fitted arrays after ``em``: ``weights_``, ``root_`` (their covariance is ``root_ root_'``),
    ``intercept_``, ``alpha_shape_``, ``alpha_rate_``, ``beta_shape_``, ``beta_rate_``,
    ``column_means_``, ``count_``.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.EM, Capability.LOG_JOINT, Capability.CONDITIONALS}
    )
    default_engine: ClassVar[str] = "em"
    objective: ClassVar[str] = "elbo"
    jit_compile: ClassVar[bool] = False  # an E-step is two products of matrices
    options: LinearFullOptions
    _turned: mean_field.Turned
    _start: evidence.Precisions
    _notices: tuple[str, ...] = ()

    # -- variational Bayes, by the engine em ---------------------------------------------------

    def rows(self, data: Dataset) -> dict[str, np.ndarray]:
        """Columns and targets, shifted by their means over all rows and turned.

        Raises:
            DataError: If they are no rows of a regression.
        """
        columns, targets = self.columns_and_targets(data)
        centred = roots.centred(columns, targets, self.options.intercept)
        counted = len(columns) - float(self.options.intercept)
        ridge = decompose(centred.columns, centred.targets, counted)
        self._turned = mean_field.turn(ridge, centred.column_means, centred.target_means)
        self._start = evidence.largest_evidence(ridge.spectrum, None, None)
        self._notices = self._notices_of(centred, len(columns))
        return self._turned.rows(columns, targets)

    def start(self, rows: Any, method: str, seed: int) -> dict[str, tf.Tensor]:
        """The weights' posterior at the precisions of the largest evidence, or about there.

        Raises:
            OptionsError: If ``method`` is none of auto and random.
        """
        if method not in ("auto", "random"):
            raise OptionsError(
                f"A LinearFull starts by 'auto' or 'random'. Received: initial={method!r}."
            )
        precisions = tf.constant([self._start.alpha, self._start.beta], tf.float64)
        if method == "random":
            precisions *= tf.exp(2.0 * random.normal((2,), random.key(seed, "start"), "float64"))
        return self.m_step(mean_field.statistics(rows, precisions[0], precisions[1]))

    def e_step(self, params: Tensors, rows: Tensors) -> dict[str, tf.Tensor]:
        """Products of columns and targets, and the precisions that ``q(w)`` is to expect."""
        alpha = params["alpha_shape"] / params["alpha_rate"]
        beta = params["beta_shape"] / params["beta_rate"]
        return mean_field.statistics(rows, alpha, beta)

    def m_step(self, statistics: Tensors) -> dict[str, tf.Tensor]:
        """``q(alpha)`` and ``q(beta)``, then ``q(w)``."""
        return mean_field.update(statistics, self._turned, self._hyper)

    def log_likelihood(self, params: Tensors, statistics: Tensors) -> tf.Tensor:
        """The ELBO in nats, the intercept integrated out under its flat prior."""
        return mean_field.elbo(params, statistics, self._turned, self._hyper)

    def figures(self) -> Mapping[str, float]:
        """Posterior means of ``alpha`` and ``beta``."""
        return {name: gamma.mean for name, gamma in self._gammas().items()}

    def notices(self) -> list[str]:
        """Of targets that say nothing of a precision, and of columns that do not vary."""
        found = list(self._notices)
        if np.isinf(self._gammas()["beta"].mean_variance):
            found.append(TOO_FEW.format(rows=float(self.params["count"])))
        return found

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
            root=params["root"].astype(np.float64),
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

    def _notices_of(self, centred: roots.Centred, count: int) -> tuple[str, ...]:
        wide = self.options.a0 < VAGUE and self.options.c0 < VAGUE
        held = {
            evidence.NO_SIGNAL: "The columns say nothing of the targets that noise would not: "
            "alpha is held by its prior alone.",
            evidence.NO_NOISE: "The columns fit the targets exactly: beta is held by its prior "
            "alone.",
            evidence.UNDETERMINED: "The rows are too few to tell weights from noise: alpha and "
            "beta are held by their priors.",
            evidence.NO_VARIATION: "The targets do not vary: alpha and beta are held by their "
            "priors alone.",
        }
        own = [held[self._start.notice]] if wide and self._start.notice else []
        return (*own, *roots.constant_columns(centred, count, self.options.intercept))

    def _gammas(self) -> dict[str, GammaPosterior]:
        params = self.fitted()
        return {
            name: GammaPosterior(
                shape=float(params[f"{name}_shape"]), rate=float(params[f"{name}_rate"])
            )
            for name in ("alpha", "beta")
        }
