"""Adversarial: one step of the game between generator and discriminator, by replicas."""

from __future__ import annotations

import abc
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tfbdl import random
from tfbdl.trainable import THREAD, TrainableModel, row_mean

from . import objectives
from .latents import LatentPrior
from .objectives import Objective
from .optimizers import TwoPlayers, apply_gradients, clip_weights


class Noise(NamedTuple):
    """What the generator is given.

    Attributes:
        inputs: ``[n, latent_dim]``, codes included.
        codes: Of InfoGAN, ``[n, sizes]``; else None.
        weights: Of the generator's losses, ``[n]``; see ``latents.Draw``.
    """

    inputs: tf.Tensor
    codes: tf.Tensor | None
    weights: tf.Tensor


class Verdict(NamedTuple):
    """What the discriminator says of rows.

    Attributes:
        outputs: Logits, or a critic's numbers: ``[n]``.
        codes: Parameters of q(c | x), ``[n, units]``; None without codes.
    """

    outputs: tf.Tensor
    codes: tf.Tensor | None


class Pass(NamedTuple):
    """What ``call`` leaves for the losses of an evaluation."""

    real: Verdict
    fake: Verdict
    noise: Noise


class Adversarial(TrainableModel):
    """The part of a GAN that trains: ``discriminator_steps`` of one net, then one of the other.

    The rows of a batch are divided among the discriminator's steps, and the generator draws as
    many as one of these has. Losses are means over rows and are divided by the number of replicas.
    """

    objective = "the losses of its two nets"
    generator: keras.Model
    discriminator: keras.Model
    latent_prior: LatentPrior
    game: Objective
    discriminator_steps: int
    clip: float
    penalty: float
    label_smoothing: float
    loss_name: str
    figures: dict[str, keras.metrics.Mean]
    optimizer: TwoPlayers
    num_data_seen: keras.Variable

    def generator_variables(self) -> list[keras.Variable]:
        """What the generator's optimizer trains: its weights, and what the prior of z learns."""
        return [*self.generator.trainable_variables, *self.latent_prior.trainable_variables]

    def discriminator_variables(self) -> list[keras.Variable]:
        """What the discriminator's optimizer trains."""
        return list(self.discriminator.trainable_variables)

    @abc.abstractmethod
    def noise(self, n: Any, key: tf.Tensor) -> Noise:
        """``n`` inputs of the generator."""

    @abc.abstractmethod
    def judge(self, x: tf.Tensor, training: bool | None = None) -> Verdict:
        """The discriminator's verdict on rows."""

    def code_cost(self, verdict: Verdict, noise: Noise) -> tf.Tensor:
        """Added to the losses of both nets, ``[n]``: 0 without codes."""
        return tf.zeros_like(verdict.outputs)

    # -- Keras' steps ----------------------------------------------------------------------------

    def call(self, inputs: Any, training: bool | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """The discriminator's outputs of rows and of as many generated ones, ``[n]`` each."""
        x = self.as_rows(inputs)
        noise = self.noise(tf.shape(x)[0], self.noise_key(training))
        fake = self.generator(noise.inputs, training=training)
        passed = Pass(self.judge(x, training), self.judge(fake, training), noise)
        THREAD.passed = passed
        return passed.real.outputs, passed.fake.outputs

    def train_step(self, data: Any) -> Any:
        """Steps of the discriminator on parts of the rows, then one of the generator."""
        x = self.as_rows(data[0] if isinstance(data, tuple) else data)
        key = self.noise_key(True)
        rows, parts = tf.shape(x)[0], self.discriminator_steps
        part, loss = x, tf.zeros((), x.dtype)
        for i in range(parts):
            if parts > 1:
                start = i * rows // parts
                part = x[start : tf.maximum(start + 1, (i + 1) * rows // parts)]
            loss = self._discriminator_step(part, random.fold_in(key, i))
        n = tf.shape(part)[0]
        loss += self._generator_step(n, random.fold_in(key, "generator"))
        self._loss_tracker.update_state(loss, sample_weight=n)
        self.rng_step.assign_add(tf.ones((), tf.int64))
        return self.get_metrics_result()

    def batch_loss(self, x: Any, training: bool) -> tf.Tensor:
        """The sum of both losses of the last call, without the gradient penalty."""
        passed: Pass = THREAD.passed
        real = passed.real.outputs
        n = tf.shape(real)[0]
        own = self.discriminator_loss(real, passed.fake, passed.noise)
        return own + self.generator_loss(passed.fake, passed.noise, n)

    # -- the losses ------------------------------------------------------------------------------

    def discriminator_loss(self, real: tf.Tensor, fake: Verdict, noise: Noise) -> tf.Tensor:
        """The discriminator's loss of this replica's rows: a mean; its figures are updated."""
        n = tf.shape(real)[0]
        m = tf.shape(fake.outputs)[0]
        of_real = objectives.real_loss(self.game, real, self.label_smoothing)
        loss = row_mean(of_real, n) + row_mean(self.game.on_fake(fake.outputs), m)
        gains = objectives.maximised(self.game, real, fake.outputs)
        self.update("discriminator_loss", loss, n)
        self.update("value", row_mean(gains[0], n) + row_mean(gains[1], m), n)
        return loss + row_mean(self.code_cost(fake, noise), m)

    def generator_loss(self, fake: Verdict, noise: Noise, n: tf.Tensor) -> tf.Tensor:
        """The generator's loss of this replica's rows: a mean; its figures are updated."""
        losses = self.game.generator(fake.outputs)
        self.update("generator_loss", row_mean(losses, n), n)
        return row_mean(noise.weights * (losses + self.code_cost(fake, noise)), n)

    def update(self, name: str, value: tf.Tensor, rows: tf.Tensor) -> None:
        """Add a mean over rows to a figure."""
        self.figures[name].update_state(value, sample_weight=rows)

    def _discriminator_step(self, x: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        n = tf.shape(x)[0]
        noise = self.noise(n, random.fold_in(key, "noise"))
        fake = tf.stop_gradient(tf.cast(self.generator(noise.inputs, training=True), x.dtype))
        player = self.optimizer.discriminator
        with tf.GradientTape() as tape:
            real, found = self.judge(x, True), self.judge(fake, True)
            loss = self.discriminator_loss(real.outputs, found, noise)
            if self.loss_name == "wasserstein_gp":
                u = random.uniform([n], random.fold_in(key, "penalty"), x.dtype)
                penalties = objectives.gradient_penalty(
                    lambda rows: self.judge(rows, True).outputs, x, fake, u
                )
                penalty = row_mean(penalties, n)
                self.update("penalty", penalty, n)
                loss += self.penalty * penalty
            scaled = player.scale_loss(_shared(loss, self.discriminator))
        apply_gradients(player, tape, scaled, self.discriminator_variables())
        if self.loss_name == "wasserstein":
            clip_weights(self.discriminator_variables(), self.clip)
        return loss

    def _generator_step(self, n: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        player = self.optimizer.generator
        with tf.GradientTape() as tape:
            noise = self.noise(n, random.fold_in(key, "noise"))
            found = self.judge(self.generator(noise.inputs, training=True), True)
            loss = self.generator_loss(found, noise, n)
            full = loss
            if self.latent_prior.has_hyperprior:
                rows = tf.cast(self.num_data_seen.value, loss.dtype)
                full = loss - self.latent_prior.log_hyperprior() / rows
            scaled = player.scale_loss(_shared(full, self.generator))
        apply_gradients(player, tape, scaled, self.generator_variables())
        return loss

    def as_rows(self, x: Any) -> tf.Tensor:
        """Rows in the precision of the nets' inputs."""
        return tf.cast(tf.convert_to_tensor(x), keras.config.floatx())


def _shared(loss: tf.Tensor, net: keras.Model) -> tf.Tensor:
    """A replica's share of a loss, with what the net's layers add of weights and activities."""
    for term in net.losses:
        loss += tf.cast(term, loss.dtype)
    return loss / tf.distribute.get_strategy().num_replicas_in_sync
