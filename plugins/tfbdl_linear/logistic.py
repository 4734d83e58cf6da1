"""Bayesian logistic regression: one log joint, and three ways to its posterior beside sampling.

References:
    Bishop 2006, sections 4.4 and 4.5 (Laplace), 10.6 (variational); Polson, Scott & Windle 2013
    (Gibbs sampling with Polya-Gamma variables).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfbdl import Capability, likelihoods, logistic_normal, random
from tfbdl.closed_form import ClosedFormPosterior, ClosedFormPredictive
from tfbdl.data import DataInfo, Dataset
from tfbdl.distributions import Prior
from tfbdl.errors import DataError, ModelError, OptionsError
from tfbdl.parametric import ParametricModel
from tfbdl.protocols import Conditional, Params, Site, Statistics

from . import jaakkola, polya_gamma
from .basis import Basis, make_basis
from .logistic_config import LogisticOptions
from .priors import WeightPrior, prior_factor, prior_mean

SITE = "weights"
INITIAL_SCALE = 0.1
"""Standard deviation of a chain's start about the prior mean."""


class LogisticRegression(ParametricModel):
    """``P(y = 1 | x) = sigmoid(w' phi(x))`` with ``w ~ N(m0, S0)``, for two classes.

    Args:
        options: See LogisticOptions.
        info: Of the training data.
        prior: None; the prior is among the options.
        seed: Of the run.

    Attributes:
        mean_, covariance_: Of the normal posterior, after the engines ``em`` and ``laplace``:
            ``[M]`` and ``[M, M]``, the intercept last.

    Raises:
        DataError: If the targets are not two classes, or x is not ``[n, d]``.
        OptionsError: If m0 or S0 do not fit the columns.
    """

    options_class = LogisticOptions
    capabilities = frozenset({Capability.LOG_JOINT, Capability.CONDITIONALS, Capability.EM})
    default_engine = "em"
    objective = "elbo"
    vectorized: ClassVar[bool] = True
    given_num_data: ClassVar[int | None] = None

    def __init__(
        self,
        options: LogisticOptions,
        info: DataInfo | None = None,
        prior: Prior | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(options, info, prior, seed)
        self.likelihood = likelihoods.Bernoulli()
        self.num_data = None if info is None else info.num_rows
        if info is not None:
            _check_classes(info)
            self.weight_prior  # noqa: B018 - a prior that does not fit is refused here

    @cached_property
    def basis(self) -> Basis:
        """The functions of the inputs, without the intercept."""
        if self.info is None:
            raise ModelError(
                "A logistic regression is made for data: it must know the inputs. Give its name "
                "and the data to tfbdl.fit or tfbdl.build."
            )
        return make_basis(self.options, self.info)

    @cached_property
    def weight_prior(self) -> WeightPrior:
        """The normal prior over the weights."""
        return WeightPrior(prior_mean(self.options.m0, self._size), self._factor, alpha=1.0)

    @property
    def _size(self) -> int:
        return self.basis.num_columns + int(self.options.intercept)

    @cached_property
    def _factor(self) -> np.ndarray:
        """L with ``L L'`` the covariance of the weights' prior."""
        given = prior_factor(self.options.S0, self._size)
        return np.eye(self._size) / math.sqrt(self.options.alpha) if given is None else given

    @cached_property
    def _precision(self) -> np.ndarray:
        """The inverse of the weights' prior covariance."""
        half = np.linalg.inv(self._factor)
        return half.T @ half

    def design(self, x: Any) -> tf.Tensor:
        """The columns ``[n, M]`` of inputs ``[n, d]``, the intercept last."""
        columns = self.basis(tf.cast(x, self.dtype))
        if not self.options.intercept:
            return columns
        return tf.concat([columns, tf.ones_like(columns[:, :1])], axis=1)

    # -- log joint -----------------------------------------------------------------------------

    @property
    def sites(self) -> tuple[Site, ...]:
        """The weights."""
        return (Site(SITE, self.weight_prior.mean.shape, None, self.dtype),)

    def prior_of(self, site: str, params: Params) -> tfd.Distribution:
        """The normal prior of the weights."""
        return tfd.MultivariateNormalTriL(
            self._tensor(self.weight_prior.mean), self._tensor(self._factor)
        )

    def init(self, seed: int) -> Params:
        """The prior mean with a little noise; of a fitted model the posterior mean."""
        centre = self.params.get("mean", self.weight_prior.mean)
        noise = random.normal(centre.shape, random.key(seed, "logistic"), self.dtype)
        return {SITE: tf.constant(centre, self.dtype) + INITIAL_SCALE * noise}

    def log_joint(self, params: Params, batch: Any) -> tf.Tensor:
        """Of one state, in nats; its gradient is ``-sum (sigmoid(w' phi) - y) phi - ...``."""
        return self.log_joints({SITE: params[SITE][tf.newaxis]}, batch)[0]

    def log_joints(self, params: Params, batch: Any) -> tf.Tensor:
        """Of states ``[s, M]``: ``[s]``."""
        x, y = batch
        weights, labels = params[SITE], self._labels(y)
        logits = tf.matmul(self.design(x), weights, transpose_b=True)  # [n, s]
        log_lik = labels[:, tf.newaxis] * logits - tf.nn.softplus(logits)
        shift = weights - self._tensor(self.weight_prior.mean)
        distance = tf.reduce_sum(tf.matmul(shift, self._tensor(self._precision)) * shift, axis=1)
        log_det = 2.0 * np.log(np.diagonal(self._factor)).sum()
        size = len(self.weight_prior.mean)
        log_prior = -0.5 * (distance + log_det + size * math.log(2.0 * math.pi))
        rows = tf.cast(self.num_data or tf.shape(labels)[0], log_lik.dtype)
        return log_prior + rows * tf.reduce_mean(log_lik, axis=0)

    def outputs(self, params: Mapping[str, tf.Tensor], x: Any) -> tf.Tensor:
        """The logits ``[n, 1]`` under one state."""
        return tf.linalg.matvec(self.design(x), params[SITE])[:, tf.newaxis]

    def likelihood_parameters(self, params: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The likelihood has none."""
        return {}

    # -- Gibbs ---------------------------------------------------------------------------------

    @property
    def conditionals(self) -> Mapping[str, Conditional]:
        """One block: Polya-Gamma variables given the weights, then the weights given these."""
        return {SITE: self._draw_weights}

    def _draw_weights(self, key: tf.Tensor, params: Params, batch: Any) -> Params:
        x, y = batch
        columns, labels = self.design(x), self._labels(y)
        logits = tf.linalg.matvec(columns, params[SITE])
        omega = polya_gamma.sample(logits, random.fold_in(key, "omega"))
        statistics = {
            "precision": tf.matmul(columns * omega[:, tf.newaxis], columns, transpose_a=True),
            "linear": tf.linalg.matvec(columns, labels - 0.5, transpose_a=True),
        }
        precision = self._tensor(self._precision)
        factor = tf.linalg.cholesky(precision + statistics["precision"])
        linear = (
            tf.linalg.matvec(precision, self._tensor(self.weight_prior.mean)) + statistics["linear"]
        )
        centre = tf.linalg.cholesky_solve(factor, linear[:, tf.newaxis])
        noise = random.normal((*linear.shape, 1), random.fold_in(key, "weights"), self.dtype)
        draw = centre + tf.linalg.triangular_solve(factor, noise, adjoint=True)
        return {SITE: draw[:, 0]}

    # -- the variational bound -----------------------------------------------------------------

    def rows(self, data: Dataset) -> Any:
        """Columns ``[n, M]`` and labels ``[n]``.

        Raises:
            DataError: If there are no labels, or each row has a weight.
        """
        data = data.in_memory()
        if data.sample_weight is not None:
            raise DataError("logistic counts each row once. Received: a sample_weight.")
        if data.y is None:
            raise DataError("logistic needs labels. Expected (x, y). Received: no y.")
        _check_classes(data.info)
        return self.design(data.x), self._labels(data.y)

    def start(self, rows: Any, method: str, seed: int) -> Params:
        """``auto``: the prior; ``random``: about a draw from it."""
        if method not in ("auto", "random"):
            raise OptionsError(
                f"logistic starts by 'auto' (the prior) or 'random'. Received: {method!r}."
            )
        mean, factor = self.weight_prior.mean, self._factor
        if method == "random":
            noise = random.normal(mean.shape, random.key(seed, "start"), "float64").numpy()
            mean = mean + factor @ noise
        covariance = factor @ factor.T
        return {
            "mean": tf.constant(mean, self.dtype),
            "covariance": tf.constant(covariance, self.dtype),
        }

    def e_step(self, params: Params, rows: Any) -> Statistics:
        """Sums at the bound that is tightest for the posterior so far."""
        columns, labels = rows
        return jaakkola.expected_statistics(columns, labels, params["mean"], params["covariance"])

    def m_step(self, statistics: Statistics) -> Params:
        """The normal that is best under the bound."""
        prior = self._tensor(self.weight_prior.mean), self._tensor(self._precision)
        mean, covariance = jaakkola.updated(dict(statistics), *prior)
        return {"mean": mean, "covariance": covariance}

    def log_likelihood(self, params: Params, statistics: Statistics) -> tf.Tensor:
        """The lower bound on the log evidence, in nats."""
        q = params["mean"], params["covariance"]
        prior = self._tensor(self.weight_prior.mean), self._tensor(self._precision)
        return jaakkola.bound(dict(statistics), *q, *prior)

    # -- the normal posterior ------------------------------------------------------------------

    def adopt_gaussian(self, mean: np.ndarray, covariance: np.ndarray) -> None:
        """Take a normal over the weights for the posterior."""
        self.assign({"mean": mean.astype(self.dtype), "covariance": covariance.astype(self.dtype)})

    @property
    def posterior(self) -> ClosedFormPosterior | None:
        """The normal posterior; None before the engines ``em`` and ``laplace``."""
        if "mean" not in self.params:
            return None
        mean, covariance = self.params["mean"], self.params["covariance"]
        factor = np.linalg.cholesky(covariance)

        def sample(n: int, key: tf.Tensor) -> Mapping[str, tf.Tensor]:
            noise = random.normal((n, len(mean)), key, self.dtype)
            return {SITE: mean + tf.matmul(noise, factor, transpose_b=True)}

        def predictive(x: Any) -> ClosedFormPredictive:
            columns = self.design(x).numpy().astype(np.float64)
            logits, stddev = columns @ mean, np.linalg.norm(columns @ factor, axis=1)
            probs = logistic_normal.mean_probability(logits, stddev)[:, np.newaxis]
            aleatoric = logistic_normal.mean_entropy(logits, stddev)[:, np.newaxis]
            return ClosedFormPredictive(self, probs, aleatoric)

        return ClosedFormPosterior(sample, {SITE: mean}, {SITE: covariance}, predictive=predictive)

    def _tensor(self, value: np.ndarray) -> tf.Tensor:
        return tf.constant(value, self.dtype)

    def _labels(self, y: Any) -> tf.Tensor:
        return tf.cast(tf.reshape(y, [-1]), self.dtype)


def _check_classes(info: DataInfo) -> None:
    """Raise DataError unless the targets are two classes, one label for each row."""
    if info.y_shape is None:
        raise DataError("logistic needs labels. Expected (x, y). Received: no y.")
    if info.num_classes != 2 or info.y_shape not in ((), (1,)):
        received = "numbers" if info.num_classes is None else f"{info.num_classes} classes"
        raise DataError(
            "logistic is for two classes. Expected labels 0 and 1 (booleans, texts) of shape [n]. "
            f"Received: {received}, rows of shape {list(info.y_shape)}."
        )
