"""Contrastive divergence as the objective of Keras' training steps."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from tfbdl import random
from tfbdl.inference.surrogate import read
from tfbdl.trainable import TrainableModel, row_mean

from . import energy
from .energy import Weights
from .units import BinaryUnits, Units, bernoulli


class ContrastiveDivergence(TrainableModel):
    """The part of a machine that trains: its chains, its loss and its metrics.

    The loss is ``mean F(v) - mean F(v')``, where ``v'`` is the end of the chain and held constant.
    Its gradient is the one of contrastive divergence, ``<v h>_model - <v h>_data`` for W (Hinton
    2002, eq. 5), with the hidden units of both ends summed out; its value says little. What
    training achieves is better seen in ``reconstruction_error`` and, of binary units,
    ``pseudo_log_likelihood``.

    Attributes:
        units: The visible units.
        training_method: ``cd`` or ``pcd``.
        k: Gibbs steps of a training step.
        grey: ``mean`` or ``sample``.
        particles: Ends of the persistent chains as codes, ``[num_chains, d]``; None for ``cd``.
        metric_means: Name -> mean over batches.
    """

    objective = "contrastive divergence"
    units: Units
    training_method: str
    k: int
    grey: str
    particles: keras.Variable | None
    metric_means: dict[str, keras.metrics.Mean]
    kernel: keras.Variable
    visible_bias: keras.Variable
    hidden_bias: keras.Variable

    def weights_now(self, dtype: str | None = None) -> Weights:
        """The weights as tensors, in their own precision or another."""
        parts = Weights(*(read(v) for v in (self.kernel, self.visible_bias, self.hidden_bias)))
        return parts if dtype is None else Weights(*(tf.cast(part, dtype) for part in parts))

    def batch_loss(self, x: Any, training: bool) -> tf.Tensor:
        """``mean F(v) - mean F(v')`` of a batch ``x [n, d]``; targets play no part."""
        weights = self.weights_now()
        key = self.noise_key(training)
        u = self.units.encode(tf.cast(x, weights.W.dtype))
        if self.grey == "sample" and isinstance(self.units, BinaryUnits):
            u = bernoulli(u, random.fold_in(key, "grey"))
        rows = tf.shape(u)[0]  # none where a replica gets no share of a small batch
        positive = row_mean(energy.free_energy(self.units, weights, u), rows)
        if self.particles is None:
            end = energy.gibbs(self.units, weights, u, self.k, key)  # CD-k
            negative = row_mean(energy.free_energy(self.units, weights, end), rows)
        else:
            end = self._persistent(weights, training)
            negative = tf.reduce_mean(energy.free_energy(self.units, weights, end))
            negative *= tf.cast(rows > 0, negative.dtype)
        self._update_metrics(weights, u, rows, key)
        return positive - negative

    def _persistent(self, weights: Weights, training: bool) -> tf.Tensor:
        """Move the persistent chains ``k`` steps on, all replicas alike (Tieleman 2008)."""
        assert self.particles is not None
        start = read(self.particles)
        if not training:
            return start
        key = random.key(read(self.rng_seed), "particles", read(self.rng_step))
        end = energy.gibbs(self.units, weights, start, self.k, key)
        self.particles.assign(end)
        return end

    def _update_metrics(
        self, weights: Weights, u: tf.Tensor, rows: tf.Tensor, key: tf.Tensor
    ) -> None:
        weights = Weights(*map(tf.stop_gradient, weights))
        h = tf.sigmoid(energy.hidden_logits(self.units, weights, u))
        back = self.units.mean(weights.b, energy.field_of(weights, h))
        error = row_mean(tf.reduce_mean(tf.math.squared_difference(u, back), axis=-1), rows)
        self.metric_means["reconstruction_error"].update_state(error, sample_weight=rows)
        if "pseudo_log_likelihood" in self.metric_means:
            value = energy.pseudo_log_likelihood(weights, u, random.fold_in(key, "pseudo"))
            mean = row_mean(value, rows)
            self.metric_means["pseudo_log_likelihood"].update_state(mean, sample_weight=rows)
