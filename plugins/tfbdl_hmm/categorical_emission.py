"""Categorical observations, as the model asks for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from tensorflow_probability import distributions as tfd

from tfbdl import random
from tfbdl.errors import ModelError, OptionsError
from tfbdl.inference.reparameterizations import gumbel_of_uniform
from tfbdl.protocols import Site

from . import categorical, conjugate, starts
from .emissions import Params
from .gamma import dirichlet

tfb = tfp.bijectors


class CategoricalEmission:
    """Symbols 0, 1, ...

    Args:
        options: See HMMOptions.
        size: How many symbols, or None if it is not known yet.
    """

    names: tuple[str, ...] = ("probs",)

    def __init__(self, options: Any, size: int | None) -> None:
        self.options, self.size = options, size
        self.log_prob = _log_prob

    def observed(self, y: tf.Tensor) -> tf.Tensor:
        return categorical.observed(y)

    def statistics(self, y: tf.Tensor, weights: tf.Tensor) -> dict[str, tf.Tensor]:
        return categorical.statistics(y, weights, self._known_size())

    def m_step(self, statistics: Params) -> dict[str, tf.Tensor]:
        return {"probs": categorical.normalised(statistics["symbols"])}

    def start(self, y: np.ndarray, method: str, seed: int) -> dict[str, np.ndarray]:
        if method == "kmeans++":
            raise OptionsError(
                "k-means needs distances, which symbols have not. Use initial='random'."
            )
        rng, k = np.random.default_rng(seed), self.options.num_states
        seen = y[~np.isnan(y)].astype(np.int64)
        counts = np.bincount(seen, minlength=self._known_size())
        return {**starts.random_chain(k, rng), "probs": starts.random_probs(counts, k, rng)}

    def sample(self, params: Params, states: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        logits = tf.gather(tf.math.log(params["probs"]), states)
        uniform = random.uniform(tf.shape(logits), key, logits.dtype)
        return tf.argmax(logits + gumbel_of_uniform(uniform), -1, output_type=tf.int32)

    def distribution(self, params: Params, probs: tf.Tensor) -> tfd.Distribution:
        return tfd.Categorical(probs=tf.matmul(probs, params["probs"]))

    def sites(self) -> tuple[Site, ...]:
        shape = (self.options.num_states, self._known_size())
        return (Site("probs", shape, tfb.IteratedSigmoidCentered(), self.options.dtype),)

    def init(self, mean: Any, deviation: Any, key: tf.Tensor) -> dict[str, tf.Tensor]:
        shape = (self.options.num_states, self._known_size())
        chances = random.uniform(shape, key, self.options.dtype)
        return {"probs": categorical.normalised(0.5 + chances)}

    def draw(self, y: tf.Tensor, weights: tf.Tensor, key: tf.Tensor) -> dict[str, tf.Tensor]:
        counts = self.statistics(y, weights)["symbols"]
        concentration = counts + tf.cast(self.options.probs_concentration, y.dtype)
        return {"probs": dirichlet(concentration, key)}

    def log_prior(self, params: Params, y: tf.Tensor) -> tf.Tensor:
        shape = (self.options.num_states, self._known_size())
        concentration = tf.fill(shape, tf.cast(self.options.probs_concentration, y.dtype))
        density = conjugate.dirichlet_log_prob(concentration, params["probs"])
        return tf.reduce_sum(density, -1)

    def from_sites(self, params: Params) -> dict[str, np.ndarray]:
        return {"probs": np.asarray(params["probs"])}

    def _known_size(self) -> int:
        if self.size is None:
            raise ModelError(
                "The number of symbols is not known. Give the model option num_symbols."
            )
        return self.size


def _log_prob(params: Params, y: tf.Tensor) -> tf.Tensor:
    return categorical.log_prob(y, params["probs"])
