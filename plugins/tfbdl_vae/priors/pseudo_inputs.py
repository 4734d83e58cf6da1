"""The pseudo-inputs of a VampPrior: rows that are learned."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.data import Dataset
from tfbdl.distributions import Prior
from tfbdl.errors import ModelError, OptionsError
from tfbdl.inference.surrogate import read
from tfbdl.likelihoods import (
    Bernoulli,
    Categorical,
    DiscretizedLogistic,
    Likelihood,
    LogisticMixture,
)

from ..latents import LatentPosterior
from .vamp import Vamp


class PseudoInputs(keras.layers.Layer):
    """Rows ``u_k = unit * raw_k`` as weights; ``build`` with the shape of a batch of rows.

    Where rows have bounds, each optimisation step is followed by a projection into them (projected
    gradient). Unlike the hard tanh of Tomczak & Welling 2018 it is the identity within and on the
    bounds, so that an element at a bound keeps its whole gradient and can come back, and training
    may begin at rows of zeros and ones. The unit is the width of the bounds, or the spread of the
    training rows, so that an optimiser's steps are small whatever the rows are measured in.

    Args:
        prior: The VampPrior, which tells how many.
        bounds: Least and largest value of an element, or None.
        seed: Of the draws that they are before ``start``, and of the choice of rows.

    Raises:
        ModelError: If the rows have no fixed shape.
    """

    def __init__(self, prior: Vamp, bounds: tuple[float, float] | None, seed: int) -> None:
        super().__init__(name="pseudo_inputs", dtype=keras.config.floatx())
        self.prior, self.bounds, self.seed = prior, bounds, seed
        self.count = prior.pseudo_inputs

    def build(self, input_shape: Any) -> None:
        """Make the weights, at draws: uniform within bounds, else standard normal."""
        shape = tuple(input_shape[1:])
        if None in shape:
            raise ModelError(
                "The pseudo-inputs of a VampPrior are rows of one shape. Expected: an encoder of "
                f"fixed shape. Received: rows {list(shape)}."
            )
        low, high = self.bounds or (0.0, 1.0)
        width, dtype = high - low, self.dtype
        # All replicas project alike; without an aggregation Keras cannot write a constrained weight
        more = {"autocast": False, "aggregation": "only_first_replica"}
        limits = None if self.bounds is None else Within(low / width, high / width)
        self.raw = self.add_weight(
            name="raw", shape=(self.count, *shape), initializer="zeros", constraint=limits, **more
        )
        self.unit = self.add_weight(
            name="unit", shape=shape, initializer="ones", trainable=False, **more
        )
        self.unit.assign(np.full(shape, width))
        draw = random.normal if self.bounds is None else random.uniform
        start = draw((self.count, *shape), random.key(self.seed, "pseudo_inputs"), dtype)
        self.raw.assign(start + low / width)

    def value(self) -> tf.Tensor:
        """The rows: ``[K, *shape]``.

        Raises:
            ModelError: If they are not built.
        """
        if not self.built:
            raise ModelError(
                "A VampPrior is not known before the model is built. Expected: fit(x), or an "
                "encoder that knows the shape of its rows (keras.Input). Received: neither."
            )
        return read(self.raw) * read(self.unit)

    def start(self, data: Dataset) -> None:
        """Begin at training rows that the seed chooses; if they are too few, again from the first.

        Args:
            data: Rows alone; of a stream, the first batches.
        """
        if data.stream is not None:
            size = len(next(iter(data.stream)))
            data = data.in_memory(batches=math.ceil(self.count / size))
        rows = np.asarray(data.x, self.dtype)
        if self.bounds is None:
            spread = rows.std(axis=0, dtype=np.float64)
            self.unit.assign(np.where(spread > 0, spread, 1.0))
        order = np.argsort(random.uniform((len(rows),), random.key(self.seed, "pseudo_rows")))
        chosen = rows[np.resize(order, self.count)]
        self.raw.assign(chosen / self.unit.numpy())


class Within(keras.constraints.Constraint):
    """Keeps a weight between two numbers."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def __call__(self, w: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(tf.convert_to_tensor(w), self.low, self.high)

    def get_config(self) -> dict[str, float]:
        """See keras.constraints.Constraint."""
        return {"low": self.low, "high": self.high}


def pseudo_inputs_of(
    prior: Prior, posterior: LatentPosterior, likelihood: Likelihood, seed: int
) -> PseudoInputs | None:
    """The pseudo-inputs that a prior asks for; None if it asks for none.

    Args:
        prior: p(z).
        posterior: The family of its components.
        likelihood: Of the rows; it tells their bounds.
        seed: See PseudoInputs.

    Raises:
        OptionsError: If the posterior has no density at other points than its own draws, or the
            rows are labels, which have no gradient.
    """
    if not isinstance(prior, Vamp):
        return None
    if not posterior.has_density:
        raise OptionsError(
            "The prior 'vamp' is a mixture of approximate posteriors, whose density must be known "
            f"at any z. Expected: posterior='diagonal' or 'full'. Received: {posterior.family!r}."
        )
    if isinstance(likelihood, Categorical):
        raise OptionsError(
            "The prior 'vamp' learns rows by gradient. Expected: a likelihood of numbers. "
            "Received: likelihood='categorical', whose rows are labels."
        )
    bounds = None
    if isinstance(likelihood, Bernoulli):
        bounds = (0.0, 1.0)
    elif isinstance(likelihood, (DiscretizedLogistic, LogisticMixture)):
        bounds = (likelihood.low, likelihood.high)
    return PseudoInputs(prior, bounds, seed)


def row_shape_of(encoder: keras.Layer) -> tuple[Any, ...] | None:
    """The shape of a batch of rows, as a built encoder knows it; None if it does not."""
    if not encoder.built:
        return None
    shape = getattr(encoder, "input_shape", None)
    if shape is None:
        shape = (encoder.get_build_config() or {}).get("input_shape")
    return tuple(shape) if isinstance(shape, (tuple, list)) else None
