"""What one draw of a posterior says of the targets: the terms that a Predictive averages.

Functions of a model are compiled once and kept with it, since tracing takes its time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import tensorflow as tf

from . import functional
from .likelihoods import Likelihood

Statistic = Callable[[Likelihood, tf.Tensor, Mapping[str, tf.Tensor], Any], Any]
"""From (likelihood, outputs of one draw, its learned parameters, extra rows) to tensors."""


def moments(likelihood: Likelihood, outputs: tf.Tensor, own: Any, extra: Any) -> Any:
    """The conditional mean and variance."""
    return likelihood.mean(outputs, own), likelihood.variance(outputs, own)


def classes(likelihood: Likelihood, outputs: tf.Tensor, own: Any, extra: Any) -> Any:
    """The class probabilities and their entropy."""
    probs = tf.cast(likelihood.mean(outputs, own), tf.float64)
    return probs, entropy(likelihood, probs)


def entropy(likelihood: Likelihood, probs: Any) -> tf.Tensor:
    """In nats, of class probabilities ``[n, ..., classes]`` (``[n, ...]`` of a Bernoulli's one)."""
    if likelihood.name == "bernoulli":
        return -tf.math.xlogy(probs, probs) - tf.math.xlogy(1.0 - probs, 1.0 - probs)
    return -tf.reduce_sum(tf.math.xlogy(probs, probs), axis=-1)


def log_prob(likelihood: Likelihood, outputs: tf.Tensor, own: Any, y: tf.Tensor) -> tf.Tensor:
    """The log likelihood of each target: ``[n]``."""
    return likelihood.log_prob(outputs, y, own)


def cdf(likelihood: Likelihood, outputs: tf.Tensor, own: Any, values: tf.Tensor) -> tf.Tensor:
    """The distribution function of each element at ``values [n, level, ...]``."""
    single = likelihood.elementwise(outputs, own)
    by_level = tf.cast(tf.experimental.numpy.moveaxis(values, 1, 0), outputs.dtype)
    if likelihood.is_discrete and likelihood.lattice is None:
        # TFP interpolates between counts, and goes on below zero
        counts = tf.floor(by_level)
        cdf = tf.where(counts < 0.0, 0.0, single.cdf(tf.maximum(counts, 0.0)))
    else:
        cdf = single.cdf(by_level)
    return tf.experimental.numpy.moveaxis(cdf, 0, 1)


class PredictiveModel(Protocol):
    """What a Predictive needs of a model; where it has a ``net``, its layers bound the memory."""

    likelihood: Likelihood

    def outputs(self, params: Mapping[str, tf.Tensor], x: Any) -> tf.Tensor:
        """The net's outputs under one state: ``[n, ...]``."""

    def likelihood_parameters(self, params: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The likelihood's learned parameters under one state."""


def forward(model: PredictiveModel, vectorize: bool) -> Any:
    """The compiled run of a model under a block of states: outputs and learned parameters."""
    cache = cache_of(model)
    if ("forward", vectorize) not in cache:

        def run(states: dict[str, tf.Tensor], x: Any) -> Any:
            def one(state: dict[str, tf.Tensor]) -> Any:
                return model.outputs(state, x), model.likelihood_parameters(state)

            return functional.map_draws(one, states, vectorize=vectorize)

        cache["forward", vectorize] = tf.function(run, reduce_retracing=True, autograph=False)
    return cache["forward", vectorize]


def compiled(model: PredictiveModel, statistic: Statistic) -> Any:
    """``statistic`` of a block of outputs ``[block, n, ...]``, draw by draw."""
    likelihood, cache = model.likelihood, cache_of(model)
    if statistic not in cache:

        def of_block(outputs: tf.Tensor, parameters: dict[str, tf.Tensor], extra: Any) -> Any:
            def of_draw(draw: dict[str, Any]) -> Any:
                own = {name: value for name, value in draw.items() if name != "outputs"}
                return statistic(likelihood, draw["outputs"], own, extra)

            return functional.map_draws(
                of_draw, {"outputs": outputs, **parameters}, vectorize=False
            )

        cache[statistic] = tf.function(of_block, reduce_retracing=True, autograph=False)
    return cache[statistic]


class _Functions:
    """Compiled functions of one model, in an object that Keras does not track."""

    def __init__(self) -> None:
        self.compiled: dict[Any, Any] = {}


def cache_of(model: Any) -> dict[Any, Any]:
    """What was compiled for a model, by names of the caller's choice; it stays with the model."""
    if getattr(model, "predictive_functions", None) is None:
        model.predictive_functions = _Functions()
    return model.predictive_functions.compiled
