"""What candidates are drawn from: a distribution, the prior of a model, or a normal at its mode.

References:
    Geweke 1989, "Bayesian Inference in Econometric Models Using Monte Carlo Integration", for
    proposals with heavier tails than the posterior.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from ... import random
from ...errors import ModelError
from ...protocols import Params
from ...serial import map_serially
from .. import curvature, newton
from ..laplace import Gaussian, gaussian_at
from ..mcmc.target import FlatTarget, chain_seeds
from .tempering import Path

HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


class Proposal(Protocol):
    """A normalised density that can be drawn from."""

    def sample(self, n: int, key: tf.Tensor) -> tf.Tensor:
        """Draws ``[n, ...]`` from a key ``[2]``."""

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """The log density of draws, ``[n]``, in nats."""


def as_proposal(given: Any) -> Proposal:
    """A proposal as it is, or a tfd distribution as one."""
    return Distribution(given) if hasattr(given, "event_shape") else given


class Distribution:
    """A tfd distribution of a single batch."""

    def __init__(self, distribution: Any) -> None:
        if distribution.batch_shape.rank != 0:
            raise ModelError(
                "A proposal is one distribution: wrap elements in tfd.Independent. "
                f"Received: batch shape {list(distribution.batch_shape)}."
            )
        self.distribution = distribution

    def sample(self, n: int, key: tf.Tensor) -> tf.Tensor:
        """Draws ``[n, ...]``."""
        return self.distribution.sample(n, seed=tf.bitcast(key, tf.int32))

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """The log density of draws, ``[n]``."""
        return self.distribution.log_prob(z)


class Elliptical:
    """A normal, or a multivariate Student t with its location and scale, over flat states.

    Args:
        gaussian: The normal, whose precision is ``factor factor'``.
        degrees: Of freedom; None for the normal itself.
        dtype: Of the draws.
    """

    def __init__(
        self, gaussian: Gaussian, degrees: float | None = None, dtype: str = "float64"
    ) -> None:
        self.gaussian, self.degrees, self.dtype = gaussian, degrees, dtype
        self.dim = len(gaussian.mean)

    def sample(self, n: int, key: tf.Tensor) -> tf.Tensor:
        """Draws ``[n, D]``."""
        away = self.gaussian.sample(n, random.fold_in(key, "normal")) - self.gaussian.mean
        if self.degrees is not None:
            pair = tf.bitcast(random.fold_in(key, "scale"), tf.int32)
            half = tf.constant(0.5 * self.degrees, tf.float64)
            chi_square = 2.0 * tf.random.stateless_gamma((n, 1), pair, half, dtype=tf.float64)
            away *= tf.sqrt(self.degrees / chi_square)
        return tf.cast(self.gaussian.mean + away, self.dtype)

    def log_prob(self, z: tf.Tensor) -> tf.Tensor:
        """The log density of states ``[n, D]``, in float64."""
        away = tf.cast(z, tf.float64) - self.gaussian.mean
        distance = tf.reduce_sum(tf.square(tf.matmul(away, self.gaussian.factor)), -1)
        log_det = float(np.log(np.diagonal(self.gaussian.factor)).sum())
        if self.degrees is None:
            return log_det - self.dim * HALF_LOG_2PI - 0.5 * distance
        df, power = self.degrees, 0.5 * (self.degrees + self.dim)
        constant = (
            math.lgamma(power) - math.lgamma(0.5 * df) - 0.5 * self.dim * math.log(df * math.pi)
        )
        return log_det + constant - power * tf.math.log1p(distance / df)

    def log_prob_and_gradient(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The log density of states and its gradient ``[n, D]``."""
        with tf.GradientTape() as tape:
            tape.watch(z)
            value = self.log_prob(z)
        return value, tape.gradient(value, z)


def path_between(reference: Any, target: FlatTarget, *, gradient: bool) -> Path:
    """The path from an Elliptical or a Prior to a posterior over the same flat states."""
    if not gradient:
        return Path(reference.log_prob, target.log_prob)
    return Path(
        reference.log_prob,
        target.log_prob,
        reference.log_prob_and_gradient,
        target.log_prob_and_gradient,
    )


