"""EncoderDecoder: what all models of this plugin share: two nets, a likelihood, and files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from tfbdl import likelihoods
from tfbdl.config import check_choice, check_whole
from tfbdl.errors import ModelError
from tfbdl.inference.surrogate import read
from tfbdl.learned import Learned
from tfbdl.likelihoods import Likelihood

from . import bayesian_decoder, net_shapes
from .stored import Stored

GREY = ("sample", "mean")


@dataclasses.dataclass(frozen=True)
class Pass:
    """What one run of encoder and decoder leaves for the loss.

    Attributes:
        x: The rows as the model saw them.
        outputs: Of the decoder, ``[n, ...]``, or ``[S * n, ...]`` of S draws.
        decoder_kl: Of a Bayesian decoder's weights, in nats.
    """

    x: tf.Tensor
    outputs: tf.Tensor
    decoder_kl: Any


class EncoderDecoder(Stored):
    """An encoder from rows to codes and a decoder from codes to a distribution of rows.

    Args:
        encoder: A Keras net from ``x [n, ...]`` to ``[n, units]``.
        decoder: A Keras net from ``z [n, latent_dim]`` to the outputs that the likelihood asks for;
            or a BayesianNetwork of such a net with the same likelihood, whose weights are then
            random too: each step draws them once, and the loss of a row bears its share
            ``KL(q(weights) || prior) / num_data``.
        latent_dim: Size of a code.
        likelihood: p(x | z): a name, or a Likelihood.
        likelihood_options: Options of a likelihood given by name.
        grey: What a value strictly between 0 and 1 is to a Bernoulli likelihood: ``sample``: drawn
            as 0 or 1 anew at each step (dynamic binarisation); ``mean``: taken as it is, and what
            is called a log-likelihood is a cross entropy then.
        num_data: Training rows; by default counted by ``fit``.
        seed: Of the noise of training; None: drawn.
        name: Of the model.

    Attributes:
        units: How many units the encoder must end in.
    """

    arguments: ClassVar[tuple[str, ...]] = ("latent_dim", "grey", "num_data", "name")
    default_learning_rate = 1e-3

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        latent_dim: int,
        likelihood: str | Likelihood = "bernoulli",
        *,
        likelihood_options: Mapping[str, Any] | None = None,
        grey: str = "sample",
        num_data: int | None = None,
        seed: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, name=name, dtype=keras.config.floatx(), **kwargs)
        for role, net in (("encoder", encoder), ("decoder", decoder)):
            if not isinstance(net, keras.Layer):
                raise ModelError(f"The {role} must be a Keras 3 model. Received: {net!r}.")
        self.latent_dim = check_whole("latent_dim", latent_dim)
        check_choice("grey", grey, GREY)
        self.encoder, self.decoder = encoder, decoder
        self.likelihood = likelihoods.get(likelihood, likelihood_options)
        if self.is_bayesian:
            bayesian_decoder.check_likelihood(decoder, self.likelihood)
            num_data = num_data or decoder.given_num_data
            self.decoder_kl_metric = keras.metrics.Mean(name="decoder_kl")
        self.grey, self.given_num_data = grey, num_data
        self.num_data_seen = self.add_state("num_data_seen", np.int64(num_data or 0))
        own = {} if self.is_bayesian else self.likelihood.parameters(keras.config.floatx())
        self.learned = {
            f"likelihood.{key}": Learned(parameter=key, site=None, definition=definition)
            for key, definition in own.items()
        }
        self.learned_raw = self.raw_weights(self.learned)

    def raw_weights(self, learned: Mapping[str, Learned]) -> dict[str, keras.Variable]:
        """A raw weight for each learned parameter, at its start."""
        seed = int(self.rng_seed.numpy())
        return {
            name: self.add_state(f"{name}.raw", item.initial_raw(seed).numpy(), trainable=True)
            for name, item in learned.items()
        }

    def finish(self) -> None:
        """Check the nets against each other; called where the constructor ends."""
        if self.encoder.built and self.decoder.built:
            self.check_nets()
            self.built = True

    @property
    def units(self) -> int:
        """How many units the encoder must end in."""
        return self.latent_dim

    def build(self, input_shape: Any) -> None:
        """Build both nets."""
        rows = keras.KerasTensor(input_shape, self.dtype_of_rows)
        codes = keras.KerasTensor((None, self.latent_dim), keras.config.floatx())
        for net, inputs in ((self.encoder, rows), (self.decoder_net, codes)):
            if not net.built:
                net(inputs)  # a subclassed net is built by a call alone
        if not self.decoder.built:
            self.decoder.build(codes.shape)
        self.check_nets()
        self.built = True

    def check_nets(self) -> None:
        """Raise ModelError where the nets do not fit the codes, the likelihood or each other."""
        net_shapes.check_units(self.encoder, self.units, self.latent_dim, self.dtype_of_rows)
        if self.is_bayesian:
            bayesian_decoder.check_sites(self.decoder)
        net_shapes.check_codes(self.decoder_net, self.latent_dim)
        net_shapes.check_outputs(self.encoder, self.decoder_net, self.likelihood)

    def check_rows(self, x: Any, what: str = "x") -> None:
        """Refuse rows that neither the nets take and give, nor the likelihood.

        Raises:
            DataError: With what was expected.
        """
        super().check_rows(x, what)
        net_shapes.check_rows(np.shape(x), self.decoder_net, self.likelihood, what)

    # -- the likelihood --------------------------------------------------------------------------

    def likelihood_parameters(self) -> dict[str, tf.Tensor]:
        """The likelihood's learned parameters, constrained, by name."""
        if self.is_bayesian:
            return bayesian_decoder.learned_parameters(self.decoder)
        return {
            item.parameter: item.constrain(read(self.learned_raw[name]))
            for name, item in self.learned.items()
        }

    def outputs(
        self, z: tf.Tensor, key: tf.Tensor | None = None, training: bool | None = None
    ) -> tuple[tf.Tensor, tf.Tensor | float]:
        """The decoder's outputs at codes ``z [m, d]``, and the KL of its weights in nats.

        Args:
            z: Codes.
            key: Of the draw of a Bayesian decoder's weights; None: their mean.
            training: As in Keras; with None there is no loss, and the KL is left out.
        """
        decoder = self.decoder
        if not self.is_bayesian:
            return widened(decoder(z, training=training)), 0.0
        if not decoder.built:
            decoder(z)
        outputs, draw, added = bayesian_decoder.run(decoder, key, z, bool(training))
        if training:
            self.add_loss(added)
        return widened(outputs), 0.0 if training is None else decoder.kl(draw)

    def log_lik(self, outputs: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """``log p(x | z)``, ``[S, n]`` nats, of outputs ``[S * n, ...]`` at rows ``[n, ...]``."""
        rows = tf.shape(x)[0]
        draws = tf.shape(outputs)[0] // tf.maximum(rows, 1)
        if outputs.shape[0] is None or outputs.shape[0] != x.shape[0]:
            x = tf.tile(x, tf.concat([[draws], tf.ones([tf.rank(x) - 1], tf.int32)], axis=0))
            x = tf.ensure_shape(x, (None, *x.shape[1:]))
        log_lik = self.likelihood.log_prob(outputs, x, self.likelihood_parameters())
        return tf.reshape(log_lik, [draws, rows])

    def decoder_cost(self, kl: Any, dtype: Any) -> tf.Tensor:
        """A Bayesian decoder's share of one row's loss: ``kl_weight * KL / num_data``."""
        if not self.is_bayesian:
            return tf.zeros((), dtype)
        self.decoder_kl_metric.update_state(kl)
        weight = self.decoder.kl_weight
        weight = weight(read(self.rng_step)) if callable(weight) else weight
        return self.per_row(tf.cast(weight, dtype) * tf.cast(kl, dtype), dtype)

    def per_row(self, nats: Any, dtype: Any) -> tf.Tensor:
        """A term of the bound of all data, as one row's share of it: ``nats / num_data``."""
        rows = tf.cast(read(self.num_data_seen), dtype)
        return tf.math.divide_no_nan(tf.cast(nats, dtype), rows)


def widened(outputs: tf.Tensor) -> tf.Tensor:
    """Outputs in the default precision, whatever the net computes in."""
    return tf.cast(outputs, keras.config.floatx())
