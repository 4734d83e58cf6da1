"""What a BayesianGAN answers: rows from its generators, probabilities from its discriminators."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from tfbdl import random
from tfbdl.errors import ModelError, OptionsError
from tfbdl.trainable import TrainableModel

from . import semi_supervised
from .bayesian_config import RecipeOptions
from .chain_weights import ChainWeights, Nets
from .chains import KeptSamples
from .latents import LatentPrior
from .stacked import Tensors

BLOCK = 4096
"""Rows that are generated or judged at a time."""


class Queries(TrainableModel):
    """Averages over the kept samples of all weights; BayesianGAN says how these come about.

    Attributes:
        kept: The samples.
        latents: The prior of z.
        location, scale: Of the data.
        num_classes: K, or 0.
        nets: The nets of both sides.
        chain: Their present weights.
    """

    kept: KeptSamples
    latents: LatentPrior
    location: np.ndarray
    scale: np.ndarray
    num_classes: int
    nets: Nets
    options: RecipeOptions
    chain: ChainWeights

    def predict(self, x: Any, batch_size: int | None = None, **kwargs: Any) -> np.ndarray:
        """Mean over all kept samples: ``p(y | x)`` ``[n, K]``, or without classes D, ``[n, 1]``.

        Args:
            x: Rows ``[n, ...]``.
            batch_size: At a time; None: 4,096.
            **kwargs: Of Keras' ``predict``; they play no part.
        """
        rows = np.asarray(x, "float32")
        self.check_rows(rows)
        total = np.zeros((len(rows), max(self.num_classes, 1)))
        states = self._states("discriminator")
        for params in states:
            for start in range(0, len(rows), batch_size or BLOCK):
                part = slice(start, start + (batch_size or BLOCK))
                total[part] += self._judge(params, rows[part]).numpy()
        return (total / len(states)).astype("float32")

    def predict_proba(self, x: Any) -> np.ndarray:
        """``p(y | x, data)``, averaged over all sampled discriminators.

        Args:
            x: Rows ``[n, ...]``.

        Returns:
            ``[n, K]``; rows add up to one.

        Raises:
            ModelError: If the model was made without classes.

        References:
            Saatchi & Wilson 2017, section 2.3: the predictive distribution.
        """
        if not self.num_classes:
            raise ModelError(
                "This model tells no classes. Expected: BayesianGAN(..., num_classes=K)."
            )
        return self.predict(x)

    def sample(
        self, n: int, seed: int = 0, generator: int | None = None, draw: int | None = None
    ) -> np.ndarray:
        """Rows that sampled generators make.

        Args:
            n: How many.
            seed: Of noise, and of the order of rows.
            generator: From this one of the J generators alone; None: evenly from all.
            draw: Of this one of the kept samples alone, from the oldest, 0; None: evenly of all.
                Before the first sample the present weights stand for all.

        Returns:
            ``[n, *data_shape]``, in units of the data, in a random order.

        Raises:
            OptionsError: If there is no such generator or sample.
        """
        states = self._states("generator")
        draws = range(len(states)) if draw is None else [_index("draw", draw, len(states))]
        count = self.nets.generators.count
        chosen = range(count) if generator is None else [_index("generator", generator, count)]
        rng = np.random.default_rng(seed)
        nets = len(draws) * len(chosen)
        even = np.full(nets, n // nets)
        even[rng.choice(nets, n % nets, replace=False)] += 1
        shares = even.reshape(len(draws), len(chosen))
        each = int(shares.max())
        rows = []
        for i, place in enumerate(draws):
            made = self._generated(states[place], each, random.key(seed, "sample", place))
            rows += [made[j, : shares[i, k]] for k, j in enumerate(chosen)]
        return rng.permutation(np.concatenate(rows))

    def _generated(self, params: Tensors, n: int, key: tf.Tensor) -> np.ndarray:
        """``[J_g, n, *data_shape]``, in units of the data."""
        count, blocks = self.nets.generators.count, max(1, math.ceil(n / BLOCK))
        # Rows made together may depend on each other: no block is smaller than in training.
        size = max(math.ceil(n / blocks), self.options.batch_size)
        parts = []
        for block in range(blocks):
            z = self.latents.sample(count * size, random.fold_in(key, block))
            parts.append(self._generate(params, tf.reshape(z, (count, size, -1))).numpy())
        rows: np.ndarray = np.concatenate(parts, axis=1)[:, :n]
        return rows * self.scale + self.location

    def _states(self, role: str) -> list[Tensors]:
        """Weights of one side, of every kept sample, or the present ones before the first."""
        if not self.kept.number:
            return [self.chain.params(role)]
        held = self.kept.held()
        names = self.chain.params(role)
        return [{n: tf.constant(held[n][i]) for n in names} for i in range(self.kept.number)]

    def _judged(self, params: Tensors, x: tf.Tensor) -> tf.Tensor:
        """Mean over the discriminators of one state: ``[n, K]``, or ``[n, 1]``."""
        logits = self.nets.discriminators.all(params, self._inward(x))
        probs = semi_supervised.class_probs(logits) if self.num_classes else tf.sigmoid(logits)
        return tf.reduce_mean(probs, axis=0)

    def _inward(self, x: Any) -> tf.Tensor:
        """Rows in the units of the nets."""
        x = tf.cast(x, "float32")
        return (x - tf.constant(self.location)) / tf.constant(self.scale)

    @cached_property
    def _generate(self) -> Any:
        return tf.function(self.nets.generators.each, autograph=False)

    @cached_property
    def _judge(self) -> Any:
        return tf.function(self._judged, autograph=False)


def _index(what: str, value: Any, count: int) -> int:
    if not isinstance(value, (int, np.integer)) or not 0 <= value < count:
        raise OptionsError(
            f"There are {count}: {what} must be from 0 to {count - 1}. Received: {value!r}."
        )
    return int(value)