class Prior(FlatTarget):
    """The prior of a model over its flat, unconstrained states ``[n, D]``.

    Args:
        target: The posterior; its model has ``log_prior`` and ``sample_prior``, and each site a
            proper prior.

    Raises:
        ModelError: If it has not.
    """

    def __init__(self, target: FlatTarget) -> None:
        if not has_prior(target.model):
            raise ModelError(
                f"A {type(target.model).__name__} has no prior apart from its likelihood, or not "
                "one for each site. Expected: a BayesianNetwork, a joint distribution, or a model "
                "with log_prior(params) and sample_prior(seed). Use another proposal, or "
                "start='normal'."
            )
        super().__init__(target.model, target.batch, vectorize=target.vectorize)
        kind = tf.TensorSpec((self.dim,), self.dtype)
        self._many = tf.function(
            lambda seeds: map_serially(self._one, seeds, kind), autograph=False
        )

    def sample(self, n: int, key: tf.Tensor) -> tf.Tensor:
        """Draws ``[n, D]``."""
        seeds = tf.cast(random.bits((n,), key), tf.int64)
        try:
            return self._many(seeds)
        except (TypeError, NotImplementedError):  # a model that takes numbers of Python alone
            return tf.stack([self._one(int(seed)) for seed in seeds])

    def _one(self, seed: Any) -> tf.Tensor:
        return self.unconstrain(self.model.sample_prior(seed))

    def _density(self) -> tuple[Callable[..., tf.Tensor], bool]:
        def log_prior(params: Params, batch: Any) -> tf.Tensor:
            return self.model.log_prior(params)

        return log_prior, False


def has_prior(model: Any) -> bool:
    """Whether a model has a proper prior for each site, to draw from and to evaluate."""
    if not (hasattr(model, "log_prior") and hasattr(model, "sample_prior")):
        return False
    prior_of = getattr(model, "prior_of", None)
    if prior_of is None:
        return True
    return all(prior_of(site.name, {}) is not None for site in model.sites)


def normal_near_start(target: FlatTarget, scale: float, seed: int) -> Elliptical:
    """A normal of independent elements around the model's own start.

    Args:
        target: Over whose flat states it is.
        scale: Standard deviation of each element.
        seed: Of the start.
    """
    (first,) = chain_seeds(1, seed, "reference")
    mean = np.asarray(target.unconstrain(target.model.init(first)), np.float64)
    return Elliptical(Gaussian(mean, np.eye(target.dim) / scale), dtype=target.dtype)


def gaussian_at_mode(
    target: FlatTarget, seed: int = 0, *, epsilon: float = 2.0**-52, max_steps: int = 200
) -> Gaussian:
    """The normal at the mode of a density, found by Newton steps from the model's own start.

    Args:
        target: The density.
        seed: Of the start.
        epsilon: Relative rounding error of the log density.
        max_steps: After which the search is given up.

    Raises:
        ModelError: If there are more than 2,000 parameters, no mode is found, or the density is
            flat along some direction there.
    """
    hessian = curvature.full_curvature(target)
    compiled = tf.function(target.log_prob_and_gradient, autograph=False)

    def value(z: np.ndarray) -> tuple[float, np.ndarray]:
        log_density, gradient = compiled(tf.constant(z[np.newaxis], target.dtype))
        return float(log_density[0]), np.asarray(gradient[0], np.float64)

    start = np.asarray(target.initial_states(1, seed)[0], np.float64)
    for step, point in enumerate(newton.ascend(value, hessian, start, epsilon=epsilon)):
        if point.is_mode:
            return gaussian_at(point.z, hessian, epsilon)
        if step == max_steps:
            break
    raise ModelError(
        f"No mode was found in {max_steps} Newton steps for the proposal. Is the posterior "
        "proper, and the density smooth?"
    )
