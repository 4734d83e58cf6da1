"""What a variational auto-encoder minimises, as Keras' training steps compute it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfbdl import random
from tfbdl.data import Dataset
from tfbdl.distributions import Prior
from tfbdl.errors import OptionsError
from tfbdl.inference.elbo import KLSchedule
from tfbdl.inference.surrogate import read
from tfbdl.learned import Learned
from tfbdl.trainable import THREAD, row_mean

from .bound import DoublyReparameterised, Terms, free, importance_weighted
from .encoder_decoder import EncoderDecoder, Pass, widened
from .latents import LatentPosterior
from .metrics import ActiveUnits, BoundMetrics
from .priors.pseudo_inputs import PseudoInputs
from .replicas import over_replicas

Weight = float | Callable[[tf.Tensor], tf.Tensor]
"""A number, or a schedule: a function of the training step."""


@dataclasses.dataclass(frozen=True)
class BoundPass(Pass):
    """What one run of encoder and decoder leaves for the bound.

    Attributes:
        parameters: Of q(z | x).
        z: ``[S, n, d]``.
        log_q: ``[S, n]``.
        gradient: Of the importance-weighted bound, if it is not the plain one.
    """

    parameters: Any
    z: tf.Tensor
    log_q: tf.Tensor
    gradient: DoublyReparameterised | None


class VariationalBound(EncoderDecoder):
    """The part of a VAE that trains.

    Attributes:
        latent_posterior: The family of q(z | x).
        prior: p(z).
        estimator: ``auto``, ``A`` or ``B``.
        importance_weighted: Whether the bound over all draws at once is trained.
        gradient: ``standard`` or ``doubly_reparameterised``.
        num_samples: Draws of z in a step.
        beta, kl_weight, capacity, gamma, free_bits: Of the KL term.
    """

    objective = "the negative of a bound of log p(x)"
    latent_posterior: LatentPosterior
    prior: Prior
    estimator: str
    importance_weighted: bool
    gradient: str
    num_samples: int
    beta: Weight
    kl_weight: Weight
    capacity: Weight | None
    gamma: float
    free_bits: Weight
    prior_learned: dict[str, Learned]
    prior_raw: dict[str, keras.Variable]
    pseudo_inputs: PseudoInputs | None
    bound_metrics: BoundMetrics
    active_units: ActiveUnits

    # -- the model's distributions ---------------------------------------------------------------

    def latent_prior(self) -> Any:
        """p(z) as it is now: a tfd distribution of event shape ``[d]``."""
        own = self.latent_posterior.own_prior()
        if own is not None:
            return own
        pseudo = self.pseudo_inputs
        if pseudo is not None:  # encoded as outside training: p(z) has no noise of its own
            components = self.latent_posterior.distribution(self.posterior_of(pseudo.value()))
            return pseudo.prior.of_components(components)
        values = {
            item.parameter: item.constrain(read(self.prior_raw[name]))
            for name, item in self.prior_learned.items()
        }
        return self.prior.distribution((self.latent_dim,), keras.config.floatx(), "z", **values)

    def posterior_of(self, x: tf.Tensor, training: bool | None = None) -> Any:
        """The parameters of q(z | x) for rows as ``observed`` gives them."""
        outputs = widened(self.encoder(x, training=training))
        return self.latent_posterior.parameters(outputs)

    def terms(
        self,
        log_lik: tf.Tensor,
        parameters: Any,
        z: tf.Tensor,
        log_q: tf.Tensor,
        ratio: bool,
        prior: Any = None,
    ) -> Terms:
        """The terms of the bound; ``ratio``: whether ``log p(z) - log q(z | x)`` is needed.

        ``prior`` is ``latent_prior()``, where it is at hand.
        """
        prior = self.latent_prior() if prior is None else prior
        parts = self.latent_posterior.kl(parameters, prior)
        log_ratio = None
        if ratio or parts is None or self.estimator == "A":
            log_ratio = prior.log_prob(z) - log_q
        if parts is None or self.estimator == "A":
            kl = -tf.reduce_mean(log_ratio, axis=0)
        else:
            kl = tf.reduce_sum(parts, axis=-1)
        return Terms(log_lik, kl, parts, log_ratio)

    @property
    def needs_num_data(self) -> bool:
        """See EncoderDecoder: random weights of the decoder, or a prior of p(z)'s parameters."""
        of_prior = any(item.prior is not None for item in self.prior_learned.values())
        return super().needs_num_data or of_prior

    def on_fit(self, data: Dataset) -> None:
        """See TrainableModel.

        Raises:
            OptionsError: If the KL was to be shared among batches: here each row has its own.
        """
        weight = self.kl_weight
        if isinstance(weight, KLSchedule) and weight.minibatch_weights != "uniform":
            raise OptionsError(
                "The KL of latent variables belongs to each row, and is not shared among the "
                "batches of an epoch. Expected: minibatch_weights='uniform'. "
                f"Received: {weight.minibatch_weights!r}."
            )
        super().on_fit(data)
        if self.pseudo_inputs is not None and int(self.rng_step.numpy()) == 0:
            self.pseudo_inputs.start(data)

    def build(self, input_shape: Any) -> None:
        """Build the nets, and pseudo-inputs of the rows' shape."""
        super().build(input_shape)
        if self.pseudo_inputs is not None and not self.pseudo_inputs.built:
            self.pseudo_inputs.build(input_shape)

    # -- a step ----------------------------------------------------------------------------------

    def call(self, inputs: Any, training: bool | None = None) -> tf.Tensor:
        """Encode, draw and decode: the likelihood's outputs at the first draw, ``[n, ...]``."""
        key = self.noise_key(training)
        x = self.observed(inputs, key, training)
        parameters = self.posterior_of(x, training)
        keys = random.split(random.fold_in(key, "z"), self.num_samples)
        z, log_q = self.latent_posterior.draw(parameters, keys)
        gradient = None
        if self.gradient == "doubly_reparameterised":
            gradient = DoublyReparameterised()
            z = gradient.hook(z)
            held = tf.nest.map_structure(tf.stop_gradient, parameters)
            log_q = self.latent_posterior.log_prob(held, z)
        flat = tf.reshape(z, [-1, self.latent_dim])
        outputs, kl = self.outputs(flat, random.fold_in(key, "decoder"), training)
        THREAD.passed = BoundPass(x, outputs, kl, parameters, z, log_q, gradient)
        return outputs[: tf.shape(x)[0]] if self.num_samples > 1 else outputs

    def batch_loss(self, x: Any, training: bool) -> tf.Tensor:
        """The negative bound of the rows of the last call, a mean over rows."""
        passed: BoundPass = THREAD.passed
        log_lik = self.log_lik(passed.outputs, passed.x)
        terms = self.terms(
            log_lik, passed.parameters, passed.z, passed.log_q, self.importance_weighted
        )
        rows = tf.shape(terms.kl)[0]
        bound, loss = self.weighted_bound(terms, rows, passed.gradient)
        self.bound_metrics.update_state(terms, bound)
        self.active_units.update_state(self.latent_posterior.mean(passed.parameters))
        loss += self.decoder_cost(passed.decoder_kl, loss.dtype)
        return loss + self.per_row(self.prior_cost(), loss.dtype)

    def weighted_bound(
        self, terms: Terms, rows: tf.Tensor, gradient: DoublyReparameterised | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What is trained: the bound of each row ``[n]``, and the loss, a mean over rows."""
        weight = self.now(self.kl_weight) * self.now(self.beta)
        if self.importance_weighted:
            assert terms.log_ratio is not None
            log_w = terms.log_lik + weight * terms.log_ratio
            if gradient is None:
                bound = importance_weighted(log_w)
            else:
                bound = gradient.objective(log_w, weight)
            return bound, -row_mean(bound, rows)
        reconstruction = row_mean(terms.reconstruction, rows)
        if not isinstance(self.free_bits, (int, float)) or self.free_bits != 0:
            kl = self._free_kl(terms, rows)
        elif self.capacity is None:
            kl = row_mean(terms.kl, rows)
        else:
            kl = _batch_mean(terms.kl, rows)
        if self.capacity is not None:  # Burgess et al. 2018, eq. 8
            distance = tf.abs(kl - self.now(self.capacity))
            return terms.elbo, self.gamma * distance - reconstruction
        return terms.elbo, weight * kl - reconstruction

    def _free_kl(self, terms: Terms, rows: tf.Tensor) -> tf.Tensor:
        """The KL beyond what is free of each variable, or of all where it does not part."""
        parts = terms.kl[:, tf.newaxis]
        if terms.kl_parts is not None and self.estimator != "A":
            parts = terms.kl_parts
        mean = _batch_mean(parts, rows)
        each = self.latent_posterior.num_variables // parts.shape[-1]
        return free(mean, self.now(self.free_bits) * each)

    def prior_cost(self) -> tf.Tensor:
        """``-log p(parameters of p(z))`` in nats, of those that have a prior themselves."""
        cost = tf.zeros((), keras.config.floatx())
        for name, item in self.prior_learned.items():
            if item.prior is not None:
                value = item.constrain(read(self.prior_raw[name]))
                cost -= tf.cast(tf.reduce_sum(item.prior.log_prob(value)), cost.dtype)
        return cost

    def now(self, weight: Weight | None) -> tf.Tensor:
        """A number, or a schedule's value at this step."""
        if callable(weight):
            return tf.cast(weight(read(self.rng_step)), keras.config.floatx())
        return tf.constant(weight, keras.config.floatx())

    @property
    def closed_parts(self) -> int:
        """How many parts the KL in closed form has; 0 where there is no closed form."""
        if self.pseudo_inputs is not None:  # a mixture
            return 0
        row = tf.zeros([1, self.units], keras.config.floatx())
        parameters = self.latent_posterior.parameters(row)
        parts = self.latent_posterior.kl(parameters, self.latent_prior())
        return 0 if parts is None else int(parts.shape[-1])

    @property
    def kl_parts(self) -> int:
        """How many latent dimensions the closed KL parts into; 0 where it does not, or is none."""
        return self.latent_dim if self.closed_parts == self.latent_dim else 0


def _batch_mean(values: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """The mean over the rows of all replicas: what is not linear in it may not go by parts.

    Args:
        values: ``[n, ...]`` of this replica.
        rows: n.
    """
    total = tf.reduce_sum(values, axis=0)
    total, count = over_replicas([total, tf.cast(rows, values.dtype)])
    return tf.math.divide_no_nan(total, count)
